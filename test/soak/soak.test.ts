/** The short form of `npm run soak`: what was acknowledged is whole after workers were killed, paused and replaced. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seedGiven } from "../harness/random.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { judge } from "./judge.ts";
import { runSoak } from "./soak.ts";

test("25 s of mixed traffic with random faults: every acknowledged object is whole", async (t) => {
  const seed = seedGiven();
  t.diagnostic(`ROMA_TEST_SEED=${seed}`);
  const report = await runSoak({
    data: await temporaryFolder(t),
    ...{ seconds: 25, clients: 6, workers: 2, seed },
    print: (line) => t.diagnostic(line),
  });
  const { acknowledged, refused, unknown, counts } = report;
  t.diagnostic(JSON.stringify({ acknowledged, refused, unknown, counts }));
  assert.deepEqual(judge(report), []);
});
