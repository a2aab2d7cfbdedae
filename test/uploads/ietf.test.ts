/** Resumable uploads over HTTP (IETF) across a crash, and uploads of one protocol seen through another. */
import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { listLeftOvers, readUploadRows, readUsage } from "../harness/data-folder.ts";
import {
  type Answer,
  begin,
  get,
  objectPath,
  problemCode,
  put,
  send,
} from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { createTus, listUploads, offsetOf, patchTus } from "./tus-wire.ts";

const length = 6_000_000;

for (const version of [6, 8]) {
  const named = { "upload-draft-interop-version": `${version}` };
  const last = {
    ...named,
    "content-type": "application/partial-upload",
    "upload-complete": "?1",
  };

  test(`interop ${version}: an upload goes on after the server was killed in the middle of it`, async (t) => {
    const server = await startServer(t);
    const bytes = randomBytes(length);
    const path = await create(server, named, bytes.subarray(0, 1_000_000));
    const headers = {
      ...last,
      "upload-offset": "1000000",
      "content-length": `${length - 1_000_000}`,
    };
    const { request, answer } = begin(server, "PATCH", path, { headers });
    const ended = assert.rejects(answer);
    request.write(bytes.subarray(1_000_000, 3_000_000));
    await eventually("it is being received", () =>
      readUploadRows(server.data).some(({ isHeld }) => isHeld),
    );
    await server.kill();
    await ended;
    await server.start();

    const offset = await offsetAt(server, path, named);
    assert.ok(offset >= 1_000_000 && offset <= 3_000_000, `${offset}`);
    const answered = await send(server, "PATCH", path, {
      headers: { ...last, "upload-offset": `${offset}` },
      body: bytes.subarray(offset),
    });
    assert.equal(answered.status, 201, answered.body.toString());
    assert.equal(answered.headers["upload-complete"], "?1");
    assert.ok((await get(server, "ietf")).body.equals(bytes));

    // The answer may have been lost: asked again, it is told again.
    const replay = await send(server, "PATCH", path, {
      headers: { ...last, "upload-offset": `${length}` },
      body: new Uint8Array(),
    });
    assert.equal(replay.status, 201, replay.body.toString());
  });

  test(`interop ${version}: a last append whose answer a crash took is found complete or goes on`, async (t) => {
    const server = await startServer(t);
    const bytes = randomBytes(2_000_000);
    const path = await create(server, named, bytes.subarray(0, 500_000));
    const sent = send(server, "PATCH", path, {
      headers: { ...last, "upload-offset": "500000" },
      body: bytes.subarray(500_000),
    }).then(
      () => true,
      () => false,
    );
    await eventually("its bytes are recorded", () =>
      readUploadRows(server.data).some(({ offset }) => offset === bytes.length),
    );
    await server.kill();
    await sent;
    await server.start();
    const offset = await offsetAt(server, path, named);
    assert.equal(offset, bytes.length, "what was recorded is there");
    const answered = await send(server, "PATCH", path, {
      headers: { ...last, "upload-offset": `${offset}` },
      body: new Uint8Array(),
    });
    assert.equal(answered.status, 201, answered.body.toString());
    assert.ok((await get(server, "ietf")).body.equals(bytes));
  });
}

test("an upload begun over tus is seen and cancelled over /v1/uploads", async (t) => {
  const server = await startServer(t);
  const path = await createTus(server, { length: 500_000, key: "over-tus" });
  assert.equal((await patchTus(server, path, 0, randomBytes(200_000))).status, 204);
  const [listed, ...others] = await listUploads(server);
  assert.equal(others.length, 0);
  const { id, protocol, kind, key, phase, offset, length: told } = listed ?? {};
  assert.deepEqual(
    { protocol, kind, key, phase, offset, length: told },
    {
      protocol: "tus",
      kind: "object",
      key: "over-tus",
      phase: "receiving",
      offset: 200_000,
      length: 500_000,
    },
  );
  assert.ok(path.endsWith(`/${String(id)}`), "its id is that of its address");
  assert.equal(readUsage(server.data)[0]?.reservedBytes, 500_000);

  // Continued by its own protocol alone.
  const foreign = await send(server, "PATCH", `/v1/uploads/${String(id)}`, {
    headers: {
      "content-type": "application/partial-upload",
      "upload-offset": "200000",
      "upload-complete": "?1",
    },
    body: randomBytes(300_000),
  });
  assert.ok(foreign.status >= 400 && foreign.status < 500, `${foreign.status}`);
  assert.equal(await offsetOf(server, path), 200_000);

  assert.equal((await send(server, "DELETE", `/v1/uploads/${String(id)}`)).status, 204);
  assert.equal(await offsetOf(server, path), undefined);
  assert.equal((await patchTus(server, path, 200_000, randomBytes(1_000))).status, 404);
  assert.deepEqual(await listUploads(server), []);
  assert.deepEqual(await listLeftOvers(server.data), [], "its bytes are gone");
  assert.equal(readUsage(server.data)[0]?.reservedBytes, 0);
});

test("an upload in the middle counts against the quota, and gives its room back at any end", async (t) => {
  const server = await startServer(t);
  const body = JSON.stringify({ quotaBytes: 1_000_000 });
  assert.equal((await send(server, "PATCH", "/v1/buckets/demo", { body })).status, 200);
  const bytes = randomBytes(600_000);
  const path = await createTus(server, { length: bytes.length, key: "first" });
  assert.equal(problemCode(await put(server, "too-much", bytes)), "quota_exceeded");
  await server.kill();
  await server.start();
  const again = await put(server, "too-much", bytes);
  assert.equal(problemCode(again), "quota_exceeded", "also after a crash");
  assert.equal((await patchTus(server, path, 0, bytes)).status, 204);
  assert.equal((await put(server, "room", bytes.subarray(0, 400_000))).status, 201);
  assert.equal(problemCode(await put(server, "no-room", "x")), "quota_exceeded");
  const [usage] = readUsage(server.data);
  const inTrash = { trashBytes: 0, trashObjects: 0 };
  const stored = { bucket: "demo", bytes: 1_000_000, objects: 2, reservedBytes: 0 };
  assert.deepEqual(usage, { ...stored, ...inTrash });
});

/** The path of a new upload that has these bytes already. */
async function create(
  server: ServerProcess,
  named: Readonly<Record<string, string>>,
  bytes: Uint8Array,
): Promise<string> {
  const answer = await send(server, "PUT", objectPath("ietf"), {
    headers: { ...named, "upload-complete": "?0" },
    body: bytes,
  });
  assert.equal(answer.status, 201, answer.body.toString());
  return new URL(answer.headers.location ?? "").pathname;
}

/** Where it may go on, once the lease of the process that was killed has run out. */
async function offsetAt(
  server: ServerProcess,
  path: string,
  named: Readonly<Record<string, string>>,
): Promise<number> {
  let answer: Answer | undefined;
  await eventually("nobody holds the upload", async () => {
    answer = await send(server, "HEAD", path, { headers: named });
    return answer.status !== 423;
  });
  assert.equal(answer?.status, 204);
  return Number(answer?.headers["upload-offset"]);
}
