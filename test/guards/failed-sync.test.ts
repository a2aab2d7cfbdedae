/** Syncs that fail, of blobs and of the metadata store: what they were for is never acknowledged. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { assertMetadataSound } from "../harness/data-folder.ts";
import { get, put } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { startServer } from "../harness/server-process.ts";
import { attachTracer } from "../harness/tracer.ts";
import { requirePrerequisite } from "../prerequisites.ts";

test("the first sync of each thread fails with EIO: no put that needed it is acknowledged, and what was acknowledged is whole after a crash", async (t) => {
  if (!requirePrerequisite(t, "strace")) return;
  // Of so few threads only a few calls fail.
  const server = await startServer(t, { environment: { UV_THREADPOOL_SIZE: "2" } });
  const syncs = ["fsync", "fdatasync"];
  const tracer = await attachTracer({
    id: server.pid,
    threads: "all",
    syscalls: syncs,
    failAt: { syscalls: syncs, error: "EIO", count: 1 },
  });
  const sent = new Map<string, Buffer>();
  const acknowledged = new Set<string>();
  let refused = 0;
  const one = async (index: number): Promise<void> => {
    const key = `k${index}`;
    const bytes = randomBytes(10_000 + index);
    sent.set(key, bytes);
    const { status, body } = await put(server, key, bytes);
    if (status === 201) acknowledged.add(key);
    else {
      refused += 1;
      assert.ok(status >= 500, `${status} ${body}`);
    }
  };
  // One after the other at first, so that each thread's failure meets few others.
  for (let index = 0; index < 20; index += 1) await one(index);
  await Promise.all(Array.from({ length: 40 }, (_, index) => one(20 + index)));
  await tracer.detach();
  assert.ok(refused > 0, "some failed");
  assert.ok(acknowledged.size > 20, "others did not");
  let index = 60;
  await eventually("it works again by itself, once the breaker has tried", async () => {
    index += 1;
    await one(index);
    return acknowledged.has(`k${index}`);
  });
  t.diagnostic(`${acknowledged.size} acknowledged, ${refused} refused`);

  await server.kill();
  await server.start();
  for (const [key, bytes] of sent) {
    const { status, body } = await get(server, key);
    if (acknowledged.has(key)) assert.equal(status, 200, key);
    // One whose outcome nobody knew may be there, and is whole then.
    if (status === 200) assert.ok(body.equals(bytes), `${key} is whole`);
    else assert.equal(status, 404, key);
  }
  await server.kill();
  assertMetadataSound(server.data);
});
