/**
 * Resident memory does not grow with the size of bodies, and with their number by what each may hold: at most 64 MiB over
 * the idle server after a warm-up, or 128 for 200 uploads at once. The peak of each load is taken as the kernel counts
 * it, the garbage that V8 has not collected yet included.
 *
 * An upload holds what was read ahead of the storage, up to 192 KiB, and what waits to be written, up to 144 KiB where
 * there are so many. All hold all of that as soon as the disk is slower than the clients, or the server stood still for
 * a second: 59 MiB outside of the heap were seen then, and 58 to 87 resident. Without a bound it would be the 600 MiB
 * that are sent.
 *
 * Two hundred uploads of 100 MB are 20 GB, which no test's disk and minutes allow. So all two hundred
 * announce 100 MB and are slow for some seconds, in which memory would have to hold what is not
 * written; then most leave, as clients do, and a few go on to the end at full speed.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import {
  basicAuthorization,
  begin,
  formBody,
  get,
  objectPath,
  put,
  send,
} from "../harness/http-client.ts";
import { eventually, readMetric, residentBytes, watchMemory } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { runSlowClients, type SlowClients } from "../harness/slow-clients.ts";

const MiB = 1024 * 1024;
const riseMax = 64 * MiB;
const uploadsRiseMax = 128 * MiB;
const clientCount = 200;
const objectBytes = 100_000_000;

const megabyte = Buffer.alloc(MiB, "some bytes ");

/** Writes head, `count` megabytes and tail, as fast as the server takes them. */
async function sendLong(
  server: ServerProcess,
  to: { readonly method: string; readonly path: string; readonly headers: Record<string, string> },
  body: { readonly head?: Buffer; readonly count: number; readonly tail?: Buffer },
): Promise<number> {
  const { head = Buffer.alloc(0), tail = Buffer.alloc(0), count } = body;
  const length = head.length + count * megabyte.length + tail.length;
  const headers = { ...to.headers, "content-length": `${length}` };
  const { request, answer } = begin(server, to.method, to.path, { headers });
  answer.catch(() => {});
  request.write(head);
  for (let index = 0; index < count; index += 1) {
    if (!request.write(megabyte)) await once(request, "drain");
  }
  request.end(tail);
  return (await answer).status;
}

/**
 * Starts a server and lets it do a little of everything, a few requests at a time: what any server has
 * done that has run for a minute. The load's own numbers must not be part of it.
 */
async function startWarm(t: TestContext): Promise<{ server: ServerProcess; idleBytes: number }> {
  const server = await startServer(t, { flags: ["--blob-grace", "0 ms", "--trash-keep", "0 s"] });
  const body = Buffer.alloc(4 * MiB, "warm");
  const form = formBody([{ name: "warm-form", bytes: body }]);
  const work = async (worker: number) => {
    for (let round = 0; round < 25; round += 1) {
      const key = `warm-${worker}-${round % 2}`;
      const bytes = round % 5 === 0 ? body : body.subarray(0, 20_000);
      assert.match(`${(await put(server, key, bytes)).status}`, /^20[01]$/);
      assert.equal((await get(server, key)).status, 200);
    }
    assert.equal((await send(server, "POST", "/v1/objects/demo", form)).status, 201);
  };
  await Promise.all([work(0), work(1)]);
  await idle(server);
  return { server, idleBytes: await residentBytes(server.pid) };
}

async function idle(server: ServerProcess): Promise<void> {
  await eventually(
    "no upload runs",
    async () => (await readMetric(server.opsUrl, "uploads_running")) === 0,
  );
}

/** The load must really be one: called with what the clients did. */
async function assertRiseBounded(
  t: TestContext,
  { server, idleBytes }: { server: ServerProcess; idleBytes: number },
  load: () => Promise<void>,
  bytesMax = riseMax,
): Promise<void> {
  const watch = watchMemory(server.pid);
  await load();
  const { peakBytes, samples } = await watch.stop();
  const rise = (peakBytes - idleBytes) / MiB;
  const idleText = (idleBytes / MiB).toFixed(0);
  t.diagnostic(`idle ${idleText} MiB, peak +${rise.toFixed(1)} MiB in ${samples.length} samples`);
  assert.ok(peakBytes - idleBytes <= bytesMax, `memory rose by ${rise.toFixed(1)} MiB`);
}

test("200 slow uploads of 100 MB raise resident memory by at most 128 MiB", async (t) => {
  const warm = await startWarm(t);
  const { server } = warm;
  const clients: SlowClients = {
    kind: "upload",
    url: server.url,
    authorization: basicAuthorization,
    path: objectPath("upload-"),
    count: clientCount,
    length: objectBytes,
    bytesPerSecond: 256 * 1024,
    slowMs: 12_000,
    bytesMin: clientCount * MiB,
    completed: 4,
  };
  const load = async (): Promise<void> => {
    const running = runSlowClients(clients);
    await eventually(
      "all uploads run at once",
      async () => (await readMetric(server.opsUrl, "uploads_running")) === clientCount,
    );
    const { active, bytes, statuses } = await running;
    assert.equal(active, clientCount);
    assert.ok(bytes >= clientCount * MiB, `${bytes} bytes were sent`);
    assert.deepEqual(statuses, [201, 201, 201, 201]);
  };
  await assertRiseBounded(t, warm, load, uploadsRiseMax);
});

test("a form of 300 MB raises resident memory by at most 64 MiB", async (t) => {
  const warm = await startWarm(t);
  const { headers, body } = formBody([{ name: "large", bytes: Buffer.from("X") }]);
  const at = body.indexOf("\r\n\r\nX") + 4;
  await assertRiseBounded(t, warm, async () => {
    const to = { method: "POST", path: "/v1/objects/demo", headers: { ...headers } };
    const form = { head: body.subarray(0, at), count: 300, tail: body.subarray(at + 1) };
    assert.equal(await sendLong(warm.server, to, form), 201);
  });
  const head = await send(warm.server, "HEAD", objectPath("large"));
  assert.equal(head.headers["content-length"], `${300 * MiB}`);
});

test("200 slow downloads of a 1 GiB object raise resident memory by at most 64 MiB", async (t) => {
  const warm = await startWarm(t);
  const { server } = warm;
  const to = { method: "PUT", path: objectPath("gibibyte"), headers: {} };
  assert.equal(await sendLong(server, to, { count: 1024 }), 201);
  await assertRiseBounded(t, warm, async () => {
    const { active, bytes } = await runSlowClients({
      kind: "download",
      url: server.url,
      authorization: basicAuthorization,
      path: objectPath("gibibyte"),
      count: clientCount,
      length: 0,
      bytesPerSecond: 50 * 1024,
      slowMs: 12_000,
      bytesMin: (clientCount * MiB) / 4,
      completed: 0,
    });
    assert.equal(active, clientCount);
    assert.ok(bytes >= (clientCount * MiB) / 4, `${bytes} bytes were read`);
  });
});
