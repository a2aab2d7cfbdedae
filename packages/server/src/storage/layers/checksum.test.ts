import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { BlockSums } from "../../core/digests/block-sums.ts";
import { crc32c } from "../../core/digests/crc32c.ts";
import { crc64NvmeToBytes } from "../../core/digests/crc64-nvme.ts";
import type { GetOptions, StorageDriver } from "../../core/ports/storage-driver.ts";
import {
  assertSame,
  bytesOf,
  calm,
  chunked,
  keysOf,
  put,
  read,
  rejectsWith,
} from "../conformance/subject.ts";
import { memoryContent, openMemoryStorage } from "../memory/driver.ts";
import { checksum } from "./checksum.ts";
import { type FaultRule, faults } from "./faults.ts";

const blockBytes = 4096;

function open(rules: readonly FaultRule[] = []) {
  const content = memoryContent();
  const inner = openMemoryStorage({ id: "m", content });
  return { driver: checksum()(faults({ rules })(inner)), inner };
}

/** What a row would keep of these bytes. */
function expectedOf(bytes: Uint8Array, withBlocks = true): NonNullable<GetOptions["expected"]> {
  const sums = new BlockSums({ blockBytes }).update(bytes);
  const expected = { length: bytes.length, crc64nvme: crc64NvmeToBytes(sums.crc64nvme) };
  return withBlocks ? { ...expected, blocks: sums.finish() } : expected;
}

/** How many bytes a reader got before the error. */
async function bytesBeforeDamage(driver: StorageDriver, options: Partial<GetOptions>) {
  let seen = 0;
  const { body } = await driver.get("k", { signal: calm, ...options });
  await rejectsWith(
    "data_damaged",
    (async () => {
      for await (const chunk of body) seen += chunk.length;
    })(),
  );
  return seen;
}

test("a put answers all digests that were wanted, right for the bytes that passed", async () => {
  const { driver } = open();
  const bytes = bytesOf(150_000);
  const digestsWanted = ["md5", "sha1", "sha256", "crc32", "crc32c"] as const;
  const { digests } = await put(driver, "k", bytes, { digestsWanted });
  for (const name of ["md5", "sha1", "sha256"] as const) {
    assert.deepEqual(Buffer.from(digests[name]!), createHash(name).update(bytes).digest());
  }
  assert.equal(Buffer.from(digests.crc32!).readUInt32BE(), crc32(bytes));
  assert.deepEqual(digests.crc64nvme, expectedOf(bytes).crc64nvme);
  // The check value of CRC-32C.
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
});

test("bytes that change on the way to the storage are found in its answer, and deleted", async () => {
  for (const fault of [
    { kind: "flip", at: 70_000 },
    { kind: "cut", at: 70_000 },
  ] as const) {
    const { driver, inner } = open([{ operation: "put", nth: 1, fault }]);
    const run = put(driver, "k", bytesOf(150_000));
    // A cut body is one that the driver never read to its end, or a blob of another length.
    await assert.rejects(run, (error: { code?: string }) =>
      fault.kind === "flip" ? error.code === "checksum_mismatch" : error.code !== undefined,
    );
    if (fault.kind === "flip") assert.deepEqual(await keysOf(inner), []);
    await put(driver, "k", bytesOf(150_000));
  }
});

test("a flipped bit anywhere fails a whole read before its last byte", async () => {
  const bytes = bytesOf(200_000);
  for (const at of [0, 65_535, 65_536, 131_072, 199_999]) {
    for (const withBlocks of [true, false]) {
      const { driver } = open([{ operation: "get", fault: { kind: "flip", at } }]);
      await put(driver, "k", bytes);
      const seen = await bytesBeforeDamage(driver, { expected: expectedOf(bytes, withBlocks) });
      assert.ok(seen < bytes.length, `${seen} bytes were given out`);
    }
  }
});

test("a flipped bit fails a range whose blocks hold it, and no other range", async () => {
  const bytes = bytesOf(200_000);
  const expected = expectedOf(bytes);
  const at = 20_000;
  const block = { first: at - (at % blockBytes), end: at - (at % blockBytes) + blockBytes };
  const damaged = [
    [at, at],
    [block.first, block.first],
    [block.end - 1, block.end - 1],
    [0, 199_999],
    [10, 30_000],
  ];
  for (const [firstByte, lastByte] of damaged as [number, number][]) {
    // The fault counts from the first byte that is read: that of the block.
    const shifted = at - (firstByte - (firstByte % blockBytes));
    const { driver } = open([{ operation: "get", fault: { kind: "flip", at: shifted } }]);
    await put(driver, "k", bytes);
    const seen = await bytesBeforeDamage(driver, { expected, firstByte, lastByte });
    assert.ok(seen < lastByte - firstByte + 1);
  }
  const { driver } = open();
  await put(driver, "k", bytes);
  const ranges = [
    [0, 0],
    [199_999, 199_999],
    [block.end, block.end + 5],
    [1, 199_998],
    [4095, 4096],
    [0, 4095],
  ];
  for (const [firstByte, lastByte] of ranges as [number, number][]) {
    const part = await read(driver, "k", { expected, firstByte, lastByte });
    assertSame(part, bytes.subarray(firstByte, lastByte + 1), `${firstByte} to ${lastByte}`);
  }
});

