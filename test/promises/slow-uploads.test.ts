/** A steady slow upload succeeds however long it takes; a stalled one ends and frees everything. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { assertNothingLeftOver } from "../harness/data-folder.ts";
import {
  get,
  objectPath,
  openSocket,
  put,
  readToEnd,
  requestHead,
} from "../harness/http-client.ts";
import { countDescriptors, eventually, readMetric } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";

/** A body at the lowest rate lasts several windows, and longer than the time for work. */
const flags = [
  ...["--http-body-idle-ms-max", "2 s", "--http-body-rate-window-ms", "2 s"],
  ...["--http-body-bytes-per-second-min", "1 KiB", "--http-work-ms-max", "3 s"],
];

async function assertFreed(server: ServerProcess, descriptors: number): Promise<void> {
  await eventually(
    "no upload runs",
    async () => (await readMetric(server.opsUrl, "uploads_running")) === 0,
  );
  await eventually(
    "its descriptors are closed",
    async () => (await countDescriptors(server.pid)) <= descriptors,
  );
  await assertNothingLeftOver(server.data);
}

/** A number that the operations listener's own connections do not change. */
async function settledDescriptors(server: ServerProcess): Promise<number> {
  await put(server, "first", "a first object");
  await readMetric(server.opsUrl, "uploads_running");
  return await countDescriptors(server.pid);
}

describe("slow uploads", { concurrency: true }, () => {
  test("a slow and steady upload of many rate windows is stored", async (t) => {
    const server = await startServer(t, { flags });
    const piece = Buffer.alloc(1024, "slow ");
    const pieces = 40;
    const socket = await openSocket(server);
    const answer = readToEnd(socket);
    const length = `${pieces * piece.length}`;
    const headers = { "content-length": length, connection: "close" };
    socket.write(requestHead("PUT", objectPath("slow"), headers));
    for (let index = 0; index < pieces; index += 1) {
      await delay(200);
      socket.write(piece);
    }
    assert.match((await answer).toString(), /^HTTP\/1\.1 201 /);
    const { body } = await get(server, "slow");
    assert.ok(body.equals(Buffer.concat(Array.from({ length: pieces }, () => piece))));
  });

  test("a stalled upload is ended with 408 and frees everything", async (t) => {
    const server = await startServer(t, { flags });
    const descriptors = await settledDescriptors(server);
    const socket = await openSocket(server);
    const answer = readToEnd(socket);
    socket.write(requestHead("PUT", objectPath("stalled"), { "content-length": "100000" }));
    socket.write(Buffer.alloc(50_000));
    const text = (await answer).toString();
    assert.match(text, /^HTTP\/1\.1 408 /);
    assert.match(text, /bodyIdleMsMax/);
    await assertFreed(server, descriptors);
  });

  test("an upload that trickles below the lowest rate is ended with 408", async (t) => {
    const server = await startServer(t, { flags });
    const descriptors = await settledDescriptors(server);
    const socket = await openSocket(server);
    const answer = readToEnd(socket);
    socket.write(requestHead("PUT", objectPath("trickle"), { "content-length": "100000" }));
    const trickle = setInterval(() => socket.write("x"), 100);
    t.after(() => clearInterval(trickle));
    const text = (await answer).toString();
    assert.match(text, /^HTTP\/1\.1 408 /);
    assert.match(text, /bodyBytesPerSecondMin/);
    clearInterval(trickle);
    await assertFreed(server, descriptors);
  });

  test("a client whose packets vanish in mid-body is given up", async (t) => {
    const server = await startServer(t, { flags });
    const descriptors = await settledDescriptors(server);
    const socket = await openSocket(server);
    socket.write(requestHead("PUT", objectPath("vanished"), { "transfer-encoding": "chunked" }));
    socket.write("5\r\nhello\r\n");
    // It neither sends nor reads, and does not close.
    socket.pause();
    t.after(() => socket.destroy());
    await eventually(
      "the upload runs",
      async () => (await readMetric(server.opsUrl, "uploads_running")) === 1,
    );
    await assertFreed(server, descriptors + 1);
  });
});
