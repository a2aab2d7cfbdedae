/** A steady slow upload succeeds however long it takes; a stalled one ends and frees everything. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { eventuallyNothingLeftOver } from "../harness/data-folder.ts";
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
function flagsWith({ idle }: { readonly idle: string }): readonly string[] {
  return [
    ...["--http-body-idle-ms-max", idle, "--http-body-rate-window-ms", "2 s"],
    ...["--http-body-bytes-per-second-min", "1 KiB", "--http-work-ms-max", "3 s"],
  ];
}
const flags = flagsWith({ idle: "2 s" });
/** A client that was silent for so long, since this process stood still, was not a steady one. */
const silentMsMax = 1_000;

async function assertFreed(server: ServerProcess, descriptors: number): Promise<void> {
  await eventually(
    "no upload runs",
    async () => (await readMetric(server.opsUrl, "uploads_running")) === 0,
  );
  await eventually(
    "its descriptors are closed",
    async () => (await countDescriptors(server.pid)) <= descriptors,
  );
  await eventuallyNothingLeftOver(server.data);
}

/**
 * A body of pieces that come at a steady, slow rate, whatever happens `between` them. Once more where this
 * process stood still for so long that the client was not steady.
 */
async function uploadSteadily(
  server: ServerProcess,
  between: (index: number) => void = () => {},
): Promise<void> {
  const piece = Buffer.alloc(1024, "slow ");
  const pieces = 40;
  for (let attempt = 1; ; attempt += 1) {
    const socket = await openSocket(server);
    const answer = readToEnd(socket);
    const headers = { "content-length": `${pieces * piece.length}`, connection: "close" };
    socket.write(requestHead("PUT", objectPath(`slow-${attempt}`), headers));
    let [written, silentMs] = [performance.now(), 0];
    for (let index = 0; index < pieces; index += 1) {
      await delay(200);
      between(index);
      socket.write(piece);
      silentMs = Math.max(silentMs, performance.now() - written);
      written = performance.now();
    }
    const text = (await answer).toString();
    if (silentMs > silentMsMax && !/^HTTP\/1\.1 201 /.test(text) && attempt < 5) continue;
    assert.match(text, /^HTTP\/1\.1 201 /);
    const { body } = await get(server, `slow-${attempt}`);
    assert.ok(body.equals(Buffer.concat(Array.from({ length: pieces }, () => piece))));
    return;
  }
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
    await uploadSteadily(server);
  });

  test("a server that stood still for longer than a limit does not hold it against a steady upload", async (t) => {
    const server = await startServer(t, { flags });
    await uploadSteadily(server, (index) => {
      if (index === 10) process.kill(server.pid, "SIGSTOP");
      // After 3.4 s.
      if (index === 27) process.kill(server.pid, "SIGCONT");
    });
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
    // Not for a silence, however long this process stands still between two bytes.
    const server = await startServer(t, { flags: flagsWith({ idle: "10 min" }) });
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
