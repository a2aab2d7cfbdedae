/** Disks that fill up, by bytes and by inodes, or become read-only: refused before a byte, and back by themselves. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { presigned } from "../../packages/server/src/protocols/s3/testing-signature.ts";
import { cleanUp } from "../harness/cleanup.ts";
import {
  type Answer,
  basicAuthorization,
  formBody,
  get,
  problemCode,
  put,
  send,
} from "../harness/http-client.ts";
import { eventually, readMetric } from "../harness/process-usage.ts";
import {
  rootKey,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from "../harness/server-process.ts";
import { mountTmpfs } from "../harness/tmpfs.ts";
import { requirePrerequisite } from "../prerequisites.ts";

const MiB = 1024 * 1024;
const old = Buffer.alloc(64 * 1024, "the old bytes ");
const flags = ["--disk-interval", "100ms", "--blob-grace", "0 ms", "--trash-keep", "0 s"];

const parseBucket = "small";

/** With an application of Parse, whose files go to `parseBucket`. */
async function start(t: TestContext, options: Parameters<typeof startServer>[1] = {}) {
  const config = join(await temporaryFolder(t), "roma.json");
  const [accessKeyId] = rootKey.split(":");
  const app = { appId: "app", masterKey: "m", accessKeyId, bucket: parseBucket };
  await writeFile(config, JSON.stringify({ parse: { applications: [app] } }));
  return await startServer(t, { flags, ...options, environment: { ROMA_CONFIG: config } });
}

interface Problem extends Answer {
  readonly code: string | undefined;
}

function signed(server: ServerProcess, method: string, target: string): string {
  const [keyId = "", secret = ""] = rootKey.split(":");
  const { host } = new URL(server.url);
  return presigned({ method, target, headers: { host } }, { keyId, secret });
}

/** What each front end says to bytes that are not taken. */
async function refusals(server: ServerProcess, bucket: string): Promise<Record<string, Problem>> {
  const ask = async (method: string, path: string, options: Parameters<typeof send>[3] = {}) => {
    const answer = await send(server, method, path, options);
    return { ...answer, code: problemCode(answer) };
  };
  const at = `/v1/objects/${bucket}`;
  return {
    rest: await ask("PUT", `${at}/new`, { body: "new" }),
    replace: await ask("PUT", `${at}/old`, { body: "new" }),
    chunked: await ask("PUT", `${at}/new`, {
      body: "new",
      headers: { "transfer-encoding": "chunked" },
    }),
    form: await ask("POST", at, formBody([{ name: "new", bytes: Buffer.from("new") }])),
    tus: await ask("POST", `/tus/${bucket}`, {
      headers: {
        "tus-resumable": "1.0.0",
        "upload-length": "5",
        "upload-metadata": `key ${btoa("tus")}`,
      },
    }),
    ietf: await ask("PUT", `${at}/new`, {
      body: "new",
      headers: { "upload-draft-interop-version": "8", "upload-complete": "?1" },
    }),
    s3: await ask("PUT", signed(server, "PUT", `/s3/${bucket}/new`), {
      body: "new",
      authorization: null,
    }),
    s3Multipart: await ask("POST", signed(server, "POST", `/s3/${bucket}/new?uploads`), {
      authorization: null,
    }),
    direct: await ask("POST", "/v1/uploads", {
      body: JSON.stringify({ bucket, key: "new", length: 5 }),
      headers: { "content-type": "application/json" },
    }),
    ...(bucket === parseBucket
      ? {
          parse: await ask("POST", "/parse/files/a.bin", {
            body: "new",
            authorization: null,
            headers: { "x-parse-application-id": "app", "x-parse-master-key": "m" },
          }),
          // Credentials last: staged.
          parseJson: await ask("POST", "/parse/files/a.bin", {
            body: JSON.stringify({ base64: btoa("new"), _ApplicationId: "app", _MasterKey: "m" }),
            authorization: null,
            headers: { "content-type": "text/plain" },
          }),
        }
      : {}),
  };
}

function assertRefused(all: Readonly<Record<string, Problem>>, status: number): void {
  for (const [name, answer] of Object.entries(all)) {
    assert.equal(answer.status, status, `${name}: ${answer.status} ${answer.body}`);
    assert.ok(Number(answer.headers["retry-after"]) > 0, `${name} has Retry-After`);
    assert.doesNotMatch(answer.body.toString(), /\/tmp|ENOSPC|EROFS/);
  }
}

