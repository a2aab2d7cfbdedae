/**
 * Ceph's RADOS gateway stopped, or killed and started again, in the middle of a body. A second gateway
 * of the same cluster shows what is there meanwhile. And what such an accident can leave, an upload that is
 * pending for ever, goes by the sweeper.
 */
import { strict as assert } from "node:assert";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Secret } from "../../packages/server/src/config/index.ts";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import {
  assertSame,
  bytesOf,
  calm,
  keysOf,
  put,
  read,
  rejectsWith,
} from "../../packages/server/src/storage/conformance/subject.ts";
import { withLayers } from "../../packages/server/src/storage/layers/stack.ts";
import { s3Config } from "../../packages/server/src/storage/s3/config.ts";
import { openS3Storage } from "../../packages/server/src/storage/s3/driver.ts";
import { PartBuffers } from "../../packages/server/src/storage/s3/part-buffers.ts";
import { neverOpen } from "../faults/storage.ts";
import { eventually } from "../harness/process-usage.ts";
import { RunningTime } from "../harness/running-time.ts";
import { describeWhere } from "../prerequisites.ts";
import { pendingUploadsCase } from "../server/swept-storage.ts";
import { useService } from "./service.ts";

const MiB = 1024 * 1024;
const answerMs = 5_000;
/** One deadline, what a busy machine takes, and a second for what a put undoes. */
const toldMsMax = answerMs + 4_000;
/** Of a body, with the gateway when it happens. */
const passedBytes = MiB;

const bodies = [
  { name: "a part", bytes: 12 * MiB, length: undefined, at: /partNumber=2/ },
  { name: "a streamed put", bytes: 12 * MiB, length: 12 * MiB, at: /^PUT [^?]* HTTP/ },
];

describeWhere(["ceph", "curl"], "a gateway of Ceph that stops or dies", () => {
  const service = useService("ceph", { CEPH_PARTS: "rgw" });
  const bucket = `roma-${randomUUID()}`;
  const value = (name: string): string => service.value(`CEPH_S3_${name}`);
  let gateway: Gateway;

  before(async () => {
    const user = `${value("ACCESS_KEY")}:${value("SECRET_KEY")}`;
    const signed = ["--aws-sigv4", `aws:amz:${value("REGION")}:s3`, "--user", user];
    const header = ["--header", "x-amz-content-sha256:UNSIGNED-PAYLOAD"];
    const url = `${value("ENDPOINT")}/${bucket}`;
    execFileSync("curl", ["-sSf", ...signed, ...header, "--request", "PUT", url]);
    // Of the hundred that the service has for itself.
    const port = Number(new URL(value("ENDPOINT")).port) + 1;
    gateway = new Gateway(service.value("CEPH_CONF"), port);
    await gateway.start();
  });
  after(() => gateway.end());

  const open = (endpoint: string, buffers: PartBuffers, keyPrefix: string): StorageDriver => {
    const secretAccessKey = new Secret(value("SECRET_KEY"));
    const settings = s3Config.parse({
      ...{ vendor: "ceph-rgw", endpoint, bucket, keyPrefix, region: value("REGION") },
      ...{ accessKeyId: value("ACCESS_KEY"), secretAccessKey: value("SECRET_KEY") },
    });
    const partBytes = 5 * MiB;
    return openS3Storage({ id: "s3", ...settings, secretAccessKey, partBytes, buffers });
  };

  pendingUploadsCase("Ceph RGW", async () =>
    open(value("ENDPOINT"), new PartBuffers(), `${randomUUID()}/`),
  );

  const ways = [
    { name: "stopped", happen: () => gateway.stop(), recover: () => gateway.goOn() },
    { name: "killed", happen: () => gateway.kill(), recover: () => gateway.start() },
  ];
  for (const way of ways) {
    for (const body of bodies) {
      test(`${way.name} in the middle of ${body.name}: told in time, nothing half is there, and the next upload works`, async (t) => {
        const keyPrefix = `${randomUUID()}/`;
        const relay = await new Relay(gateway.port).listen();
        const buffers = new PartBuffers({ bytesMax: 64 * MiB });
        const through = open(`http://127.0.0.1:${relay.port}`, buffers, keyPrefix);
        const direct = open(value("ENDPOINT"), new PartBuffers(), keyPrefix);
        const driver = withLayers(through, {
          timeout: { answerMs, progressMs: answerMs },
          breaker: neverOpen,
        });
        t.after(async () => {
          await way.recover();
          await driver[Symbol.asyncDispose]();
          await direct[Symbol.asyncDispose]();
          await relay[Symbol.asyncDispose]();
        });
        const old = bytesOf(50_000, 1);
        const bytes = bytesOf(body.bytes, 2);
        const options = body.length === undefined ? {} : { length: body.length };
        await put(driver, "blob", old);

        using running = new RunningTime();
        let began = Number.NaN;
        relay.at(body.at, async () => {
          began = running.ms;
          await way.happen();
        });
        await rejectsWith("unavailable", put(driver, "blob", bytes, options));
        const ms = running.ms - began;
        assert.ok(ms < toldMsMax, `told after ${ms} ms`);
        // One may be left, by which the upload is being cancelled.
        await eventually("sockets close", () => relay.connections <= 1);
        await eventually("no buffer in use", () => buffers.usedBytes === 0);
        assert.deepEqual(await keysOf(direct), ["blob"]);
        assertSame(await read(direct, "blob"), old, "the blob as another gateway shows it");

        await way.recover();
        await put(driver, "blob", bytes, options);
        assertSame(await read(direct, "blob"), bytes);
        await put(driver, "other", old);
        assert.deepEqual(await keysOf(direct), ["blob", "other"]);
        const pending = async () =>
          await Array.fromAsync(direct.parts?.listPending("", { signal: calm }) ?? []);
        await eventually("no upload left", async () => (await pending()).length === 0, 90_000);
        await eventually("no socket left", () => relay.connections === 0);
      });
    }
  }
});

