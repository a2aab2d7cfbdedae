/** Going on with what another process had sent: what is remembered, and what of it is believed. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { copyFile, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { isRomaError } from "../errors.ts";
import type { UploadNotice, UploadOptions } from "../upload/job.ts";
import type { ResumeRecord } from "../upload/resume-store.ts";
import { FileResumeStore } from "./file-resume-store.ts";
import { Roma } from "./roma.ts";
import { answerProblem, startMemoryServer } from "./testing.ts";

const MiB = 1024 * 1024;
const length = 12 * MiB + 5;

async function scene(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "roma-sdk-"));
  t.after(() => rm(folder, { recursive: true }));
  const server = await startMemoryServer();
  const state = join(folder, "state");
  const path = join(folder, "file");
  const bytes = randomBytes(length);
  await writeFile(path, bytes);
  const retry = { attemptsMax: 1, delayMsMin: 1, delayMsMax: 1 };
  const roma = new Roma({ endpoint: server.url, token: server.credential, retry, resume: state });
  t.after(async () => {
    roma.close();
    await server.close();
  });
  const notices: UploadNotice["code"][] = [];
  const begin = (options: Partial<UploadOptions> = {}) =>
    roma.upload(path, {
      ...{ bucket: "test", key: "a", via: "server" },
      onNotice: ({ code }) => notices.push(code),
      ...options,
    });
  const upload = () => begin().done();
  return {
    ...{ server, state, path, bytes, notices, begin, upload },
    puts: () => server.requests.filter((request) => request.startsWith("PUT /signed/")).length,
    /** As a crash leaves it: some parts are there, and the upload is remembered. */
    async interrupt() {
      server.intercept = (request, response) => {
        if (!/\/signed\/[^/]+\/([7-9]|1\d)\?/.test(request.url ?? "")) return false;
        answerProblem(response, 503, "overloaded", "no more");
        return true;
      };
      // Two at once, so that one of the first six at most is under way when the next is refused.
      const failing = begin({ parallel: 2 }).done();
      await assert.rejects(failing, (error) => isRomaError(error, "overloaded"));
      server.intercept = () => false;
      assert.equal((await readdir(state)).length, 1);
      server.requests.length = 0;
    },
    assertStored(expected = bytes) {
      assert.ok(server.objects.get("test/a")?.bytes.equals(expected));
    },
  };
}

test("what is there is not sent again, and is forgotten at the end", async (t) => {
  const { interrupt, upload, notices, puts, assertStored, state } = await scene(t);
  await interrupt();
  await upload();
  assertStored();
  assert.deepEqual(notices, ["resumed"]);
  assert.ok(puts() <= 8, `${puts()} of 13 parts were sent`);
  assert.deepEqual(await readdir(state), []);
});

test("an upload that the server gave up is begun anew", async (t) => {
  const { server, interrupt, upload, notices, puts, assertStored, state } = await scene(t);
  await interrupt();
  server.direct.uploads.clear();
  await upload();
  assertStored();
  assert.deepEqual(notices, []);
  assert.equal(puts(), 13);
  assert.deepEqual(await readdir(state), []);
});

test("another file of the same path, size, time and inode is never mixed with the first", async (t) => {
  const { interrupt, upload, notices, assertStored, path, state } = await scene(t);
  const { atime, mtime } = await stat(path);
  await utimes(path, atime, mtime);
  await interrupt();
  const other = randomBytes(length);
  await writeFile(path, other);
  await utimes(path, atime, mtime);
  await upload();
  assertStored(other);
  assert.deepEqual(notices, ["resumed", "began_again"]);
  assert.deepEqual(await readdir(state), []);
});

test("a part that nobody wrote down is sent again", async (t) => {
  const { interrupt, upload, puts, assertStored, state } = await scene(t);
  await interrupt();
  const [name = ""] = await readdir(state);
  const { readFile } = await import("node:fs/promises");
  const record = JSON.parse(await readFile(join(state, name), "utf8")) as ResumeRecord;
  await writeFile(join(state, name), JSON.stringify({ ...record, crcs: {} }));
  await upload();
  assertStored();
  assert.equal(puts(), 13);
});

test("one that was completed without anybody seeing it is the object", async (t) => {
  const { server, upload, notices, puts, assertStored, state } = await scene(t);
  server.intercept = (request, response) => {
    if (request.url?.endsWith("/complete")) response.end = () => response.destroy();
    return false;
  };
  await assert.rejects(upload(), (error) => isRomaError(error, "connection_failed"));
  assertStored();
  server.intercept = () => false;
  server.requests.length = 0;
  const { size } = await upload();
  assert.equal(size, length);
  assert.deepEqual(notices, ["resumed"]);
  assert.equal(puts(), 0);
  assert.deepEqual(await readdir(state), []);
});

