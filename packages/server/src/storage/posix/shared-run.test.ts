import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SharedRun } from "./shared-run.ts";

test("a run that had begun before the call is not the caller's, and the next one is shared", async () => {
  let begun = 0;
  const gates: (() => void)[] = [];
  const run = new SharedRun(async () => {
    begun += 1;
    const number = begun;
    await new Promise<void>((resolve) => gates.push(resolve));
    return number;
  });
  const first = run.request();
  const later = [run.request(), run.request(), run.request()];
  assert.equal(begun, 1);
  gates[0]?.();
  assert.equal(await first, 1);
  const latest = run.request();
  gates[1]?.();
  assert.deepEqual(await Promise.all(later), [2, 2, 2]);
  gates[2]?.();
  assert.equal(await latest, 3);
  assert.equal(run.idle, true);
});

test("a run that fails fails its own callers only", async () => {
  let turn = 0;
  const run = new SharedRun(async () => {
    turn += 1;
    await Promise.resolve();
    if (turn === 1) throw new Error("first");
    return turn;
  });
  const [first, second] = [run.request(), run.request()];
  await assert.rejects(first, /first/);
  assert.equal(await second, 2);
});