/** A storage of its own on a small file system, and a bucket of its name. */
async function addStorage(server: ServerProcess, id: string, root: string): Promise<void> {
  for (const [path, value] of [
    [`/v1/storages/${id}`, { driver: "posix", root }],
    [`/v1/buckets/${id}`, { placement: id }],
  ] as const) {
    const answer = await send(server, "PUT", path, { body: JSON.stringify(value) });
    assert.equal(answer.status, 201, answer.body.toString());
  }
}

/** Fills the file system up to its last byte; answers how to free it. */
async function fill(folder: string): Promise<() => Promise<void>> {
  const filler = join(folder, ".filler");
  await assert.rejects(writeFile(filler, Buffer.alloc(64 * MiB)), /ENOSPC/);
  return () => rm(filler);
}

async function fillInodes(folder: string): Promise<() => Promise<void>> {
  const fillers = join(folder, ".fillers");
  await mkdir(fillers);
  await assert.rejects(async () => {
    for (let index = 0; ; index += 1) await writeFile(join(fillers, `${index}`), "");
  }, /ENOSPC/);
  return () => rm(fillers, { recursive: true });
}

async function readyCheck(server: ServerProcess, name: string) {
  const answer = await fetch(`${server.opsUrl}/readyz`);
  const { ready, checks } = (await answer.json()) as {
    ready: boolean;
    checks: { name: string; ok: boolean }[];
  };
  return { ready, check: checks.find((check) => check.name === name) };
}

/** What comes back on a socket for a request that waits for a sign before its body. */
function expectContinue(t: TestContext, server: ServerProcess, path: string): Promise<string> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  cleanUp(t, () => socket.destroy());
  socket.write(
    `PUT ${path} HTTP/1.1\r\nhost: x\r\nauthorization: ${basicAuthorization}\r\n` +
      "content-length: 1000000\r\nexpect: 100-continue\r\n\r\n",
  );
  return new Promise((resolve, reject) => {
    let text = "";
    socket.on("error", reject);
    socket.on("data", (chunk) => {
      text += chunk;
      if (/\r\n\r\n/.test(text)) resolve(text);
    });
  });
}

for (const [what, fillUp, limits] of [
  ["bytes", fill, { bytes: 8 * MiB, inodes: 1_000 }],
  ["inodes", fillInodes, { bytes: 8 * MiB, inodes: 200 }],
] as const) {
  test(`a storage's disk that is full by ${what}: 507 before a byte in every front end, another storage goes on, reads and deletes too, and it is back once there is room`, async (t) => {
    if (!requirePrerequisite(t, "tmpfs")) return;
    const disk = join(await temporaryFolder(t), "disk");
    await mountTmpfs(t, disk, limits);
    const server = await start(t);
    await addStorage(server, "small", disk);
    const at = "/v1/objects/small/old";
    for (const path of [at, "/v1/objects/small/gone"]) {
      assert.equal((await send(server, "PUT", path, { body: old })).status, 201);
    }
    const free = await fillUp(disk);
    await eventually("it is seen", async () => {
      return (await readMetric(server.opsUrl, "disk_state")) === 2;
    });
    const all = await refusals(server, "small");
    assertRefused(all, 507);
    assert.equal(all.rest?.code, "storage_full");
    const answer = await expectContinue(t, server, at);
    assert.match(answer, /^HTTP\/1\.1 507 /);
    // What has begun is not cut off in the middle, and what is elsewhere goes on.
    assert.equal((await put(server, "elsewhere", old)).status, 201);
    assert.deepEqual((await send(server, "GET", at)).body, old);
    assert.equal((await send(server, "DELETE", "/v1/objects/small/gone")).status, 204);
    const { ready, check } = await readyCheck(server, "disk storage:small");
    assert.deepEqual({ ready, ok: check?.ok }, { ready: true, ok: false });
    await eventually("it is in the log", () =>
      server.log.some(({ level, message }) => level === 50 && /a disk is full/.test(message)),
    );

    await free();
    // At once: whoever would be refused looks again.
    await eventually("a write works", async () => {
      return (await send(server, "PUT", at, { body: "new" })).status === 200;
    });
    assert.equal(await readMetric(server.opsUrl, "disk_state"), 0);
  });
}

