import assert from "node:assert/strict";
import { test } from "node:test";
import { formatBytes, formatDuration, parseBytes, parseDuration } from "./units.ts";

test("sizes are parsed with binary and decimal units", () => {
  const table: readonly (readonly [string | number, number | undefined])[] = [
    ["64 MiB", 64 * 1024 ** 2],
    ["64MiB", 64 * 1024 ** 2],
    ["1.5 gib", 1.5 * 1024 ** 3],
    ["10 GB", 10_000_000_000],
    ["0.1 GB", 100_000_000],
    ["5 TiB", 5 * 1024 ** 4],
    ["4096", 4096],
    ["3 bytes", 3],
    [0, 0],
    [12, 12],
    [-1, undefined],
    [1.5, undefined],
    [Number.NaN, undefined],
    ["1.5 bytes", undefined],
    ["", undefined],
    ["MiB", undefined],
    ["1 mb b", undefined],
    ["-1 KiB", undefined],
    ["1e3", undefined],
    ["1 constructor", undefined],
    ["9999999999 TiB", undefined],
    ["9".repeat(10_000), undefined],
  ];
  for (const [text, expected] of table) assert.equal(parseBytes(text), expected, String(text));
});

test("times are parsed to milliseconds", () => {
  const table: readonly (readonly [string | number, number | undefined])[] = [
    ["30 s", 30_000],
    ["15 min", 900_000],
    ["24 h", 86_400_000],
    ["7 days", 604_800_000],
    ["250 ms", 250],
    ["1.5 s", 1500],
    ["90", 90],
    [5, 5],
    ["1 month", undefined],
    ["s", undefined],
  ];
  for (const [text, expected] of table) assert.equal(parseDuration(text), expected, String(text));
});

test("what is formatted parses back to the same number", () => {
  for (const value of [
    0,
    1,
    1000,
    1024,
    1536,
    65_536,
    64 * 1024 ** 2,
    5 * 1024 ** 4,
    123_456_789,
  ]) {
    assert.equal(parseBytes(formatBytes(value)), value, formatBytes(value));
  }
  for (const value of [0, 1, 250, 1000, 1500, 900_000, 86_400_000, 604_800_000, 61_001]) {
    assert.equal(parseDuration(formatDuration(value)), value, formatDuration(value));
  }
  assert.equal(formatBytes(64 * 1024 ** 2), "64 MiB");
  assert.equal(formatDuration(86_400_000), "24 h");
  assert.equal(formatDuration(604_800_000), "7 days");
});
