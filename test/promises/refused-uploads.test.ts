/** What is refused or breaks off leaves nothing behind and the old object as it was. */
import assert from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { listBlobFiles, listLeftOvers, readBlobRows } from "../harness/data-folder.ts";
import {
  begin,
  formBody,
  get,
  listKeys,
  objectPath,
  openSocket,
  problemCode,
  put,
  readToEnd,
  requestHead,
  send,
} from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";

const old = Buffer.alloc(150_000, "the old bytes ");
const body = Buffer.alloc(200_000, "the new bytes ");

async function startWithOld(t: TestContext): Promise<ServerProcess> {
  // Who is refused and sends all the same has so long for it, also where this process stands still meanwhile.
  const flags = ["--sweeper-interval", "1 day", "--http-linger-ms-max", "60 s"];
  const server = await startServer(t, { flags });
  assert.equal((await put(server, "old", old)).status, 201);
  return server;
}

/** Only the old object is there, in the storage and in the store, and can be read and replaced. */
async function assertOnlyOld(server: ServerProcess): Promise<void> {
  await eventually(
    "temporary files are gone",
    async () => (await listLeftOvers(server.data)).length === 0,
  );
  const rows = readBlobRows(server.data);
  assert.equal(rows.length, 1);
  assert.deepEqual(
    await listBlobFiles(server.data),
    rows.map(({ key }) => key),
  );
  assert.deepEqual(await listKeys(server), ["old"]);
  assert.deepEqual((await get(server, "old")).body, old);
}

const sha256 = createHash("sha256").update("other bytes").digest("base64");
const wrongDigests: readonly Readonly<Record<string, string>>[] = [
  { "content-md5": createHash("md5").update("other bytes").digest("base64") },
  { "repr-digest": `sha-256=:${sha256}:` },
  { "content-digest": `sha-256=:${sha256}:` },
  { "repr-digest": `crc64nvme=:${Buffer.alloc(8, 1).toString("base64")}:` },
];

test("a wrong digest answers 400 and stores nothing", async (t) => {
  const server = await startWithOld(t);
  for (const headers of wrongDigests) {
    for (const key of ["old", "new"]) {
      for (const framing of [{}, { "transfer-encoding": "chunked" }]) {
        const answer = await put(server, key, body, { ...headers, ...framing });
        assert.equal(answer.status, 400, JSON.stringify(headers));
        assert.equal(problemCode(answer), "checksum_mismatch");
      }
    }
  }
  await assertOnlyOld(server);
  const md5 = createHash("md5").update(old).digest("base64");
  assert.equal((await put(server, "old", old, { "content-md5": md5 })).status, 200);
});

/** Sends these bytes, ends the sending side, and answers all that the server said. */
async function exchange(
  server: ServerProcess,
  pieces: readonly (string | Buffer)[],
): Promise<string> {
  const socket = await openSocket(server);
  const answer = readToEnd(socket);
  for (const piece of pieces) socket.write(piece);
  socket.end();
  return (await answer).toString("latin1");
}

test("a body that ends too early stores nothing", async (t) => {
  const server = await startWithOld(t);
  for (const key of ["old", "new"]) {
    for (const sent of [0, 1, 65_536, body.length - 1]) {
      const head = requestHead("PUT", objectPath(key), { "content-length": `${body.length}` });
      const answer = await exchange(server, [head, body.subarray(0, sent)]);
      assert.doesNotMatch(answer, /^HTTP\/1\.1 2/, `${sent} bytes`);
    }
    const head = requestHead("PUT", objectPath(key), { "transfer-encoding": "chunked" });
    for (const rest of ["", "5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n"]) {
      const answer = await exchange(server, [head, rest]);
      assert.doesNotMatch(answer, /^HTTP\/1\.1 2/, JSON.stringify(rest));
    }
  }
  await assertOnlyOld(server);
});

test("a body longer than it may be stores nothing", async (t) => {
  const server = await startWithOld(t);
  const limited = await send(server, "PATCH", "/v1/buckets/demo", {
    body: JSON.stringify({ maxObjectBytes: old.length }),
    headers: { "content-type": "application/json" },
  });
  assert.equal(limited.status, 200, `${limited.body}`);
  for (const key of ["old", "new"]) {
    for (const framing of [{}, { "transfer-encoding": "chunked" }]) {
      const answer = await put(server, key, body, framing);
      assert.equal(answer.status, 413);
      assert.equal(problemCode(answer), "too_large");
    }
    const both = { "content-length": "5", "transfer-encoding": "chunked" };
    const head = requestHead("PUT", objectPath(key), both);
    const answer = await exchange(server, [head, "5\r\nhello\r\n0\r\n\r\n"]);
    assert.match(answer, /^HTTP\/1\.1 400 /);
  }
  await assertOnlyOld(server);
});

test("bytes after the declared length are no part of the body, and end the connection", async (t) => {
  const server = await startWithOld(t);
  for (const pauseMs of [0, 100]) {
    const socket = await openSocket(server);
    const answer = readToEnd(socket);
    socket.write(requestHead("PUT", objectPath("exact"), { "content-length": "5" }));
    if (pauseMs === 0) {
      socket.write("hellogarbage");
    } else {
      socket.write("hello");
      await delay(pauseMs);
      socket.write("garbage");
    }
    assert.match((await answer).toString("latin1"), /^HTTP\/1\.1 20[01] /);
    assert.equal((await get(server, "exact")).body.toString(), "hello");
  }
});

test("a connection that breaks at any byte stores nothing", async (t) => {
  const server = await startWithOld(t);
  const form = formBody([
    { name: "one", bytes: body },
    { name: "two", bytes: body },
  ]);
  const kinds = [
    { method: "PUT", path: objectPath("new"), headers: {}, bytes: body },
    { method: "PUT", path: objectPath("old"), headers: {}, bytes: body },
    // Cut within its first file; a file that came whole is stored as if it had come alone.
    {
      method: "POST",
      path: "/v1/objects/demo",
      headers: form.headers,
      bytes: form.body,
      most: body.length,
    },
  ];
  const cuts: string[] = [];
  for (const { method, path, headers, bytes, most = bytes.length } of kinds) {
    for (let round = 0; round < 12; round += 1) {
      // At least one byte is missing.
      const at = randomInt(most - 1);
      const framing =
        round % 2 === 0
          ? { "content-length": `${bytes.length}` }
          : { "transfer-encoding": "chunked" };
      cuts.push(`${method} ${path} ${at} ${Object.keys(framing)}`);
      const { request, answer } = begin(server, method, path, {
        headers: { ...headers, ...framing },
      });
      const ended = assert.rejects(answer);
      await new Promise<void>((resolve) =>
        request.write(bytes.subarray(0, at + 1), () => resolve()),
      );
      if (round % 3 === 0) request.socket?.resetAndDestroy();
      else request.destroy();
      await ended;
    }
  }
  t.diagnostic(`cuts: ${cuts.join("; ")}`);
  await assertOnlyOld(server);
});
