/** Conformance: parts in any order, lists of their uploads by key, and attributes of objects. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { BlobPieces, MetadataStore } from "../../core/ports/metadata-store.ts";
import type { MultipartQuery, UploadPartBlob } from "../../core/ports/upload-store.ts";
import {
  at,
  author,
  blob,
  bucket,
  bytes,
  complete,
  deletedAt,
  garbage,
  garbageDueAt,
  type OpenStore,
  object,
  oddKeys,
  openWithBucket,
  partBlob,
  plain,
  put,
  sortedByBytes,
  take,
  upload,
  withCode,
} from "../conformance-samples.ts";

const many = { openMax: 1000 };
const now = at(1);
const expiresAt = at(5000);
const all: MultipartQuery = { bucket: "b", prefix: "", delimiter: "", limit: 1000 };

export function multipartTests(open: OpenStore): void {
  test("parts come back in order of their numbers, page by page", async (t) => {
    await using store = await openWithParts(open, t);
    const blocks = { blockBytes: 4, sums: bytes(24, 3) };
    const full = partBlob(10_000, {
      blocks,
      digests: { ...partBlob(1).digests, sha1: bytes(20, 1) },
    });
    for (const part of [full, partBlob(2), partBlob(7, { length: 0 })]) await add(store, part);
    const parts = await store.listUploadParts("u", { after: 0, limit: 10 });
    assert.deepEqual(plain(parts), plain([partBlob(2), partBlob(7, { length: 0 }), full]));
    const next = await store.listUploadParts("u", { after: 2, limit: 1 });
    assert.deepEqual(plain(next), plain([partBlob(7, { length: 0 })]));
    assert.deepEqual(await store.listUploadParts("absent", { after: 0, limit: 10 }), []);
  });

  test("a part with the number of another takes its place, whose blob becomes garbage", async (t) => {
    await using store = await openWithParts(open, t);
    assert.equal(await add(store, partBlob(1)), undefined);
    const second = partBlob(1, { blobKey: "again", length: 3 });
    assert.deepEqual(plain(await add(store, second)), plain(partBlob(1)));
    assert.deepEqual(await garbage(store), ["part 1"]);
    // The same call once more, whose answer was lost.
    await add(store, second);
    assert.deepEqual(await garbage(store), ["part 1"]);
    assert.deepEqual(plain(await parts(store)), plain([second]));
    assert.equal((await store.getUpload("u"))?.offset, 3);
    assert.equal((await store.bucketUsage("b")).reservedBytes, 3);
  });

  test("parts are reserved against the quota and renew the expiry of their upload", async (t) => {
    await using store = await openWithParts(open, t);
    await store.changeBucket("b", { quotaBytes: 25 }, { author });
    await add(store, partBlob(1));
    await add(store, partBlob(2));
    await assert.rejects(add(store, partBlob(3)), withCode("quota_exceeded"));
    await add(store, partBlob(2, { blobKey: "x", length: 15 }));
    const now = await store.getUpload("u");
    assert.deepEqual([now?.offset, now?.reservedBytes, now?.expiresAt], [25, 25, expiresAt]);
    assert.equal((await parts(store)).length, 2);
    await store.cancelUpload("u");
    assert.equal((await store.bucketUsage("b")).reservedBytes, 0);
  });

  test("an upload of declared length is reserved once, and holds no more than that", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.changeBucket("b", { quotaBytes: 25 }, { author });
    const declared = upload("u", { protocol: "direct", length: 25, reservedBytes: 25 });
    await store.createUpload(declared, many);
    const other = upload("w", { protocol: "direct", length: 1, reservedBytes: 1 });
    await assert.rejects(store.createUpload(other, many), withCode("quota_exceeded"));
    await add(store, partBlob(1));
    await add(store, partBlob(2, { length: 15 }));
    const now = await store.getUpload("u");
    assert.deepEqual([now?.offset, now?.reservedBytes], [25, 25]);
    assert.equal((await store.bucketUsage("b")).reservedBytes, 25);
    await assert.rejects(add(store, partBlob(3, { length: 1 })));
    assert.equal((await parts(store)).length, 2);
    await store.cancelUpload("u");
    assert.equal((await store.bucketUsage("b")).reservedBytes, 0);
  });

  test("no part is taken while the upload has a lease, nor after its end", async (t) => {
    await using store = await openWithParts(open, t);
    await take(store, "u", { now: at(0), until: at(3) });
    await assert.rejects(add(store, partBlob(1)), withCode("locked"));
    await assert.rejects(add(store, partBlob(1), "absent"), withCode("upload_not_found"));
    await store.cancelUpload("u");
    await assert.rejects(add(store, partBlob(1)), withCode("upload_not_found"));
    assert.deepEqual(await garbage(store), []);
  });

  test("a part that comes after a lease ran out keeps its holder from completing", async (t) => {
    await using store = await openWithParts(open, t);
    await add(store, partBlob(1));
    const { upload: writer } = await take(store, "u", { now: at(0), until: at(0.5) });
    await add(store, partBlob(1, { blobKey: "newer" }));
    const completing = store.completeUpload(
      writer,
      object("key of u", { version: "v" }),
      blob("part 1", { length: 10, digests: partBlob(1).digests }),
      { author, garbageDueAt, expiresAt },
    );
    await assert.rejects(completing, withCode("locked"));
    assert.deepEqual(
      (await parts(store)).map(({ blobKey }) => blobKey),
      ["newer"],
    );
  });

  test("completing makes every part garbage but the one that is the object's blob", async (t) => {
    await using store = await openWithParts(open, t);
    for (const number of [1, 2, 3]) await add(store, partBlob(number));
    const { upload: writer } = await take(store, "u");
    await store.completeUpload(
      writer,
      object("key of u", { version: "v" }),
      blob("part 2", { length: 10, digests: partBlob(2).digests }),
      { author, garbageDueAt, expiresAt },
    );
    assert.deepEqual((await garbage(store)).sort(), ["part 1", "part 3"]);
    const dueAtOnce = await store.listGarbage({ dueBefore: new Date(0), limit: 9 });
    assert.equal(dueAtOnce.length, 2);
    assert.deepEqual(await parts(store), []);
    const usage = await store.bucketUsage("b");
    assert.deepEqual([usage.bytes, usage.reservedBytes, usage.objects], [10, 0, 1]);
    await store.forgetUpload("u", { garbageDueAt });
    assert.deepEqual((await garbage(store)).sort(), ["part 1", "part 3"]);
  });

  test("parts that are pieces of the object's blob stay as long as it does", async (t) => {
    await using store = await openWithParts(open, t);
    for (const number of [1, 2, 4, 9]) await add(store, partBlob(number));
    await add(store, partBlob(7, { length: 0 }));
    const { upload: writer } = await take(store, "u");
    const runs = [
      { number: 1, count: 2, length: 10 },
      { number: 9, count: 1, length: 10 },
    ];
    const whole = blob("whole", { length: 30, pieces: { uploadId: "u", runs } });
    await store.completeUpload(writer, object("key of u", { version: "v" }), whole, {
      author,
      garbageDueAt,
      expiresAt,
    });
    const dueAtOnce = await store.listGarbage({ dueBefore: new Date(0), limit: 9 });
    assert.deepEqual(dueAtOnce.map(({ blobKey }) => blobKey).sort(), ["part 4", "part 7"]);
    const kept = plain([partBlob(1), partBlob(2), partBlob(9)]);
    assert.deepEqual(plain(await parts(store)), kept);
    assert.deepEqual((await store.getObject("b", "key of u"))?.pieces, whole.pieces);
    const usage = await store.bucketUsage("b");
    assert.deepEqual([usage.bytes, usage.reservedBytes, usage.objects], [30, 0, 1]);
    // The upload is forgotten, its parts are not.
    await store.forgetUpload("u", { garbageDueAt });
    assert.equal(await store.getUpload("u"), undefined);
    assert.deepEqual(plain(await parts(store)), kept);
    const known = await store.knownBlobs("local", ["part 1", "part 9", "whole", "x"]);
    assert.deepEqual([...known].sort(), ["part 1", "part 9", "whole"]);
    await assert.rejects(store.deleteStorage("local", { author }), withCode("not_empty"));
  });

  test("pieces are released once no object points at their blob, some at a time", async (t) => {
    await using store = await openWithPieces(open, t);
    const address = { storageId: "local", blobKey: "whole" };
    const release = (limit: number) => store.releasePieces(address, { garbageDueAt, limit });
    const source = { bucket: "b", key: "key of u", version: "v" };
    await store.copyObject(source, object("copy", { version: "c" }), { author, garbageDueAt });
    await store.deleteObject("b", "key of u", { deletedAt, author, garbageDueAt });
    assert.deepEqual([await garbage(store), await release(10)], [[], 0]);
    assert.equal((await store.getObject("b", "copy"))?.pieces?.uploadId, "u");
    await store.deleteObject("b", "copy", { deletedAt, author, garbageDueAt });
    const due = await store.listGarbage({ dueBefore: garbageDueAt, limit: 9 });
    assert.deepEqual(due, [{ ...address, length: 30, inPieces: true }]);
    assert.equal(await release(2), 2);
    assert.deepEqual((await garbage(store)).sort(), ["part 1", "part 2", "whole"]);
    assert.equal(await release(2), 1);
    assert.deepEqual((await garbage(store)).sort(), ["part 1", "part 2", "part 3"]);
    assert.equal(await release(2), 0);
    assert.deepEqual(await parts(store), []);
    const listed = await store.listGarbage({ dueBefore: garbageDueAt, limit: 9 });
    assert.ok(listed.every(({ inPieces }) => !inPieces));
    await store.forgetGarbage(listed);
    assert.deepEqual([...(await store.knownBlobs("local", ["part 1", "whole"]))], []);
  });

  test("a blob is not made of parts that are not those of its upload", async (t) => {
    await using store = await openWithParts(open, t);
    for (const number of [1, 2]) await add(store, partBlob(number));
    const { upload: writer } = await take(store, "u");
    const complete = (runs: BlobPieces["runs"], length: number, uploadId = "u") =>
      store.completeUpload(
        writer,
        object("key of u", { version: "v" }),
        blob("whole", { length, pieces: { uploadId, runs } }),
        { author, garbageDueAt, expiresAt },
      );
    for (const refused of [
      complete([{ number: 1, count: 3, length: 10 }], 30),
      complete([{ number: 1, count: 2, length: 9 }], 18),
      complete([{ number: 1, count: 2, length: 10 }], 21),
      complete([{ number: 1, count: 2, length: 10 }], 20, "another"),
    ]) {
      await assert.rejects(refused, withCode("internal"));
    }
    assert.equal(await store.headObject("b", "key of u"), undefined);
    assert.equal((await parts(store)).length, 2);
  });

  test("the parts of a cancelled upload become garbage when it is forgotten", async (t) => {
    await using store = await openWithParts(open, t);
    for (const number of [1, 2]) await add(store, partBlob(number));
    assert.deepEqual([...(await store.knownBlobs("local", ["part 1", "x"]))], ["part 1"]);
    await assert.rejects(store.deleteBucket("b", { author }), withCode("not_empty"));
    await store.cancelUpload("u");
    assert.deepEqual(await garbage(store), []);
    await store.forgetUpload("u", { garbageDueAt });
    assert.deepEqual((await garbage(store)).sort(), ["part 1", "part 2"]);
    assert.equal(await store.getUpload("u"), undefined);
  });

  test("uploads in parts are listed by key and id, as a model lists them", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.createBucket(bucket("c"), { author });
    const keys = [...oddKeys, "g/a", "g/b", "g/b/c", "h/x"];
    const made: { readonly key: string; readonly id: string }[] = [];
    for (const [index, key] of keys.entries()) {
      for (const twin of index % 3 === 0 ? ["-", "a"] : ["Z"]) {
        const id = `${twin}${index}`;
        made.push({ key, id });
        await store.createUpload(upload(id, { key, protocol: "s3" }), many);
      }
    }
    await store.createUpload(upload("tus", { key: "g/a" }), many);
    await store.createUpload(upload("other", { key: "g/a", protocol: "s3", bucket: "c" }), many);
    await store.createUpload(upload("over", { key: "g/a", protocol: "s3" }), many);
    await complete(store, "over");
    await store.createUpload(upload("gone", { key: "g/a", protocol: "s3" }), many);
    await store.cancelUpload("gone");
    const order = sortedByBytes(made.map(({ key, id }) => `${key}\n\n${id}`));
    for (const limit of [1, 2, 7, 1000]) {
      assert.deepEqual(await walk(store, { ...all, limit }), order);
    }
    const grouped = { ...all, prefix: "", delimiter: "/" };
    const expected = order.filter((item) => !item.split("\n\n")[0]?.includes("/"));
    for (const limit of [1, 3, 1000]) {
      const seen = await walk(store, { ...grouped, limit });
      assert.deepEqual(
        seen.filter((item) => item.includes("\n\n")),
        expected,
      );
      const prefixes = seen.filter((item) => !item.includes("\n\n"));
      assert.equal(new Set(prefixes).size, prefixes.length);
      assert.ok(prefixes.includes("g/") && prefixes.includes("h/"));
    }
    const behindKey = await store.listMultipart({ ...all, prefix: "g/", after: { key: "g/a" } });
    assert.deepEqual([...new Set(behindKey.uploads.map(({ key }) => key))], ["g/b", "g/b/c"]);
    const page = await store.listMultipart({ ...all, limit: 0 });
    assert.deepEqual([page.uploads, page.next], [[], undefined]);
  });

  test("attributes of an object are set and removed one by one, and nothing else changes", async (t) => {
    await using store = await openWithBucket(open, t);
    const before = await put(store, "k", { attributes: { a: "1", b: "2" } });
    const changes = { attributes: { b: null, c: "照", absent: null } };
    const after = await store.changeObject("b", "k", changes, { author });
    assert.deepEqual(plain(after), plain({ ...before, attributes: { a: "1", c: "照" } }));
    assert.deepEqual(plain(await store.headObject("b", "k")), plain(after));
    assert.deepEqual(
      (await store.listObjects({ bucket: "b", prefix: "", delimiter: "", limit: 9 })).objects[0]
        ?.attributes,
      after.attributes,
    );
    const stale = store.changeObject("b", "k", changes, { author, ifVersion: "other" });
    await assert.rejects(stale, withCode("precondition_failed"));
    await assert.rejects(
      store.changeObject("b", "x", changes, { author }),
      withCode("object_not_found"),
    );
    await put(store, "k", { version: "v2", blobKey: "new" });
    assert.deepEqual((await store.headObject("b", "k"))?.attributes, {});
  });
}

/** The object `key of u` consists of the parts 1 to 3, 10 bytes each, as the blob `whole`. */
async function openWithPieces(
  open: OpenStore,
  t: Parameters<OpenStore>[0],
): Promise<MetadataStore> {
  const store = await openWithParts(open, t);
  for (const number of [1, 2, 3]) await add(store, partBlob(number));
  const { upload: writer } = await take(store, "u");
  const pieces = { uploadId: "u", runs: [{ number: 1, count: 3, length: 10 }] };
  const whole = blob("whole", { length: 30, pieces });
  await store.completeUpload(writer, object("key of u", { version: "v" }), whole, {
    author,
    garbageDueAt,
    expiresAt,
  });
  return store;
}

async function openWithParts(open: OpenStore, t: Parameters<OpenStore>[0]): Promise<MetadataStore> {
  const store = await openWithBucket(open, t);
  await store.createUpload(upload("u", { protocol: "s3" }), many);
  return store;
}

function add(
  store: MetadataStore,
  part: UploadPartBlob,
  id = "u",
): Promise<UploadPartBlob | undefined> {
  return store.putUploadPart(id, part, { now, expiresAt, garbageDueAt });
}

function parts(store: MetadataStore): Promise<readonly UploadPartBlob[]> {
  return store.listUploadParts("u", { after: 0, limit: 1000 });
}

/** All pages: uploads as `key\n\nid`, and prefixes. */
async function walk(store: MetadataStore, query: MultipartQuery): Promise<string[]> {
  const seen: string[] = [];
  let after: MultipartQuery["after"];
  for (;;) {
    const page = await store.listMultipart({ ...query, ...(after && { after }) });
    assert.ok(page.uploads.length + page.prefixes.length <= query.limit);
    seen.push(...page.uploads.map(({ key, id }) => `${key}\n\n${id}`), ...page.prefixes);
    if (page.next === undefined) return seen;
    after = page.next;
  }
}
