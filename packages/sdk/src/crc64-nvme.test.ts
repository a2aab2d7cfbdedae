/** The CRC against its published check value and against a slow bit-by-bit reference. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Crc64Nvme, crc64Nvme } from "./crc64-nvme.ts";

function reference(bytes: Uint8Array): string {
  let state = 0xffffffffffffffffn;
  for (const byte of bytes) {
    state ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) {
      state = (state & 1n) === 1n ? (state >> 1n) ^ 0x9a6c9329ac4bc9b5n : state >> 1n;
    }
  }
  return (state ^ 0xffffffffffffffffn).toString(16).padStart(16, "0");
}

test("the CRC of 123456789 is the catalogue's check value", () => {
  assert.equal(crc64Nvme(new TextEncoder().encode("123456789")), "ae8b14860a799888");
  assert.equal(crc64Nvme(new Uint8Array()), "0000000000000000");
});

test("every length from 0 to 70, cut anywhere, agrees with the bit-by-bit reference", () => {
  for (let length = 0; length <= 70; length++) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 151 + length * 7) & 255);
    const expected = reference(bytes);
    for (let cut = 0; cut <= length; cut += 3) {
      const crc = new Crc64Nvme().update(bytes.subarray(0, cut)).update(bytes.subarray(cut));
      assert.equal(crc.hex, expected, `length ${length} cut at ${cut}`);
    }
  }
});
