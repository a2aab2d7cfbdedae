// The retry layer's two bounds: one deadline for a call with all its attempts, and one budget for all
// that is sent again, by the layer or by the driver below it.

import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import { bytesOf, calm, put, read, rejectsWith } from "../conformance/subject.ts";
import { openMemoryStorage } from "../memory/driver.ts";
import { forward } from "./forward.ts";
import { retry } from "./retry.ts";
import { withLayers } from "./stack.ts";
import { isTimedOut } from "./timeout.ts";

const answerMs = 400;
const limits = { timeout: { answerMs, progressMs: answerMs } };
const longLimits = { answerMs: 2_500, progressMs: 2_500 };
const stepMs = 100;

/** Time that passes only when it is told to, for the layers' clock and for whatever waits by `setTimeout`. */
function steppedTime(t: TestContext) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  /** When the call fails, and how, while time passes until then. */
  const failure = async (call: Promise<unknown>, msMax = 10_000) => {
    const began = now;
    let failed: { readonly ms: number; readonly error: unknown } | undefined;
    call.then(
      () => assert.fail("the call was answered"),
      (error: unknown) => {
        failed = { ms: now - began, error };
      },
    );
    while (failed === undefined && now - began < msMax) {
      now += stepMs;
      t.mock.timers.tick(stepMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return failed ?? assert.fail(`nobody was told within ${msMax} ms`);
  };
  return { clock: { now: () => new Date(now), monotonicMs: () => now }, failure };
}

const calls: Readonly<Record<string, (driver: StorageDriver) => Promise<unknown>>> = {
  get: (driver) => read(driver, "k"),
  head: (driver) => driver.head("k", { signal: calm }),
  delete: (driver) => driver.delete("k", { signal: calm }),
  probe: (driver) => driver.probe({ signal: calm }),
};

test("a call that ran out of time is not made again: one deadline covers all attempts", async () => {
  for (const [name, call] of Object.entries(calls)) {
    const asked: AbortSignal[] = [];
    const hang = ({ signal }: { readonly signal: AbortSignal }): Promise<never> => {
      asked.push(signal);
      return new Promise(() => undefined);
    };
    const inner = forward(openMemoryStorage({ id: "m" }), {
      get: (_, given) => hang(given),
      head: (_, given) => hang(given),
      delete: (_, given) => hang(given),
      probe: hang,
    });
    await assert.rejects(call(withLayers(inner, limits)), isTimedOut);
    assert.equal(asked.length, 1, `${name} was asked once`);
    assert.equal(asked[0]?.aborted, true, "and its call is told to stop");
  }
});

test("an attempt that begins late has what is left of the deadline, and is told to stop at its end", async (t) => {
  const { clock, failure } = steppedTime(t);
  const asked: AbortSignal[] = [];
  const inner = forward(openMemoryStorage({ id: "m" }), {
    head: async (_, { signal }) => {
      asked.push(signal);
      if (asked.length > 1) return await new Promise(() => undefined);
      throw new OperationalError("unavailable", "reset");
    },
  });
  // The second waits a second and a half of two and a half.
  const waits = { backoffMsMin: 1_500, backoffMsMax: 1_500, random: () => 1 };
  const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  const driver = withLayers(inner, { clock, timeout: longLimits, retry: { ...waits, sleep } });
  const { ms, error } = await failure(driver.head("k", { signal: calm }));
  assert.ok(isOperationalError(error, "unavailable") && !isTimedOut(error));
  assert.equal(asked.length, 2);
  assert.equal(ms, longLimits.answerMs);
  assert.equal(asked[1]?.aborted, true);
});

test("headers and then silence: a get has one deadline until its first byte", async (t) => {
  const { clock, failure } = steppedTime(t);
  let asked = 0;
  const inner = forward(openMemoryStorage({ id: "m" }), {
    get: async () => {
      asked += 1;
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      return {
        head: { key: "k", length: 9, etag: "", modifiedAt: new Date(), digests: {}, metadata: {} },
        body: {
          async *[Symbol.asyncIterator]() {
            await new Promise(() => undefined);
          },
          [Symbol.asyncDispose]: async () => undefined,
        },
      };
    },
  });
  const driver = withLayers(inner, { clock, timeout: longLimits });
  const { ms, error } = await failure(read(driver, "k"));
  assert.ok(isOperationalError(error, "unavailable"));
  assert.equal(asked, 1);
  assert.equal(ms, longLimits.answerMs);
});

test("a read that was asked twice is told by the deadline of the first, which is not waited past", async (t) => {
  const { clock, failure } = steppedTime(t);
  let hanging = false;
  let asked = 0;
  const memory = openMemoryStorage({ id: "m" });
  await put(memory, "k", "bytes");
  const inner = forward(memory, {
    get: async (key, options) => {
      if (!hanging) return await memory.get(key, options);
      asked += 1;
      return await new Promise(() => undefined);
    },
  });
  const hedge = { samplesMin: 16, lateMsMin: 2_000 };
  const driver = withLayers(inner, { clock, timeout: longLimits, hedge });
  for (let index = 0; index < 32; index += 1) await read(driver, "k");
  hanging = true;
  const { ms, error } = await failure(read(driver, "k"));
  assert.ok(isOperationalError(error, "unavailable"));
  assert.equal(asked, 2);
  assert.equal(ms, longLimits.answerMs);
});

test("a body that began in time is read past the deadline", async () => {
  const driver = withLayers(openMemoryStorage({ id: "m" }), limits);
  await put(driver, "k", bytesOf(1_000_000));
  const { body } = await driver.get("k", { signal: calm });
  let length = 0;
  for await (const chunk of body) {
    if (length === 0) await new Promise((resolve) => setTimeout(resolve, answerMs * 1.5));
    length += chunk.length;
  }
  assert.equal(length, 1_000_000);
});

test("what a driver sends again in a put is of the same budget as other retries", async () => {
  let sent = 0;
  const inner = forward(openMemoryStorage({ id: "m" }), {
    put: async (_, __, { repeat, signal }) => {
      assert.ok(repeat, "the layer gives the driver a way to repeat");
      return await repeat(signal, async () => {
        sent += 1;
        throw new OperationalError("rate_limited", "slow down");
      });
    },
    head: async () => {
      throw new OperationalError("rate_limited", "slow down");
    },
  });
  const sleep = async (): Promise<void> => undefined;
  const driver = retry({ budgetMax: 5, attemptsMax: 3, sleep })(inner);
  for (let call = 0; call < 20; call += 1) await rejectsWith("rate_limited", put(driver, "k", "x"));
  assert.equal(sent, 25, "20 puts, and 5 repetitions");
  await rejectsWith("rate_limited", driver.head("k", { signal: calm }));
});
