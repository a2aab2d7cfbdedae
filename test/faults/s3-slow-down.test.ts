/** A storage that says "slow down" for ten seconds on end, by the clock, under readers and writers. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isOperationalError } from "../../packages/server/src/core/errors.ts";
import {
  assertSame,
  bytesOf,
  calm,
  descriptorCount,
  keysOf,
  put,
  read,
} from "../../packages/server/src/storage/conformance/subject.ts";
import { eventually } from "../harness/process-usage.ts";
import { RunningTime } from "../harness/running-time.ts";
import type { Fault } from "./fault-proxy.ts";
import { proxiedStorages } from "./storage.ts";

const MiB = 1024 * 1024;
const slowMs = 10_000;
const callers = 8;
/** Between two calls of one caller. */
const pauseMs = 20;
const toldMsMax = 5_000;

const slowDown: Fault = {
  kind: "answer",
  status: 503,
  body: Buffer.from("<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"),
};

// One is enough, since no row of a vendor matters here: the real storage where there is one.
for (const [name, open] of Object.entries(proxiedStorages).slice(-1)) {
  test(`SlowDown for ten seconds: told at once, little is asked again, and its end is seen at once: ${name}`, async (t) => {
    const { proxy, driver, direct } = await open(t, {}, { partBytes: 5 * MiB });
    const old = bytesOf(10_000, 1);
    const long = bytesOf(6 * MiB, 2);
    await put(direct, "blob", old);
    const descriptors = descriptorCount();
    proxy.fault = () => slowDown;
    const until = performance.now() + slowMs;
    using running = new RunningTime();
    let calls = 0;
    let slowest = 0;
    const call = async (run: () => Promise<unknown>): Promise<void> => {
      const began = running.ms;
      calls += 1;
      await assert.rejects(run(), (error) => isOperationalError(error, "rate_limited"));
      slowest = Math.max(slowest, running.ms - began);
    };
    const caller = async (_: unknown, index: number): Promise<void> => {
      while (performance.now() < until) {
        if (index === 0) await call(() => put(driver, "long", long));
        else if (index % 2 === 0) await call(() => put(driver, "blob", bytesOf(10_000, 3)));
        else await call(() => read(driver, "blob"));
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    };
    await Promise.all(Array.from({ length: callers }, caller));
    assert.ok(calls > 100, `${calls} calls`);
    assert.ok(slowest < toldMsMax, `the slowest was told after ${slowest} ms`);
    const requests = proxy.requests.length;
    assert.ok(requests <= calls * 1.1 + 10, `${requests} requests for ${calls} calls`);
    // Driver, proxy twice and emulator: four ends of each connection are this process's.
    const descriptorsMax = descriptors + 4 * (callers + 2);
    await eventually("few descriptors more", () => descriptorCount() <= descriptorsMax);
    assert.equal(driver.breaker?.(), "closed", "a storage that asks for less is there");
    proxy.fault = () => undefined;
    await put(driver, "long", long);
    assertSame(await read(driver, "long"), long);
    assertSame(await read(driver, "blob"), old);
    assert.deepEqual(await keysOf(direct), ["blob", "long"]);
    const pending = async () =>
      await Array.fromAsync(direct.parts?.listPending("", { signal: calm }) ?? []);
    await eventually("no upload left", async () => (await pending()).length === 0);
  });
}
