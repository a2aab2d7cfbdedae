import assert from "node:assert/strict";
import { randomBytes, randomInt } from "node:crypto";
import { describe, test } from "node:test";
import { crc32c } from "./crc32c.ts";

describe("CRC-32C", () => {
  // RFC 3720 §B.4; the sums are printed there from the lowest byte on.
  const ascending = Uint8Array.from({ length: 32 }, (_, index) => index);
  const vectors: readonly (readonly [string, Uint8Array, number])[] = [
    ["nothing", new Uint8Array(), 0],
    ["32 zeros", new Uint8Array(32), 0x8a9136aa],
    ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ["32 ascending", ascending, 0x46dd794e],
    ["32 descending", ascending.toReversed(), 0x113fdb5c],
    ["the check value", Buffer.from("123456789"), 0xe3069283],
  ];
  for (const [name, bytes, sum] of vectors) {
    test(name, () => assert.equal(crc32c(bytes), sum));
  }

  test("is the same however the bytes are cut and where they lie in memory", () => {
    for (let round = 0; round < 200; round += 1) {
      const memory = randomBytes(randomInt(1, 300));
      const bytes = memory.subarray(randomInt(0, memory.length));
      const cut = randomInt(0, bytes.length + 1);
      const expected = bitByBit(bytes);
      assert.equal(crc32c(bytes), expected);
      assert.equal(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut))), expected);
    }
  });
});

/** The definition itself. */
function bitByBit(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit += 1)
      value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  }
  return ~value >>> 0;
}
