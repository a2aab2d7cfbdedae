import assert from "node:assert/strict";
import { test } from "node:test";
import type { Log } from "../ports/log.ts";
import { AuditUpkeep } from "./upkeep.ts";

const day = 24 * 60 * 60 * 1000;
const now = new Date("2026-11-30T00:00:00Z");

test("records are forgotten by the earlier of both clocks, in batches, and the head is said once", async () => {
  const asked: Date[] = [];
  const said: object[] = [];
  const left = [2_000, 2_000, 7];
  const log: Log = { debug() {}, info: (fields) => said.push(fields), warn() {}, error() {} };
  const head = { sequence: 5, hash: "ab" };
  const upkeep = new AuditUpkeep({
    metadata: {
      pruneAudit: async ({ before }) => {
        asked.push(before);
        return left.shift() ?? 0;
      },
      verifyAudit: async () => ({ checked: 0, problems: [], anchor: head, head }),
    },
    // Set a year ahead.
    clock: { now: () => new Date(now.getTime() + 365 * day), monotonicMs: () => 0 },
    steady: { now: () => now },
    log,
    keepMs: 30 * day,
  });
  assert.equal(await upkeep.round(), 4_007);
  assert.deepEqual(
    new Set(asked.map((at) => at.toISOString())),
    new Set(["2026-10-31T00:00:00.000Z"]),
  );
  assert.equal(await upkeep.round(), 0);
  assert.deepEqual(said, [{ ...head, forgotten: 4_007 }]);
});
