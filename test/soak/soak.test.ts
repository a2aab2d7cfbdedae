/**
 * The short form of `npm run soak`: what was acknowledged is whole after workers were killed, paused and
 * replaced, disks were full and a storage failed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { seedGiven } from "../harness/random.ts";
import { temporaryFolder } from "../harness/server-process.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { mountDisks } from "./disks.ts";
import { judge } from "./judge.ts";
import { runSoak } from "./soak.ts";

const dataBytes = 256 * 1024 * 1024;

test("mixed traffic with random faults: every acknowledged object is whole", async (t) => {
  const seed = seedGiven();
  t.diagnostic(`ROMA_TEST_SEED=${seed}`);
  let canMount = false;
  await t.test("disks fill up too", (t) => {
    canMount = requirePrerequisite(t, "tmpfs");
  });
  const folder = await temporaryFolder(t);
  const disks = canMount ? await mountDisks(folder, dataBytes) : undefined;
  cleanUp(t, () => disks?.[Symbol.asyncDispose]());
  const report = await runSoak({
    ...{ folder, disks, seconds: 10, clients: 6, workers: 2, seed, faultMsMax: 400 },
    print: (line) => t.diagnostic(line),
  });
  const { acknowledged, refused, unknown, counts } = report;
  t.diagnostic(JSON.stringify({ acknowledged, refused, unknown, counts }));
  assert.deepEqual(judge(report), []);
});
