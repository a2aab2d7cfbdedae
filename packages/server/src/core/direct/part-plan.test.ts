import assert from "node:assert/strict";
import { test } from "node:test";
import { GiB, MiB, TiB } from "@roma/contract";
import { type ErrorCode, isOperationalError } from "../errors.ts";
import { chooseAll, partLength, planParts } from "./part-plan.ts";

const bounds = { partBytesMin: 5 * MiB, partBytesMax: 5 * GiB, partsMax: 10_000 };

test("parts are as large as is wished for, within what the storage takes", () => {
  const sizes = (length: number, wished?: number) => {
    const { partBytes, partCount } = planParts(length, bounds, wished);
    return [partBytes, partCount];
  };
  assert.deepEqual(sizes(0), [8 * MiB, 1]);
  assert.deepEqual(sizes(8 * MiB), [8 * MiB, 1]);
  assert.deepEqual(sizes(8 * MiB + 1), [8 * MiB, 2]);
  assert.deepEqual(sizes(20 * MiB, 1), [5 * MiB, 4]);
  assert.deepEqual(sizes(20 * MiB, 20 * MiB), [20 * MiB, 1]);
  assert.deepEqual(sizes(6 * GiB, 6 * GiB), [5 * GiB, 2]);
  assert.deepEqual(sizes(80_000 * MiB), [8 * MiB, 10_000]);
  assert.deepEqual(sizes(80_000 * MiB + 1), [9 * MiB, 8_889]);
  assert.deepEqual(sizes(5 * TiB), [525 * MiB, 9_987]);
  const small = { ...bounds, partBytesMax: 6 * MiB };
  assert.throws(() => planParts(60_000 * MiB + 1, small), hasCode("too_large"));
});

test("every part has one length, and all together the upload's", () => {
  for (const length of [0, 1, 8 * MiB, 8 * MiB + 1, 100 * MiB + 3]) {
    const plan = planParts(length, bounds);
    let sum = 0;
    for (let number = 1; number <= plan.partCount; number += 1)
      sum += partLength(plan, number) ?? 0;
    assert.equal(sum, length);
    for (const number of [0, plan.partCount + 1, 1.5, Number.NaN, -1]) {
      assert.equal(partLength(plan, number), undefined);
    }
  }
});

test("all parts are there with their lengths, and as they are named", () => {
  const plan = { length: 25, partBytes: 10, partCount: 3 };
  const part = (length: number, etag: string) => ({ length, etag });
  const stored = new Map([
    [2, part(10, "B")],
    [1, part(10, "a")],
    [3, part(5, "c")],
  ]);
  const chosen = chooseAll(plan, stored, undefined);
  assert.deepEqual(
    chosen.map(({ number, etag }) => [number, etag]),
    [
      [1, "a"],
      [2, "B"],
      [3, "c"],
    ],
  );
  const names = [
    { number: 1, etag: "a" },
    { number: 2, etag: "b" },
    { number: 3, etag: "c" },
  ];
  assert.equal(chooseAll(plan, stored, names).length, 3);
  const refused = (parts: typeof stored, named: typeof names | undefined, reason: string) =>
    assert.throws(
      () => chooseAll(plan, parts, named),
      (error) =>
        hasCode("invalid_part")(error) && Reflect.get(error as object, "context").reason === reason,
    );
  refused(new Map([...stored].slice(1)), undefined, "missing");
  refused(new Map([...stored, [3, part(10, "c")]]), undefined, "length");
  refused(new Map([...stored, [4, part(10, "d")]]), undefined, "unknown");
  refused(stored, names.slice(1), "missing");
  refused(stored, [...names.slice(1), { number: 1, etag: "x" }], "etag");
});

const hasCode = (code: ErrorCode) => (error: unknown) => isOperationalError(error, code);
