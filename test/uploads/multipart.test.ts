/** Uploads in parts at the core: any order, repeated, at once; complete and abort against each other. */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { crc32c } from "../../packages/server/src/core/digests/crc32c.ts";
import { type ErrorCode, isOperationalError } from "../../packages/server/src/core/errors.ts";
import {
  compositeChecksumOf,
  partSizesOf,
} from "../../packages/server/src/core/multipart/index.ts";
import { parseKey } from "../../packages/server/src/core/object-key.ts";
import { forward } from "../../packages/server/src/storage/layers/forward.ts";
import { chunks } from "./core.ts";
import {
  bytesOf,
  type MultipartCore,
  multipartEtag,
  openMultipart,
  root,
  storageKinds,
} from "./multipart.ts";

const signal = new AbortController().signal;
const code =
  (expected: ErrorCode, context: object = {}) =>
  (error: unknown): boolean => {
    assert.ok(isOperationalError(error, expected), String(error));
    for (const [name, value] of Object.entries(context)) assert.equal(error.context[name], value);
    return true;
  };

for (const kind of storageKinds) {
  test(`${kind}: parts in any order and at once become one object, with S3's ETag`, async (t) => {
    const core = await openMultipart(t, { kind });
    const bodies = [bytesOf(300_000), bytesOf(1_000), bytesOf(262_144), bytesOf(1)];
    const address = await core.create("k", {
      contentType: "text/x-test",
      userMetadata: { a: "1" },
      attributes: { "cache-control": "no-store" },
    });
    const numbers = [1, 5, 7, 10_000];
    const parts = await Promise.all(
      bodies.map((bytes, index) => core.put(address, numbers[index] ?? 0, bytes)),
    );
    for (const [index, part] of parts.entries()) {
      const md5 = createHash("md5")
        .update(bodies[index] ?? "")
        .digest("hex");
      assert.deepEqual([part.etag, part.length], [md5, bodies[index]?.length]);
    }
    const { object, replayed } = await core.complete(address, parts);
    assert.equal(replayed, false);
    assert.equal(object.etag, multipartEtag(bodies));
    assert.equal(object.length, 563_145);
    assert.deepEqual(object.userMetadata, { a: "1" });
    assert.equal(object.attributes["cache-control"], "no-store");
    assert.deepEqual(partSizesOf(object.attributes), [300_000, 1_000, 262_144, 1]);
    assert.deepEqual(await core.read("k"), Buffer.concat(bodies));
    const garbage = new Set(await core.garbage());
    // The parts as they were stored, and nothing else.
    assert.deepEqual([garbage.size, (await core.blobs()).length], [0, bodies.length]);
    assert.equal((await core.metadata.bucketUsage("b")).reservedBytes, 0);
  });

  test(`${kind}: one part is the object's blob as it is`, async (t) => {
    const core = await openMultipart(t, { kind });
    const bytes = bytesOf(10_000);
    const address = await core.create("k");
    const dropped = await core.put(address, 2, bytesOf(5_000));
    const part = await core.put(address, 3, bytes);
    const before = await core.blobs();
    const { object } = await core.complete(address, [part]);
    assert.deepEqual(await core.blobs(), before);
    assert.ok(before.includes(object.blobKey));
    assert.equal(object.etag, multipartEtag([bytes]));
    assert.deepEqual(await core.read("k"), bytes);
    assert.equal((await core.garbage()).length, 1);
    assert.notEqual(dropped.etag, part.etag);
  });

  test(`${kind}: empty parts are parts, and an object of one of them is empty`, async (t) => {
    const core = await openMultipart(t, { kind });
    const empty = await core.create("empty");
    const none = await core.put(empty, 1, new Uint8Array());
    assert.equal((await core.complete(empty, [none])).object.length, 0);
    const address = await core.create("k");
    const bytes = bytesOf(2_000);
    const parts = [await core.put(address, 1, bytes), await core.put(address, 2, new Uint8Array())];
    const { object } = await core.complete(address, parts);
    assert.equal(object.etag, multipartEtag([bytes, new Uint8Array()]));
    assert.deepEqual(await core.read("k"), bytes);
  });

  test(`${kind}: a part sent again replaces the one before; the last to finish counts`, async (t) => {
    const core = await openMultipart(t, { kind });
    const address = await core.create("k");
    const [old, bytes] = [bytesOf(9_000), bytesOf(4_000)];
    const before = await core.put(address, 1, old);
    const after = await core.put(address, 1, bytes);
    const { parts, upload } = await core.multipart.listParts(root, address, {
      after: 0,
      limit: 10,
    });
    assert.deepEqual(
      parts.map(({ etag }) => etag),
      [after.etag],
    );
    assert.equal(upload.offset, 4_000);
    const stale = core.complete(address, [before]);
    await assert.rejects(stale, code("invalid_part", { reason: "unknown", partNumber: 1 }));
    const { object } = await core.complete(address, [after]);
    assert.deepEqual(await core.read("k"), bytes);
    assert.equal((await core.garbage()).includes(object.blobKey), false);
  });
}

