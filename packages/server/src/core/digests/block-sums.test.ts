import { strict as assert } from "node:assert";
import { test } from "node:test";
import { BlockSums, type BlockSumsOptions } from "./block-sums.ts";
import { crc64Nvme, crc64NvmeToBytes } from "./crc64-nvme.ts";
import { type Random, seededTest } from "./seeded.ts";

/** The sums of a body that is there as a whole, with the length its blocks end up with. */
function naiveSums(body: Uint8Array, blockBytesFirst: number, blocksMax: number) {
  let blockBytes = blockBytesFirst;
  while (body.length > blockBytes * blocksMax) blockBytes *= 2;
  const sums: number[] = [];
  for (let start = 0; start < body.length; start += blockBytes) {
    sums.push(...crc64NvmeToBytes(crc64Nvme(body.subarray(start, start + blockBytes))));
  }
  return { blockBytes, sums: Uint8Array.from(sums) };
}

function* splits(body: Uint8Array, random: Random): Generator<Uint8Array> {
  const chunkBytesMax = random.pick([2, 30, 1000]);
  for (let start = 0; start < body.length; ) {
    const end = start + random.below(chunkBytesMax);
    yield body.subarray(start, end);
    start = end;
  }
}

seededTest("blocks and the whole are those of a naive model, for any blocksMax", (random) => {
  for (let round = 0; round < 400; round += 1) {
    const blockBytes = 1 + random.below(40);
    const blocksMax = random.pick([2, 4, 6, 8, 32]);
    const exact = blockBytes * blocksMax * 2 ** random.below(4);
    const body = random.bytes(random.pick([exact, exact + 1, random.below(3000)]));
    const sums = new BlockSums({ blockBytes, blocksMax });
    let length = 0;
    for (const chunk of splits(body, random)) {
      sums.update(chunk);
      length += chunk.length;
      assert.equal(sums.length, length);
    }
    assert.deepEqual(sums.finish(), naiveSums(body, blockBytes, blocksMax));
    assert.equal(sums.crc64nvme, crc64Nvme(body));
  }
});

seededTest("a body goes on from its state, again and again", (random) => {
  for (let round = 0; round < 200; round += 1) {
    const options = { blockBytes: 1 + random.below(40), blocksMax: random.pick([2, 6, 32]) };
    const body = random.bytes(random.below(3000));
    let sums = new BlockSums(options);
    for (const chunk of splits(body, random)) {
      sums.update(chunk);
      if (random.below(4) > 0) continue;
      const resumed = new BlockSums({ resumeFrom: structuredClone(sums.state()) });
      assert.equal(resumed.crc64nvme, sums.crc64nvme);
      assert.equal(resumed.length, sums.length);
      sums = resumed;
    }
    assert.deepEqual(sums.finish(), naiveSums(body, options.blockBytes, options.blocksMax));
    assert.equal(sums.crc64nvme, crc64Nvme(body));
  }
});

test("a state is a copy: neither side sees what the other does next", () => {
  const sums = new BlockSums({ blockBytes: 4, blocksMax: 2 }).update(new Uint8Array(8));
  const state = sums.state();
  const before = structuredClone(state);
  sums.update(Uint8Array.of(1, 2, 3));
  new BlockSums({ resumeFrom: state }).update(Uint8Array.of(4, 5, 6));
  assert.deepEqual(state, before);
});

test("an empty body has no blocks and the CRC of nothing", () => {
  const sums = new BlockSums();
  assert.deepEqual(sums.finish(), { blockBytes: 262_144, sums: new Uint8Array(0) });
  assert.equal(sums.crc64nvme, 0n);
  assert.equal(new BlockSums({ resumeFrom: sums.state() }).length, 0);
});

seededTest("by default there are at most 16,384 blocks of 256 KiB or longer", (random) => {
  const chunk = random.bytes(64 * 1024);
  const sums = new BlockSums();
  for (let count = 0; count < 4; count += 1) sums.update(chunk);
  assert.deepEqual(sums.finish().sums, crc64NvmeToBytes(sums.crc64nvme));
  // As if 4 GiB less a chunk had come: the same block again and again, the last one short.
  const block = sums.finish().sums;
  const short = new BlockSums().update(chunk).update(chunk).update(chunk).finish().sums;
  const all = new Uint8Array(16_384 * 8);
  for (let index = 0; index < 16_383; index += 1) all.set(block, index * 8);
  all.set(short, 16_383 * 8);
  const length = 2 ** 32 - chunk.length;
  const state = { length, blockBytes: 262_144, blocksMax: 16_384, sums: all };
  const full = new BlockSums({ resumeFrom: state }).update(chunk);
  assert.equal(full.finish().sums.length, 131_072);
  const folded = full.update(chunk).finish();
  assert.equal(folded.blockBytes, 524_288);
  assert.equal(folded.sums.length, 8193 * 8);
  const pair = new BlockSums({ blockBytes: 524_288 });
  for (let count = 0; count < 8; count += 1) pair.update(chunk);
  assert.deepEqual(folded.sums.subarray(8192 * 8 - 8, 8192 * 8), pair.finish().sums);
});

test("options and states that cannot be are refused", () => {
  const state = { length: 9, blockBytes: 4, blocksMax: 4, sums: new Uint8Array(24) };
  const refused: readonly BlockSumsOptions[] = [
    { blocksMax: 3 },
    { blocksMax: 0 },
    { blockBytes: 0 },
    { blockBytes: 1.5 },
    { resumeFrom: { ...state, length: 8 } },
    { resumeFrom: { ...state, length: -1 } },
    { resumeFrom: { ...state, length: 9.5 } },
    { resumeFrom: { ...state, blocksMax: 2 } },
    { resumeFrom: { ...state, sums: new Uint8Array(23) } },
  ];
  for (const options of refused) assert.throws(() => new BlockSums(options));
  assert.equal(new BlockSums({ resumeFrom: state }).length, 9);
});
