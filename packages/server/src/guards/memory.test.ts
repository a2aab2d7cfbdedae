import assert from "node:assert/strict";
import { test } from "node:test";
import { GiB, KiB, MiB } from "@roma/contract";
import { memoryConfig } from "./config.ts";
import { memoryShares, requestBytes } from "./memory-budget.ts";
import { MemoryRoom } from "./memory-room.ts";

const calm = new AbortController().signal;

test("the parts of the budget are the budget, and a quota is divided by the workers", () => {
  for (const quotaBytes of [undefined, 64 * MiB, 200 * MiB, 2 * GiB, 64 * GiB]) {
    for (const workers of [1, 2, 8]) {
      const shares = memoryShares(memoryConfig.parse({}), { quotaBytes, workers });
      const { bytesMax, requestBytesMax, partBytesMax, readBytesMax } = shares;
      assert.equal(requestBytesMax + partBytesMax + readBytesMax, bytesMax);
      assert.ok(requestBytesMax >= 8 * MiB && partBytesMax >= 12 * MiB, JSON.stringify(shares));
      assert.ok(Object.values(shares).every(Number.isInteger));
    }
  }
  const config = memoryConfig.parse({});
  assert.equal(memoryShares(config, { quotaBytes: 2 * GiB, workers: 4 }).bytesMax, 128 * MiB);
  const given = memoryConfig.parse({ buffersBytes: "100 MiB" });
  assert.equal(memoryShares(given, { quotaBytes: 2 * GiB, workers: 4 }).bytesMax, 100 * MiB);
});

test("a request reserves what it may hold, and no more than its body has", () => {
  assert.equal(requestBytes({ method: "PUT", bodyLength: undefined }), 336 * KiB);
  assert.equal(requestBytes({ method: "PUT", bodyLength: 5 * GiB }), 336 * KiB);
  assert.equal(requestBytes({ method: "PUT", bodyLength: 10 }), 10);
  assert.equal(requestBytes({ method: "GET", bodyLength: 0 }), 64 * KiB);
  assert.equal(requestBytes({ method: "HEAD", bodyLength: 0 }), 0);
});

test("who finds no room waits in order, small ones pass, and late ones are refused with Retry-After", async () => {
  const room = new MemoryRoom({ bytesMax: 100, waitMsMax: 200 });
  assert.equal(room.take(60, calm), true);
  assert.equal(room.take(30, calm), true);
  const first = room.take(50, calm);
  const second = room.take(50, calm);
  assert.notEqual(first, true);
  assert.equal(room.take(10, calm), true, "it fits");
  room.give(60);
  await first;
  assert.equal(room.usedBytes, 90);
  await assert.rejects(second as Promise<void>, (error: object) => {
    assert.ok("code" in error && "context" in error);
    assert.equal(error.code, "overloaded");
    assert.equal(Reflect.get(error.context as object, "retryAfterSeconds"), 2);
    return true;
  });
  for (const bytes of [30, 50, 10]) room.give(bytes);
  assert.equal(room.usedBytes, 0);
  assert.deepEqual(room.counts, { waited: 2, refused: 1 });
});

test("who leaves while it waits takes nothing with it, and too many do not wait", async () => {
  const room = new MemoryRoom({ bytesMax: 10, waitMsMax: 10_000, waitersMax: 1 });
  assert.equal(room.take(10, calm), true);
  const controller = new AbortController();
  const waiting = room.take(10, controller.signal);
  await assert.rejects(room.take(10, calm) as Promise<void>, { code: "overloaded" });
  controller.abort(new Error("gone"));
  await assert.rejects(waiting as Promise<void>, /gone/);
  room.give(10);
  assert.equal(room.usedBytes, 0);
  assert.equal(room.take(10, calm), true);
});
