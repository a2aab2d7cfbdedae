import assert from "node:assert/strict";
import { test } from "node:test";
import { isOperationalError } from "./errors.ts";
import {
  newUploadState,
  nextUploadState,
  offsetOf,
  type UploadEvent,
  type UploadState,
} from "./upload.ts";

const run = (state: UploadState, ...events: UploadEvent[]) => events.reduce(nextUploadState, state);

test("bytes move the offset, and the exact length completes", () => {
  const state = run(
    newUploadState(10),
    { event: "received", bytes: 4 },
    { event: "received", bytes: 6 },
    { event: "finished" },
    { event: "committed", version: "v" },
  );
  assert.deepEqual(state, { phase: "complete", length: 10, version: "v" });
});

test("an unknown length becomes what was received", () => {
  const state = run(
    newUploadState("unknown"),
    { event: "received", bytes: 7 },
    { event: "finished" },
  );
  assert.deepEqual(state, { phase: "completing", length: 7 });
});

test("a byte too many and a byte too few are incomplete_body", () => {
  const isIncomplete = (error: unknown) => isOperationalError(error, "incomplete_body");
  assert.throws(() => run(newUploadState(3), { event: "received", bytes: 4 }), isIncomplete);
  assert.throws(
    () => run(newUploadState(3), { event: "received", bytes: 2 }, { event: "finished" }),
    isIncomplete,
  );
});

test("a late or repeated cancel never undoes a complete upload", () => {
  const complete = run(
    newUploadState(0),
    { event: "finished" },
    { event: "committed", version: "v" },
  );
  assert.equal(run(complete, { event: "cancelled", reason: "expired" }), complete);
  const cancelled = run(
    newUploadState(5),
    { event: "received", bytes: 2 },
    { event: "cancelled", reason: "client" },
  );
  assert.equal(run(cancelled, { event: "cancelled", reason: "expired" }), cancelled);
  assert.equal(offsetOf(cancelled), 2);
});

test("what is not drawn cannot happen", () => {
  const committed: UploadEvent = { event: "committed", version: "v" };
  assert.throws(() => run(newUploadState(1), committed), assert.AssertionError);
  const completing = run(newUploadState(0), { event: "finished" });
  assert.throws(() => run(completing, { event: "received", bytes: 1 }), assert.AssertionError);
  assert.throws(() => run(completing, { event: "finished" }), assert.AssertionError);
});
