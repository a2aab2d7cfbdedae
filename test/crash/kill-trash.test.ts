/**
 * A kill in the middle of restoring many objects, and of purging them: asked again, everything is back, or gone,
 * and no blob is lost or kept for nothing.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { assertMetadataSound, readBlobRows } from "../harness/data-folder.ts";
import { get, postJson, put } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { taggedBytes } from "./kill-loop.ts";

const count = 3_000;
/** A restore's and a purge's transaction has 500 entries. */
const page = 500;
const distinct = 100;
const keyOf = (index: number) => `k${String(index).padStart(5, "0")}`;
const bytesOf = (index: number) => taggedBytes(`object ${index % distinct}`, 2_000);

test("a restore that was killed again and again ends with everything back", async (t) => {
  const server = await startFull(t);
  let kills = 0;
  for (let rows = page; rows < count; rows += 1_000) {
    if (await killWhen(server, "restore", () => countRows(server, "objects") >= rows)) kills += 1;
    await server.start();
    const [live, trash] = [countRows(server, "objects"), countRows(server, "trash")];
    assert.equal(live + trash, count, "each object is in one of the two places");
  }
  assert.ok(kills > 0, "no kill came before the end");
  await finish(server, "restore", {});
  assert.equal(countRows(server, "trash"), 0);
  for (let index = 0; index < count; index += 97) {
    const { status, body } = await get(server, keyOf(index));
    assert.deepEqual([status, body.equals(bytesOf(index))], [200, true], keyOf(index));
  }
  assert.equal(readBlobRows(server.data).length, distinct);
  await server.kill();
  assertMetadataSound(server.data);
});

test("a purge that was killed leaves no blob without an entry, and none for nothing", async (t) => {
  const server = await startFull(t);
  const half = () => countRows(server, "trash") <= count / 2;
  assert.ok(await killWhen(server, "purge", half), "no kill came before the end");
  const left = countRows(server, "trash");
  assert.ok(left > 0 && left % page === 0, `${left} entries: pages are whole`);
  await server.start();
  await finish(server, "restore", { prefix: keyOf(0) });
  await finish(server, "purge", { all: true });
  assert.equal(countRows(server, "trash"), 0);
  const kept = countRows(server, "objects");
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
  for (let start = distinct; start < count; start += distinct) {
    const copies = Array.from({ length: distinct }, async (_, offset) => {
      const from = { bucket: "demo", key: keyOf(offset) };
      const to = { bucket: "demo", key: keyOf(start + offset) };
      assert.equal((await postJson(server, "/v1/copy", { from, to })).status, 201);
    });
    await Promise.all(copies);
  }
  for (let start = 0; start < count; start += 1_000) {
    const keys = Array.from({ length: 1_000 }, (_, offset) => keyOf(start + offset));
    assert.equal((await postJson(server, "/v1/objects/demo?delete", { keys })).status, 200);
  }
  assert.equal(countRows(server, "trash"), count);
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

function countRows(server: ServerProcess, table: "objects" | "trash"): number {
  const database = new DatabaseSync(join(server.data, "metadata.sqlite"), { readOnly: true });
  try {
    return Number(database.prepare(`select count(*) as rows from ${table}`).get()?.rows);
  } finally {
    database.close();
  }
}
