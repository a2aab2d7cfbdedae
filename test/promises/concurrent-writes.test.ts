/** Readers and writers of one object at the same time: old or new, one winner, never a mix. */
import assert from "node:assert/strict";
import { Agent } from "node:http";
import { test } from "node:test";
import { eventuallyNothingLeftOver, readBlobRows } from "../harness/data-folder.ts";
import { begin, get, objectPath, put, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { startServer } from "../harness/server-process.ts";

const replaces = 200;

/** All of it names its version, and its length differs from that of its neighbours. */
function bytesOfVersion(version: number): Buffer {
  return Buffer.alloc(200_000 + (version % 7) * 10_001, `version ${version};`);
}

test("readers during 200 replaces get the old or the new bytes, never a mix", async (t) => {
  const server = await startServer(t);
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  assert.equal((await put(server, "object", bytesOfVersion(0))).status, 201);
  let acknowledged = 0;
  let begun = 0;
  let done = false;
  const seen = new Set<number>();
  const read = async () => {
    while (!done) {
      const oldest = acknowledged;
      const answer = await send(server, "GET", objectPath("object"), { agent });
      const newest = begun;
      assert.equal(answer.status, 200);
      const version = Number(/^version (\d+);/.exec(answer.body.toString("latin1", 0, 30))?.[1]);
      assert.ok(answer.body.equals(bytesOfVersion(version)), `version ${version} is whole`);
      assert.equal(answer.headers["content-length"], `${answer.body.length}`);
      assert.ok(oldest <= version && version <= newest, `${oldest} <= ${version} <= ${newest}`);
      seen.add(version);
    }
  };
  const readers = Array.from({ length: 4 }, read);
  try {
    for (let version = 1; version <= replaces; version += 1) {
      begun = version;
      const answer = await send(server, "PUT", objectPath("object"), {
        agent,
        body: bytesOfVersion(version),
      });
      assert.equal(answer.status, 200);
      acknowledged = version;
    }
  } finally {
    done = true;
    await Promise.all(readers);
  }
  assert.ok(seen.size > 20, `readers saw ${seen.size} versions`);
});

test("a slow reader gets the old bytes whole while the object is replaced and deleted", async (t) => {
  const server = await startServer(t);
  const old = Buffer.alloc(32 * 1024 * 1024, "the old bytes ");
  await put(server, "object", old);
  const { request, answer } = begin(server, "GET", objectPath("object"));
  const paused = new Promise<void>((resolve) => {
    request.prependOnceListener("response", (response) => {
      // Nothing is read until the object is another one.
      response.socket.pause();
      resolve();
    });
  });
  request.end();
  await paused;
  assert.equal((await put(server, "object", "new")).status, 200);
  assert.equal((await get(server, "object")).body.toString(), "new");
  await send(server, "DELETE", objectPath("object"));
  request.socket?.resume();
  assert.ok((await answer).body.equals(old));
});

test("of twenty racing PUTs with If-None-Match: * one wins and the others leave nothing", async (t) => {
  const server = await startServer(t);
  const bodies = Array.from({ length: 20 }, (_, index) =>
    Buffer.alloc(100_000 + index, `writer ${index};`),
  );
  const answers = await Promise.all(
    bodies.map((body) => put(server, "raced", body, { "if-none-match": "*" })),
  );
  const statuses = answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [201, ...Array.from({ length: 19 }, () => 412)]);
  const winner = bodies[answers.findIndex(({ status }) => status === 201)];
  assert.deepEqual((await get(server, "raced")).body, winner);
  await eventually("the losers' bytes are gone", () => readBlobRows(server.data).length === 1);
  await eventuallyNothingLeftOver(server.data);
});

test("of twenty racing PUTs with one If-Match one wins and the others leave nothing", async (t) => {
  const server = await startServer(t, {
    flags: ["--blob-grace", "0 ms", "--trash-keep", "0 s", "--sweeper-interval", "100 ms"],
  });
  const first = await put(server, "raced", "first");
  const etag = first.headers.etag ?? "";
  assert.match(etag, /^"/);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      put(server, "raced", `writer ${index}`, { "if-match": etag }),
    ),
  );
  const statuses = answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [200, ...Array.from({ length: 19 }, () => 412)]);
  const winner = answers.findIndex(({ status }) => status === 200);
  assert.equal((await get(server, "raced")).body.toString(), `writer ${winner}`);
  await eventually("the first bytes are gone", () => readBlobRows(server.data).length === 1);
  await eventuallyNothingLeftOver(server.data);
});
