import { strict as assert } from "node:assert";
import { test } from "node:test";
import { BlockSums } from "./block-sums.ts";
import { type BlockFailure, BlockVerifier, blockAlignedRange } from "./block-verifier.ts";
import { crc64Nvme } from "./crc64-nvme.ts";
import { type Random, seededTest } from "./seeded.ts";

const blockBytes = 16;

function store(random: Random, length: number) {
  const body = random.bytes(length);
  const sums = new BlockSums({ blockBytes }).update(body).finish();
  return { body, expected: { length, ...sums } };
}

function verify(verifier: BlockVerifier, bytes: Uint8Array, random: Random) {
  for (let start = 0; start < bytes.length; ) {
    const end = start + 1 + random.below(random.pick([2, 20, 60]));
    const failure = verifier.update(bytes.subarray(start, end));
    if (failure !== undefined) {
      assert.deepEqual(verifier.finish(), failure);
      assert.deepEqual(verifier.update(bytes), failure);
      return failure;
    }
    start = end;
  }
  return verifier.finish();
}

seededTest("any aligned range of a whole body is proven to its end", (random) => {
  for (let round = 0; round < 300; round += 1) {
    const { body, expected } = store(random, 1 + random.below(100));
    const firstByte = random.below(body.length);
    const lastByte = firstByte + random.below(body.length - firstByte);
    const range = blockAlignedRange(firstByte, lastByte, expected);
    const verifier = new BlockVerifier(expected, range);
    const bytes = body.subarray(range.firstByte, range.lastByte + 1);
    assert.equal(verify(verifier, bytes, random), undefined);
    assert.equal(verifier.verifiedEnd, range.lastByte + 1);
  }
});

seededTest("a flipped bit is found at any place, and what came before stays proven", (random) => {
  const { body, expected } = store(random, 5 * blockBytes + 3);
  for (let at = 0; at < body.length; at += 1) {
    const wrong = Uint8Array.from(body);
    wrong[at] = (body[at] ?? 0) ^ (1 << random.below(8));
    const blockIndex = Math.floor(at / blockBytes);
    const start = blockIndex * blockBytes;
    for (let firstByte = 0; firstByte <= start; firstByte += blockBytes) {
      const verifier = new BlockVerifier(expected, { firstByte });
      const failure: BlockFailure = {
        reason: "corrupt",
        blockIndex,
        expected: crc64Nvme(body.subarray(start, start + blockBytes)),
        actual: crc64Nvme(wrong.subarray(start, start + blockBytes)),
      };
      assert.deepEqual(verify(verifier, wrong.subarray(firstByte), random), failure);
      assert.equal(verifier.verifiedEnd, start);
    }
  }
});

seededTest("missing bytes are found at the end of the read, at blocks' ends too", (random) => {
  const { body, expected } = store(random, 3 * blockBytes + 3);
  for (let length = 0; length < body.length; length += 1) {
    const verifier = new BlockVerifier(expected);
    const blockIndex = Math.floor(length / blockBytes);
    const failure = { reason: "short", blockIndex, expected: body.length, actual: length };
    assert.deepEqual(verify(verifier, body.subarray(0, length), random), failure);
    assert.equal(verifier.verifiedEnd, blockIndex * blockBytes);
  }
});

seededTest("bytes past the range are found at once", (random) => {
  const { body, expected } = store(random, 3 * blockBytes + 3);
  for (const lastByte of [15, 31, 47, 50]) {
    const bytes = new Uint8Array(lastByte + 2);
    bytes.set(body.subarray(0, lastByte + 2));
    const verifier = new BlockVerifier(expected, { lastByte });
    const blockIndex = Math.floor((lastByte + 1) / blockBytes);
    const failure = { reason: "long", blockIndex, expected: lastByte + 1, actual: lastByte + 2 };
    assert.deepEqual(verify(verifier, bytes, random), failure);
    assert.equal(verifier.verifiedEnd, lastByte + 1);
  }
});

seededTest("missing or extra bytes in the middle are found", (random) => {
  const { body, expected } = store(random, 3 * blockBytes + 3);
  for (let round = 0; round < 100; round += 1) {
    const at = random.below(body.length);
    const without = Buffer.concat([body.subarray(0, at), body.subarray(at + 1)]);
    assert.notEqual(verify(new BlockVerifier(expected), without, random), undefined);
    const extra = Buffer.concat([body.subarray(0, at), random.bytes(1), body.subarray(at)]);
    assert.notEqual(verify(new BlockVerifier(expected), extra, random), undefined);
  }
});

test("an empty body is proven by no bytes, and not by one", () => {
  const expected = { length: 0, blockBytes, sums: new Uint8Array(0) };
  assert.equal(new BlockVerifier(expected).finish(), undefined);
  const failure = new BlockVerifier(expected).update(new Uint8Array(1));
  assert.deepEqual(failure, { reason: "long", blockIndex: 0, expected: 0, actual: 1 });
});

test("a range grows to whole blocks and stays inside the body", () => {
  const body = { length: 40, blockBytes };
  assert.deepEqual(blockAlignedRange(0, 0, body), { firstByte: 0, lastByte: 15 });
  assert.deepEqual(blockAlignedRange(15, 16, body), { firstByte: 0, lastByte: 31 });
  assert.deepEqual(blockAlignedRange(16, 31, body), { firstByte: 16, lastByte: 31 });
  assert.deepEqual(blockAlignedRange(33, 39, body), { firstByte: 32, lastByte: 39 });
  assert.deepEqual(blockAlignedRange(39, 99, body), { firstByte: 32, lastByte: 39 });
  assert.throws(() => blockAlignedRange(40, 40, body));
  assert.throws(() => blockAlignedRange(2, 1, body));
});

test("ranges that cut a block and sums that do not fit are refused", () => {
  const expected = { length: 40, blockBytes, sums: new Uint8Array(24) };
  assert.throws(() => new BlockVerifier(expected, { firstByte: 8 }));
  assert.throws(() => new BlockVerifier(expected, { firstByte: -16 }));
  assert.throws(() => new BlockVerifier(expected, { lastByte: 20 }));
  assert.throws(() => new BlockVerifier(expected, { lastByte: 40 }));
  assert.throws(() => new BlockVerifier({ ...expected, length: 50 }));
  assert.throws(() => new BlockVerifier({ ...expected, length: 39.5 }));
});
