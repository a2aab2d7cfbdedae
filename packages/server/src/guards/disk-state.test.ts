import assert from "node:assert/strict";
import { test } from "node:test";
import { diskConfig } from "./config.ts";
import { type DiskSample, type DiskState, judge } from "./disk-state.ts";

const GiB = 1024 ** 3;
const watermarks = diskConfig.parse({});

function sample(found: Partial<DiskSample>): DiskSample {
  return {
    ...{ bytes: 100 * GiB, freeBytes: 50 * GiB, inodes: 1_000_000, freeInodes: 500_000 },
    isReadOnly: false,
    ...found,
  };
}

const table: readonly (readonly [string, Partial<DiskSample>, DiskState, DiskState])[] = [
  ["plenty", {}, "ok", "ok"],
  ["a large disk is judged by bytes, not by shares", { freeBytes: 6 * GiB }, "ok", "ok"],
  ["below 5 GiB", { freeBytes: 4.9 * GiB }, "ok", "low"],
  ["once low, a little more is not enough", { freeBytes: 5.5 * GiB }, "low", "low"],
  ["a fifth more is", { freeBytes: 6.1 * GiB }, "low", "ok"],
  ["below 1 GiB", { freeBytes: 0.9 * GiB }, "low", "full"],
  ["once full, a little more is not enough", { freeBytes: 1.1 * GiB }, "full", "full"],
  ["a fifth more is for writes", { freeBytes: 1.3 * GiB }, "full", "low"],
  ["all of it at once", { freeBytes: 50 * GiB }, "full", "ok"],
  ["a small disk is judged by shares", { bytes: GiB, freeBytes: 0.1 * GiB }, "ok", "low"],
  ["and has its hard watermark", { bytes: GiB, freeBytes: 0.04 * GiB }, "ok", "full"],
  ["few inodes", { freeInodes: 49_000 }, "ok", "low"],
  ["no inodes", { freeInodes: 0 }, "low", "full"],
  ["a small disk has few inodes", { inodes: 1000, freeInodes: 40 }, "ok", "full"],
  ["no count of inodes", { inodes: 0, freeInodes: 0 }, "ok", "ok"],
  ["a pseudo file system without blocks", { bytes: 0, freeBytes: 0, inodes: 0 }, "ok", "ok"],
  ["read-only", { isReadOnly: true }, "ok", "read_only"],
  ["read-only no more", {}, "read_only", "ok"],
];

for (const [name, found, before, after] of table) {
  test(`${name}: from ${before} to ${after}`, () => {
    assert.equal(judge(sample(found), watermarks, before).state, after);
  });
}

test("what is short is said", () => {
  assert.equal(judge(sample({ freeBytes: GiB / 2 }), watermarks, "ok").short, "bytes");
  assert.equal(judge(sample({ freeInodes: 20_000 }), watermarks, "ok").short, "inodes");
});

test("a hard watermark above the soft one is refused, by its name", () => {
  const { error } = diskConfig.safeParse({ hardBytes: "6 GiB" });
  assert.deepEqual(error?.issues[0]?.path, ["hardBytes"]);
});
