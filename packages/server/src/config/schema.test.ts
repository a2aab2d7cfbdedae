import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { z } from "zod";
import { bytes, duration, secret } from "./schema.ts";
import { Secret } from "./secret.ts";

test("a default may carry its unit, before and after a description", () => {
  const schema = z.strictObject({
    part: bytes({ min: "5 MiB", max: "5 GiB" }).default("8 MiB").describe("size of a part"),
    idle: duration().describe("time without a byte").default("30 s"),
  });
  assert.deepEqual(schema.parse({}), { part: 8 * 1024 ** 2, idle: 30_000 });
  assert.deepEqual(schema.parse({ part: "6 MiB", idle: 5 }), { part: 6 * 1024 ** 2, idle: 5 });
});

test("bounds are named with their units", () => {
  const schema = bytes({ min: "5 MiB", max: "5 GiB" });
  const message = (value: unknown) => schema.safeParse(value).error?.issues[0]?.message;
  assert.equal(message("1 MiB"), "must be at least 5 MiB");
  assert.equal(message("6 GiB"), "must be at most 5 GiB");
  assert.equal(message("6 apples"), '"6 apples" is not a size like "64 MiB"');
  assert.equal(message(true), 'must be a size like "64 MiB"');
});

test("a default that is no size is a defect found when the schema is made", () => {
  assert.throws(() => bytes().default("many"), TypeError);
});

test("a secret prints redacted in every way, and is revealed on request", () => {
  const value = secret().parse("hunter2");
  assert.ok(value instanceof Secret);
  for (const printed of [
    String(value),
    `${value.toString()}`,
    JSON.stringify({ value }),
    inspect(value),
    inspect({ deep: { value } }, { showHidden: true, depth: 9 }),
    Object.entries(value).join(),
  ]) {
    assert.doesNotMatch(printed, /hunter2/);
  }
  assert.equal(value.reveal(), "hunter2");
});