/** A radosgw of the test's own on the cluster, which may be stopped and killed. */
class Gateway {
  readonly port: number;
  readonly #conf: string;
  readonly #folder: string;
  #child: ChildProcess | undefined;

  constructor(conf: string, port: number) {
    this.#conf = conf;
    this.port = port;
    this.#folder = mkdtempSync(join(tmpdir(), "roma-rgw-"));
  }

  /** Resolves once it answers; does nothing while it runs. */
  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    const own = [
      `--rgw_frontends=beast endpoint=127.0.0.1:${this.port} tcp_nodelay=1`,
      `--admin_socket=${join(this.#folder, "asok")}`,
      `--log_file=${join(this.#folder, "log")}`,
    ];
    this.#child = spawn("radosgw", ["-f", "-n", "client.rgw.a", ...own], {
      env: { ...process.env, CEPH_CONF: this.#conf },
      stdio: "ignore",
    });
    await eventually("radosgw answers", () => answers(this.port), 120_000);
  }

  async stop(): Promise<void> {
    this.#child?.kill("SIGSTOP");
  }

  async goOn(): Promise<void> {
    this.#child?.kill("SIGCONT");
  }

  /** Resolves once it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Passes bytes on, and lets something happen in the middle of a request. */
class Relay implements AsyncDisposable {
  readonly #upstreamPort: number;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  #planned: { readonly request: RegExp; readonly run: () => Promise<void> } | undefined;

  constructor(upstreamPort: number) {
    this.#upstreamPort = upstreamPort;
    this.#server = createServer((client) => this.#relay(client));
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#clients.size;
  }

  /** Once, when `passedBytes` of such a request are with the storage; the rest follows after it. */
  at(request: RegExp, run: () => Promise<void>): void {
    this.#planned = { request, run };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #relay(client: Socket): void {
    const storage = connect(this.#upstreamPort, "127.0.0.1");
    this.#clients.add(client);
    let passed: number | undefined;
    client.on("data", (bytes) => {
      const head = bytes.toString("latin1", 0, 2_000);
      if (this.#planned?.request.test(head.slice(0, head.indexOf("\r\n"))) === true) passed = 0;
      // A socket that is not read does not tell that its other end has gone: a body is kept whole.
      storage.write(bytes);
      if (passed === undefined) return;
      passed += bytes.length;
      const planned = this.#planned;
      if (passed < passedBytes || planned === undefined) return;
      this.#planned = undefined;
      passed = undefined;
      client.pause();
      void planned.run().then(() => client.resume());
    });
    storage.on("data", (bytes) => {
      if (!client.write(bytes)) storage.pause();
    });
    client.on("drain", () => storage.resume());
    client.on("error", () => undefined);
    storage.on("error", () => undefined);
    client.on("close", () => {
      this.#clients.delete(client);
      storage.destroy();
    });
    storage.on("close", () => client.destroy());
  }
}

async function answers(port: number): Promise<boolean> {
  return await fetch(`http://127.0.0.1:${port}/`).then(
    (answer) => answer.body?.cancel().then(() => true) ?? true,
    () => false,
  );
}
