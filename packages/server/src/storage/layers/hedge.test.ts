// Hedged reads: when a second read is made, how many there can be, and what becomes of the loser.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { OperationalError } from "../../core/errors.ts";
import type { GetOptions, ObjectBody, StorageDriver } from "../../core/ports/storage-driver.ts";
import {
  assertSame,
  bytesOf,
  calm,
  collect,
  put,
  read,
  rejectsWith,
} from "../conformance/subject.ts";
import { openMemoryStorage } from "../memory/driver.ts";
import { forward } from "./forward.ts";
import { type HedgeOptions, hedge } from "./hedge.ts";
import { movedTime, rememberingMeter } from "./testing.ts";

/** What the test does with a read that the storage was asked for. */
interface Asked {
  readonly options: GetOptions;
  readonly disposed: () => number;
  readonly answer: () => void;
  readonly fail: (error: unknown) => void;
}

const bytes = bytesOf(200_000);

async function hedged(options: HedgeOptions = {}) {
  const time = movedTime();
  const meter = rememberingMeter();
  const inner = openMemoryStorage({ id: "m" });
  await put(inner, "k", bytes);
  const asked: Asked[] = [];
  let holding = false;
  const held: StorageDriver = forward(inner, {
    get: async (key, given) => {
      const gate = Promise.withResolvers<void>();
      let disposed = 0;
      asked.push({
        options: given,
        disposed: () => disposed,
        answer: gate.resolve,
        fail: gate.reject,
      });
      if (holding) await gate.promise;
      const { head, body } = await inner.get(key, { ...given, signal: calm });
      const watched: ObjectBody = {
        [Symbol.asyncIterator]: () => body[Symbol.asyncIterator](),
        [Symbol.asyncDispose]: async () => {
          disposed += 1;
          await body[Symbol.asyncDispose]();
        },
      };
      return { head, body: watched };
    },
  });
  const { clock, timer } = time;
  const driver = hedge({ samplesMin: 16, clock, timer, meter, ...options })(held);
  /** Reads that take no time, until there is a p95 and a token. */
  const warmUp = async (reads = 40): Promise<void> => {
    for (let count = 0; count < reads; count += 1) await read(driver, "k");
    asked.length = 0;
    holding = true;
  };
  return { driver, time, meter, asked, warmUp };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("a first byte later than nearly all others is asked for a second time, and the faster wins", async () => {
  const { driver, time, meter, asked, warmUp } = await hedged();
  await warmUp();
  const reading = driver.get("k", { signal: calm, firstByte: 5, lastByte: 150_000 });
  time.move(19);
  assert.equal(asked.length, 1);
  time.move(1);
  assert.equal(asked.length, 2);
  assert.deepEqual([asked[1]?.options.firstByte, asked[1]?.options.lastByte], [5, 150_000]);
  asked[1]?.answer();
  const { body } = await reading;
  assertSame(await collect(body), bytes.subarray(5, 150_001));
  assert.equal(asked[0]?.options.signal.aborted, true, "the loser was told to end");
  assert.equal(asked[1]?.options.signal.aborted, false);
  asked[0]?.answer();
  await settled();
  assert.equal(asked[0]?.disposed(), 1, "the loser's body was disposed when it came");
  assert.equal(meter.value("storage_hedges_total"), 1);
  assert.equal(meter.value("storage_hedges_won_total"), 1);
});

test("the first may still win, and then the second is disposed", async () => {
  const { driver, time, meter, asked, warmUp } = await hedged();
  await warmUp();
  const reading = read(driver, "k");
  time.move(20);
  asked[0]?.answer();
  assertSame(await reading, bytes);
  assert.equal(asked[1]?.options.signal.aborted, true);
  asked[1]?.answer();
  await settled();
  assert.equal(asked[1]?.disposed(), 1);
  assert.equal(meter.value("storage_hedges_won_total"), 0);
});

test("a read in time is asked for once and leaves no timer", async () => {
  const { driver, time, asked, warmUp } = await hedged();
  await warmUp();
  const reading = read(driver, "k");
  asked[0]?.answer();
  await reading;
  assert.equal(time.waiting(), 0);
  time.move(1_000);
  assert.equal(asked.length, 1);
});

test("of a thousand late reads at most fifty are asked for twice", async () => {
  const { driver, time, meter, asked, warmUp } = await hedged();
  await warmUp();
  for (let count = 0; count < 1_000; count += 1) {
    asked.length = 0;
    const reading = driver.get("k", { signal: calm });
    time.move(10_000);
    for (const { answer } of asked) answer();
    await (await reading).body[Symbol.asyncDispose]();
  }
  const hedges = meter.value("storage_hedges_total");
  // Of the warm-up's reads two tokens were saved.
  assert.ok(hedges >= 40 && hedges <= 52, `${hedges} second reads`);
});

test("nothing is late before enough reads were measured", async () => {
  const { driver, time, asked, warmUp } = await hedged({ samplesMin: 1_000, shareMax: 1 });
  await warmUp();
  const reading = read(driver, "k");
  time.move(60_000);
  assert.equal(asked.length, 1);
  asked[0]?.answer();
  await reading;
});

test("late follows the storage: one that became slow is not asked twice each time", async () => {
  const { driver, time, asked, warmUp } = await hedged();
  await warmUp();
  for (let count = 0; count < 300; count += 1) {
    asked.length = 0;
    const reading = driver.get("k", { signal: calm });
    time.move(400 + (count % 100));
    for (const { answer } of asked) answer();
    await (await reading).body[Symbol.asyncDispose]();
  }
  asked.length = 0;
  const reading = read(driver, "k");
  time.move(480);
  assert.equal(asked.length, 1);
  time.move(20);
  assert.equal(asked.length, 2);
  for (const { answer } of asked) answer();
  await reading;
});

test("a failure that may pass waits for the other read; one that is certain does not", async () => {
  const { driver, time, asked, warmUp } = await hedged();
  await warmUp(200);
  const unavailable = new OperationalError("unavailable", "no answer");
  const first = read(driver, "k");
  time.move(20);
  asked[0]?.fail(unavailable);
  await settled();
  asked[1]?.answer();
  assertSame(await first, bytes);

  asked.length = 0;
  const second = read(driver, "k");
  time.move(20);
  asked[1]?.fail(new OperationalError("object_not_found", "gone"));
  await rejectsWith("object_not_found", second);
  assert.equal(asked[0]?.options.signal.aborted, true);
  asked[0]?.answer();

  asked.length = 0;
  const third = read(driver, "k");
  time.move(20);
  for (const { fail } of asked) fail(unavailable);
  await rejectsWith("unavailable", third);
});

test("a caller that leaves ends both reads", async () => {
  const { driver, time, asked, warmUp } = await hedged();
  await warmUp();
  const controller = new AbortController();
  const reading = driver.get("k", { signal: controller.signal });
  time.move(20);
  controller.abort(new Error("gone"));
  assert.deepEqual(
    asked.map(({ options }) => options.signal.aborted),
    [true, true],
  );
  for (const { fail, options } of asked) fail(options.signal.reason);
  await assert.rejects(reading, /gone/);
  assert.equal(time.waiting(), 0);
});

test("an open breaker is not asked twice", async () => {
  const time = movedTime();
  const { clock, timer } = time;
  const inner = openMemoryStorage({ id: "m" });
  await put(inner, "k", bytes);
  let reads = 0;
  let state: "closed" | "half-open" = "closed";
  const counted = forward(inner, {
    breaker: () => state,
    get: (key, given) => {
      reads += 1;
      if (state === "closed") return inner.get(key, given);
      return new Promise(() => undefined);
    },
  });
  const driver = hedge({ samplesMin: 16, clock, timer })(counted);
  for (let count = 0; count < 40; count += 1) await read(driver, "k");
  state = "half-open";
  void driver.get("k", { signal: calm });
  time.move(10_000);
  assert.equal(reads, 41);
});
