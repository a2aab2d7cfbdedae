/** A storage that does not answer, or stops in the middle: told in time, and no socket is left. */
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import {
  assertSame,
  bytesOf,
  calm,
  keysOf,
  put,
  read,
  rejectsWith,
} from "../../packages/server/src/storage/conformance/subject.ts";
import { eventually } from "../harness/process-usage.ts";
import { RunningTime } from "../harness/running-time.ts";
import { neverOpen, proxiedStorages } from "./storage.ts";

const MiB = 1024 * 1024;
const answerMs = 1_000;
const layers = {
  timeout: { answerMs, progressMs: answerMs },
  retry: { attemptsMax: 2, backoffMsMax: 50 },
  breaker: neverOpen,
};
/** Both attempts run out, and a busy machine takes its time. */
const toldMsMax = 2 * answerMs + 2_000;
/** Idle ones close after four seconds, and one that waits for an answer never would. */
const closedMsMax = 60_000;

const calls: Readonly<Record<string, (driver: StorageDriver) => Promise<unknown>>> = {
  "a short put": (driver) => put(driver, "blob", "short"),
  "a streamed put": (driver) => put(driver, "blob", bytesOf(3 * MiB), { length: 3 * MiB }),
  "a put in parts": (driver) => put(driver, "blob", bytesOf(6 * MiB)),
  "a get": (driver) => read(driver, "blob"),
  "a head": (driver) => driver.head("blob", { signal: calm }),
  "a list": (driver) => keysOf(driver),
  "a delete": (driver) => driver.delete("blob", { signal: calm }),
  "a probe": (driver) => driver.probe({ signal: calm }),
};

for (const [name, open] of Object.entries(proxiedStorages)) {
  describe(`a storage that is silent: ${name}`, () => {
    test("one that never answers: every call is told in time, and no socket is left", async (t) => {
      const { proxy, driver, direct } = await open(t, layers, { partBytes: 5 * MiB });
      const old = bytesOf(100_000);
      await put(direct, "blob", old);
      proxy.fault = () => ({ kind: "silence" });
      using running = new RunningTime();
      await Promise.all(
        Object.entries(calls).map(async ([what, call]) => {
          await rejectsWith("unavailable", call(driver));
          const { ms } = running;
          assert.ok(ms < toldMsMax, `${what} was told after ${ms} ms`);
        }),
      );
      assert.ok(proxy.requests.length >= Object.keys(calls).length, "the storage was asked");
      await eventually("no socket left", () => proxy.connections === 0, closedMsMax);
      proxy.fault = () => undefined;
      assertSame(await read(driver, "blob"), old);
    });

    test("headers and then silence: a get is told in time, and no socket is left", async (t) => {
      const { proxy, driver, direct } = await open(t, layers);
      const bytes = bytesOf(600_000);
      await put(direct, "blob", bytes);
      proxy.fault = () => ({ kind: "headersThenSilence" });
      using running = new RunningTime();
      await Promise.all(
        Array.from({ length: 8 }, () => rejectsWith("unavailable", read(driver, "blob"))),
      );
      const { ms } = running;
      assert.ok(ms < toldMsMax, `told after ${ms} ms`);
      await eventually("no socket left", () => proxy.connections === 0, closedMsMax);
      proxy.fault = () => undefined;
      assertSame(await read(driver, "blob"), bytes);
    });

    test("a completion that is never answered is told in time, and its put is not there", async (t) => {
      const { proxy, driver, direct } = await open(t, layers, { partBytes: 5 * MiB });
      const bytes = bytesOf(6 * MiB);
      proxy.fault = ({ method, target }) =>
        method === "POST" && target.includes("uploadId") ? { kind: "silence" } : undefined;
      using running = new RunningTime();
      await rejectsWith("unavailable", put(driver, "blob", bytes));
      const { ms } = running;
      assert.ok(ms < toldMsMax + 2_000, `told after ${ms} ms`);
      assert.deepEqual(await keysOf(direct), []);
      proxy.fault = () => undefined;
      await put(direct, "blob", bytes);
      assertSame(await read(driver, "blob"), bytes);
    });
  });
}
