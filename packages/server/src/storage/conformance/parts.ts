// Cases of the contract: uploads in parts, and what else a driver may offer. One without it has no such
// member at all.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { test } from "node:test";
import {
  deleteManyMax,
  type Part,
  type PartWrites,
  type StorageDriver,
  type UploadAddress,
} from "../../core/ports/storage-driver.ts";
import {
  assertNonePending,
  assertSame,
  bytesOf,
  calm,
  chunked,
  keysOf,
  leftOversOf,
  put,
  read,
  rejectsWith,
  type StorageUnderTest,
  together,
} from "./subject.ts";

interface WithParts {
  readonly driver: StorageDriver;
  readonly parts: PartWrites;
}

const call = { signal: calm };
const withDigests = { signal: calm, digests: {} };

export function partCases(subject: StorageUnderTest): void {
  const { open } = subject;
  bulkCases(subject);
  const partTest = (
    name: string,
    run: (subject: WithParts & { readonly reopen: () => Promise<WithParts> }) => Promise<void>,
  ): void => {
    test(name, async (t) => {
      const { driver, reopen } = await open(t);
      // Presence is the capability: without it there is nothing that could be called.
      if (driver.parts === undefined) return t.diagnostic("the driver declares no parts");
      await run({ driver, parts: driver.parts, reopen: () => reopened(driver, reopen) });
    });
  };

  partTest("a part can be a range of another blob, or all of it", async ({ driver, parts }) => {
    const { copyPart } = parts;
    if (copyPart === undefined) return;
    const { upload, bytes, partBytes } = await begin(parts, "p/copied", 3);
    await put(driver, "p/source", bytes);
    const { etag } = await driver.head("p/source", call);
    const copied: Part[] = [];
    for (const partNumber of [3, 1, 2]) {
      const firstByte = (partNumber - 1) * partBytes;
      const lastByte = Math.min(firstByte + partBytes, bytes.length) - 1;
      const source = { key: "p/source", etag, firstByte, lastByte, isWhole: false };
      copied.push(await copyPart(upload, partNumber, source, call));
    }
    assert.deepEqual(
      copied.map(({ length }) => length),
      [3, 1, 2].map((number) => slice(bytes, number, partBytes).length),
    );
    await parts.complete(upload, copied, { signal: calm, length: bytes.length });
    assertSame(await read(driver, "p/copied"), bytes);
    const whole = await parts.create("p/whole", { signal: calm, partBytes: bytes.length });
    const all = { key: "p/source", etag, firstByte: 0, lastByte: bytes.length - 1, isWhole: true };
    const part = await copyPart(whole, 1, all, call);
    await parts.complete(whole, [part], { signal: calm });
    assertSame(await read(driver, "p/whole"), bytes);
    const gone = await parts.create("p/gone", { signal: calm, partBytes });
    await rejectsWith("object_not_found", copyPart(gone, 1, { ...all, key: "p/none" }, call));
    await parts.cancel(gone, call);
  });

  partTest("parts in any order and at once become one blob", async ({ driver, parts }) => {
    const { upload, bytes, partBytes } = await begin(parts, "p/any", 5);
    const numbers = [3, 1, 5, 2, 4];
    const written = await Promise.all(
      numbers.map((number) =>
        parts.writePart(upload, number, slice(bytes, number, partBytes), withDigests),
      ),
    );
    assert.deepEqual(await keysOf(driver), []);
    const listed = await Array.fromAsync(parts.listParts(upload, call));
    assert.deepEqual(
      listed.map(({ partNumber }) => partNumber),
      [1, 2, 3, 4, 5],
    );
    const head = await parts.complete(upload, written, { signal: calm, length: bytes.length });
    assert.equal(head.length, bytes.length);
    assertSame(await read(driver, "p/any"), bytes);
    assert.equal((await driver.head("p/any", call)).etag, head.etag);
  });

  partTest("a part that is written again is the last one", async ({ driver, parts }) => {
    const { upload, bytes, partBytes } = await begin(parts, "p/again", 2);
    const first = await parts.writePart(upload, 1, bytesOf(partBytes, 99), withDigests);
    const written = await writeAll(parts, upload, bytes, partBytes);
    await rejectsWith("invalid_part", parts.complete(upload, [first, written[1]!], call));
    await parts.complete(upload, written, call);
    assertSame(await read(driver, "p/again"), bytes);
  });

  partTest("an upload goes on in a new instance, from its address alone", async (subject) => {
    const { parts, reopen } = subject;
    const { upload, bytes, partBytes } = await begin(parts, "p/resumed", 4);
    for (const number of [4, 2]) {
      await parts.writePart(upload, number, slice(bytes, number, partBytes), withDigests);
    }
    await subject.driver[Symbol.asyncDispose]();
    const second = await reopen();
    const address = JSON.parse(JSON.stringify(upload)) as UploadAddress;
    for (const number of [1, 3]) {
      await second.parts.writePart(address, number, slice(bytes, number, partBytes), withDigests);
    }
    const listed = await Array.fromAsync(second.parts.listParts(address, call));
    assert.equal(listed.length, 4);
    const head = await second.parts.complete(address, listed, call);
    assertSame(await read(second.driver, "p/resumed"), bytes);
    const third = await reopen();
    assert.deepEqual((await third.parts.complete(address, listed, call)).etag, head.etag);
  });

  partTest("complete refuses lists that are not what was written", async ({ driver, parts }) => {
    await put(driver, "p/refused", "old");
    const { upload, bytes, partBytes } = await begin(parts, "p/refused", 3);
    const [one, two, three] = await writeAll(parts, upload, bytes, partBytes);
    assert.ok(one && two && three);
    const lists: readonly (readonly Part[])[] = [
      [one, three],
      [one, one, two],
      [one, { ...two, etag: three.etag }, three],
      [one, two, { ...three, partNumber: 4 }],
      [one, two, { ...three, length: three.length + 1 }],
    ];
    for (const list of lists) await rejectsWith("invalid_part", parts.complete(upload, list, call));
    const short = parts.complete(upload, [one, two, three], { signal: calm, length: 1 });
    await rejectsWith("incomplete_body", short);
    assert.equal((await read(driver, "p/refused")).toString(), "old");
    await parts.complete(upload, [three, one, two], call);
    assertSame(await read(driver, "p/refused"), bytes);
  });

  partTest("complete, repeated or at once, makes one blob and one answer", async (subject) => {
    const { driver, parts } = subject;
    const { upload, bytes, partBytes } = await begin(parts, "p/twice", 3);
    const written = await writeAll(parts, upload, bytes, partBytes);
    const options = { signal: calm, length: bytes.length };
    const heads = await Promise.all(
      Array.from({ length: 4 }, () => parts.complete(upload, written, options)),
    );
    heads.push(await parts.complete(upload, written, options));
    assert.equal(new Set(heads.map(({ etag }) => etag)).size, 1);
    assertSame(await read(driver, "p/twice"), bytes);
    await rejectsWith(
      "upload_not_found",
      parts.writePart(upload, 1, bytes.subarray(0, 5), withDigests),
    );
    assert.deepEqual(await Array.fromAsync(parts.listPending("", call)), []);
  });

  partTest("createOnly holds for complete", async ({ driver, parts }) => {
    const { upload, bytes, partBytes } = await begin(parts, "p/once", 2);
    const written = await writeAll(parts, upload, bytes, partBytes);
    await put(driver, "p/once", "first");
    const options = { signal: calm, createOnly: true };
    if (!driver.capabilities.conditionalComplete) {
      await rejectsWith("unsupported", parts.complete(upload, written, options));
      return;
    }
    await rejectsWith("already_exists", parts.complete(upload, written, options));
    assert.equal((await read(driver, "p/once")).toString(), "first");
    await driver.delete("p/once", call);
    await parts.complete(upload, written, options);
    await parts.complete(upload, written, options);
    assertSame(await read(driver, "p/once"), bytes);
  });

  partTest("a cancelled upload is gone, and others to the same key go on", async (subject) => {
    const { driver, parts } = subject;
    const first = await begin(parts, "p/key", 2);
    const second = await begin(parts, "p/key", 2);
    assert.notEqual(first.upload.token, second.upload.token);
    await writeAll(parts, first.upload, first.bytes, first.partBytes);
    const pending = await Array.fromAsync(parts.listPending("p/", call));
    assert.equal(pending.length, 2);
    for (const { createdAt } of pending) {
      assert.ok(Math.abs(Date.now() - createdAt.getTime()) < 60_000, "its age is told");
    }
    assert.deepEqual(await Array.fromAsync(parts.listPending("q", call)), []);
    assert.deepEqual(await leftOversOf(driver), []);
    await parts.cancel(first.upload, call);
    await parts.cancel(first.upload, call);
    const late = parts.writePart(first.upload, 1, first.bytes.subarray(0, 5), withDigests);
    await rejectsWith("upload_not_found", late);
    const written = await writeAll(parts, second.upload, second.bytes, second.partBytes);
    await parts.complete(second.upload, written, call);
    assertSame(await read(driver, "p/key"), second.bytes);
  });

  partTest("wrong parts and unknown uploads are refused", async ({ parts }) => {
    const { upload, partBytes } = await begin(parts, "p/wrong", 1);
    const bytes = bytesOf(partBytes + 1);
    for (const number of [0, -1, 1.5, parts.partsMax + 1]) {
      await rejectsWith(
        "invalid_part",
        parts.writePart(upload, number, bytes.subarray(1), withDigests),
      );
    }
    await rejectsWith("invalid_part", parts.writePart(upload, 1, bytes, withDigests));
    const digests = { crc64nvme: new Uint8Array(8) };
    const mismatch = parts.writePart(upload, 1, bytes.subarray(1), { signal: calm, digests });
    await rejectsWith("checksum_mismatch", mismatch);
    for (const token of ["", "../../etc/passwd", "00000000-0000-0000-0000-000000000000"]) {
      const unknown = { key: "p/wrong", token };
      await rejectsWith(
        "upload_not_found",
        parts.writePart(unknown, 1, bytes.subarray(1), withDigests),
      );
      await rejectsWith("upload_not_found", parts.complete(unknown, [], call));
      await parts.cancel(unknown, call);
    }
    const other = { key: "p/other", token: upload.token };
    await rejectsWith("upload_not_found", parts.complete(other, [], call));
  });

  partTest("append adds bytes at the durable offset and cuts what follows it", async (subject) => {
    const { driver, parts, reopen } = subject;
    if (parts.append === undefined) return;
    const bytes = bytesOf(500_000);
    const upload = await parts.create("p/append", { signal: calm, partBytes: 1024 });
    const append = (on: PartWrites, offset: number, end: number): Promise<number> => {
      assert.ok(on.append);
      return on.append(upload, offset, chunked(bytes.subarray(offset, end), 7_000), call);
    };
    assert.equal(await append(parts, 0, 200_000), 200_000);
    await rejectsWith("offset_mismatch", append(parts, 200_001, 300_000));
    async function* broken() {
      yield bytesOf(90_000, 7);
      throw new Error("the client is gone");
    }
    await assert.rejects(parts.append(upload, 200_000, broken(), call), /gone/);
    assert.equal(await append(parts, 150_000, 260_000), 260_000);
    // Going back and failing there: what was cut is not there any more.
    await assert.rejects(parts.append(upload, 100_000, broken(), call), /gone/);
    await rejectsWith("offset_mismatch", append(parts, 260_000, 300_000));
    assert.equal(await append(parts, 100_000, 260_000), 260_000);
    await driver[Symbol.asyncDispose]();
    const second = await reopen();
    assert.equal(await append(second.parts, 260_000, 500_000), 500_000);
    await second.parts.complete(upload, [], { signal: calm, length: 500_000 });
    assertSame(await read(second.driver, "p/append"), bytes);
  });
}