test("a completion asks the storage for the first bytes and for nothing else", async (t) => {
  const core = await openMultipart(t, { kind: "s3" });
  const bodies = [bytesOf(512 * 1024), bytesOf(256 * 1024), bytesOf(300_001)];
  const address = await core.create("k");
  const parts = [];
  for (const [index, bytes] of bodies.entries()) {
    parts.push(await core.put(address, index + 1, bytes));
  }
  const before = core.requests.length;
  await core.complete(address, parts);
  assert.deepEqual(core.requests.slice(before), ["GET object"]);
  const range = await core.read("k", 600_000, 900_000);
  assert.deepEqual(range, Buffer.concat(bodies).subarray(600_000, 900_001));
});

for (const kind of storageKinds) {
  test(`${kind}: any range of an object in pieces is read back`, async (t) => {
    const core = await openMultipart(t, { kind });
    const sizes = [1_000, 1_000, 262_144, 262_145, 5_000, 1_000, 1];
    const bodies = sizes.map(bytesOf);
    const whole = Buffer.concat(bodies);
    const address = await core.create("k");
    const parts = [];
    for (const [index, bytes] of bodies.entries()) {
      parts.push(await core.put(address, index * 3 + 1, bytes));
    }
    await core.complete(address, parts);
    // Both sides of every bound between pieces.
    const ends = bodies.map((_, index) =>
      sizes.slice(0, index + 1).reduce((sum, size) => sum + size, 0),
    );
    const places = [0, ...ends.flatMap((end) => [end - 1, end])].filter((at) => at < whole.length);
    for (const first of places) {
      for (const last of places) {
        if (last < first) continue;
        const read = await core.read("k", first, last);
        assert.ok(read.equals(whole.subarray(first, last + 1)), `${first}-${last}`);
      }
    }
  });
}

test("a piece that is damaged or missing ends the reading before the last byte", async (t) => {
  const core = await openMultipart(t, { kind: "posix" });
  const address = await core.create("k");
  const bodies = [bytesOf(300_000), bytesOf(200_000), bytesOf(1_000)];
  const parts = [];
  for (const [index, bytes] of bodies.entries()) {
    parts.push(await core.put(address, index + 1, bytes));
  }
  await core.complete(address, parts);
  const pieces = await core.metadata.listUploadParts(address.uploadId, { after: 0, limit: 9 });
  const { blobKey } = pieces[1] ?? assert.fail();
  await core.driver.delete(blobKey, { signal });
  await assert.rejects(core.read("k"), code("data_damaged"));
  assert.deepEqual(await core.read("k", 0, 299_999), bodies[0]);
  assert.deepEqual(await core.read("k", 500_000, 500_999), bodies[2]);
  const other = Buffer.from(bodies[1] ?? "");
  other[150_000] = (other[150_000] ?? 0) ^ 1;
  await core.driver.put(blobKey, chunks(other), { signal });
  await assert.rejects(core.read("k"), code("data_damaged"));
  await core.driver.put(blobKey, chunks(bodies[1] ?? other), { signal });
  assert.deepEqual(await core.read("k"), Buffer.concat(bodies));
});

