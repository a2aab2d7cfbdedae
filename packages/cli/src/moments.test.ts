import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMoment } from "./moments.ts";
import { UsageError } from "./usage-error.ts";

test("moments are read as people write them, and nothing else is", () => {
  const now = new Date(2026, 10, 30, 15, 30, 12);
  const cases: readonly (readonly [string, Date])[] = [
    ["2 h", new Date(2026, 10, 30, 13, 30, 12)],
    ["90s", new Date(2026, 10, 30, 15, 28, 42)],
    ["3d", new Date(2026, 10, 27, 15, 30, 12)],
    ["14:00", new Date(2026, 10, 30, 14, 0, 0)],
    ["9:05:07", new Date(2026, 10, 30, 9, 5, 7)],
    ["2026-11-29", new Date(2026, 10, 29)],
    ["2026-11-29 08:00", new Date(2026, 10, 29, 8)],
    ["2026-11-29T08:00:00Z", new Date("2026-11-29T08:00:00Z")],
  ];
  for (const [text, expected] of cases) {
    assert.equal(parseMoment("--since", text, now).getTime(), expected.getTime(), text);
  }
  for (const text of ["", "yesterday", "25:00", "14:61", "2026-13-01", "2026", "2 x", "-1h"]) {
    assert.throws(() => parseMoment("--since", text, now), UsageError, text);
  }
});
