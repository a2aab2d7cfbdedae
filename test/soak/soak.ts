/**
 * Mixed traffic against a server with two workers while things go wrong, and a ledger of what was
 * acknowledged. In its first part workers are killed and replaced too; in its second they live, and
 * what they hold at its end is compared with what they held at its beginning.
 */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { assertMetadataSound, readUsage } from "../harness/data-folder.ts";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { Random } from "../harness/random.ts";
import { ServerProcess } from "../harness/server-process.ts";
import { SoakClient } from "./client.ts";
import type { SoakDisks } from "./disks.ts";
import { type FaultsOptions, injectFaults, place, workerPids } from "./faults.ts";
import { coverWorkers, type Held, held } from "./held.ts";
import { Ledger } from "./ledger.ts";
import { Veterans } from "./veterans.ts";

export interface SoakOptions {
  /** An empty folder. */
  readonly folder: string;
  /** Where the data and a storage are on disks that can be filled; left out: below the folder. */
  readonly disks?: SoakDisks | undefined;
  /** Of traffic; each fault comes once at least, however long that takes. */
  readonly seconds: number;
  readonly clients: number;
  readonly workers: number;
  readonly seed: number;
  /** Of a fault, and of the quiet after it, at most. */
  readonly faultMsMax: number;
  readonly print: (line: string) => void;
}

export interface SoakReport {
  readonly violations: readonly string[];
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
  /** How often each thing was done, answered or broken. */
  readonly counts: Readonly<Record<string, number>>;
  /** At the beginning and the end of the part in which no worker is killed. */
  readonly before: Held;
  readonly after: Held;
}

/** Of all the time, with kills. */
const roughShare = 0.5;
const secret = "the-secret-of-a-storage-0123456789";
const flags = [
  ...["--s3-port", "0", "--sweeper-interval", "1 s", "--blob-grace", "5 s", "--trash-keep", "0 s"],
  // What waits for a silent storage need not wait long.
  ...["--uploads-tidy-interval", "5 s", "--http-work-ms-max", "5 s"],
  ...["--disk-interval", "300 ms", "--disk-ballast-bytes", "16 MiB"],
];

export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const { folder, disks, seconds, workers, seed, print } = options;
  const random = new Random(seed);
  const ledger = new Ledger();
  const counts = new Map<string, number>();
  const count = (what: string): void => {
    counts.set(what, (counts.get(what) ?? 0) + 1);
  };
  const since = performance.now();
  const tell = (what: string): void =>
    print(`${((performance.now() - since) / 1_000).toFixed(1)} s: ${what}`);
  await using emulator = await new Emulator({ vendor: "minio", secretAccessKey: secret }).listen();
  const upstream = { host: "127.0.0.1", port: Number(new URL(emulator.endpoint).port) };
  await using proxy = await new FaultProxy(upstream).listen();
  const data = disks?.data ?? join(folder, "data");
  await mkdir(data, { recursive: true });
  const server = new ServerProcess(data, { flags: ["--workers", `${workers}`, ...flags] });
  try {
    await server.start();
    await setUp(server, { emulator, proxy, tight: disks?.tight ?? join(folder, "tight") });
    const clients = Array.from({ length: options.clients }, (_, index) => {
      const own = new Random(random.below(2 ** 32));
      const { url, s3Url } = server;
      return new SoakClient({ name: `c${index}`, url, s3Url, ledger, random: own, count });
    });
    const violate = (what: string): void => ledger.violate(what);
    const it = { ...options, server, proxy, disks, random, count, violate };
    const traffic = (share: number, isRough: boolean) =>
      runTraffic(clients, it, { ms: seconds * 1_000 * share, isRough });
    tell("workers are killed and replaced");
    await traffic(roughShare, true);
    tell("the clients are done");
    await settle(server, proxy, workers);
    using veterans = new Veterans(server);
    await coverWorkers(server, veterans, workers);
    tell("no worker is killed");
    // What a fresh process takes only once belongs to the beginning.
    const gentle = async (share: number): Promise<Held> => {
      veterans.start();
      await traffic((1 - roughShare) * share, false);
      await veterans.pause();
      tell("the clients are done");
      await settle(server, proxy, workers);
      const now = await held(server, veterans, workers);
      tell(`the workers hold ${JSON.stringify(now)}`);
      return now;
    };
    const before = await gentle(0.5);
    const after = await gentle(0.5);
    tell(`${veterans.asked} requests by ${veterans.count} clients whose connections last`);
    await Promise.all(clients.map((client) => client.readEverything()));
    await server.stop();
    server.assertSound();
    assertMetadataSound(data);
    readUsage(data);
    tell("every key was read");
    const { violations, acknowledged, refused, unknown } = ledger;
    return {
      ...{ violations, acknowledged, refused, unknown },
      counts: Object.fromEntries([...counts].sort()),
      ...{ before, after },
    };
  } finally {
    await server.kill();
  }
}

/** Storages `far`, of the S3 family, and `tight`, a folder; buckets whose bytes stay in one place. */
async function setUp(
  server: ServerProcess,
  at: { readonly emulator: Emulator; readonly proxy: FaultProxy; readonly tight: string },
): Promise<void> {
  const { region, bucket, key } = at.emulator;
  const credentials = { accessKeyId: key.accessKeyId, secretAccessKey: secret };
  const endpoint = `http://127.0.0.1:${at.proxy.port}`;
  await mkdir(at.tight, { recursive: true });
  for (const [path, value] of [
    ["storages/far", { driver: "s3", vendor: "minio", endpoint, region, bucket, ...credentials }],
    ["storages/tight", { driver: "posix", root: at.tight }],
    ["buckets/tight", { placement: "tight" }],
    ["buckets/local", { placement: "local" }],
  ] as const) {
    // Refused with 503 while a worker is still starting.
    await eventually(`PUT ${path} works`, async () => {
      const answer = await send(server, "PUT", `/v1/${path}`, { body: JSON.stringify(value) });
      assert.ok(answer.status < 300 || answer.status === 503, `${path}: ${answer.body}`);
      return answer.status < 300;
    });
  }
  await place(server, "mixed");
}

/** Until all faults have been there and the time is over. */
async function runTraffic(
  clients: readonly SoakClient[],
  it: FaultsOptions,
  { ms, isRough }: { readonly ms: number; readonly isRough: boolean },
): Promise<void> {
  const stop = new AbortController();
  const running = clients.map((client) => client.run(stop.signal));
  try {
    await Promise.race([injectFaults(it, { isRough, ms }), Promise.all(running)]);
  } finally {
    stop.abort();
  }
  await Promise.all(running);
}

/** All workers are there, and what was broken is not. */
async function settle(server: ServerProcess, proxy: FaultProxy, workers: number): Promise<void> {
  proxy.fault = () => undefined;
  await eventually(
    `${workers} workers run and are ready`,
    async () => {
      if ((await workerPids(server)).length !== workers) return false;
      const answer = await fetch(`${server.opsUrl}/readyz`).catch(() => undefined);
      await answer?.body?.cancel();
      return answer?.status === 200;
    },
    // All of them are started anew, one after the other.
    180_000,
  );
}