test("an object in pieces is known to be read until its reader ends in any way", async (t) => {
  const core = await openMultipart(t, { kind: "posix" });
  const address = await core.create("k");
  const parts = [
    await core.put(address, 1, bytesOf(600_000)),
    await core.put(address, 2, bytesOf(600_000)),
    await core.put(address, 3, bytesOf(600_000)),
  ];
  const { object } = await core.complete(address, parts);
  const open = async () => {
    const opened = await core.objects.open(root, { bucket: "b", key: parseKey("k") });
    return await opened.read({ signal });
  };
  const isRead = () => core.objects.isReading(object.blobKey);
  const unread = await open();
  const halfway = await open();
  assert.equal(isRead(), true);
  await unread[Symbol.asyncDispose]();
  assert.equal(isRead(), true);
  let length = 0;
  for await (const chunk of halfway) {
    length += chunk.length;
    if (length > 700_000) break;
  }
  assert.equal(isRead(), false);
  const whole = await open();
  for await (const _ of whole) assert.equal(isRead(), true);
  assert.equal(isRead(), false);
});

test("a part is known to every process, and any of them completes", async (t) => {
  const core = await openMultipart(t, { kind: "posix" });
  const other = core.other();
  const address = await core.create("k");
  const bodies = [bytesOf(3_000), bytesOf(2_000)];
  const first = await core.put(address, 1, bodies[0] ?? bytesOf(0));
  const request = { partNumber: 2, body: chunks(bodies[1] ?? bytesOf(0)), signal };
  const second = await other.putPart(root, address, request);
  const [one, two] = await Promise.all([
    core.complete(address, [first, second]),
    other.complete(root, address, { parts: [first, second], signal }),
  ]);
  assert.equal(one.object.version, two.object.version);
  assert.deepEqual([one.replayed, two.replayed].sort(), [false, true]);
  assert.deepEqual(await core.read("k"), Buffer.concat(bodies));
  await other.close();
});

test("the same completion at once and again answers the same, once the key changed it is gone", async (t) => {
  const core = await openMultipart(t, { kind: "posix" });
  const address = await core.create("k");
  const parts = [
    await core.put(address, 1, bytesOf(3_000)),
    await core.put(address, 2, bytesOf(1)),
  ];
  const results = await Promise.all([1, 2, 3].map(() => core.complete(address, parts)));
  assert.equal(new Set(results.map(({ object }) => object.version)).size, 1);
  const again = await core.complete(address, parts);
  assert.deepEqual([again.replayed, again.object.etag], [true, results[0]?.object.etag]);
  await assert.rejects(core.complete(address, parts.slice(0, 1)), code("upload_not_found"));
  await assert.rejects(core.multipart.abort(root, address), code("upload_not_found"));
  await assert.rejects(core.put(address, 3, bytesOf(1)), code("upload_not_found"));
  const second = await core.create("k");
  await core.complete(second, [await core.put(second, 1, bytesOf(7))]);
  await assert.rejects(core.complete(address, parts), code("upload_not_found"));
});

