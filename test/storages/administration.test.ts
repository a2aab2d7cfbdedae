/** Storages of a real server over restarts: what was set stays, and one that is gone stops no other. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { silentLog } from "../../packages/server/src/core/ports/log.ts";
import { openSqliteStore } from "../../packages/server/src/metadata/index.ts";
import { startServer as startInProcess } from "../../packages/server/src/server.ts";
import { parseServerConfig } from "../../packages/server/src/server-config.ts";
import { openPosixStorage } from "../../packages/server/src/storage/index.ts";
import { type Answer, begin, send } from "../harness/http-client.ts";
import { eventually, readMetric } from "../harness/process-usage.ts";
import { type ServerProcess, startServer, temporaryFolder } from "../harness/server-process.ts";
import { mountTmpfs } from "../harness/tmpfs.ts";
import { requirePrerequisite } from "../prerequisites.ts";

interface Checks {
  readonly ready: boolean;
  readonly checks: readonly {
    readonly name: string;
    readonly ok: boolean;
    readonly reason?: string;
  }[];
}

function json(
  server: ServerProcess,
  method: string,
  path: string,
  value: unknown = {},
): Promise<Answer> {
  const body = method === "GET" || method === "DELETE" ? {} : { body: JSON.stringify(value) };
  return send(server, method, path, body);
}

async function storage(server: ServerProcess, id: string): Promise<Record<string, unknown>> {
  const { body } = await json(server, "GET", `/v1/storages/${id}`);
  return JSON.parse(body.toString());
}

/** It is ready, and these checks alone fail: one that a busy disk answers late does so until it has. */
async function becomesReady(server: ServerProcess, ...failing: readonly string[]): Promise<void> {
  await eventually(`it is ready but for ${failing.join()}`, async () => {
    const answer = await fetch(`${server.opsUrl}/readyz`);
    const { checks } = (await answer.json()) as Checks;
    const found = checks.filter(({ ok }) => !ok).map(({ name }) => name);
    return answer.status === 200 && isDeepStrictEqual(found, failing);
  });
}

async function withDisk(server: ServerProcess, root: string): Promise<void> {
  const added = await json(server, "PUT", "/v1/storages/disk", { driver: "posix", root });
  assert.equal(added.status, 201, added.body.toString());
  const bucket = await json(server, "PUT", "/v1/buckets/b", { placement: "disk" });
  assert.equal(bucket.status, 201);
  const put = await send(server, "PUT", "/v1/objects/b/k", { body: "content" });
  assert.equal(put.status, 201, put.body.toString());
}

test("a restart keeps storages, their states, the default, and reads what they hold", async (t) => {
  const folder = await temporaryFolder(t);
  const server = await startServer(t);
  await withDisk(server, join(folder, "disk"));
  await json(server, "PUT", "/v1/storages/next", { driver: "posix", root: join(folder, "next") });
  await json(server, "PATCH", "/v1/storages/next", { default: true });
  await json(server, "PATCH", "/v1/storages/disk", { state: "read-only" });
  const before = [await storage(server, "disk"), await storage(server, "next")];
  await server.stop();
  await server.start();
  assert.deepEqual([await storage(server, "disk"), await storage(server, "next")], before);
  const got = await send(server, "GET", "/v1/objects/b/k");
  assert.equal(got.body.toString(), "content");
  const refused = await send(server, "PUT", "/v1/objects/b/new", { body: "x" });
  assert.equal(refused.status, 503);
  assert.ok(!refused.body.includes(folder), "a refusal names no path");
  await becomesReady(server);
  assert.equal(await readMetric(server.opsUrl, "metrics_undeclared_total"), 0);
});

test("a storage whose folder is gone does not stop the others, and comes back without a restart", async (t) => {
  const folder = await temporaryFolder(t);
  const root = join(folder, "disk");
  const server = await startServer(t);
  await withDisk(server, root);
  await server.stop();
  await rename(root, join(folder, "away"));
  await server.start();
  await becomesReady(server, "storage disk");
  assert.equal(await readMetric(server.opsUrl, "storage_refused"), 1);
  const local = await send(server, "PUT", "/v1/objects/demo/k", { body: "content" });
  assert.equal(local.status, 201);
  const gone = await send(server, "GET", "/v1/objects/b/k");
  assert.equal(gone.status, 503, gone.body.toString());
  assert.ok(!gone.body.includes(folder), "a refusal names no path");
  const { open, problem } = Object((await storage(server, "disk")).status);
  assert.equal(open, false);
  assert.match(String(problem), /folder is missing/);
  await rename(join(folder, "away"), root);
  const opened = await json(server, "PATCH", "/v1/storages/disk", { root });
  assert.equal(opened.status, 200, opened.body.toString());
  const back = await send(server, "GET", "/v1/objects/b/k");
  assert.equal(back.body.toString(), "content");
  await becomesReady(server);
  assert.equal(await readMetric(server.opsUrl, "storage_refused"), 0);
});

