/** What an object keeps of its parts: sizes as short texts, and where each part lies. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  checksumOf,
  checksumText,
  frontEndAttributes,
  multipartAttributes,
  partRangeOf,
  partSizesOf,
  partSizesText,
} from "./object-attributes.ts";
import { isUploadId, newUploadId } from "./upload-id.ts";

test("sizes of parts are written as runs and come back", () => {
  for (const [sizes, text] of [
    [[5], "5"],
    [[8, 8, 8, 1], "8*3,1"],
    [[8, 1, 8, 8, 0], "8,1,8*2,0"],
    [Array.from({ length: 10_000 }, () => 8_388_608), "8388608*10000"],
  ] as const) {
    assert.equal(partSizesText(sizes), text);
    assert.deepEqual(partSizesOf({ [multipartAttributes.partSizes]: text }), sizes);
  }
  assert.equal(partSizesOf({}), undefined);
});

test("a part lies behind those before it", () => {
  const sizes = [10, 0, 5];
  assert.deepEqual(partRangeOf(sizes, 1), { firstByte: 0, lastByte: 9 });
  assert.deepEqual(partRangeOf(sizes, 2), { firstByte: 10, lastByte: 9 });
  assert.deepEqual(partRangeOf(sizes, 3), { firstByte: 10, lastByte: 14 });
  for (const number of [0, 4, 1.5]) assert.equal(partRangeOf(sizes, number), undefined);
});

test("the checksum of an upload is kept apart from what its front end gave", () => {
  const checksum = { name: "crc32c", type: "full-object" } as const;
  const attributes = {
    "cache-control": "x",
    [multipartAttributes.checksum]: checksumText(checksum),
  };
  assert.deepEqual(checksumOf(attributes), checksum);
  assert.equal(checksumOf({ [multipartAttributes.checksum]: "md4:other" }), undefined);
  assert.deepEqual(frontEndAttributes(attributes), { "cache-control": "x" });
});

test("ids of uploads are in order of time, and no two are alike", () => {
  const ids = [0, 1, 999, 2 ** 40].map((ms) => newUploadId(new Date(ms)));
  assert.deepEqual([...ids].sort(), ids);
  assert.ok(ids.every(isUploadId));
  assert.notEqual(newUploadId(new Date(0)), newUploadId(new Date(0)));
  for (const other of ["", "../x", `${ids[0]}0`, "é".repeat(32)])
    assert.equal(isUploadId(other), false);
});
