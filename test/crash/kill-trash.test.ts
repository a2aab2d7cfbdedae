/**
 * A kill in the middle of restoring many objects, and of purging them: asked again, everything is back, or gone,
 * and no blob is lost or kept for nothing.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { assertMetadataSound, countRows, readBlobRows } from "../harness/data-folder.ts";
import { get, postJson, put } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { taggedBytes } from "./kill-loop.ts";

const count = 3_000;
/** A restore's and a purge's transaction has 500 entries. */
const page = 500;
const distinct = 100;
/** Requests: more than 64 a slow server may refuse. */
const atOnce = 50;
const keyOf = (index: number) => `k${String(index).padStart(5, "0")}`;
const bytesOf = (index: number) => taggedBytes(`object ${index % distinct}`, 2_000);

test("a restore that was killed again and again ends with everything back", async (t) => {
  const server = await startFull(t);
  let kills = 0;
  for (let rows = page; rows < count; rows += 1_000) {
    if (await killWhen(server, "restore", () => countRows(server.data, "objects") >= rows))
      kills += 1;
    await server.start();
    const [live, trash] = [countRows(server.data, "objects"), countRows(server.data, "trash")];
    assert.equal(live + trash, count, "each object is in one of the two places");
  }
  assert.ok(kills > 0, "no kill came before the end");
  await finish(server, "restore", {});
  assert.equal(countRows(server.data, "trash"), 0);
  for (let index = 0; index < count; index += 97) {
    const { status, body } = await get(server, keyOf(index));
    assert.deepEqual([status, body.equals(bytesOf(index))], [200, true], keyOf(index));
  }
  assert.equal(readBlobRows(server.data).length, distinct);
  await server.kill();
  assertMetadataSound(server.data);
});

test("a purge that was killed leaves no blob without an entry, and none for nothing", async (t) => {
  let server = await startFull(t);
  let left = await killInPurge(server);
  for (let again = 0; left === 0; again += 1) {
    assert.ok(again < 5, "no kill came before the end");
    server = await startFull(t);
    left = await killInPurge(server);
  }
  assert.ok(left % page === 0, `${left} entries: pages are whole`);
  await server.start();
  await finish(server, "restore", { prefix: keyOf(0) });
  await finish(server, "purge", { all: true });
  assert.equal(countRows(server.data, "trash"), 0);
  const kept = countRows(server.data, "objects");
  await eventually("the sweeper removes what nothing points at", () =>
    readBlobRows(server.data).every(({ references }) => references > 0),
  );
  assert.equal(readBlobRows(server.data).length, kept);
  await server.kill();
  assertMetadataSound(server.data);
});

/** A server with so many deleted objects over a hundred blobs: the copies copied no bytes. */
async function startFull(t: TestContext): Promise<ServerProcess> {
  const flags = ["--blob-grace", "0 ms", "--sweeper-interval", "200 ms"];
  const server = await startServer(t, { flags });
  for (let index = 0; index < distinct; index += 1) {
    assert.equal((await put(server, keyOf(index), bytesOf(index))).status, 201);
  }
  for (let start = distinct; start < count; start += atOnce) {
    const copies = Array.from({ length: atOnce }, async (_, offset) => {
      const from = { bucket: "demo", key: keyOf((start + offset) % distinct) };
      const to = { bucket: "demo", key: keyOf(start + offset) };
      assert.equal((await postJson(server, "/v1/copy", { from, to })).status, 201);
    });
    await Promise.all(copies);
  }
  for (let start = 0; start < count; start += 1_000) {
    const keys = Array.from({ length: 1_000 }, (_, offset) => keyOf(start + offset));
    assert.equal((await postJson(server, "/v1/objects/demo?delete", { keys })).status, 200);
  }
  assert.equal(countRows(server.data, "trash"), count);
  return server;
}

/** Whether the kill came before the request's answer. */
async function killWhen(
  server: ServerProcess,
  what: "restore" | "purge",
  isTime: () => boolean,
): Promise<boolean> {
  let isAnswered = false;
  const answer = postJson(server, `/v1/trash/demo/${what}`, what === "purge" ? { all: true } : {})
    .then(() => {
      isAnswered = true;
    })
    .catch(() => {});
  await eventually("the kill's time has come", () => isAnswered || isTime());
  const isBefore = !isAnswered;
  await server.kill();
  await answer;
  return isBefore;
}

/** How many entries it left: none where this process stood still until the purge was over. */
async function killInPurge(server: ServerProcess): Promise<number> {
  await killWhen(server, "purge", () => countRows(server.data, "trash") <= count / 2);
  return countRows(server.data, "trash");
}

/** Asks until there is nothing more to do. */
async function finish(
  server: ServerProcess,
  what: "restore" | "purge",
  body: Readonly<Record<string, unknown>>,
): Promise<void> {
  let cursor: unknown;
  do {
    const asked = cursor === undefined ? body : { ...body, cursor };
    const answer = await postJson(server, `/v1/trash/demo/${what}`, asked);
    assert.equal(answer.status, 200, answer.body.toString());
    ({ cursor = null } = JSON.parse(answer.body.toString()));
  } while (cursor !== null);
}
