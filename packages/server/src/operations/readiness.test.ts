import assert from "node:assert/strict";
import { test } from "node:test";
import { runningMs } from "../../../../test/harness/running-time.ts";
import { systemClock } from "../core/ports/clock.ts";
import { Readiness, type ReadinessCheck } from "./readiness.ts";

const options = { clock: systemClock, checkMsMax: 60, waitMsMax: 20 };

test("a check that hangs is told and not waited for, and not started twice", async () => {
  let started = 0;
  const end = Promise.withResolvers<void>();
  const hanging: ReadinessCheck = {
    name: "mount",
    essential: true,
    check: async () => {
      started += 1;
      await end.promise;
    },
  };
  const fine: ReadinessCheck = { name: "store", essential: true, check: async () => {} };
  using readiness = new Readiness({ ...options, checks: () => [hanging, fine] });
  const first = await Promise.race([readiness.report(), runningMs(1_000)]);
  assert.equal(first?.ready, false, "in time");
  let report = first;
  while (!report.checks[0]?.reason?.startsWith("no answer for")) report = await readiness.report();
  assert.deepEqual(
    report.checks.map(({ name, ok }) => [name, ok]),
    [
      ["mount", false],
      ["store", true],
    ],
  );
  assert.equal(started, 1);
  end.resolve();
  report = await readiness.report();
  while (!report.ready) report = await readiness.report();
  assert.ok(report.checks.every(({ ageMs }) => ageMs < 1_000));
});

test("only essential checks make a server unready, and so does draining", async () => {
  const broken: ReadinessCheck = {
    name: "second storage",
    essential: false,
    check: async () => {
      throw new Error("it is not open");
    },
  };
  using readiness = new Readiness({ ...options, waitMsMax: 1_000, checks: () => [broken] });
  const report = await readiness.report();
  assert.equal(report.ready, true);
  assert.equal(report.checks[0]?.reason, "it is not open");
  readiness.drain();
  const draining = await readiness.report();
  assert.deepEqual([draining.ready, draining.draining], [false, true]);
});