test("what was suspended goes on later, and says how much is there", async (t) => {
  const { server, begin, puts, assertStored, state } = await scene(t);
  // The last parts are never answered.
  server.intercept = (request) => /\/signed\/[^/]+\/([7-9]|1\d)\?/.test(request.url ?? "");
  const first = begin({ parallel: 2 });
  while (first.progress.bytes < 6 * MiB) await new Promise(setImmediate);
  await first.suspend();
  await assert.rejects(first.done(), (error) => isRomaError(error, "aborted") && error.retryable);
  assert.equal(first.state, "cancelled");
  assert.equal((await readdir(state)).length, 1);
  assert.equal(server.direct.uploads.size, 1);
  server.intercept = () => false;
  server.requests.length = 0;
  const there: unknown[] = [];
  await begin({ onNotice: (notice) => there.push([notice.code, notice.bytes]) }).done();
  assertStored();
  assert.deepEqual(there, [["resumed", (13 - puts()) * MiB]]);
  assert.deepEqual(await readdir(state), []);
});

test("what is not to be resumed is freed when it fails or is suspended", async (t) => {
  const { server, begin, state } = await scene(t);
  server.intercept = (request, response) => {
    if (!/\/signed\/[^/]+\/9\?/.test(request.url ?? "")) return false;
    answerProblem(response, 503, "overloaded", "no more");
    return true;
  };
  const failing = begin({ resume: false }).done();
  await assert.rejects(failing, (error) => isRomaError(error, "overloaded"));
  assert.equal(server.direct.uploads.size, 0);
  server.intercept = (request) => /\/signed\/[^/]+\/9\?/.test(request.url ?? "");
  const suspended = begin({ resume: false });
  while (suspended.progress.bytes < 6 * MiB) await new Promise(setImmediate);
  await suspended.suspend();
  assert.equal(server.direct.uploads.size, 0);
  assert.deepEqual(await readdir(state).catch(() => []), []);
});

test("a token that fails leaves what is remembered", async (t) => {
  const { server, interrupt, upload, puts, assertStored } = await scene(t);
  await interrupt();
  server.tokens.clear();
  await assert.rejects(upload(), (error) => isRomaError(error, "unauthenticated"));
  server.tokens.add(server.credential);
  await upload();
  assertStored();
  assert.ok(puts() <= 8, `${puts()} of 13 parts were sent`);
});

test("a thousand records are kept at most, the newest", async (t) => {
  const { state } = await scene(t);
  const store = new FileResumeStore(state);
  const record = { uploadId: "1", partBytes: 1, crcs: {}, expiresAt: "2100-01-01T00:00:00Z" };
  await store.set("first", record);
  const [name = ""] = await readdir(state);
  // One written after the other, an hour ago.
  for (let index = 0; index < 1000; index++) {
    const path = join(state, `${index.toString(16).padStart(64, "0")}.json`);
    await copyFile(join(state, name), path);
    await utimes(path, 0, Date.now() / 1000 - 3600 + index);
  }
  await store.set("last", record);
  const left = await readdir(state);
  assert.equal(left.length, 1000);
  assert.ok(await store.get("last"));
  assert.ok(!left.includes(`${"0".repeat(64)}.json`) && left.includes(name));
});

test("the folder is its owner's alone; torn and expired records are nobody's", async (t) => {
  const { state } = await scene(t);
  const store = new FileResumeStore(state);
  const record = { uploadId: "1", partBytes: 1, crcs: {}, expiresAt: "2020-01-01T00:00:00Z" };
  await store.set("old", record);
  assert.deepEqual(await readdir(state), [], "it has expired");
  await store.set("a", { ...record, expiresAt: "2100-01-01T00:00:00Z" });
  const [name = ""] = await readdir(state);
  assert.equal((await stat(state)).mode & 0o777, 0o700);
  assert.equal((await stat(join(state, name))).mode & 0o777, 0o600);
  assert.equal((await store.get("a"))?.uploadId, "1");
  await writeFile(join(state, name), '{"uploadId":');
  assert.equal(await store.get("a"), undefined);
  await store.delete("a");
  await store.delete("a");
  // A process was killed while it wrote one, another one writes.
  const [dead, alive] = [`${name}.0123456789ab`, `${name}.ba9876543210`];
  for (const temporary of [dead, alive]) await writeFile(join(state, temporary), "{");
  await utimes(join(state, dead), 1, 1);
  await store.set("b", { ...record, expiresAt: "2100-01-01T00:00:00Z" });
  const left = await readdir(state);
  assert.ok(left.includes(alive) && !left.includes(dead), left.join());
});