test("the last bytes of a range wait for the rest of a block that spans many chunks", async () => {
  const bytes = bytesOf(400_000);
  const sums = new BlockSums({ blockBytes: 300_000 }).update(bytes);
  const crc64nvme = crc64NvmeToBytes(sums.crc64nvme);
  const expected = { length: bytes.length, crc64nvme, blocks: sums.finish() };
  const flip = { operation: "get", nth: 1, fault: { kind: "flip", at: 299_999 } } as const;
  for (const [firstByte, lastByte] of [
    [0, 0],
    [70_000, 140_000],
    [0, 250_000],
  ] as const) {
    const { driver } = open([flip]);
    await put(driver, "k", bytes);
    const seen = await bytesBeforeDamage(driver, { expected, firstByte, lastByte });
    assert.ok(seen < lastByte - firstByte + 1, `${seen} bytes were given out`);
    const whole = await read(driver, "k", { expected, firstByte, lastByte });
    assertSame(whole, bytes.subarray(firstByte, lastByte + 1));
  }
});

test("a stored blob that is shorter, longer or ends early is data_damaged", async () => {
  const bytes = bytesOf(100_000);
  const expected = expectedOf(bytes);
  for (const length of [0, 99_999, 100_001]) {
    const { driver, inner } = open();
    await put(inner, "k", bytesOf(length));
    await rejectsWith("data_damaged", driver.get("k", { signal: calm, expected }));
    const range = { firstByte: 99_999, lastByte: 99_999 };
    await rejectsWith("data_damaged", driver.get("k", { signal: calm, expected, ...range }));
  }
  for (const withBlocks of [true, false]) {
    const { driver } = open([{ operation: "get", fault: { kind: "cut", at: 70_000 } }]);
    await put(driver, "k", bytes);
    await bytesBeforeDamage(driver, { expected: expectedOf(bytes, withBlocks) });
  }
});

test("a long body has all digests that were asked for, and one that is wrong stores nothing", async () => {
  const { driver } = open();
  const bytes = bytesOf(3_000_000);
  const md5 = new Uint8Array(createHash("md5").update(bytes).digest());
  const sha256 = new Uint8Array(createHash("sha256").update(bytes).digest());
  const options = { length: bytes.length, digestsWanted: ["md5"] as const, signal: calm };
  const [head, wrong] = await Promise.allSettled([
    driver.put("right", chunked(bytes), { ...options, digests: { sha256 } }),
    driver.put("wrong", chunked(bytes), { ...options, digests: { sha256: bytesOf(32) } }),
  ]);
  assert.ok(head.status === "fulfilled");
  assert.deepEqual(head.value.digests.md5, md5);
  assert.deepEqual(head.value.digests.sha256, sha256);
  assert.ok(wrong.status === "rejected");
  await rejectsWith("checksum_mismatch", Promise.reject(wrong.reason));
  const short = driver.put("short", chunked(bytes.subarray(1)), options);
  await rejectsWith("incomplete_body", short);
  assert.deepEqual(await keysOf(driver), ["right"]);
});

test("an empty blob is verified too", async () => {
  const { driver } = open();
  await put(driver, "k", "");
  assert.equal((await read(driver, "k", { expected: expectedOf(new Uint8Array()) })).length, 0);
});

test("parts are compared with their digests, and the whole with the parts'", async () => {
  const { driver } = open();
  const { parts } = driver;
  assert.ok(parts);
  const bytes = bytesOf(25_000);
  const upload = await parts.create("k", { signal: calm, partBytes: 10_000 });
  const md5 = new Uint8Array(16);
  const wrong = parts.writePart(upload, 1, bytes.subarray(0, 10_000), {
    signal: calm,
    digests: { md5 },
  });
  await rejectsWith("checksum_mismatch", wrong);
  const written = [];
  for (const number of [3, 1, 2]) {
    const part = bytes.subarray((number - 1) * 10_000, number * 10_000);
    written.push(await parts.writePart(upload, number, part, { signal: calm, digests: {} }));
  }
  const digests = { crc64nvme: new Uint8Array(8) };
  await rejectsWith(
    "checksum_mismatch",
    parts.complete(upload, written, { signal: calm, digests }),
  );
  await rejectsWith(
    "unsupported",
    parts.complete(upload, written, { signal: calm, digests: { md5 } }),
  );
  const { crc64nvme } = expectedOf(bytes);
  const head = await parts.complete(upload, written, { signal: calm, digests: { crc64nvme } });
  assert.deepEqual(head.digests.crc64nvme, crc64nvme);
});
