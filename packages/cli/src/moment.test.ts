import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMoment } from "./moment.ts";
import { UsageError } from "./usage-error.ts";

const now = new Date(2026, 2, 10, 15, 30);

test("a moment is a time of day that has been, a date, or both", () => {
  for (const [text, expected] of [
    ["14:00", new Date(2026, 2, 10, 14)],
    ["15:30", now],
    ["15:31", new Date(2026, 2, 9, 15, 31)],
    ["9:05:07", new Date(2026, 2, 10, 9, 5, 7)],
    ["2026-03-01", new Date(2026, 2, 1)],
    ["2026-03-01 14:00", new Date(2026, 2, 1, 14)],
    ["2026-03-01T14:00:01", new Date(2026, 2, 1, 14, 0, 1)],
    ["2026-03-01T14:00Z", new Date(Date.UTC(2026, 2, 1, 14))],
    ["2026-03-01T14:00:00+02:00", new Date(Date.UTC(2026, 2, 1, 12))],
  ] as const) {
    assert.deepEqual(parseMoment(text, now), expected, text);
  }
});

test("what is no moment is refused", () => {
  const wrong = ["", "now", "24:00", "12:60", "2026-02-30", "2026-13-01", "2026-03-01T25:00Z", "7"];
  for (const text of wrong) assert.throws(() => parseMoment(text, now), UsageError, text);
});
