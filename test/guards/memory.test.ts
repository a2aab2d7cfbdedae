/** Memory for bytes on their way: bounded by one budget, from which requests wait, are refused in time, and come back. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { begin, get, objectPath, problemCode, put, send } from "../harness/http-client.ts";
import { eventually, readMetric } from "../harness/process-usage.ts";
import { startServer } from "../harness/server-process.ts";

const MiB = 1024 * 1024;

/** A server that receives as many bodies as it has memory for, and none of them to its end. */
async function startFull(t: TestContext, { wait }: { readonly wait: string }) {
  // 24 MiB: 12 for parts, 3 for reads, 9 for 27 requests of 336 KiB. They send nothing for as long as the test takes.
  const server = await startServer(t, {
    flags: [
      ...["--memory-buffers-bytes", "24 MiB", "--memory-wait-ms-max", wait],
      ...["--http-body-idle-ms-max", "10 min", "--http-body-rate-window-ms", "10 min"],
      ...["--http-linger-ms-max", "60 s"],
    ],
  });
  const slow = Array.from({ length: 27 }, (_, index) => {
    const headers = { "content-length": `${2 * MiB}` };
    const sent = begin(server, "PUT", objectPath(`slow-${index}`), { headers });
    sent.request.write(Buffer.alloc(MiB));
    sent.answer.catch(() => {});
    return sent;
  });
  cleanUp(t, () => slow.forEach(({ request }) => void request.destroy()));
  await eventually("all are being received", async () => {
    return (await readMetric(server.opsUrl, "uploads_running")) === slow.length;
  });
  return { server, slow };
}

test("as many bodies as memory holds are received; more wait a moment, then get 503 and Retry-After, and small requests go on", async (t) => {
  const { server } = await startFull(t, { wait: "300 ms" });
  const began = performance.now();
  const refused = await put(server, "large", Buffer.alloc(MiB));
  const ms = performance.now() - began;
  assert.equal(refused.status, 503, refused.body.toString());
  assert.equal(problemCode(refused), "overloaded");
  assert.equal(refused.headers["retry-after"], "2");
  assert.ok(ms >= 250 && ms < 30_000, `${ms} ms`);
  assert.equal((await send(server, "HEAD", objectPath("none"))).status, 404);
  const live = await fetch(`${server.opsUrl}/livez`);
  assert.equal(live.status, 200);
  await eventually("it is counted", async () => {
    return (await readMetric(server.opsUrl, "memory_refused_total")) >= 1;
  });
  const metrics = await (await fetch(`${server.opsUrl}/metrics`)).text();
  for (const name of [
    ...["memory_buffers_max_bytes", "memory_array_buffers_bytes", "memory_heap_limit_bytes"],
    ...["memory_socket_listeners_max", "event_loop_utilization_ratio"],
    ...["process_resident_memory_bytes", "nodejs_heap_size_used_bytes"],
    ...[
      "nodejs_external_memory_bytes",
      "nodejs_active_resources",
      "nodejs_eventloop_lag_p99_seconds",
    ],
  ]) {
    assert.match(metrics, new RegExp(`^${name}(?:\\{.*\\})? [0-9.e+-]+$`, "m"), name);
  }
});

test("who waits for memory is admitted as soon as another ends, and there is room again when they do", async (t) => {
  const { server, slow } = await startFull(t, { wait: "60 s" });
  const waiting = put(server, "waited", Buffer.alloc(MiB));
  await eventually("it waits", async () => {
    return (await readMetric(server.opsUrl, "memory_waited_total")) === 1;
  });
  slow[0]?.request.end(Buffer.alloc(MiB));
  assert.equal((await slow[0]?.answer)?.status, 201);
  assert.equal((await waiting).status, 201);
  for (const { request } of slow) request.destroy();
  await eventually("nothing is reserved", async () => {
    return (await readMetric(server.opsUrl, "memory_buffers_bytes")) === 0;
  });
  assert.equal((await get(server, "waited")).body.length, MiB);
});