test("an upload that waits for its next bytes is refused them on a full disk, and goes on once there is room", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const disk = join(await temporaryFolder(t), "disk");
  await mountTmpfs(t, disk, { bytes: 8 * MiB, inodes: 1_000 });
  const server = await start(t);
  await addStorage(server, "small", disk);
  const tus = { "tus-resumable": "1.0.0" };
  const made = await send(server, "POST", "/tus/small", {
    headers: {
      ...{ ...tus, "upload-length": `${2 * old.length}` },
      "upload-metadata": `key ${btoa("k")}`,
    },
  });
  assert.equal(made.status, 201, made.body.toString());
  const { pathname } = new URL(made.headers.location ?? "", server.url);
  const patch = (offset: number) =>
    send(server, "PATCH", pathname, {
      body: old,
      headers: {
        ...{ ...tus, "upload-offset": `${offset}` },
        "content-type": "application/offset+octet-stream",
      },
    });
  assert.equal((await patch(0)).status, 204);
  const free = await fill(disk);
  await eventually("it is seen", async () => (await readMetric(server.opsUrl, "disk_state")) === 2);
  assert.equal((await patch(old.length)).status, 507);
  await free();
  await eventually("it goes on", async () => (await patch(old.length)).status === 204);
  const { body } = await send(server, "GET", "/v1/objects/small/k");
  assert.deepEqual(body, Buffer.concat([old, old]));
});

test("a fallback takes new bytes while the first choice's disk is full", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const disk = join(await temporaryFolder(t), "disk");
  await mountTmpfs(t, disk, { bytes: 8 * MiB, inodes: 1_000 });
  const server = await start(t);
  await addStorage(server, "small", disk);
  const placement = [{ storage: "small", fallback: "local" }];
  const bucket = { body: JSON.stringify({ placement }) };
  assert.equal((await send(server, "PUT", "/v1/buckets/both", bucket)).status, 201);
  const free = await fill(disk);
  await eventually("it is seen", async () => (await readMetric(server.opsUrl, "disk_state")) === 2);
  assert.equal((await send(server, "PUT", "/v1/objects/both/k", { body: old })).status, 201);
  assert.deepEqual((await send(server, "GET", "/v1/objects/both/k")).body, old);
  await free();
});

test("the metadata's disk is full to its last byte: all writes answer 507, reads and deletes go on by the ballast, which comes back with the room", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const data = join(await temporaryFolder(t), "data");
  await mountTmpfs(t, data, { bytes: 32 * MiB, inodes: 1_000 });
  const elsewhere = await temporaryFolder(t);
  const ballast = join(data, "ballast");
  const server = await start(t, {
    data,
    flags: [...flags, "--disk-ballast-bytes", "4 MiB"],
  });
  await addStorage(server, "far", elsewhere);
  for (let index = 0; index < 20; index += 1) {
    assert.equal((await put(server, `k${index}`, old)).status, 201);
  }
  await eventually("the ballast is made", () => existsSync(ballast));
  assert.equal(statSync(ballast).blocks * 512, 4 * MiB, "of real blocks");
  const free = await fill(data);
  await eventually("it is seen", async () => (await readMetric(server.opsUrl, "disk_state")) >= 2);
  assertRefused(await refusals(server, "demo"), 507);
  assertRefused(await refusals(server, "far"), 507);
  const bucket = await send(server, "PUT", "/v1/buckets/new", { body: "{}" });
  assert.equal(bucket.status, 507);
  assert.deepEqual((await get(server, "k0")).body, old);
  for (let index = 1; index < 20; index += 1) {
    const { status } = await send(server, "DELETE", `/v1/objects/demo/k${index}`);
    assert.equal(status, 204, `delete ${index}`);
  }
  assert.ok(!existsSync(ballast), "it has given its room");
  await free();
  await eventually("a write works", async () => (await put(server, "new", old)).status === 201);
  await eventually("the ballast is back", () => existsSync(ballast));
});

test("a storage's file system that becomes read-only: 503 for writes, reads go on, and it is back by itself", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const disk = join(await temporaryFolder(t), "disk");
  await mountTmpfs(t, disk, { bytes: 8 * MiB, inodes: 1_000 });
  const server = await start(t);
  await addStorage(server, "small", disk);
  const at = "/v1/objects/small/old";
  assert.equal((await send(server, "PUT", at, { body: old })).status, 201);
  await eventually("it can be remounted", () => {
    try {
      execFileSync("mount", ["-o", "remount,ro", disk], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  });
  await eventually("it is seen", async () => (await readMetric(server.opsUrl, "disk_state")) === 3);
  for (let round = 0; round < 3; round += 1) {
    const all = await refusals(server, "small");
    assertRefused(all, 503);
    assert.deepEqual((await send(server, "GET", at)).body, old, "no breaker shuts reads out");
  }
  assert.equal((await put(server, "elsewhere", old)).status, 201);
  execFileSync("mount", ["-o", "remount,rw", disk]);
  await eventually(
    "a write works",
    async () => (await send(server, "PUT", at, { body: "new" })).status === 200,
  );
});
