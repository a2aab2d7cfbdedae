// The breaker: what opens it, what does not, how it closes again, and what others do meanwhile.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { ErrorCode } from "../../core/errors.ts";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import { calm, hanging, keysOf, put, read, rejectsWith } from "../conformance/subject.ts";
import { openMemoryStorage } from "../memory/driver.ts";
import { type BreakerOptions, breaker, isRefusedByBreaker } from "./breaker.ts";
import { type Fault, type FaultRule, faults } from "./faults.ts";
import { forward } from "./forward.ts";
import { withLayers } from "./stack.ts";
import { movedTime, rememberingMeter } from "./testing.ts";
import { isTimedOut } from "./timeout.ts";

const unavailable: Fault = { kind: "fail", code: "unavailable" };

function breaking(rules: readonly FaultRule[], options: BreakerOptions = {}) {
  const time = movedTime();
  const meter = rememberingMeter();
  const inner = openMemoryStorage({ id: "m" });
  let calls = 0;
  const counted = forward(faults({ rules })(inner), {});
  const counting: StorageDriver = {
    ...counted,
    head: (key, call) => {
      calls += 1;
      return counted.head(key, call);
    },
  };
  const driver = breaker({ clock: time.clock, meter, ...options })(counting);
  const state = () => driver.breaker?.();
  const head = () => driver.head("k", { signal: calm });
  return { driver, inner, time, meter, state, head, calls: () => calls };
}

async function fail(run: () => Promise<unknown>, times: number): Promise<void> {
  for (let count = 0; count < times; count += 1) await rejectsWith("unavailable", run());
}

async function refused(run: Promise<unknown>): Promise<void> {
  await assert.rejects(run, isRefusedByBreaker);
}

const heads = (until: number, fault = unavailable): readonly FaultRule[] =>
  Array.from({ length: until }, (_, index) => ({ operation: "head", nth: index + 1, fault }));

test("five failures in a row open it, and then no call reaches the storage", async () => {
  const { driver, state, head, calls, meter } = breaking(heads(99));
  await fail(head, 4);
  assert.equal(state(), "closed");
  await fail(head, 1);
  assert.equal(state(), "open");
  await refused(head());
  await refused(put(driver, "k", "x"));
  await refused(read(driver, "k"));
  await refused(keysOf(driver));
  await refused(driver.delete("k", { signal: calm }));
  await refused(driver.probe({ signal: calm }));
  assert.equal(calls(), 5);
  assert.equal(meter.value("storage_breaker_open", { storage: "m" }), 1);
  assert.equal(meter.value("storage_breaker_refused_total", { storage: "m" }), 6);
});

test("an answer between failures begins the count anew, and a share of failures opens it all the same", async () => {
  const rules = Array.from({ length: 99 }, (_, index) => index + 1)
    .filter((nth) => nth % 2 === 0)
    .map((nth): FaultRule => ({ operation: "head", nth, fault: unavailable }));
  const { inner, state, head } = breaking(rules);
  await put(inner, "k", "x");
  for (let count = 0; count < 19; count += 1) await head().catch(() => undefined);
  assert.equal(state(), "closed", "19 calls are too few to tell a share");
  await head().catch(() => undefined);
  assert.equal(state(), "open");
});

test("failures of long ago are not in the share", async () => {
  const { inner, state, head, time } = breaking(heads(14), { failuresMax: 99 });
  await put(inner, "k", "x");
  await fail(head, 14);
  time.move(20_000);
  for (let count = 0; count < 20; count += 1) await head();
  assert.equal(state(), "closed");
});

test("answers that nobody likes, and failures of the client, never open it", async () => {
  const codes: readonly ErrorCode[] = [
    "object_not_found",
    "checksum_mismatch",
    "storage_full",
    "precondition_failed",
    "range_unsatisfiable",
    "data_damaged",
    "incomplete_body",
    "request_timeout",
    "invalid_request",
    "overloaded",
    "rate_limited",
    "internal",
  ];
  for (const code of codes) {
    const { state, head } = breaking(heads(50, { kind: "fail", code }));
    for (let count = 0; count < 50; count += 1) await rejectsWith(code, head());
    assert.equal(state(), "closed", code);
  }
});

