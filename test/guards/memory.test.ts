/** Memory for bytes on their way: bounded by one budget, from which requests wait, are refused in time, and come back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { begin, get, objectPath, problemCode, put, send } from "../harness/http-client.ts";
import { eventually, readMetric } from "../harness/process-usage.ts";
import { startServer } from "../harness/server-process.ts";

const MiB = 1024 * 1024;

test("as many bodies as memory holds are received; more wait a moment, then get 503 and Retry-After, small requests go on, and there is room again when some end", async (t) => {
  // 24 MiB: 12 for parts, 3 for reads, 9 for 36 requests of 256 KiB.
  const server = await startServer(t, {
    flags: ["--memory-buffers-bytes", "24 MiB", "--memory-wait-ms-max", "300 ms"],
  });
  const slow = Array.from({ length: 36 }, (_, index) => {
    const headers = { "content-length": `${2 * MiB}` };
    const sent = begin(server, "PUT", objectPath(`slow-${index}`), { headers });
    sent.request.write(Buffer.alloc(MiB));
    sent.answer.catch(() => {});
    return sent;
  });
  await eventually("all are being received", async () => {
    return (await readMetric(server.opsUrl, "uploads_running")) === slow.length;
  });
  const began = performance.now();
  const refused = await put(server, "large", Buffer.alloc(MiB));
  const ms = performance.now() - began;
  assert.equal(refused.status, 503, refused.body.toString());
  assert.equal(problemCode(refused), "overloaded");
  assert.equal(refused.headers["retry-after"], "2");
  assert.ok(ms >= 250 && ms < 3_000, `${ms} ms`);
  assert.equal((await send(server, "HEAD", objectPath("none"))).status, 404);
  const live = await fetch(`${server.opsUrl}/livez`);
  assert.equal(live.status, 200);
  await eventually("it is counted", async () => {
    return (await readMetric(server.opsUrl, "memory_refused_total")) >= 1;
  });

  // One that waits is admitted as soon as another ends.
  const waiting = put(server, "waited", Buffer.alloc(MiB));
  await delay(50);
  slow[0]?.request.end(Buffer.alloc(MiB));
  assert.equal((await slow[0]?.answer)?.status, 201);
  assert.equal((await waiting).status, 201);
  for (const { request } of slow) request.destroy();
  await eventually("nothing is reserved", async () => {
    return (await readMetric(server.opsUrl, "memory_buffers_bytes")) === 0;
  });
  assert.equal((await get(server, "waited")).body.length, MiB);
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
