import assert from "node:assert/strict";
import { test } from "node:test";
import {
  evaluateConditions,
  parseEntityTags,
  parseHttpDate,
  rangeApplies,
  writePreconditions,
} from "./conditions.ts";

const modifiedAt = new Date("2026-11-21T10:00:00.700Z");
const current = { etag: "abc", modifiedAt };
const at = "Sat, 21 Nov 2026 10:00:00 GMT";
const before = "Sat, 21 Nov 2026 09:59:59 GMT";

test("conditions are judged in the order of RFC 9110 §13.2.2", () => {
  const proceed = ["proceed", "proceed"];
  const table: readonly (readonly [Record<string, string>, readonly string[]])[] = [
    [{}, proceed],
    [{ "if-match": '"abc"' }, proceed],
    [{ "if-match": '"x", "abc"' }, proceed],
    [{ "if-match": "*" }, proceed],
    [{ "if-match": 'W/"abc"' }, ["precondition-failed", "precondition-failed"]],
    [{ "if-match": '"x"' }, ["precondition-failed", "precondition-failed"]],
    [{ "if-match": "" }, ["precondition-failed", "precondition-failed"]],
    [{ "if-none-match": '"abc"' }, ["not-modified", "precondition-failed"]],
    [{ "if-none-match": 'W/"abc"' }, ["not-modified", "precondition-failed"]],
    [{ "if-none-match": "*" }, ["not-modified", "precondition-failed"]],
    [{ "if-none-match": '"x"' }, proceed],
    [{ "if-none-match": '"abc' }, proceed],
    [{ "if-modified-since": at }, ["not-modified", "proceed"]],
    [{ "if-modified-since": before }, proceed],
    [{ "if-modified-since": "yesterday" }, proceed],
    [{ "if-unmodified-since": at }, proceed],
    [{ "if-unmodified-since": before }, ["precondition-failed", "precondition-failed"]],
    [{ "if-unmodified-since": "not a date" }, proceed],
    // If-Match makes If-Unmodified-Since void, If-None-Match makes If-Modified-Since void.
    [{ "if-match": '"abc"', "if-unmodified-since": before }, proceed],
    [{ "if-none-match": '"x"', "if-modified-since": at }, proceed],
    [
      { "if-match": '"x"', "if-none-match": '"abc"' },
      ["precondition-failed", "precondition-failed"],
    ],
  ];
  for (const [headers, [reading, writing]] of table) {
    const name = JSON.stringify(headers);
    assert.equal(evaluateConditions(headers, current, { reading: true }), reading, name);
    assert.equal(evaluateConditions(headers, current, { reading: false }), writing, name);
  }
});

test("where nothing exists, If-None-Match holds and If-Match does not", () => {
  const judge = (headers: Record<string, string>) =>
    evaluateConditions(headers, undefined, { reading: false });
  assert.equal(judge({ "if-none-match": "*" }), "proceed");
  assert.equal(judge({ "if-match": "*" }), "precondition-failed");
  assert.equal(judge({ "if-unmodified-since": before }), "proceed");
});

test("lists of entity tags are scanned once, quotes and commas included", () => {
  assert.deepEqual(parseEntityTags('"a,b" , W/"c",,"d"'), [
    { weak: false, value: "a,b" },
    { weak: true, value: "c" },
    { weak: false, value: "d" },
  ]);
  assert.deepEqual(parseEntityTags("abc, def"), [
    { weak: false, value: "abc" },
    { weak: false, value: "def" },
  ]);
  assert.equal(parseEntityTags(" * "), "*");
  for (const bad of ['"open', '"a""b"', '"a" b"', "W/"])
    assert.deepEqual(parseEntityTags(bad), [], bad);
  // In time on the CPU: a busy machine may take much longer.
  const before = process.cpuUsage();
  parseEntityTags('"a",'.repeat(500_000));
  parseEntityTags(`"${" ,".repeat(500_000)}`);
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 3_000_000, `${user + system} µs`);
});

test("dates come in three forms, and nonsense is no date", () => {
  const expected = Date.UTC(1994, 10, 6, 8, 49, 37);
  assert.equal(parseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT"), expected);
  assert.equal(parseHttpDate("Sunday, 06-Nov-94 08:49:37 GMT"), expected);
  assert.equal(parseHttpDate("Sun Nov  6 08:49:37 1994"), expected);
  for (const bad of [
    "",
    "0",
    "Sun, 31 Feb 2026 08:49:37 GMT",
    "Sun, 06 Foo 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 25:49:37 GMT",
    "1994-11-06T08:49:37Z",
    "x".repeat(10_000),
  ]) {
    assert.equal(parseHttpDate(bad), undefined, bad.slice(0, 40));
  }
});

test("If-Range applies only to exactly this representation", () => {
  assert.equal(rangeApplies({}, current), true);
  assert.equal(rangeApplies({ "if-range": '"abc"' }, current), true);
  assert.equal(rangeApplies({ "if-range": 'W/"abc"' }, current), false);
  assert.equal(rangeApplies({ "if-range": '"old"' }, current), false);
  assert.equal(rangeApplies({ "if-range": at }, current), true);
  assert.equal(rangeApplies({ "if-range": before }, current), false);
  assert.equal(rangeApplies({ "if-range": "garbage" }, current), false);
});

test("write conditions become data for the transaction", () => {
  assert.deepEqual(writePreconditions({}), {});
  assert.deepEqual(writePreconditions({ "if-none-match": "*" }), { ifAbsent: true });
  assert.deepEqual(writePreconditions({ "if-match": '"a", W/"b"' }), { ifMatch: ["a"] });
  assert.deepEqual(writePreconditions({ "if-match": "*" }), { ifMatch: "*" });
  assert.deepEqual(writePreconditions({ "if-none-match": '"a"' }), { ifNoneMatch: ["a"] });
  assert.deepEqual(writePreconditions({ "if-unmodified-since": before }), {
    ifUnmodifiedSinceMs: Date.UTC(2026, 10, 21, 9, 59, 59),
  });
});