test("what is named wrongly is refused and leaves the upload as it was", async (t) => {
  const core = await openMultipart(t, { kind: "posix" });
  const address = await core.create("k");
  const big = await core.put(address, 1, bytesOf(3_000));
  const small = await core.put(address, 2, bytesOf(999));
  const last = await core.put(address, 3, bytesOf(5));
  const refused = async (
    parts: Parameters<MultipartCore["complete"]>[1],
    check: ReturnType<typeof code>,
  ) => await assert.rejects(core.complete(address, parts), check);
  await refused([], code("invalid_request"));
  await refused([small, big], code("invalid_part", { reason: "order" }));
  await refused([big, big], code("invalid_part", { reason: "order" }));
  await refused([big, { ...small, etag: big.etag }], code("invalid_part", { partNumber: 2 }));
  await refused([big, { ...last, partNumber: 4 }], code("invalid_part", { partNumber: 4 }));
  await refused([big, small, last], code("too_small", { partNumber: 2, minBytes: 1_000 }));
  const wrongSum = { ...big, digests: { crc64nvme: new Uint8Array(8) } };
  await refused([wrongSum], code("invalid_part"));
  await assert.rejects(core.complete(address, [big], { length: 1 }), code("invalid_request"));
  const wrongWhole = { digests: { crc64nvme: new Uint8Array(8) } };
  await assert.rejects(core.complete(address, [big, last], wrongWhole), code("checksum_mismatch"));
  const ifMatch = { conditions: { ifMatch: ["other"] } };
  await assert.rejects(core.complete(address, [big, last], ifMatch), code("precondition_failed"));
  assert.equal(await core.metadata.headObject("b", "k"), undefined);
  const { object } = await core.complete(
    address,
    [{ ...big, etag: big.etag.toUpperCase() }, last],
    {
      length: 3_005,
      conditions: { ifAbsent: true },
    },
  );
  assert.equal(object.length, 3_005);
});

test("completing against aborting: the object is there, or the upload is gone, never both", async (t) => {
  const core = await openMultipart(t, { kind: "posix" });
  for (let round = 0; round < 12; round += 1) {
    const key = `k${round}`;
    const address = await core.create(key);
    const bodies = [bytesOf(1_000 + round), bytesOf(round)];
    const parts = [];
    for (const [index, bytes] of bodies.entries()) {
      parts.push(await core.put(address, index + 1, bytes));
    }
    const [completed, aborted] = await Promise.allSettled([
      core.complete(address, parts),
      new Promise((resolve) => setTimeout(resolve, round % 4)).then(() =>
        core.multipart.abort(root, address),
      ),
    ]);
    const object = await core.metadata.headObject("b", key);
    if (completed.status === "fulfilled") {
      assert.equal(aborted.status, "rejected");
      assert.deepEqual(await core.read(key), Buffer.concat(bodies));
    } else {
      assert.equal(aborted.status, "fulfilled");
      assert.ok(code("upload_not_found")(completed.reason));
      assert.equal(object, undefined);
    }
    if (object !== undefined) assert.ok(!(await core.garbage()).includes(object.blobKey));
  }
  assert.equal((await core.metadata.bucketUsage("b")).reservedBytes, 0);
});

test("a part whose bytes are not those declared is not there", async (t) => {
  const core = await openMultipart(t, { kind: "posix" });
  const address = await core.create("k");
  const bytes = bytesOf(50_000);
  const md5 = { digests: { md5: new Uint8Array(16) } };
  await assert.rejects(core.put(address, 1, bytes, md5), code("checksum_mismatch"));
  await assert.rejects(core.put(address, 1, bytes, { length: 7 }), code("incomplete_body"));
  const trailer = {
    checks: { names: ["crc32"], expected: () => ({ crc32: new Uint8Array(4) }) },
  };
  await assert.rejects(core.put(address, 1, bytes, trailer), code("checksum_mismatch"));
  await assert.rejects(core.put(address, 0, bytes), code("invalid_request"));
  await assert.rejects(core.put(address, 10_001, bytes), code("invalid_request"));
  const other = { ...address, key: parseKey("other") };
  await assert.rejects(core.put(other, 1, bytes), code("upload_not_found"));
  assert.deepEqual(await core.blobs(), []);
  const right = {
    checks: { names: ["crc32"], expected: () => ({ crc32: uint32(crc32(bytes)) }) },
  };
  const part = await core.put(address, 1, bytes, right);
  assert.deepEqual(Buffer.from(part.digests.crc32 ?? []), Buffer.from(uint32(crc32(bytes))));
});

