import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  Crc64Nvme,
  combineCrc64Nvme,
  crc64Nvme,
  crc64NvmeFromBytes,
  crc64NvmeToBytes,
} from "./crc64-nvme.ts";
import { seededTest } from "./seeded.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The definition, bit by bit; shares nothing with the module. */
function referenceCrc(bytes: Uint8Array): bigint {
  let state = 0xffff_ffff_ffff_ffffn;
  for (const byte of bytes) {
    state ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) {
      state = (state & 1n) === 1n ? (state >> 1n) ^ 0x9a6c9329ac4bc9b5n : state >> 1n;
    }
  }
  return state ^ 0xffff_ffff_ffff_ffffn;
}

// The first is the check value in the catalogue of CRCs. Those of "@" and of 32 bytes are in the
// tests of crc64fast-nvme, those of 4096 bytes in the NVM Command Set specification 1.0d §5.2.1.3.5.
const vectors: readonly (readonly [string, Uint8Array, bigint])[] = [
  ["123456789", ascii("123456789"), 0xae8b14860a799888n],
  ["nothing", new Uint8Array(0), 0n],
  ["one byte", ascii("@"), 0x2808afa9582aa47n],
  ["32 zero bytes", new Uint8Array(32), 0xcf3473434d4ecf3bn],
  ["32 bytes of 0xff", new Uint8Array(32).fill(0xff), 0xa0a06974c34d63c4n],
  ["4096 zero bytes", new Uint8Array(4096), 0x6482d367eb22b64en],
  ["4096 bytes of 0xff", new Uint8Array(4096).fill(0xff), 0xc0ddba7302eca3acn],
  ["4096 bytes up", Uint8Array.from({ length: 4096 }, (_, i) => i), 0x3e729f5f6750449cn],
  ["4096 bytes down", Uint8Array.from({ length: 4096 }, (_, i) => 255 - i), 0x9a2df64b8e9e517en],
];

for (const [name, bytes, expected] of vectors) {
  test(`the CRC of ${name} is the published one`, () => {
    assert.equal(crc64Nvme(bytes), expected);
    assert.equal(referenceCrc(bytes), expected);
  });
}

seededTest("every length up to 400 and around each limit agrees with the definition", (random) => {
  // 1370 and 2560 are the reach and the start of folding; 65536 is the most the module takes.
  const around = [1370, 1376, 2560, 2576, 4096, 65_536, 65_536 + 2560].flatMap((length) =>
    Array.from({ length: 35 }, (_, index) => length - 17 + index),
  );
  const bytes = random.bytes(70_000);
  for (const length of around) {
    assert.equal(crc64Nvme(bytes.subarray(0, length)), tableCrc(bytes.subarray(0, length)));
  }
  for (let length = 0; length <= 400; length += 1) {
    assert.equal(crc64Nvme(bytes.subarray(0, length)), referenceCrc(bytes.subarray(0, length)));
  }
  assert.equal(crc64Nvme(bytes), referenceCrc(bytes));
});

seededTest("a body may be split anywhere, and digests may take turns", (random) => {
  for (let round = 0; round < 60; round += 1) {
    const bodies = [0, 1, 2].map(() => random.bytes(random.below(300_000)));
    const digests = bodies.map(() => new Crc64Nvme());
    const offsets = bodies.map(() => 0);
    while (bodies.some((body, index) => (offsets[index] ?? 0) < body.length)) {
      for (const [index, body] of bodies.entries()) {
        const start = offsets[index] ?? 0;
        const size = random.below(random.pick([2, 50, 5000, 150_000]));
        digests[index]?.update(body.subarray(start, start + size));
        offsets[index] = Math.min(body.length, start + size);
      }
    }
    for (const [index, body] of bodies.entries()) {
      assert.equal(digests[index]?.value, tableCrc(body), `${body.length} bytes`);
    }
  }
});

seededTest("a digest goes on from the CRC of the bytes before", (random) => {
  const bytes = random.bytes(200_000);
  const split = random.below(bytes.length);
  const first = crc64Nvme(bytes.subarray(0, split));
  assert.equal(crc64Nvme(bytes.subarray(split), first), tableCrc(bytes));
  const digest = new Crc64Nvme(first);
  assert.equal(digest.value, first);
  assert.equal(digest.update(bytes.subarray(split)).value, tableCrc(bytes));
});