test("callers that leave and bodies that fail on the client's side never open it", async () => {
  const { driver, state } = breaking([]);
  for (let count = 0; count < 20; count += 1) {
    const controller = new AbortController();
    const putting = driver.put("k", hanging(Buffer.of(1)), { signal: controller.signal });
    setImmediate(() => controller.abort(new OperationalError("unavailable", "gone")));
    await assert.rejects(putting);
  }
  // As of a copy from another storage, which is the one that does not answer.
  const failing = async function* () {
    yield Buffer.of(1);
    throw new OperationalError("unavailable", "the source does not answer");
  };
  await fail(() => driver.put("k", failing(), { signal: calm }), 20);
  assert.equal(state(), "closed");
});

test("after its time one call tries, others are refused, and an answer closes it", async () => {
  const { inner, state, head, time, meter } = breaking(heads(5));
  await put(inner, "k", "x");
  await fail(head, 5);
  time.move(4_999);
  await refused(head());
  time.move(1);
  assert.equal(state(), "half-open");
  const trial = head();
  await refused(head());
  await trial;
  assert.equal(state(), "closed");
  assert.equal(meter.value("storage_breaker_open", { storage: "m" }), 0);
  await fail(head, 0);
  await Promise.all([head(), head(), head()]);
});

test("each failed trial doubles the wait up to its bound, and a missing blob is an answer", async () => {
  const { state, head, time } = breaking(heads(9), { openMsMin: 10, openMsMax: 35 });
  await fail(head, 5);
  for (const ms of [10, 20, 35, 35]) {
    time.move(ms - 1);
    assert.equal(state(), "open");
    time.move(1);
    assert.equal(state(), "half-open");
    await fail(head, 1);
  }
  time.move(35);
  await rejectsWith("object_not_found", head());
  assert.equal(state(), "closed");
});

test("a trial that hangs, or that its caller gives up, does not keep others from trying", async () => {
  const hang: FaultRule = { operation: "head", nth: 6, fault: { kind: "hang" } };
  const { driver, inner, state, head, time } = breaking([...heads(5), hang]);
  await put(inner, "k", "x");
  await fail(head, 5);
  time.move(5_000);
  void head();
  await refused(head());
  time.move(30_000);
  const { body } = await driver.get("k", { signal: calm });
  await refused(head());
  await body[Symbol.asyncDispose]();
  assert.equal(state(), "half-open", "a body that nobody read says nothing");
  await head();
  assert.equal(state(), "closed");
});

test("a storage that opens blobs and does not give their bytes is not an answer", async () => {
  const inner = openMemoryStorage({ id: "m" });
  await put(inner, "k", "bytes");
  const mute = forward(inner, {
    get: async (key, given) => {
      const { head } = await inner.get(key, given);
      const next = () => Promise.reject(new OperationalError("unavailable", "no bytes"));
      const body = {
        [Symbol.asyncIterator]: () => ({ next }),
        [Symbol.asyncDispose]: async () => undefined,
      };
      return { head, body };
    },
  });
  const driver = breaker({ clock: movedTime().clock })(mute);
  await fail(() => read(driver, "k"), 5);
  assert.equal(driver.breaker?.(), "open");
});

const puts = (until: number): readonly FaultRule[] =>
  heads(until).map((rule) => ({ ...rule, operation: "put" }));

test("where only writes fail, only writes are refused, with the reason; reads between them do not count for them", async () => {
  const { driver, inner, state, head, meter } = breaking(puts(99));
  await put(inner, "k", "x");
  for (let count = 0; count < 5; count += 1) {
    assert.equal(state(), "closed");
    await rejectsWith("unavailable", put(driver, "k", "y"));
    await head();
  }
  assert.equal(state(), "open", "new bytes go elsewhere");
  await refused(put(driver, "k", "y"));
  await refused(driver.delete("k", { signal: calm }));
  const upload = driver.parts?.create("k", { signal: calm, partBytes: 5 });
  await assert.rejects(upload ?? Promise.reject(new Error("no parts")), {
    message: /^the storage took no writes lately and gets none for a while \(.+\)$/,
  });
  for (let count = 0; count < 9; count += 1) await head();
  assert.equal((await read(driver, "k")).toString(), "x");
  assert.deepEqual(await keysOf(driver), ["k"]);
  await driver.probe({ signal: calm });
  assert.equal(state(), "open", "what reads say is not about writes");
  assert.equal(meter.value("storage_breaker_open", { storage: "m" }), 1);
});

