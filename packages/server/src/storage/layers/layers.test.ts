// Retry, limit, meter and faults: what each promises, proven with failures that were asked for.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Labels, Meter } from "../../core/ports/meter.ts";
import {
  bytesOf,
  calm,
  collect,
  hanging,
  keysOf,
  put,
  read,
  rejectsWith,
} from "../conformance/subject.ts";
import { openMemoryStorage } from "../memory/driver.ts";
import { type Fault, type FaultRule, faults } from "./faults.ts";
import { forward } from "./forward.ts";
import { limit } from "./limit.ts";
import { metered } from "./meter.ts";
import { type RetryOptions, retry } from "./retry.ts";
import { withLayers } from "./stack.ts";
import { rememberingMeter } from "./testing.ts";

const unavailable: Fault = { kind: "fail", code: "unavailable" };

function retrying(rules: readonly FaultRule[], options: RetryOptions = {}) {
  const waits: number[] = [];
  const sleep = async (ms: number): Promise<void> => void waits.push(ms);
  const inner = openMemoryStorage({ id: "m" });
  const driver = retry({ random: () => 0.5, sleep, ...options })(faults({ rules })(inner));
  return { driver, inner, waits };
}

test("what can be repeated is repeated after passing failures, with growing waits", async () => {
  const operations = ["get", "head", "delete", "probe", "list"] as const;
  const rules = operations.flatMap((operation) =>
    [1, 2].map((nth) => ({ operation, nth, fault: unavailable })),
  );
  const { driver, inner, waits } = retrying(rules);
  await put(inner, "k", "bytes");
  assert.equal((await read(driver, "k")).toString(), "bytes");
  assert.deepEqual(waits, [25, 50]);
  assert.equal((await driver.head("k", { signal: calm })).length, 5);
  assert.deepEqual(await keysOf(driver), ["k"]);
  await driver.probe({ signal: calm });
  await driver.delete("k", { signal: calm });
});

test("a put is never repeated, nor a failure that does not pass, nor a full or overloaded storage", async () => {
  const { driver, waits } = retrying([
    { operation: "put", fault: unavailable },
    { operation: "head", nth: 1, fault: { kind: "fail", code: "access_denied" } },
    { operation: "head", nth: 2, fault: { kind: "fail", code: "storage_full" } },
    { operation: "head", nth: 3, fault: { kind: "fail", code: "overloaded" } },
  ]);
  await rejectsWith("unavailable", put(driver, "k", "x"));
  for (const code of ["access_denied", "storage_full", "overloaded"] as const) {
    await rejectsWith(code, driver.head("k", { signal: calm }));
  }
  assert.deepEqual(waits, []);
});

test("retries end with their attempts, their budget or their caller", async () => {
  const rules = [{ operation: "head", fault: unavailable }] as const;
  const { driver, waits } = retrying(rules, { budgetMax: 3 });
  await rejectsWith("unavailable", driver.head("k", { signal: calm }));
  assert.equal(waits.length, 2);
  await rejectsWith("unavailable", driver.head("k", { signal: calm }));
  await rejectsWith("unavailable", driver.head("k", { signal: calm }));
  assert.equal(waits.length, 3, "three retries were all that the budget gave");

  const controller = new AbortController();
  const slow = retry({ backoffMsMin: 20_000, backoffMsMax: 20_000, random: () => 1 })(
    faults({ rules })(openMemoryStorage({ id: "m" })),
  );
  const running = slow.head("k", { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("gone")), 20);
  await assert.rejects(running, /gone/);
});

test("of a thousand calls on a storage that fails every second one, a tenth and a few are made again", async () => {
  const rules = [{ operation: "probe", chance: 0.5, fault: unavailable }] as const;
  const meter = rememberingMeter();
  const { driver } = retrying(rules, { meter });
  const calls = Array.from({ length: 1_000 }, () => 0);
  for (const _ of calls) await driver.probe({ signal: calm }).catch(() => undefined);
  const retries = meter.value("storage_retries_total", { storage: "m" });
  assert.ok(retries > 50 && retries <= 110, `${retries} retries`);
  assert.ok(meter.value("storage_retries_refused_total") > 0);
});

test("over the bound calls wait in order, over the queue they are overloaded, and an abort leaves the queue", async () => {
  const order: string[] = [];
  const opened: (() => void)[] = [];
  const inner = forward(openMemoryStorage({ id: "m" }), {
    head: async (key) => {
      order.push(key);
      await new Promise<void>((resolve) => opened.push(resolve));
      return { key, length: 0, etag: "", modifiedAt: new Date(), digests: {}, metadata: {} };
    },
  });
  const driver = limit({ callsMax: 1, queueMax: 2 })(inner);
  const controller = new AbortController();
  const first = driver.head("1", { signal: calm });
  const aborted = driver.head("2", { signal: controller.signal });
  const third = driver.head("3", { signal: calm });
  await rejectsWith("overloaded", driver.head("4", { signal: calm }));
  controller.abort(new Error("gone"));
  await assert.rejects(aborted, /gone/);
  const fifth = driver.head("5", { signal: calm });
  for (const running of [first, third, fifth]) {
    opened.shift()?.();
    await running;
  }
  assert.deepEqual(order, ["1", "3", "5"]);
});

