import assert from "node:assert/strict";
import { test } from "node:test";
import { type Wanted, wantedBytes } from "./ranges.ts";

const facts = { size: 100, etag: '"e"', lastModified: "Thu, 01 Jan 2026 00:00:00 GMT" };
const whole: Wanted = { kind: "whole" };
const unsatisfiable: Wanted = { kind: "unsatisfiable" };
const range = (first: number, last: number): Wanted => ({ kind: "range", first, last });

for (const [field, wanted] of [
  ["bytes=0-0", range(0, 0)],
  ["bytes=0-99", range(0, 99)],
  ["bytes=10-", range(10, 99)],
  ["bytes=90-1000", range(90, 99)],
  ["bytes=-1", range(99, 99)],
  ["bytes=-1000", range(0, 99)],
  ["Bytes= 5 - 6 ", range(5, 6)],
  ["bytes=100-", unsatisfiable],
  ["bytes=100-200", unsatisfiable],
  ["bytes=-0", unsatisfiable],
  ["bytes=7-5", whole],
  ["bytes=-", whole],
  ["bytes=a-b", whole],
  ["bytes=0-1,4-5", whole],
  ["pages=1-2", whole],
] as const) {
  test(`${field} of 100 bytes is ${JSON.stringify(wanted)}`, () => {
    assert.deepEqual(wantedBytes({ range: field }, facts), wanted);
  });
}

test("nothing of an empty file can be had by a range", () => {
  assert.deepEqual(wantedBytes({ range: "bytes=0-" }, { ...facts, size: 0 }), unsatisfiable);
  assert.deepEqual(wantedBytes({ range: "bytes=-5" }, { ...facts, size: 0 }), unsatisfiable);
});

for (const [condition, holds] of [
  ['"e"', true],
  [facts.lastModified, true],
  ['"other"', false],
  ['W/"e"', false],
  ["Thu, 01 Jan 2026 00:00:01 GMT", false],
] as const) {
  test(`If-Range ${condition} ${holds ? "keeps the range" : "asks for the whole"}`, () => {
    const headers = { range: "bytes=0-1", "if-range": condition };
    assert.deepEqual(wantedBytes(headers, facts), holds ? range(0, 1) : whole);
  });
}
