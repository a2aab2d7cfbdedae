import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../config/index.ts";
import { BackOff, healthyMs } from "./back-off.ts";
import { bytesNeeded, planWorkers, workerNodeFlags } from "./plan.ts";

const mebibyte = 2 ** 20;
const large = { cpus: 8, memoryBytes: 2 ** 35, quotaBytes: undefined };

test("auto is one worker for each CPU, as far as memory holds them, and at least one", () => {
  const count = (machine: object) => planWorkers("auto", { ...large, ...machine }).count;
  assert.equal(count({}), 8);
  assert.equal(count({ quotaBytes: bytesNeeded(4) }), 3, "and a successor");
  assert.equal(count({ memoryBytes: bytesNeeded(3) }), 2);
  assert.equal(count({ cpus: 1 }), 1);
});

test("with a quota, 0.4 of a worker's share is its heap; without one V8 chooses", () => {
  const plan = planWorkers(2, { ...large, quotaBytes: 1_000 * mebibyte });
  assert.equal(plan.heapMebibytes, 200);
  assert.ok((plan.recycleBytes ?? 0) * 2 < 800 * mebibyte);
  assert.equal(plan.roomForSuccessor, true);
  const narrow = planWorkers(2, { ...large, quotaBytes: bytesNeeded(2) });
  assert.deepEqual([narrow.roomForSuccessor, narrow.recycleBytes], [false, undefined]);
  const flags = workerNodeFlags(plan, ["--inspect=0", "--enable-source-maps"]);
  assert.deepEqual(flags, [
    "--enable-source-maps",
    "--max-semi-space-size=8",
    "--max-old-space-size=200",
  ]);
  assert.deepEqual(workerNodeFlags(plan, ["--max-old-space-size=90", "--max-semi-space-size=1"]), [
    "--max-old-space-size=90",
    "--max-semi-space-size=1",
  ]);
  assert.deepEqual(workerNodeFlags(planWorkers(2, large), []), ["--max-semi-space-size=8"]);
});

test("a quota that cannot hold the workers is refused with what they need", () => {
  const machine = { ...large, quotaBytes: bytesNeeded(2) - 1 };
  assert.equal(planWorkers(1, machine).count, 1);
  assert.throws(
    () => planWorkers(2, machine),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      const needed = `workers: 2 workers need ${bytesNeeded(2) / mebibyte} MiB`;
      assert.ok(error.message.includes(needed), error.message);
      return true;
    },
  );
});

test("each death doubles the wait up to half a minute, a healthy time begins anew, and chance takes up to half", () => {
  const longest = new BackOff(() => 1);
  const waits = Array.from({ length: 10 }, () => longest.afterDeath(0));
  assert.deepEqual(waits.slice(0, 4), [200, 400, 800, 1_600]);
  assert.equal(waits.at(-1), 30_000);
  assert.equal(longest.afterDeath(healthyMs), 200);
  assert.equal(longest.afterDeath(healthyMs - 1), 400);
  assert.equal(new BackOff(() => 0).afterDeath(0), 100);
});