test("settings change under an upload, which ends where it began, however long it takes", async (t) => {
  const folder = await temporaryFolder(t);
  const root = join(folder, "disk");
  const server = await startServer(t, { flags: ["--drain", "200 ms"] });
  await withDisk(server, root);
  const half = Buffer.alloc(100_000, "x");
  const headers = { "content-length": String(2 * half.length) };
  const slow = begin(server, "PUT", "/v1/objects/b/slow", { headers });
  slow.request.write(half);
  const running = async () => Object((await storage(server, "disk")).status).uploadsRunning;
  await eventually("it runs", async () => (await running()) === 1);
  const changed = await json(server, "PATCH", "/v1/storages/disk", { syncAfterRename: true });
  assert.equal(changed.status, 200, changed.body.toString());
  assert.equal(await running(), 1, "it runs on what was open before");
  const put = await send(server, "PUT", "/v1/objects/b/new", { body: half });
  assert.equal(put.status, 201, put.body.toString());
  slow.request.end(half);
  const answer = await slow.answer;
  assert.equal(answer.status, 201, answer.body.toString());
  const got = await send(server, "GET", "/v1/objects/b/slow");
  assert.deepEqual(got.body, Buffer.concat([half, half]));
});

test("a folder with the mark of another storage is refused, at the start and when it is given", async (t) => {
  const folder = await temporaryFolder(t);
  const root = join(folder, "disk");
  const server = await startServer(t);
  await withDisk(server, root);
  await json(server, "PUT", "/v1/storages/other", { driver: "posix", root: join(folder, "other") });
  const change = { root: join(folder, "other") };
  const given = await json(server, "PATCH", "/v1/storages/disk", change);
  assert.equal(given.status, 503);
  assert.match(given.body.toString(), /marker|storage other/);
  assert.equal((await send(server, "GET", "/v1/objects/b/k")).body.toString(), "content");
  await server.stop();
  await rm(root, { recursive: true });
  const stranger = await openPosixStorage({ id: "disk", root, createMarker: true });
  await stranger[Symbol.asyncDispose]();
  await server.start();
  await becomesReady(server, "storage disk");
  assert.equal((await send(server, "GET", "/v1/objects/b/k")).status, 503);
});

test("a storage that is full at the start is read, answers 507, and is opened for room to be made", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const folder = await temporaryFolder(t);
  const root = join(folder, "disk");
  await mountTmpfs(t, root, { bytes: 4 * 1024 * 1024, inodes: 1000 });
  const server = await startServer(t, { flags: ["--blob-grace", "0 ms", "--trash-keep", "0 s"] });
  await withDisk(server, root);
  await server.stop();
  await writeFile(join(root, "filler"), Buffer.alloc(8 * 1024 * 1024)).catch(() => {});
  await server.start();
  assert.equal((await send(server, "GET", "/v1/objects/b/k")).body.toString(), "content");
  const full = await send(server, "PUT", "/v1/objects/b/new", { body: Buffer.alloc(100_000) });
  assert.equal(full.status, 507, full.body.toString());
  assert.equal((await send(server, "DELETE", "/v1/objects/b/k")).status, 204);
  const other = { driver: "posix", root, syncAfterRename: true };
  const judged = await json(server, "PATCH", "/v1/storages/disk", other);
  assert.equal(judged.status, 503, judged.body.toString());
  assert.match(judged.body.toString(), /storage disk is refused: write: the storage is full/);
  await rm(join(root, "filler"));
  const put = await send(server, "PUT", "/v1/objects/b/new", { body: Buffer.alloc(100_000) });
  assert.equal(put.status, 201, put.body.toString());
});

test("a storage that is mounted read-only at the start is read", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const folder = await temporaryFolder(t);
  const root = join(folder, "disk");
  await mountTmpfs(t, root, { bytes: 4 * 1024 * 1024, inodes: 1000 });
  const server = await startServer(t);
  await withDisk(server, root);
  await server.stop();
  execFileSync("mount", ["-o", "remount,ro", root]);
  await server.start();
  assert.equal((await send(server, "GET", "/v1/objects/b/k")).body.toString(), "content");
  const refused = await send(server, "PUT", "/v1/objects/b/new", { body: "content" });
  assert.equal(refused.status, 503, refused.body.toString());
  execFileSync("mount", ["-o", "remount,rw", root]);
  const put = await send(server, "PUT", "/v1/objects/b/new", { body: "content" });
  assert.equal(put.status, 201, put.body.toString());
});

test("a data folder from before there were records of storages is opened as what it was", async (t) => {
  const data = await temporaryFolder(t);
  const root = join(data, "objects");
  const driver = await openPosixStorage({ id: "local", root, createMarker: true });
  await driver[Symbol.asyncDispose]();
  {
    const path = join(data, "metadata.sqlite");
    await using metadata = await openSqliteStore({ path, log: silentLog });
    await metadata.putSetting("storage.local.uuid", driver.uuid);
  }
  const server = await startServer(t, { data });
  assert.equal((await storage(server, "local")).root, root);
  const put = await send(server, "PUT", "/v1/objects/demo/k", { body: "content" });
  assert.equal(put.status, 201, put.body.toString());
  await server.stop();
  await rename(root, join(data, "away"));
  await mkdir(root);
  const config = parseServerConfig({ data, port: 0, opsPort: 0 });
  await assert.rejects(
    startInProcess(config, { log: silentLog }),
    /marker/,
    "an unmounted folder is not a new storage",
  );
});