test("checksums of the whole are made from those of the parts", async (t) => {
  const core = await openMultipart(t, { kind: "posix" });
  const bodies = [bytesOf(1_234), bytesOf(4_321), bytesOf(0)];
  const whole = Buffer.concat(bodies);
  for (const [name, sum] of [
    ["crc32", crc32(whole)],
    ["crc32c", crc32c(whole)],
  ] as const) {
    const address = await core.create(name, { checksum: { name, type: "full-object" } });
    const parts = [];
    for (const [index, bytes] of bodies.entries()) {
      parts.push(await core.put(address, index + 1, bytes));
    }
    const other = { checksum: { type: "composite" } };
    await assert.rejects(core.complete(address, parts, other), code("invalid_request"));
    const { object } = await core.complete(address, parts, { digests: { [name]: uint32(sum) } });
    assert.deepEqual(Buffer.from(object.digests[name] ?? []), Buffer.from(uint32(sum)));
  }
  const address = await core.create("sha", { checksum: { name: "sha256", type: "composite" } });
  const parts = [];
  for (const [index, bytes] of bodies.entries()) {
    parts.push(await core.put(address, index + 1, bytes));
  }
  const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();
  const composite = sha256(Buffer.concat(bodies.map(sha256)));
  const wrong = { composite: { sha256: new Uint8Array(32) } };
  await assert.rejects(core.complete(address, parts, wrong), code("checksum_mismatch"));
  const { object } = await core.complete(address, parts, { composite: { sha256: composite } });
  const value = `${composite.toString("base64")}-3`;
  assert.deepEqual(compositeChecksumOf(object.attributes), { name: "sha256", value });
  assert.equal(object.digests.sha256, undefined);
  const bad = core.create("x", { checksum: { name: "crc64nvme", type: "composite" } });
  await assert.rejects(bad, code("invalid_request"));
});

test("a digest that only the bytes tell is compared by reading them, where that is allowed", async (t) => {
  const core = await openMultipart(t, { kind: "posix" });
  const bodies = [bytesOf(70_000), bytesOf(5)];
  const address = await core.create("k");
  const parts = [];
  for (const [index, bytes] of bodies.entries()) {
    parts.push(await core.put(address, index + 1, bytes));
  }
  const sha256 = createHash("sha256").update(Buffer.concat(bodies)).digest();
  const wrong = { digests: { sha256: new Uint8Array(32) }, mayRead: true };
  await assert.rejects(core.complete(address, parts, wrong), code("checksum_mismatch"));
  const unread = core.complete(address, parts, { digests: { sha256 } });
  await assert.rejects(unread, code("invalid_request"));
  const otherFrontEnd = { ...address, protocol: "direct" };
  await assert.rejects(core.complete(otherFrontEnd, parts), code("upload_not_found"));
  const { object } = await core.complete(address, parts, { digests: { sha256 }, mayRead: true });
  assert.deepEqual(Buffer.from(object.digests.sha256 ?? []), sha256);
});

test("bytes of an object are copied as a part", async (t) => {
  const core = await openMultipart(t, { kind: "posix" });
  const bytes = bytesOf(400_000);
  const source = await core.create("source");
  await core.complete(source, [await core.put(source, 1, bytes)]);
  const address = await core.create("k");
  const from = { bucket: "b", key: parseKey("source") };
  const copy = (partNumber: number, range: object) =>
    core.multipart.copyPart(root, address, { partNumber, from, signal, ...range });
  const parts = [
    await copy(1, { firstByte: 100_000, lastByte: 299_999 }),
    await copy(2, {}),
    await copy(3, { firstByte: 0, lastByte: 0 }),
  ];
  const beyond = copy(4, { firstByte: 0, lastByte: 400_000 });
  await assert.rejects(beyond, code("range_unsatisfiable"));
  await core.complete(address, parts);
  const expected = [bytes.subarray(100_000, 300_000), bytes, bytes.subarray(0, 1)];
  assert.deepEqual(await core.read("k"), Buffer.concat(expected));
});

