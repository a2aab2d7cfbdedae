/** Conformance: an upload ends once, as an object, a partial or nothing, and leaves no reservation. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isOperationalError } from "../../core/errors.ts";
import type { MetadataStore } from "../../core/ports/metadata-store.ts";
import type { UploadRecord } from "../../core/ports/upload-store.ts";
import {
  at,
  author,
  blob,
  bucket,
  bytes,
  checks,
  complete,
  deletedAt,
  emptyTrash,
  garbage,
  garbageDueAt,
  type OpenStore,
  object,
  openWithBucket,
  part,
  place,
  plain,
  put,
  storage,
  tail,
  take,
  upload,
  withCode,
} from "../conformance-samples.ts";

const many = { openMax: 1000 };
const options = { garbageDueAt, expiresAt: at(2000) };
const asPartial = { ...options, version: "v" };

export function uploadEndingTests(open: OpenStore): void {
  test("completing by reference points at the other's blob, and needs nothing that came", async (t) => {
    await using store = await withProgress(open, t, "u");
    await store.changeBucket("b", { quotaBytes: 60 }, { author });
    const { upload: taken } = await take(store, "u");
    const shared = blob("shared", { length: 23 });
    const { object: source } = await store.commitObject(object("source"), shared, {
      author,
      garbageDueAt,
    });
    const made = object("key of u", { version: "v" });
    const stale = store.completeByReference(taken, { ...source, version: "old" }, made, {
      ...options,
      author,
    });
    await assert.rejects(stale, withCode("precondition_failed"));
    const absent = store.completeByReference(taken, { ...source, key: "absent" }, made, {
      ...options,
      author,
    });
    await assert.rejects(absent, withCode("object_not_found"));
    assert.equal((await store.getUpload("u"))?.phase, taken.phase, "a refusal changes nothing");
    const { object: written } = await store.completeByReference(taken, source, made, {
      ...options,
      author,
    });
    assert.deepEqual([written.blobKey, written.length, written.version], ["shared", 23, "v"]);
    const after = await store.getUpload("u");
    assert.deepEqual(
      [after?.phase, after?.version, after?.length, after?.reservedBytes, after?.holder],
      ["complete", "v", 23, 0, null],
    );
    assert.deepEqual((await garbage(store)).sort(), ["tail 1", taken.place?.blobKey].sort());
    assert.deepEqual(await store.bucketUsage("b"), {
      bytes: 46,
      objects: 2,
      reservedBytes: 0,
      ...emptyTrash,
    });
    const again = await store.completeByReference(taken, source, made, { ...options, author });
    assert.deepEqual(plain(again.object), plain(written));
    await store.deleteObject("b", "source", { deletedAt, author, garbageDueAt });
    assert.ok(!(await garbage(store)).includes("shared"), "the other still points there");
    await store.deleteObject("b", "key of u", { deletedAt, author, garbageDueAt });
    assert.ok((await garbage(store)).includes("shared"));
  });

  test("completing makes the object and the complete upload in one commit", async (t) => {
    await using store = await withProgress(open, t, "u");
    const { upload: taken } = await take(store, "u");
    const replaced = await put(store, "key of u", { blobKey: "old" });
    const blocks = { blockBytes: 4, sums: bytes(48, 3) };
    const whole = blob("x", { length: 23, blocks });
    const made = object("key of u", { version: "v" });
    const written = await store.completeUpload(taken, made, whole, { ...options, author });
    assert.deepEqual(plain(written.replaced), plain(replaced));
    assert.deepEqual(plain(written.object), plain(await store.headObject("b", "key of u")));
    assert.equal(written.object.blobKey, "x");
    const after: UploadRecord = {
      ...taken,
      phase: "complete",
      length: 23,
      checks: null,
      reservedBytes: 0,
      version: "v",
      expiresAt: at(2000),
      holder: null,
      leaseUntil: null,
    };
    assert.deepEqual(plain(await store.getUpload("u")), plain(after));
    assert.deepEqual((await garbage(store)).sort(), ["old", "tail 1"]);
    assert.deepEqual(await store.bucketUsage("b"), {
      bytes: 23,
      objects: 1,
      reservedBytes: 0,
      ...emptyTrash,
    });
    const again = await store.takeUpload("u", { holder: "q", now: at(1), until: at(2) });
    assert.deepEqual(plain(again), plain({ upload: after, segments: [] }));
    assert.deepEqual(plain(await store.getUpload("u")), plain(after));
  });

  test("completing again answers the same again, and changes nothing", async (t) => {
    await using store = await withProgress(open, t, "u");
    const { upload: taken } = await take(store, "u");
    const completing = (version = "v") =>
      store.completeUpload(
        taken,
        object("key of u", { version }),
        blob("x", { length: 23 }),
        // Of the first only: what is there now is its own.
        { author, ...options, ifAbsent: true },
      );
    const first = await completing();
    assert.deepEqual(plain(await completing()), plain({ object: first.object }));
    assert.deepEqual(plain(await completing("w")), plain({ object: first.object }));
    assert.deepEqual(await store.bucketUsage("b"), {
      bytes: 23,
      objects: 1,
      reservedBytes: 0,
      ...emptyTrash,
    });
    await put(store, "key of u", { version: "w", blobKey: "y" });
    assert.deepEqual((await garbage(store)).sort(), ["tail 1", "x"]);
    await assert.rejects(completing(), withCode("precondition_failed"));
    await store.deleteObject("b", "key of u", { deletedAt, author, garbageDueAt });
    await assert.rejects(completing(), withCode("precondition_failed"));
    assert.equal((await store.getUpload("u"))?.phase, "complete");
  });

  test("of racing writers that complete, the newest does", async (t) => {
    await using store = await withProgress(open, t, "u");
    const writers = [await take(store, "u"), await take(store, "u"), await take(store, "u")];
    const results = await Promise.allSettled(
      writers.map(({ upload: { id, fence } }, index) =>
        store.completeUpload(
          { id, fence },
          object("key of u", { version: `v${index}` }),
          blob(`x${index}`, { length: 23 }),
          { ...options, author },
        ),
      ),
    );
    const outcomes = results.map((result) =>
      result.status === "fulfilled" ? result.value.object.version : result.reason.code,
    );
    assert.deepEqual(outcomes, ["locked", "locked", "v2"]);
    // Nothing is written after the end, not even by the one that ended it.
    for (const { upload: writer } of writers) {
      const late = store.checkpointUpload(writer, { expiresAt: at(9999) });
      await assert.rejects(late, withCode("locked"));
    }
    assert.deepEqual((await store.getUpload("u"))?.expiresAt, at(2000));
  });

  test("a refused completion leaves the upload as it was", async (t) => {
    await using store = await withProgress(open, t, "u");
    await put(store, "key of u", { blobKey: "old" });
    const { upload: taken } = await take(store, "u");
    const whole = blob("x", { length: 23 });
    const made = object("key of u", { version: "v" });
    const conditional = { ...options, ifAbsent: true };
    const absent = { id: "absent", fence: 1 };
    const refused: readonly (readonly [Promise<unknown>, Parameters<typeof withCode>[0]])[] = [
      [store.completeUpload(taken, made, whole, { ...conditional, author }), "precondition_failed"],
      [store.completeUpload(absent, made, whole, { ...options, author }), "upload_not_found"],
      [
        store.completeUpload(taken, { ...made, key: "k" }, whole, { ...options, author }),
        "internal",
      ],
      [
        store.completeUpload(taken, { ...made, bucket: "c" }, whole, { ...options, author }),
        "internal",
      ],
      [
        store.completeUpload(taken, made, blob("x", { length: 22 }), { ...options, author }),
        "internal",
      ],
      [store.completePartial(taken, whole, asPartial), "internal"],
    ];
    for (const [refusal, code] of refused) await assert.rejects(refusal, withCode(code));
    assert.deepEqual(plain(await store.getUpload("u")), plain(taken));
    assert.equal((await store.headObject("b", "key of u"))?.blobKey, "old");
    assert.deepEqual(await garbage(store), []);
    assert.equal((await take(store, "u")).segments.length, 2);
  });

  test("a complete partial owns its blob until it is forgotten", async (t) => {
    await using store = await withProgress(open, t, "p", { kind: "partial", key: null });
    const { upload: taken } = await take(store, "p");
    const blocks = { blockBytes: 4, sums: bytes(48, 3) };
    const whole = blob("x", {
      length: 23,
      blocks,
      digests: { crc64nvme: bytes(8, 5), md5: bytes(16, 6) },
    });
    const neighbour = object("k", { version: "n" });
    await store.commitObject(neighbour, whole, { author, garbageDueAt });
    assert.deepEqual(await store.partialBlobs(["p"]), new Map());
    await store.deleteObject("b", "k", { deletedAt, author, garbageDueAt });
    await store.forgetGarbage([whole]);
    const after = await store.completePartial(taken, whole, asPartial);
    assert.deepEqual([after.phase, after.offset, after.length], ["complete", 23, 23]);
    assert.deepEqual([after.version, after.holder, after.reservedBytes], ["v", null, 0]);
    assert.deepEqual(plain(await store.getUpload("p")), plain(after));
    assert.deepEqual(plain(await store.completePartial(taken, whole, asPartial)), plain(after));
    const blobs = await store.partialBlobs(["p", "absent"]);
    assert.deepEqual([...blobs.keys()], ["p"]);
    assert.deepEqual(plain(blobs.get("p")), plain(whole));
    assert.deepEqual(await garbage(store), ["tail 1"]);
    assert.deepEqual(await store.bucketUsage("b"), {
      bytes: 0,
      objects: 0,
      reservedBytes: 0,
      ...emptyTrash,
    });
    assert.equal((await store.countBlobsOfStorage("local")).referenced, 1);
    await store.forgetUpload("p", { garbageDueAt });
    assert.equal(await store.getUpload("p"), undefined);
    assert.deepEqual(await store.partialBlobs(["p"]), new Map());
    assert.deepEqual((await garbage(store)).sort(), ["tail 1", "x"]);
    await assert.rejects(
      store.completePartial(taken, whole, asPartial),
      withCode("upload_not_found"),
    );
  });

  test("the blobs of many partials are found, of those that are complete", async (t) => {
    await using store = await openWithBucket(open, t);
    const ids = Array.from({ length: 1100 }, (_, index) => `p${index}`);
    const make = async (id: string) => {
      await store.createUpload(upload(id, { kind: "partial" }), { openMax: 2000 });
      if (id === "p7") return;
      const { upload: taken } = await take(store, id);
      await store.completePartial(taken, blob(id), asPartial);
    };
    await Promise.all(ids.map(make));
    await store.createUpload(upload("u"), { openMax: 2000 });
    await complete(store, "u");
    const found = await store.partialBlobs(["u", ...ids]);
    assert.equal(found.size, 1099);
    assert.equal(found.get("p1099")?.blobKey, "p1099");
    assert.deepEqual(await store.partialBlobs([]), new Map());
  });

  test("a cancelled upload can no longer be written, and tells what is to be cleaned", async (t) => {
    await using store = await withProgress(open, t, "u");
    const { upload: taken } = await take(store, "u");
    const left = await store.cancelUpload("u");
    const after = {
      ...taken,
      phase: "cancelling",
      fence: taken.fence + 1,
      reservedBytes: 0,
      holder: null,
      leaseUntil: null,
    };
    assert.deepEqual(plain(left), plain({ upload: after, segments: [part(1), tail(1)] }));
    assert.deepEqual(plain(await store.cancelUpload("u")), plain(left));
    assert.equal((await store.bucketUsage("b")).reservedBytes, 0);
    const whole = blob("x", { length: 23 });
    for (const writer of [taken, { id: "u", fence: taken.fence + 1 }]) {
      const refused = [
        store.checkpointUpload(writer, { reservedBytes: 3 }),
        store.completeUpload(writer, object("key of u"), whole, { ...options, author }),
        store.takeUpload("u", { holder: "q", now: at(1), until: at(2) }),
      ];
      for (const refusal of refused) await assert.rejects(refusal, withCode("upload_not_found"));
      await store.releaseUpload(writer);
    }
    assert.deepEqual(plain(await store.getUpload("u")), plain(after));
    assert.equal(await store.cancelUpload("absent"), undefined);
  });

  test("cancelling a complete upload changes nothing and says that it is complete", async (t) => {
    await using store = await withProgress(open, t, "u");
    await complete(store, "u", { length: 23 });
    const before = await store.getUpload("u");
    const answer = await store.cancelUpload("u");
    assert.deepEqual(plain(answer), plain({ upload: before, segments: [] }));
    assert.deepEqual(plain(await store.getUpload("u")), plain(before));
    assert.notEqual(await store.headObject("b", "key of u"), undefined);
  });

  test("of completing and cancelling at once one happens", async (t) => {
    await using store = await openWithBucket(open, t);
    for (let round = 0; round < 10; round += 1) {
      const id = `u${round}`;
      await store.createUpload(upload(id, { reservedBytes: 5 }), many);
      const { upload: taken } = await take(store, id);
      const completing = () =>
        store.completeUpload(taken, object(`key of ${id}`), blob(id), { ...options, author });
      const cancelling = () => store.cancelUpload(id);
      const calls = round % 2 === 0 ? [completing, cancelling] : [cancelling, completing];
      const results = await Promise.allSettled(calls.map((call) => call()));
      const there = (await store.headObject("b", `key of ${id}`)) !== undefined;
      const phase = (await store.getUpload(id))?.phase;
      assert.equal(phase, there ? "complete" : "cancelling");
      assert.equal(results.filter(({ status }) => status === "rejected").length, there ? 0 : 1);
    }
    const { bytes: stored, objects, reservedBytes } = await store.bucketUsage("b");
    assert.deepEqual([stored, reservedBytes], [objects * 5, 0]);
  });

  test("forgetting a cancelled upload makes its tails and its blob garbage", async (t) => {
    await using store = await withProgress(open, t, "u");
    await assert.rejects(store.forgetUpload("u", { garbageDueAt }), withCode("internal"));
    await store.cancelUpload("u");
    assert.deepEqual(await garbage(store), []);
    await store.forgetUpload("u", { garbageDueAt });
    assert.equal(await store.getUpload("u"), undefined);
    assert.deepEqual((await garbage(store)).sort(), ["tail 1", "x"]);
    const dueBefore = new Date(garbageDueAt.getTime() - 1);
    assert.deepEqual(await store.listGarbage({ dueBefore, limit: 10 }), []);
    await store.forgetUpload("u", { garbageDueAt });
    await store.createUpload(upload("u"), many);
    assert.deepEqual((await take(store, "u")).segments, []);
  });

  test("forgetting a complete upload leaves its object", async (t) => {
    await using store = await withProgress(open, t, "u");
    await complete(store, "u", { length: 23 });
    await store.forgetUpload("u", { garbageDueAt });
    assert.equal(await store.getUpload("u"), undefined);
    assert.equal((await store.getObject("b", "key of u"))?.length, 23);
    assert.deepEqual(await garbage(store), ["tail 1"]);
  });

  test("a bucket with unfinished uploads is not deleted; complete ones go with it", async (t) => {
    await using store = await withProgress(open, t, "u");
    await store.createUpload(upload("p", { kind: "partial" }), many);
    await store.completePartial((await take(store, "p")).upload, blob("partial"), asPartial);
    await store.createUpload(upload("o"), many);
    await complete(store, "o");
    await store.deleteObject("b", "key of o", { deletedAt, author, garbageDueAt });
    const refusal = (error: unknown): boolean => {
      assert.ok(isOperationalError(error, "not_empty"), String(error));
      assert.equal(error.context.uploads, 1);
      return true;
    };
    await assert.rejects(store.deleteBucket("b", { author }), refusal);
    await store.cancelUpload("u");
    await assert.rejects(store.deleteBucket("b", { author }), refusal);
    await store.forgetUpload("u", { garbageDueAt });
    await store.deleteBucket("b", { author });
    assert.deepEqual(await store.listUploads({ limit: 10 }), []);
    assert.deepEqual((await garbage(store)).sort(), ["blob of o", "partial", "tail 1", "x"]);
    await assert.rejects(store.bucketUsage("b"), withCode("bucket_not_found"));
    await store.createBucket(bucket("b"), { author });
    assert.deepEqual(await store.bucketUsage("b"), {
      bytes: 0,
      objects: 0,
      reservedBytes: 0,
      ...emptyTrash,
    });
  });

  test("a storage with unfinished uploads is neither retired nor forgotten", async (t) => {
    await using store = await withProgress(open, t, "u");
    await store.putStorage(storage("local"), { author });
    const retired = storage("local", { revision: 2, state: "retired" });
    const refusal = (error: unknown): boolean => {
      assert.ok(isOperationalError(error, "not_empty"), String(error));
      assert.deepEqual([error.context.uploads, error.context.blobs], [1, 0]);
      assert.match(error.message, /1 upload/);
      return true;
    };
    await assert.rejects(store.putStorage(retired, { author }), refusal);
    await assert.rejects(store.deleteStorage("local", { author }), refusal);
    await store.cancelUpload("u");
    await assert.rejects(store.putStorage(retired, { author }), refusal);
    await store.forgetUpload("u", { garbageDueAt });
    await assert.rejects(store.putStorage(retired, { author }), withCode("not_empty"));
    const left = ["tail 1", "x"].map((blobKey) => ({ storageId: "local", blobKey }));
    await store.forgetGarbage(left);
    await store.putStorage(retired, { author });
    await store.deleteStorage("local", { author });
  });
}

/** A store with the bucket `b` and an upload of it: 23 bytes in the blob `x`, a part and a tail. */
async function withProgress(
  open: OpenStore,
  t: Parameters<OpenStore>[0],
  id: string,
  changes: Partial<UploadRecord> = {},
): Promise<MetadataStore> {
  const store = await openWithBucket(open, t);
  await store.createUpload(upload(id, { reservedBytes: 23, ...changes }), many);
  const { upload: taken } = await take(store, id);
  await store.checkpointUpload(taken, {
    offset: 23,
    checks: checks(23),
    place: place("x", { token: "t" }),
    add: [part(1), tail(1)],
    release: true,
  });
  return store;
}
