/** Digests of a whole from those of its parts, against those of its bytes. */
import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { combineCrc32 } from "./combine-crc32.ts";
import { compositeDigest, wholeBlocks, wholeDigest } from "./combine-parts.ts";
import { crc32c } from "./crc32c.ts";
import { DigestSet } from "./digest-set.ts";

const names = ["md5", "crc32", "crc32c", "sha1", "sha256"] as const;
const digested = (bytes: Uint8Array) => {
  const set = new DigestSet(names);
  set.update(bytes);
  return { length: bytes.length, ...set.finish() };
};
const block = 256 * 1024;

test("CRCs of 32 bits are combined to that of all bytes, for every length", () => {
  const text = Buffer.from("123456789");
  for (let cut = 0; cut <= text.length; cut += 1) {
    const [head, tail] = [text.subarray(0, cut), text.subarray(cut)];
    const rest = (sum: (bytes: Uint8Array) => number) => ({ crc: sum(tail), length: tail.length });
    assert.equal(combineCrc32("crc32", crc32(head), rest(crc32)), 0xcbf43926);
    assert.equal(combineCrc32("crc32c", crc32c(head), rest(crc32c)), 0xe3069283);
  }
});

test("CRCs of 32 bits are moved by lengths that nobody would wait for", () => {
  // Moving by the sum of two lengths is moving by the one and then by the other.
  for (const name of ["crc32", "crc32c"] as const) {
    const [a, b] = [5 * 1024 ** 4 + 12_345, 2 ** 44 + 1];
    const moved = (crc: number, length: number) => combineCrc32(name, crc, { crc: 0, length });
    assert.equal(moved(moved(0xdeadbeef, a), b), moved(0xdeadbeef, a + b));
    assert.notEqual(moved(0xdeadbeef, a), 0xdeadbeef);
  }
});

test("the CRCs of the whole are those of its bytes, whatever the sizes of its parts", () => {
  for (const sizes of [[0], [1], [0, 5], [5, 0, 7], [70_000, 1, 0, 123_456], [3, 3, 3, 3]]) {
    const bodies = sizes.map((size) => randomBytes(size));
    const parts = bodies.map(digested);
    const whole = digested(Buffer.concat(bodies));
    for (const name of ["crc64nvme", "crc32", "crc32c"] as const) {
      assert.deepEqual(
        Buffer.from(wholeDigest(name, parts) ?? []),
        Buffer.from(whole.digests[name] ?? []),
      );
    }
    if (sizes.length > 1) assert.equal(wholeDigest("sha256", parts), undefined);
  }
  const lacking = [digested(randomBytes(3)), { length: 1, digests: {} }];
  assert.equal(wholeDigest("crc32", lacking), undefined);
  assert.equal(compositeDigest("crc32", lacking), undefined);
});

test("a composite digest is that of the parts' digests", () => {
  const bodies = [randomBytes(10), randomBytes(0), randomBytes(99)];
  const md5 = (bytes: Uint8Array) => createHash("md5").update(bytes).digest();
  const expected = md5(Buffer.concat(bodies.map(md5)));
  assert.deepEqual(Buffer.from(compositeDigest("md5", bodies.map(digested)) ?? []), expected);
});

test("sums of blocks are put together where parts end at blocks, and otherwise are not known", () => {
  const bodies = [randomBytes(3 * block), randomBytes(block), randomBytes(block + 17)];
  const { blocks } = digested(Buffer.concat(bodies));
  assert.deepEqual(wholeBlocks(bodies.map(digested)), blocks);
  const odd = [randomBytes(block + 1), randomBytes(block)];
  assert.equal(wholeBlocks(odd.map(digested)), undefined);
  assert.equal(wholeBlocks([{ length: 1, digests: {} }]), undefined);
});

test("blocks of two sizes become blocks of the larger", () => {
  const bodies = [randomBytes(1024), randomBytes(512), randomBytes(300)];
  const sumsBy = (bytes: Uint8Array, blockBytes: number) => {
    const sums = [];
    for (let start = 0; start < bytes.length; start += blockBytes) {
      sums.push(digested(bytes.subarray(start, start + blockBytes)).digests.crc64nvme);
    }
    return { blockBytes, sums: new Uint8Array(Buffer.concat(sums)) };
  };
  const sizes = [256, 512, 128];
  const parts = bodies.map((bytes, index) => ({
    length: bytes.length,
    digests: {},
    blocks: sumsBy(bytes, sizes[index] ?? 0),
  }));
  assert.deepEqual(wholeBlocks(parts), sumsBy(Buffer.concat(bodies), 512));
});