/** Cases of what a driver may offer beside: deleting many blobs in a call, and copying long ones. */
function bulkCases({ open }: StorageUnderTest): void {
  test("many blobs are deleted in one call, also those that are not there", async (t) => {
    const { driver } = await open(t);
    if (driver.deleteMany === undefined) return t.diagnostic("the driver deletes one by one");
    const gone = together(driver, ["d/1", "d/ü & <2>", "d/'3\"+%25", "d/sp ace", "d/line\nfeed"]);
    await Promise.all([...gone, "d/kept"].map((key) => put(driver, key, key)));
    const missing = Array.from({ length: 50 }, (_, index) => `d/missing-${index}`);
    const failed = await driver.deleteMany([...gone, ...missing], call);
    assert.deepEqual(failed, []);
    assert.deepEqual(await keysOf(driver), ["d/kept"]);
    assert.deepEqual(await driver.deleteMany([], call), []);
    const aborted = AbortSignal.abort(new Error("gone"));
    await assert.rejects(driver.deleteMany(["d/kept"], { signal: aborted }), /gone/);
    assert.deepEqual(await keysOf(driver), ["d/kept"]);
    const tooMany = Array.from({ length: deleteManyMax + 1 }, (_, index) => `d/${index}`);
    await rejectsWith("invalid_request", driver.deleteMany(tooMany, call));
  });

  test("a blob as long as several parts is copied whole, and bound to what it is a copy of", async (t) => {
    const { driver } = await open(t);
    if (driver.copy === undefined) return t.diagnostic("the driver does not copy");
    const partBytes = Math.max(driver.parts?.partBytesMin ?? 0, 70_000);
    const bytes = bytesOf(2 * partBytes + 12_345);
    await put(driver, "c/from", bytes, { length: bytes.length });
    await put(driver, "c/to", "old");
    const short = driver.copy("c/from", "c/to", { signal: calm, length: bytes.length - 1 });
    await rejectsWith("incomplete_body", short);
    assert.equal((await read(driver, "c/to")).toString(), "old");
    const head = await driver.copy("c/from", "c/to", { signal: calm, length: bytes.length });
    assert.equal(head.length, bytes.length);
    assertSame(await read(driver, "c/to"), bytes);
    assertSame(await read(driver, "c/from"), bytes);
    assert.equal((await driver.head("c/to", call)).etag, head.etag);
    await assertNonePending(driver);
    await rejectsWith("object_not_found", driver.copy("c/missing", "c/to", call));
  });

  test("blobs are put together in their order, and stay as they were", async (t) => {
    const { driver } = await open(t);
    if (driver.concat === undefined) return t.diagnostic("the driver puts no blobs together");
    const partBytes = Math.max(driver.parts?.partBytesMin ?? 0, 70_000);
    const bodies = [bytesOf(partBytes, 1), bytesOf(partBytes, 2), bytesOf(1, 3)];
    const from = await Promise.all(
      bodies.map(async (bytes, index) => {
        const key = `n/ä ${index}`;
        await put(driver, key, bytes, { length: bytes.length });
        const digests = { md5: createHash("md5").update(bytes).digest() };
        return { key, length: bytes.length, digests };
      }),
    );
    const whole = Buffer.concat(bodies);
    const head = await driver.concat(from, "n/to", { signal: calm, length: whole.length });
    assert.equal(head.length, whole.length);
    assertSame(await read(driver, "n/to"), whole);
    assertSame(await read(driver, "n/ä 0"), bodies[0] ?? whole);
    const reversed = [...from].reverse();
    await rejectsWith("unsupported", driver.concat(reversed, "n/other", call));
    const missing = from.map((source, index) =>
      index === 1 ? { ...source, key: "n/no" } : source,
    );
    await rejectsWith("object_not_found", driver.concat(missing, "n/other", call));
    await rejectsWith("object_not_found", driver.head("n/other", call));
    await assertNonePending(driver);
  });
}

async function begin(parts: PartWrites, key: string, count: number) {
  const partBytes = Math.max(parts.partBytesMin, 70_000);
  const bytes = bytesOf(partBytes * (count - 1) + 12_345, key.length);
  const upload = await parts.create(key, { signal: calm, partBytes });
  return { upload, bytes, partBytes };
}

function slice(bytes: Uint8Array, partNumber: number, partBytes: number): Uint8Array {
  return bytes.subarray((partNumber - 1) * partBytes, partNumber * partBytes);
}

async function writeAll(
  parts: PartWrites,
  upload: UploadAddress,
  bytes: Uint8Array,
  partBytes: number,
): Promise<Part[]> {
  const written: Part[] = [];
  for (let number = 1; (number - 1) * partBytes < bytes.length; number += 1) {
    written.push(
      await parts.writePart(upload, number, slice(bytes, number, partBytes), withDigests),
    );
  }
  return written;
}

async function reopened(
  driver: StorageDriver,
  reopen: (() => Promise<StorageDriver>) | undefined,
): Promise<WithParts> {
  assert.ok(reopen, `${driver.id} has parts, so its test has to be able to open it again`);
  const again = await reopen();
  assert.ok(again.parts);
  return { driver: again, parts: again.parts };
}
