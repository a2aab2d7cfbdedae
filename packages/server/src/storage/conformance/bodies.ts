// Cases of the contract: bytes go in and come out whole, or nothing happened.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { crc64Nvme, crc64NvmeToBytes } from "../../core/digests/crc64-nvme.ts";
import {
  assertEmpty,
  assertNoneLeftOpen,
  assertSame,
  bytesOf,
  calm,
  chunked,
  collect,
  descriptorCount,
  hanging,
  keysOf,
  leftOversOf,
  put,
  read,
  rejectsWith,
  type StorageUnderTest,
  soon,
} from "./subject.ts";

const KiB = 1024;

export function bodyCases({
  open,
  digests = false,
  constantMemory = false,
  idleConnectionsMax = 0,
}: StorageUnderTest): void {
  test("a body of any length and in any chunks comes back as it went in", async (t) => {
    const { driver } = await open(t);
    const lengths = [0, 1, 16 * KiB, 64 * KiB - 1, 64 * KiB, 64 * KiB + 1, 300 * KiB, 1_234_567];
    for (const length of lengths) {
      const bytes = bytesOf(length, length + 1);
      const chunkSizes = length > 70_000 ? [16_000, 65_536, 400_000] : [1, 4_000, 65_536];
      for (const chunkBytes of length === 0 ? [1] : chunkSizes) {
        const head = await driver.put("a/blob", chunked(bytes, chunkBytes), {
          signal: calm,
          length,
        });
        assert.equal(head.length, length);
        assert.equal(head.key, "a/blob");
        assertSame(
          await read(driver, "a/blob"),
          bytes,
          `${length} bytes in chunks of ${chunkBytes}`,
        );
        const again = await driver.head("a/blob", { signal: calm });
        assert.deepEqual([again.length, again.etag], [head.length, head.etag]);
        assert.equal(again.modifiedAt.getTime(), head.modifiedAt.getTime());
      }
    }
  });

  test("chunks of mixed sizes are stored in their order", async (t) => {
    const { driver } = await open(t);
    const bytes = bytesOf(3_000_000);
    async function* mixed() {
      let start = 0;
      for (let turn = 0; start < bytes.length; turn += 1) {
        const end = Math.min(bytes.length, start + [1, 70_000, 900, 0, 16_384, 200_000][turn % 6]!);
        yield bytes.slice(start, end);
        start = end;
      }
    }
    await driver.put("mixed", mixed(), { signal: calm });
    assertSame(await read(driver, "mixed"), bytes);
  });

  test("a body read from a storage can be put into one as it is", async (t) => {
    const { driver } = await open(t);
    const bytes = bytesOf(2_000_000);
    await put(driver, "from", bytes);
    const { body } = await driver.get("from", { signal: calm });
    await driver.put("to", body, { signal: calm, length: bytes.length });
    assertSame(await read(driver, "to"), bytes);
  });

  test("a body shorter or longer than declared stores nothing", async (t) => {
    const { driver } = await open(t);
    const bytes = bytesOf(100_000);
    for (const length of [0, 1, 99_999, 100_001, 10_000_000]) {
      await rejectsWith("incomplete_body", put(driver, "b", bytes, { length }));
    }
    await assertEmpty(driver);
  });

  test("a body of unknown length is stored in bounded memory", async (t) => {
    const { driver } = await open(t);
    const chunk = bytesOf(64 * KiB);
    const count = constantMemory ? 1024 : 16;
    let peak = 0;
    const before = process.memoryUsage().arrayBuffers;
    async function* body() {
      for (let index = 0; index < count; index += 1) {
        yield chunk;
        peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
      }
    }
    const head = await driver.put("unknown", body(), { signal: calm });
    assert.equal(head.length, count * chunk.length);
    if (constantMemory) assert.ok(peak < 4 * KiB * KiB, `${peak} bytes of buffers`);
  });

  test("a wrong digest stores nothing and leaves the old blob", async (t) => {
    const { driver } = await open(t);
    const [old, bytes] = [bytesOf(50_000, 1), bytesOf(200_000, 2)];
    await put(driver, "c", old);
    const md5 = createHash("md5").update(bytes).digest();
    const sha256 = createHash("sha256").update(bytes).digest();
    const crc64nvme = crc64NvmeToBytes(crc64Nvme(bytes));
    if (!digests) {
      await rejectsWith("unsupported", put(driver, "c", bytes, { digests: { md5 } }));
      await rejectsWith("unsupported", put(driver, "c", bytes, { digestsWanted: ["sha256"] }));
    } else {
      for (const [name, sum] of Object.entries({ md5, sha256, crc64nvme })) {
        const wrong = Uint8Array.from(sum, (byte, index) => (index === 0 ? byte ^ 1 : byte));
        await rejectsWith(
          "checksum_mismatch",
          put(driver, "c", bytes, { digests: { [name]: wrong } }),
        );
      }
    }
    assertSame(await read(driver, "c"), old);
    assert.deepEqual(await leftOversOf(driver), []);
    if (!digests) return;
    const head = await put(driver, "c", bytes, { digests: { md5 }, digestsWanted: ["sha256"] });
    assert.deepEqual(Buffer.from(head.digests.md5 ?? []), md5);
    assert.deepEqual(Buffer.from(head.digests.sha256 ?? []), sha256);
    assert.deepEqual(head.digests.crc64nvme, crc64nvme);
    assert.equal(head.blocks?.sums.length, 8);
  });

  test("a source that fails rejects the put with its own error and stores nothing", async (t) => {
    const { driver } = await open(t);
    await put(driver, "d", "old");
    const failure = new Error("the client is gone");
    async function* failing() {
      yield bytesOf(200_000);
      throw failure;
    }
    const putting = driver.put("d", failing(), { signal: calm });
    await assert.rejects(soon(putting), (error) => error === failure);
    assert.equal((await read(driver, "d")).toString(), "old");
    assert.deepEqual(await leftOversOf(driver), []);
  });

  test("an abort ends put, get and list at once and frees what they held", async (t) => {
    const { driver } = await open(t);
    await put(driver, "e/old", bytesOf(500_000));
    const before = descriptorCount();
    const aborted = AbortSignal.abort(new Error("before"));
    await assert.rejects(put(driver, "e/new", "x", { signal: aborted }), /before/);
    await assert.rejects(driver.get("e/old", { signal: aborted }), /before/);
    await assert.rejects(driver.head("e/old", { signal: aborted }), /before/);

    const during = new AbortController();
    const putting = driver.put("e/new", hanging(bytesOf(100_000), 3), { signal: during.signal });
    setTimeout(() => during.abort(new Error("during")), 20);
    await assert.rejects(soon(putting), /during/);

    const reading = new AbortController();
    const { body } = await driver.get("e/old", { signal: reading.signal });
    const chunks = body[Symbol.asyncIterator]();
    await chunks.next();
    reading.abort(new Error("reading"));
    await assert.rejects(soon(Promise.resolve(chunks.next())), /reading/);
    await body[Symbol.asyncDispose]();

    const listing = new AbortController();
    const items = driver.list("", { signal: listing.signal })[Symbol.asyncIterator]();
    listing.abort(new Error("listing"));
    await assert.rejects(soon(Promise.resolve(items.next())), /listing/);

    assert.deepEqual(await keysOf(driver), ["e/old"]);
    assert.deepEqual(await leftOversOf(driver), []);
    await assertNoneLeftOpen(before, idleConnectionsMax);
  });

  test("readers during a replace see the old blob or the new one, whole", async (t) => {
    const { driver } = await open(t);
    const versions = [bytesOf(150_000, 1), bytesOf(220_000, 2), bytesOf(90_000, 3)];
    await put(driver, "f", versions[0]!);
    let writing = true;
    const readers = Array.from({ length: 4 }, async () => {
      while (writing) {
        const bytes = await read(driver, "f");
        assert.ok(
          versions.some((version) => bytes.equals(version)),
          "a mixture was read",
        );
      }
    });
    for (let turn = 1; turn <= 30; turn += 1) await put(driver, "f", versions[turn % 3]!);
    writing = false;
    await Promise.all(readers);
  });

  test("of 16 racing createOnly puts exactly one wins, and its bytes stay", async (t) => {
    const { driver } = await open(t);
    const bodies = Array.from({ length: 16 }, (_, index) => bytesOf(20_000, index + 1));
    const race = bodies.map((bytes) => put(driver, "g/once", bytes, { createOnly: true }));
    if (!driver.capabilities.conditionalPut) {
      for (const racer of race) await rejectsWith("unsupported", racer);
      return;
    }
    const results = await Promise.allSettled(race);
    const winners = results.flatMap(({ status }, index) => (status === "fulfilled" ? [index] : []));
    assert.equal(winners.length, 1);
    for (const [index, racer] of race.entries()) {
      if (index !== winners[0]) await rejectsWith("already_exists", racer);
    }
    assertSame(await read(driver, "g/once"), bodies[winners[0]!]!);
    await rejectsWith("already_exists", put(driver, "g/once", "again", { createOnly: true }));
    assert.deepEqual(await leftOversOf(driver), []);
  });

  test("ranges are inclusive at both ends and refused outside the blob", async (t) => {
    const { driver } = await open(t);
    const bytes = bytesOf(700_000);
    const { etag } = await put(driver, "h", bytes);
    const last = bytes.length - 1;
    const ranges: readonly (readonly [number, number])[] = [
      [0, 0],
      [last, last],
      [0, last],
      [65_535, 65_536],
      [1, 600_000],
      [262_144, 262_144],
    ];
    for (const [firstByte, lastByte] of ranges) {
      const part = await read(driver, "h", { firstByte, lastByte });
      assertSame(
        part,
        bytes.subarray(firstByte, lastByte + 1),
        `bytes ${firstByte} to ${lastByte}`,
      );
    }
    assertSame(
      await read(driver, "h", { firstByte: 699_000 }),
      bytes.subarray(699_000),
      "open end",
    );
    const outside: typeof ranges = [
      [0, last + 1],
      [last + 1, last + 1],
      [5, 4],
      [-1, 3],
    ];
    for (const [firstByte, lastByte] of outside) {
      const range = { firstByte, lastByte };
      await rejectsWith("range_unsatisfiable", driver.get("h", { signal: calm, ...range }));
    }
    await put(driver, "empty", "");
    const inEmpty = driver.get("empty", { signal: calm, firstByte: 0, lastByte: 0 });
    await rejectsWith("range_unsatisfiable", inEmpty);
    assertSame(await read(driver, "h", { ifMatch: etag }), bytes);
    const stale = driver.get("h", { signal: calm, ifMatch: "another" });
    await rejectsWith("precondition_failed", stale);
  });

  test("200 bodies that are never read, but disposed, leave nothing open", async (t) => {
    const { driver } = await open(t);
    const bytes = bytesOf(300_000);
    await put(driver, "i", bytes);
    const before = descriptorCount();
    const answers = await Promise.all(
      Array.from({ length: 200 }, () => driver.get("i", { signal: calm })),
    );
    // Some were begun, and their read-ahead is running.
    for (const { body } of answers.slice(0, 50)) await body[Symbol.asyncIterator]().next();
    await Promise.all(answers.map(({ body }) => body[Symbol.asyncDispose]()));
    await Promise.all(answers.map(({ body }) => body[Symbol.asyncDispose]()));
    await assertNoneLeftOpen(before, idleConnectionsMax);
    assertSame(await read(driver, "i"), bytes);
  });

  test("leaving a body early frees it, and many readers at once get their own bytes", async (t) => {
    const { driver } = await open(t);
    const before = descriptorCount();
    const blobs = Array.from({ length: 12 }, (_, index) => bytesOf(400_000 + index, index + 1));
    await Promise.all(blobs.map((bytes, index) => put(driver, `j/${index}`, bytes)));
    await Promise.all(
      blobs.map(async (bytes, index) => {
        const { body } = await driver.get(`j/${index}`, { signal: calm });
        for await (const chunk of body) {
          assertSame(chunk, bytes.subarray(0, chunk.length));
          break;
        }
        const again = await driver.get(`j/${index}`, { signal: calm });
        assertSame(await collect(again.body), bytes);
      }),
    );
    await assertNoneLeftOpen(before, idleConnectionsMax);
  });
}
