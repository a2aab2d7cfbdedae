/** Downloads that come in ranges side by side: whole, or not at all. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { isRomaError, type RomaErrorCode } from "../errors.ts";
import { Roma } from "./roma.ts";
import { startMemoryServer } from "./testing.ts";

const MiB = 1024 * 1024;
const bytes = randomBytes(40 * MiB + 7);
const at = { bucket: "test", key: "a" };

async function scene(t: TestContext) {
  const server = await startMemoryServer();
  const retry = { attemptsMax: 3, delayMsMin: 1, delayMsMax: 5 };
  const roma = new Roma({ endpoint: server.url, token: server.credential, retry });
  const folder = await mkdtemp(join(tmpdir(), "roma-sdk-"));
  t.after(async () => {
    roma.close();
    await server.close();
    await rm(folder, { recursive: true });
  });
  await roma.upload(bytes, at).done();
  return { server, roma, folder, path: join(folder, "a") };
}

async function read(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function code(expected: RomaErrorCode) {
  return (error: unknown) => {
    assert.ok(isRomaError(error, expected), String(error));
    return true;
  };
}

test("ranges come side by side, and the bytes in order", async (t) => {
  const { server, roma, path, folder } = await scene(t);
  let running = 0;
  let most = 0;
  server.intercept = (request, response) => {
    if (request.method !== "GET") return false;
    running += 1;
    most = Math.max(most, running);
    response.once("close", () => {
      running -= 1;
    });
    return false;
  };
  const seen: number[] = [];
  const download = await roma.download(at, { onProgress: (progress) => seen.push(progress.bytes) });
  assert.equal(download.length, bytes.length);
  assert.equal(download.verified, true);
  assert.ok((await read(download.body)).equals(bytes));
  assert.ok(most >= 2 && most <= 4, `${most} at once`);
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
  assert.equal(seen.at(-1), bytes.length);
  const done = await roma.downloadFile(at, path);
  assert.equal(done.verified, true);
  assert.ok((await readFile(path)).equals(bytes));
  assert.deepEqual(await readdir(folder), ["a"]);
  const range = { first: 3 * MiB, last: 30 * MiB };
  const part = await roma.download(at, { range });
  assert.ok((await read(part.body)).equals(bytes.subarray(range.first, range.last + 1)));
  const rest = await roma.download(at, { range: { first: 39 * MiB } });
  assert.ok((await read(rest.body)).equals(bytes.subarray(39 * MiB)));
  const blob = await (await roma.download(at)).blob();
  assert.ok(Buffer.from(await blob.arrayBuffer()).equals(bytes));
});

test("a range that breaks goes on where it broke", async (t) => {
  const { server, roma, path } = await scene(t);
  let breaks = 0;
  server.intercept = (request, response) => {
    const [, first = "0"] = request.headers.range?.match(/bytes=(\d+)/) ?? [];
    if (request.method !== "GET" || breaks === 3 || Number(first) < 8 * MiB) return false;
    breaks += 1;
    response.end = ((chunk: Buffer) => {
      response.write(chunk.subarray(0, 100_000), () => response.destroy());
      return response;
    }) as typeof response.end;
    return false;
  };
  await roma.downloadFile(at, path);
  assert.ok((await readFile(path)).equals(bytes));
  assert.equal(breaks, 3);
});

test("an object that is replaced in the middle is never mixed, and leaves the old file", async (t) => {
  const { server, roma, folder, path } = await scene(t);
  await writeFile(path, "old");
  let gets = 0;
  server.intercept = (request) => {
    if (request.method === "GET" && ++gets === 3) {
      const stored = server.objects.get("test/a");
      assert.ok(stored);
      const json = { ...stored.json, etag: '"another"' };
      server.objects.set("test/a", { json, bytes: randomBytes(bytes.length) });
    }
    return false;
  };
  await assert.rejects(roma.downloadFile(at, path), code("precondition_failed"));
  assert.equal(await readFile(path, "utf8"), "old");
  assert.deepEqual(await readdir(folder), ["a"]);
});

test("a damaged range is found before the file gets its name", async (t) => {
  const { server, roma, folder, path } = await scene(t);
  const stored = server.objects.get("test/a");
  assert.ok(stored);
  const damaged = Buffer.from(stored.bytes);
  damaged[20 * MiB] = (damaged[20 * MiB] ?? 0) ^ 1;
  server.objects.set("test/a", { ...stored, bytes: damaged });
  for (const resume of [false, true]) {
    const failing = roma.downloadFile(at, path, { resume });
    await assert.rejects(failing, code("checksum_mismatch"));
    assert.deepEqual(await readdir(folder), [], "wrong bytes are not kept");
  }
  const { body } = await roma.download(at);
  await assert.rejects(read(body), code("checksum_mismatch"));
});

test("what was written and lost since is fetched again", async (t) => {
  const { roma, folder, path } = await scene(t);
  const controller = new AbortController();
  const interrupted = roma.downloadFile(at, path, {
    ...{ resume: true, parallel: 1, signal: controller.signal },
    onProgress: (progress) => {
      if (progress.bytes > 30 * MiB) controller.abort();
    },
  });
  await assert.rejects(interrupted, code("aborted"));
  const names = await readdir(folder);
  const part = names.find((name) => name.endsWith(".part"));
  assert.ok(part !== undefined && names.length === 2, names.join());
  const held = await readFile(join(folder, part));
  held.fill(0, 9 * MiB, 10 * MiB);
  await writeFile(join(folder, part), held);
  let fetched = 0;
  await roma.downloadFile(at, path, {
    ...{ resume: true },
    onProgress: (progress) => {
      fetched = progress.bytes;
    },
  });
  assert.ok((await readFile(path)).equals(bytes));
  assert.ok(fetched < 32 * MiB, `${fetched} bytes came again`);
});

test("an empty object, a folder in the way, a file in place of a folder", async (t) => {
  const { roma, folder, path } = await scene(t);
  await roma.upload(Buffer.alloc(0), { bucket: "test", key: "empty" }).done();
  const empty = { bucket: "test", key: "empty" };
  await roma.downloadFile(empty, path);
  assert.equal((await readFile(path)).length, 0);
  assert.equal((await read((await roma.download(empty)).body)).length, 0);
  await assert.rejects(roma.downloadFile(at, folder), code("invalid_request"));
  await assert.rejects(roma.downloadFile(at, join(path, "below")), /EEXIST|ENOTDIR/);
});