test("open bodies do not hold up writers, and give their place back however they end", async () => {
  const driver = limit({ bodiesMax: 3, writesMax: 1, callsMax: 1, queueMax: 0 })(
    openMemoryStorage({ id: "m" }),
  );
  await put(driver, "k", bytesOf(200_000));
  const open = () => driver.get("k", { signal: calm });
  const bodies = await Promise.all([open(), open(), open()]);
  await rejectsWith("overloaded", open());
  await put(driver, "k", bytesOf(200_000));
  await driver.head("k", { signal: calm });
  await bodies[0]!.body[Symbol.asyncDispose]();
  await bodies[0]!.body[Symbol.asyncDispose]();
  await collect(bodies[1]!.body);
  for await (const _ of bodies[2]!.body) break;
  const again = await Promise.all([open(), open(), open()]);
  await rejectsWith("overloaded", open());
  for (const { body } of again) await body[Symbol.asyncDispose]();
  await rejectsWith("object_not_found", driver.get("missing", { signal: calm }));
  await collect((await open()).body);
});

test("a call that hangs keeps its place when its caller has given up", async () => {
  const hangs = { operation: "head", nth: 1, fault: { kind: "hang" } } as const;
  const driver = withLayers(openMemoryStorage({ id: "m" }), {
    innermost: [faults({ rules: [hangs] })],
    timeout: { answerMs: 50, progressMs: 50 },
    limit: { callsMax: 1, queueMax: 0 },
    retry: { attemptsMax: 1 },
  });
  await rejectsWith("unavailable", driver.head("k", { signal: calm }));
  await rejectsWith("overloaded", driver.head("k", { signal: calm }));
  await put(driver, "k", "writers go on");
});

test("the meter counts calls by outcome and all bytes", async () => {
  const counts = new Map<string, number>();
  const add = (name: string, amount = 1, labels: Labels = {}): void => {
    const { operation = "", outcome = "" } = labels;
    const key = [name, operation, outcome].filter(Boolean).join(" ");
    counts.set(key, (counts.get(key) ?? 0) + amount);
  };
  const observed = new Set<string>();
  const meter: Meter = { count: add, gauge: add, observe: (name) => void observed.add(name) };
  const driver = metered(meter)(openMemoryStorage({ id: "m" }));
  await put(driver, "k", bytesOf(150_000));
  await read(driver, "k");
  await rejectsWith("object_not_found", driver.head("missing", { signal: calm }));
  const controller = new AbortController();
  const putting = driver.put("k", hanging(bytesOf(10)), { signal: controller.signal });
  setImmediate(() => controller.abort());
  await assert.rejects(putting);
  assert.equal(counts.get("storage_calls_total put ok"), 1);
  assert.equal(counts.get("storage_calls_total put aborted"), 1);
  assert.equal(counts.get("storage_calls_total head object_not_found"), 1);
  assert.equal(counts.get("storage_calls_total get_body ok"), 1);
  assert.equal(counts.get("storage_written_bytes_total"), 150_010);
  assert.equal(counts.get("storage_read_bytes_total"), 150_000);
  for (const [name, value] of counts) if (name.includes("running")) assert.equal(value, 0, name);
  assert.deepEqual([...observed].toSorted(), [
    "storage_call_seconds",
    "storage_first_byte_seconds",
  ]);
});

test("faults of one seed are the same each time, and the work of a lost answer is done", async () => {
  const outcomes = async (seed: number): Promise<string> => {
    const rules = [{ operation: "probe", chance: 0.3, fault: unavailable }] as const;
    const driver = faults({ seed, rules })(openMemoryStorage({ id: "m" }));
    const results = Array.from({ length: 64 }, () => driver.probe({ signal: calm }));
    return (await Promise.allSettled(results)).map(({ status }) => status[0]).join("");
  };
  assert.equal(await outcomes(7), await outcomes(7));
  assert.notEqual(await outcomes(7), await outcomes(8));
  const rules = [{ operation: "put", fault: { kind: "loseAnswer" } }] as const;
  const driver = faults({ rules })(openMemoryStorage({ id: "m" }));
  await rejectsWith("unavailable", put(driver, "k", "x"));
  assert.deepEqual(await keysOf(driver), ["k"]);
});