test("a write that is answered lets writes through again, one that fails waits twice as long", async () => {
  const { driver, state, time, meter } = breaking(puts(6), { openMsMin: 10 });
  await fail(() => put(driver, "k", "x"), 5);
  time.move(10);
  assert.equal(state(), "half-open");
  await driver.probe({ signal: calm });
  await fail(() => put(driver, "k", "x"), 1);
  time.move(19);
  await refused(put(driver, "k", "x"));
  time.move(1);
  await put(driver, "k", "x");
  assert.equal(state(), "closed");
  assert.equal(meter.value("storage_breaker_open", { storage: "m" }), 0);
});

test("a storage whose reads fail gets no writes either, and one that fails in both is open once", async () => {
  const { driver, inner, state, head, time, meter } = breaking([...heads(5), ...puts(5)]);
  await put(inner, "k", "x");
  await fail(() => put(driver, "k", "y"), 4);
  await fail(head, 5);
  await refused(put(driver, "k", "y"));
  time.move(5_000);
  // The write is the trial: its failure says nothing for or against reads, and they may try.
  await fail(() => put(driver, "k", "y"), 1);
  assert.equal(meter.value("storage_breaker_open", { storage: "m" }), 1);
  await head();
  assert.equal(state(), "open", "writes still wait");
  await refused(put(driver, "k", "y"));
  time.move(5_000);
  await put(driver, "k", "y");
  assert.equal(state(), "closed");
  assert.equal(meter.value("storage_breaker_open", { storage: "m" }), 0);
});

test("calls from before a change of state no longer count", async () => {
  const slow: (() => void)[] = [];
  const inner = forward(openMemoryStorage({ id: "m" }), {
    head: () =>
      new Promise((_, reject) => {
        slow.push(() => reject(new OperationalError("unavailable", "late")));
      }),
  });
  const time = movedTime();
  const driver = breaker({ clock: time.clock })(inner);
  const running = Array.from({ length: 12 }, () => driver.head("k", { signal: calm }));
  for (const end of slow.slice(0, 5)) end();
  await Promise.allSettled(running.slice(0, 5));
  assert.equal(driver.breaker?.(), "open");
  time.move(5_000);
  await driver.probe({ signal: calm });
  for (const end of slow.slice(5)) end();
  await Promise.allSettled(running);
  assert.equal(driver.breaker?.(), "closed");
});

test("in the stack timeouts open it, the refusal is not tried again, and closing ends the gauge", async () => {
  const meter = rememberingMeter();
  const rules = [{ operation: "head", fault: { kind: "hang" } }] as const;
  const driver = withLayers(openMemoryStorage({ id: "m" }), {
    meter,
    innermost: [faults({ rules })],
    timeout: { answerMs: 5 },
    // Real time passes here: it is to stay open.
    breaker: { openMsMin: 600_000, openMsMax: 600_000 },
    retry: { attemptsMax: 9, sleep: async () => undefined },
  });
  // Five calls open it, each with all the time there is; the sixth is refused.
  for (let call = 0; call < 5; call += 1) {
    await assert.rejects(driver.head("k", { signal: calm }), isTimedOut);
  }
  await assert.rejects(driver.head("k", { signal: calm }), isRefusedByBreaker);
  assert.equal(driver.breaker?.(), "open");
  await assert.rejects(
    driver.head("k", { signal: calm }),
    (error) => isOperationalError(error) && error.retryable,
  );
  assert.equal(meter.value("storage_retries_total"), 0);
  await driver[Symbol.asyncDispose]();
  assert.equal(meter.value("storage_breaker_open"), 0);
});