test("uploads are among all others: listed, cancelled, and they expire", async (t) => {
  const core = await openMultipart(t, { kind: "posix", bucket: { uploadExpiryMs: 60_000 } });
  const address = await core.create("dir/a", { checksum: { name: "sha1", type: "composite" } });
  const abandoned = await core.create("dir/b");
  for (const each of [address, abandoned]) await core.put(each, 1, bytesOf(100));
  const listed = await core.resumable.list(root, { limit: 10 });
  assert.deepEqual(
    listed.map(({ protocol, offset }) => [protocol, offset]),
    [
      ["s3", 100],
      ["s3", 100],
    ],
  );
  const query = { bucket: "b", prefix: "dir/", delimiter: "", limit: 1 };
  const page = await core.multipart.list(root, query);
  assert.deepEqual(
    page.uploads.map(({ key, checksum, attributes }) => [key, checksum, attributes]),
    [["dir/a", { name: "sha1", type: "composite" }, {}]],
  );
  assert.ok(page.next);
  const rest = await core.multipart.list(root, { ...query, after: page.next });
  assert.deepEqual(
    rest.uploads.map(({ id }) => id),
    [abandoned.uploadId],
  );
  await core.resumable.cancel(root, address.uploadId, { signal });
  await assert.rejects(core.put(address, 2, bytesOf(1)), code("upload_not_found"));
  core.pass(40_000);
  await core.put(abandoned, 2, bytesOf(1));
  core.pass(40_000);
  assert.equal(await core.upkeep.round(), 0);
  core.pass(40_000);
  await assert.rejects(core.put(abandoned, 3, bytesOf(1)), code("upload_not_found"));
  assert.equal(await core.upkeep.round(), 1);
  assert.deepEqual([...(await core.garbage())].sort(), [...(await core.blobs())].sort());
  assert.equal((await core.metadata.bucketUsage("b")).reservedBytes, 0);
});

test("limits of the bucket hold for parts and for the whole", async (t) => {
  const core = await openMultipart(t, {
    kind: "posix",
    bucket: { maxObjectBytes: 5_000, quotaBytes: 6_000, contentTypes: ["text/plain"] },
  });
  const address = await core.create("k", { contentType: "text/plain" });
  await assert.rejects(core.put(address, 1, bytesOf(5_001)), code("too_large"));
  const unknownLength = { partNumber: 1, body: chunks(bytesOf(5_001)), signal };
  const undeclared = core.multipart.putPart(root, address, unknownLength);
  await assert.rejects(undeclared, code("too_large"));
  const gif = Buffer.concat([Buffer.from("GIF89a"), bytesOf(4_000)]);
  const part = await core.put(address, 1, gif);
  await assert.rejects(core.put(address, 2, bytesOf(2_000)), code("too_large"));
  const second = await core.create("second");
  await assert.rejects(core.put(second, 1, bytesOf(3_000)), code("quota_exceeded"));
  await assert.rejects(core.complete(address, [part]), code("content_type_refused"));
  const text = await core.put(address, 1, Buffer.alloc(4_500, "text "));
  assert.equal((await core.complete(address, [text])).object.contentType, "text/plain");
});

test("a storage that fails while the whole is made leaves the upload to be completed again", async (t) => {
  let failures = 0;
  const core = await openMultipart(t, {
    kind: "posix",
    secondStorage: "other",
    wrap: (driver) =>
      forward(driver, {
        put: async (key, body, options) => {
          if (failures > 0) {
            failures -= 1;
            for await (const _ of body) break;
            throw new Error("the disk said no");
          }
          return await driver.put(key, body, options);
        },
      }),
  });
  const address = await core.create("k");
  const bodies = [bytesOf(3_000), bytesOf(100)];
  const parts = [];
  // Parts in two storages are made one blob, in the storage that is the bucket's by then.
  for (const [index, bytes] of bodies.entries()) {
    parts.push(await core.put(address, index + 1, bytes));
    await core.buckets.change(root, "b", { placement: index === 0 ? "other" : "store" });
  }
  failures = 1;
  await assert.rejects(core.complete(address, parts), /the disk said no/);
  await core.complete(address, parts);
  assert.deepEqual(await core.read("k"), Buffer.concat(bodies));
  const garbage = new Set(await core.garbage());
  assert.equal((await core.blobs()).filter((key) => !garbage.has(key)).length, 1);
});

function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
