import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTraceparent, parseTraceparent } from "./traceparent.ts";

const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const span = "00f067aa0ba902b7";

test("a traceparent is read and written as W3C has it", () => {
  const parsed = parseTraceparent(`00-${trace}-${span}-01`);
  assert.deepEqual(parsed, { traceId: trace, spanId: span, traceFlags: 1 });
  assert.ok(parsed);
  assert.equal(formatTraceparent(parsed), `00-${trace}-${span}-01`);
  assert.equal(parseTraceparent(`00-${trace}-${span}-00`)?.traceFlags, 0);
  assert.ok(parseTraceparent(`01-${trace}-${span}-01-what-comes-later`));
});

test("what is none is none", () => {
  for (const text of [
    undefined,
    "",
    "no",
    `ff-${trace}-${span}-01`,
    `00-${"0".repeat(32)}-${span}-01`,
    `00-${trace}-${"0".repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${span}-01`,
    `00-${trace}-${span}-01-more`,
    `00-${trace}-${span}`,
  ]) {
    assert.equal(parseTraceparent(text), undefined, String(text));
  }
});