seededTest("bytes may be shared, pooled and at odd addresses, and stay as they are", (random) => {
  const bytes = random.bytes(100_003);
  const expected = tableCrc(bytes);
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length + 3), 3);
  shared.set(bytes);
  assert.equal(crc64Nvme(shared), expected);
  const pooled = Buffer.concat([Buffer.from("12345"), bytes]).subarray(5);
  assert.equal(crc64Nvme(pooled), expected);
  assert.deepEqual(new Uint8Array(pooled), bytes);
});

seededTest("the CRC of a whole is combined from its parts, empty ones included", (random) => {
  for (let round = 0; round < 200; round += 1) {
    const bytes = random.bytes(random.below(5000));
    const split = random.pick([0, bytes.length, random.below(bytes.length + 1)]);
    const [first, second] = [bytes.subarray(0, split), bytes.subarray(split)];
    assert.equal(
      combineCrc64Nvme(crc64Nvme(first), crc64Nvme(second), second.length),
      tableCrc(bytes),
      `${split} of ${bytes.length}`,
    );
  }
});

seededTest("parts combine in any order, with lengths up to 2^53", (random) => {
  const crc = (): bigint => crc64NvmeFromBytes(random.bytes(8));
  for (let round = 0; round < 200; round += 1) {
    const b = random.below(random.pick([10, 2 ** 33, 2 ** 52]));
    const c = random.below(random.pick([10, 2 ** 33, 2 ** 52]));
    const [crcA, crcB, crcC] = [crc(), crc(), crc()];
    const left = combineCrc64Nvme(combineCrc64Nvme(crcA, crcB, b), crcC, c);
    const right = combineCrc64Nvme(crcA, combineCrc64Nvme(crcB, crcC, c), b + c);
    assert.equal(left, right, `${b} and ${c} bytes`);
  }
});

test("5 GiB of zeros combine to what digesting them gives", () => {
  // Doubling needs no length above a block's; the long shift has to agree with it.
  const mebibyte = crc64Nvme(new Uint8Array(2 ** 20));
  let doubled = mebibyte;
  for (let bytes = 2 ** 20; bytes < 2 ** 32; bytes *= 2) {
    doubled = combineCrc64Nvme(doubled, doubled, bytes);
  }
  const digest = new Crc64Nvme();
  const zeros = new Uint8Array(2 ** 20);
  for (let count = 0; count < 5 * 1024; count += 1) digest.update(zeros);
  let gibibyte = mebibyte;
  for (let bytes = 2 ** 20; bytes < 2 ** 30; bytes *= 2) {
    gibibyte = combineCrc64Nvme(gibibyte, gibibyte, bytes);
  }
  assert.equal(combineCrc64Nvme(doubled, gibibyte, 2 ** 30), digest.value);
  assert.equal(combineCrc64Nvme(gibibyte, doubled, 2 ** 32), digest.value);
});

test("a CRC is 8 bytes, big-endian, and back", () => {
  const bytes = Uint8Array.of(9, 0, 0x8b, 0x14, 0x86, 0x0a, 0x79, 0x98, 0x88);
  assert.deepEqual(crc64NvmeToBytes(0x008b14860a799888n), bytes.slice(1));
  assert.equal(crc64NvmeFromBytes(bytes.subarray(1)), 0x008b14860a799888n);
});

test("what is no CRC or length is refused", () => {
  assert.throws(() => new Crc64Nvme(1n << 64n));
  assert.throws(() => crc64Nvme(new Uint8Array(1), -1n));
  assert.throws(() => combineCrc64Nvme(0n, 0n, -1));
  assert.throws(() => combineCrc64Nvme(0n, 0n, 2 ** 53));
  assert.throws(() => combineCrc64Nvme(0n, 0n, 0.5));
  assert.throws(() => crc64NvmeFromBytes(new Uint8Array(7)));
});

/** As the definition, a byte at a time; for longer bodies. */
function tableCrc(bytes: Uint8Array): bigint {
  let [high, low] = [~0, ~0];
  for (const byte of bytes) {
    const entry = ((low ^ byte) & 0xff) * 2;
    low = ((low >>> 8) | (high << 24)) ^ (table[entry] ?? 0);
    high = (high >>> 8) ^ (table[entry + 1] ?? 0);
  }
  return (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0);
}

// A CRC of one byte is 0xff.. shifted by 8, with the entry of (0xff ^ byte), inverted.
const table = Int32Array.from({ length: 512 }, (_, index) => {
  const crc = referenceCrc(Uint8Array.of((index >> 1) ^ 0xff));
  const entry = ~crc ^ 0x00ff_ffff_ffff_ffffn;
  return Number(BigInt.asIntN(32, index % 2 === 0 ? entry : entry >> 32n));
});
