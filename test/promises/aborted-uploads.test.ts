/** Ten thousand uploads that break off leave nothing: no file, row, descriptor, thread or memory. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { eventuallyNothingLeftOver, listLeftOvers, readBlobRows } from "../harness/data-folder.ts";
import { get, listKeys, objectPath, put, requestHead } from "../harness/http-client.ts";
import { inspectServer } from "../harness/inspector.ts";
import {
  countDescriptors,
  countThreads,
  eventually,
  readMetric,
} from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";

const uploads = 10_000;
const atOnce = 100;
const body = Buffer.alloc(20_000, "some bytes ");
/** 5,000 uploads that each leave 400 bytes are seen. */
const heapRiseMax = 2 * 1024 * 1024;
/** The free list of the buffers that bodies pass through may fill up meanwhile. */
const externalRiseMax = 9 * 1024 * 1024;
const descriptorsRiseMax = 3;

/** Ways to break off; each gets what it sends, whether it waits for more, and how it ends. */
const kinds: readonly ((index: number) => readonly [head: string, body: Buffer])[] = [
  (index) => [
    framed(index, { "content-length": `${body.length}` }),
    body.subarray(0, index % 10_000),
  ],
  (index) => [
    framed(index, { "transfer-encoding": "chunked" }),
    Buffer.concat([Buffer.from("4e20\r\n"), body.subarray(0, index % 10_000)]),
  ],
  // The last chunk is missing.
  (index) => [framed(index, { "transfer-encoding": "chunked" }), Buffer.from("5\r\nhello\r\n")],
  // In the middle of the head.
  (index) => [
    framed(index, { "content-length": "5" }).slice(0, 40 + (index % 60)),
    Buffer.alloc(0),
  ],
  // Over an object that is there.
  () => [
    requestHead("PUT", objectPath("kept"), { "content-length": `${body.length}` }),
    body.subarray(0, body.length - 1),
  ],
];

function framed(index: number, headers: Readonly<Record<string, string>>): string {
  return requestHead("PUT", objectPath(`aborted-${index}`), headers);
}

/** Resolves when the connection is gone; whatever the server said before is not looked at. */
function abortOne(server: ServerProcess, index: number): Promise<void> {
  const { hostname, port } = new URL(server.url);
  const kind = kinds[index % kinds.length] ?? kinds[0];
  const [head, bytes] = kind?.(index) ?? ["", Buffer.alloc(0)];
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) });
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.on("connect", () => {
      socket.write(head);
      socket.write(bytes, () => {
        // Some leave with what they sent still on its way, some once the server is at work.
        if (index % 3 === 0) socket.resetAndDestroy();
        else if (index % 3 === 1) socket.destroy();
        else setTimeout(() => socket.destroy(), index % 20);
      });
    });
  });
}

async function abortMany(server: ServerProcess, from: number, to: number): Promise<void> {
  let next = from;
  const work = async () => {
    while (next < to) await abortOne(server, next++);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  await eventually(
    "no upload runs",
    async () => (await readMetric(server.opsUrl, "uploads_running")) === 0,
  );
  await eventually(
    "no temporary file is left",
    async () => (await listLeftOvers(server.data)).length === 0,
  );
}

/** The kinds of which there are more than before. */
function more(now: Readonly<Record<string, number>>, before: Readonly<Record<string, number>>) {
  return Object.entries(now).filter(([name, count]) => count > (before[name] ?? 0));
}

/** Without what the look itself needs. */
async function look(server: ServerProcess) {
  const { heapBytes, externalBytes, resources } = await inspectServer(server.stderr);
  const { Immediate: _, TCPSocketWrap: __, ...rest } = resources;
  return { heapBytes, externalBytes, resources: rest };
}

test("10,000 uploads aborted half-way leave nothing behind", async (t) => {
  const server = await startServer(t, {
    flags: ["--sweeper-interval", "1 day"],
    nodeFlags: ["--inspect=127.0.0.1:0"],
  });
  await put(server, "kept", "the kept bytes");
  await abortMany(server, 0, 500);
  const { resources } = await look(server);
  const descriptors = await countDescriptors(server.pid);
  const threads = await countThreads(server.pid);

  await abortMany(server, 500, uploads / 2);
  const halfway = await look(server);
  await abortMany(server, uploads / 2, uploads);

  assert.deepEqual(await listKeys(server), ["kept"]);
  assert.equal((await get(server, "kept")).body.toString(), "the kept bytes");
  await eventuallyNothingLeftOver(server.data);
  assert.equal(readBlobRows(server.data).length, 1);
  await eventually("descriptors are those of the idle server", async () => {
    return (await countDescriptors(server.pid)) <= descriptors + descriptorsRiseMax;
  });
  await eventually("no thread is left", async () => (await countThreads(server.pid)) <= threads);
  // What is alive is judged of the look at which it had come to rest: the last connections go a little later.
  let after = await look(server);
  await eventually("no timer or handle is left", async () => {
    const left = more(after.resources, resources);
    if (left.length === 0) return true;
    t.diagnostic(`still there: ${left.join("; ")}`);
    after = await look(server);
    return false;
  });
  const heapRise = after.heapBytes - halfway.heapBytes;
  const externalRise = after.externalBytes - halfway.externalBytes;
  t.diagnostic(`alive: heap ${halfway.heapBytes} + ${heapRise}, buffers + ${externalRise} bytes`);
  assert.ok(heapRise < heapRiseMax, `${heapRise} bytes more are alive after the second half`);
  assert.ok(externalRise < externalRiseMax, `buffers of ${externalRise} bytes more are alive`);
});
