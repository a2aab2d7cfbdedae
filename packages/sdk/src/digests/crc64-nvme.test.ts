/** The CRC against its published check value and against a slow bit-by-bit reference. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { combineCrc64Nvme, crc64Nvme, makeCrc64Nvme, startCrc64Nvme } from "./crc64-nvme.ts";

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
      const crc = startCrc64Nvme();
      crc.update(bytes.subarray(0, cut));
      crc.update(bytes.subarray(cut));
      assert.equal(crc.hex(), expected, `length ${length} cut at ${cut}`);
    }
  }
});

test("CRCs of two parts combine to that of the whole, whatever their lengths", () => {
  for (const [a, b] of [
    [0, 0],
    [0, 9],
    [9, 0],
    [1, 1],
    [7, 4096],
    [65_537, 100_003],
  ] as const) {
    const [first, second] = [randomBytes(a), randomBytes(b)];
    const combined = combineCrc64Nvme(crc64Nvme(first), crc64Nvme(second), b);
    assert.equal(combined, crc64Nvme(Buffer.concat([first, second])), `${a} and ${b} bytes`);
  }
});

test("a part of 5 TiB of zeros combines as 40 doublings of it do", () => {
  let zeros = crc64Nvme(new Uint8Array(5));
  for (let length = 5; length < 5 * 2 ** 40; length *= 2) {
    zeros = combineCrc64Nvme(zeros, zeros, length);
  }
  const first = crc64Nvme(Buffer.from("first"));
  const atOnce = combineCrc64Nvme(first, zeros, 5 * 2 ** 40);
  let half = crc64Nvme(new Uint8Array(5));
  for (let length = 5; length < 5 * 2 ** 39; length *= 2)
    half = combineCrc64Nvme(half, half, length);
  const inTwo = combineCrc64Nvme(combineCrc64Nvme(first, half, 5 * 2 ** 39), half, 5 * 2 ** 39);
  assert.equal(atOnce, inTwo);
});

test("its source works by itself, as a worker runs it", () => {
  const start: typeof startCrc64Nvme = new Function(`return (${makeCrc64Nvme})()`)();
  const crc = start();
  crc.update(Buffer.from("123456789"));
  assert.equal(crc.hex(), "ae8b14860a799888");
});
