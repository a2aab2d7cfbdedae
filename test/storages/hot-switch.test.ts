/**
 * Uploads at full speed while the placement changes ten times and one storage is drained and retired:
 * none fails, every object is whole, and no blob lies in a storage that should not have it.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Agent } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { listFiles } from "../harness/data-folder.ts";
import { type Answer, send } from "../harness/http-client.ts";
import { eventually, readMetric } from "../harness/process-usage.ts";
import { type ServerProcess, startServer, temporaryFolder } from "../harness/server-process.ts";

const workers = 8;
const switches = 10;
const sizes = [0, 1, 4_096, 70_000, 300_000];

interface Stored {
  readonly md5: string;
  readonly storage: string;
}

async function json(
  server: ServerProcess,
  method: string,
  path: string,
  value: unknown,
): Promise<Record<string, unknown>> {
  const answer = await send(server, method, path, { body: JSON.stringify(value) });
  const text = answer.body.toString();
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${text}`);
  return text === "" ? {} : JSON.parse(text);
}

const path = (key: string): string => `/v1/objects/hot/${key}`;

test("placements and storages change under load, and nothing is lost or misplaced", async (t) => {
  const folder = await temporaryFolder(t);
  const server = await startServer(t, {
    flags: ["--blob-grace", "0 ms", "--trash-keep", "0 s", "--sweeper-interval", "200 ms"],
  });
  const roots = new Map(["a", "b", "c"].map((id) => [id, join(folder, id)]));
  for (const [id, root] of roots) {
    await json(server, "PUT", `/v1/storages/${id}`, { driver: "posix", root });
  }
  await json(server, "PUT", "/v1/buckets/hot", { placement: "a" });

  const agent = new Agent({ keepAlive: true, maxSockets: workers });
  t.after(() => agent.destroy());
  const stored = new Map<string, Stored>();
  const failed: string[] = [];
  /** How many uploads of each worker have ended, and are noted. */
  const ended = Array.from({ length: workers }, () => 0);
  /** With one, all that were under way; with two, also one that began after this call. */
  const eachEnds = async (count: number): Promise<void> => {
    const wanted = ended.map((before) => before + count);
    const isSo = () => ended.every((now, worker) => now >= (wanted[worker] ?? 0));
    await eventually("every worker's uploads end", isSo);
  };
  let goes = true;
  const upload = async (worker: number): Promise<void> => {
    for (let count = 0; goes; count += 1) {
      const key = `w${worker}/${count}`;
      const body = randomBytes(sizes[count % sizes.length] ?? 0);
      let answer: Answer;
      try {
        answer = await send(server, "PUT", path(key), { body, agent });
      } catch (error) {
        failed.push(`${key}: ${String(error)}`);
        ended[worker] = count + 1;
        continue;
      }
      if (answer.status !== 201) failed.push(`${key}: ${answer.status} ${answer.body}`);
      else {
        const { storage } = JSON.parse(answer.body.toString());
        stored.set(key, { md5: createHash("md5").update(body).digest("hex"), storage });
      }
      ended[worker] = count + 1;
    }
  };
  const uploads = Array.from({ length: workers }, (_, worker) => upload(worker));

  const rules = [
    { minBytes: 50_000, storage: "a", fallback: "b" },
    { prefix: "w1/", storage: "b" },
    { storage: "c" },
  ];
  const placements = ["b", rules, "a", "c", [{ storage: "a", fallback: "c" }]];
  for (let index = 0; index < switches; index += 1) {
    await Promise.all([delay(150), eachEnds(2)]);
    await json(server, "PATCH", "/v1/buckets/hot", {
      placement: placements[index % placements.length],
    });
  }
  // The last placement names a with a fallback: it drains while uploads that began on it go on.
  const { state } = await json(server, "PATCH", "/v1/storages/a", { state: "draining" });
  assert.equal(state, "draining");
  await delay(150);
  await json(server, "PATCH", "/v1/buckets/hot", { placement: "b" });
  const held = await send(server, "DELETE", "/v1/storages/a");
  assert.ok(held.status === 409 || held.status === 423, held.body.toString());
  await eventually("no upload runs on a", async () => {
    const { body } = await send(server, "GET", "/v1/storages/a");
    return JSON.parse(body.toString()).status.uploadsRunning === 0;
  });
  // The server may know sooner than we do that an upload has ended.
  await eachEnds(1);
  const onA = [...stored].filter(([, { storage }]) => storage === "a");
  assert.ok(onA.length > 0, "some objects lie on a");
  const readers = new Agent({ keepAlive: true, maxSockets: workers });
  t.after(() => readers.destroy());
  const readWhole = async ([key, { md5 }]: readonly [string, Stored]): Promise<void> => {
    const { status, body } = await send(server, "GET", path(key), { agent: readers });
    assert.equal(status, 200, key);
    assert.equal(createHash("md5").update(body).digest("hex"), md5, key);
  };
  await Promise.all(onA.map(readWhole));
  await Promise.all(
    onA.map(async ([key]) => {
      const { status } = await send(server, "DELETE", path(key), { agent: readers });
      assert.equal(status, 204);
      stored.delete(key);
    }),
  );
  await eventually("a is retired once its garbage is gone", async () => {
    const { status, body } = await send(server, "DELETE", "/v1/storages/a");
    assert.ok(status === 204 || status === 409, body.toString());
    return status === 204;
  });
  await eachEnds(2);
  goes = false;
  await Promise.all(uploads);

  assert.deepEqual(failed, [], "no upload failed");
  await Promise.all([...stored].map(readWhole));
  const count = new Map<string, number>();
  for (const { storage } of stored.values()) count.set(storage, (count.get(storage) ?? 0) + 1);
  assert.equal(count.get("a"), undefined);
  assert.ok((count.get("b") ?? 0) > 0 && (count.get("c") ?? 0) > 0, "b and c hold objects");
  assert.deepEqual(await listFiles(roots.get("a") ?? ""), [join(".roma", "storage.json")]);
  for (const id of ["b", "c"]) {
    const files = await listFiles(roots.get(id) ?? "");
    const blobs = files.filter((file) => file.startsWith("b%/"));
    assert.equal(blobs.length, count.get(id), `${id} holds the blobs of its objects`);
  }
  assert.equal(await readMetric(server.opsUrl, "metrics_undeclared_total"), 0);
  t.diagnostic(`${stored.size + onA.length} uploads`);
});
