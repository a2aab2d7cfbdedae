/** Conformance: what a bucket holds and has reserved is exact, and its quota is kept. */
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { isOperationalError } from "../../core/errors.ts";
import type { MetadataStore, ObjectRecord } from "../../core/ports/metadata-store.ts";
import {
  author,
  blob,
  bucket,
  complete,
  deletedAt,
  emptyTrash,
  garbageDueAt,
  type OpenStore,
  object,
  openWithBucket,
  take,
  upload,
  withCode,
} from "../conformance-samples.ts";
import { randomOperation } from "./random-operations.ts";

const many = { openMax: 5000 };

export function usageTests(open: OpenStore): void {
  test("usage follows what is written, replaced, copied, moved and deleted", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.createBucket(bucket("c"), { author });
    const usage = async (name = "b") => {
      const { bytes, objects, reservedBytes } = await store.bucketUsage(name);
      return [bytes, objects, reservedBytes];
    };
    assert.deepEqual(await usage(), [0, 0, 0]);
    const first = await write(store, "1", 10);
    await write(store, "2", 20);
    assert.deepEqual(await usage(), [30, 2, 0]);
    const replacing = await write(store, "2", 7);
    assert.deepEqual(await usage(), [17, 2, 0]);
    await store.copyObject(first, object("3"), { author, garbageDueAt });
    assert.deepEqual(await usage(), [27, 3, 0]);
    await store.copyObject(first, object("2", { version: "w" }), { author, garbageDueAt });
    assert.deepEqual(await usage(), [30, 3, 0]);
    const move = { garbageDueAt, deleteSource: true };
    const { object: moved } = await store.copyObject(first, object("4"), { ...move, author });
    assert.deepEqual(await usage(), [30, 3, 0]);
    await store.copyObject(moved, object("4", { version: "w" }), { ...move, author });
    assert.deepEqual(await usage(), [30, 3, 0]);
    const third = await store.headObject("b", "3");
    assert.ok(third !== undefined);
    await store.copyObject(third, object("3", { bucket: "c" }), { ...move, author });
    assert.deepEqual(
      [await usage(), await usage("c")],
      [
        [20, 2, 0],
        [10, 1, 0],
      ],
    );
    await assert.rejects(
      store.deleteObject("b", "4", { author, deletedAt, garbageDueAt, ifVersion: "stale" }),
      withCode("precondition_failed"),
    );
    await assert.rejects(
      store.commitObject(object("2"), blob("no"), { author, garbageDueAt, ifAbsent: true }),
      withCode("precondition_failed"),
    );
    await assert.rejects(
      store.copyObject(replacing, object("9"), { author, garbageDueAt }),
      withCode("precondition_failed"),
    );
    assert.deepEqual(await usage(), [20, 2, 0]);
    await store.deleteObjects("b", ["2", "absent", "4", "4"], { author, deletedAt, garbageDueAt });
    assert.deepEqual(await usage(), [0, 0, 0]);
    await store.deleteObject("b", "2", { author, deletedAt, garbageDueAt });
    assert.deepEqual(await usage(), [0, 0, 0]);
    await assert.rejects(store.bucketUsage("absent"), withCode("bucket_not_found"));
  });

  test("a quota refuses new bytes, and says what is used and reserved", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.changeBucket("b", { quotaBytes: 100 }, { author });
    await write(store, "1", 60);
    await store.createUpload(upload("u", { reservedBytes: 30 }), many);
    const refusal = (used: number, reserved: number, more: number) => (error: unknown) => {
      assert.ok(isOperationalError(error, "quota_exceeded"), String(error));
      const { quotaBytes, usedBytes, reservedBytes, bytes } = error.context;
      const expected = [quotaBytes, usedBytes, reservedBytes, bytes];
      assert.deepEqual([100, used, reserved, more], expected);
      assert.equal(error.retryable, false);
      return true;
    };
    await assert.rejects(write(store, "2", 11), refusal(60, 30, 11));
    await assert.rejects(write(store, "1", 71), refusal(60, 30, 11));
    assert.equal(await store.headObject("b", "2"), undefined);
    await write(store, "2", 10);
    const another = upload("v", { reservedBytes: 1 });
    await assert.rejects(store.createUpload(another, many), refusal(70, 30, 1));
    assert.equal(await store.getUpload("v"), undefined);
    const { upload: taken } = await take(store, "u");
    await assert.rejects(store.checkpointUpload(taken, { reservedBytes: 32 }), refusal(70, 30, 2));
    const copied = await store.headObject("b", "2");
    assert.ok(copied !== undefined);
    await assert.rejects(
      store.copyObject(copied, object("3"), { author, garbageDueAt }),
      refusal(70, 30, 10),
    );
    // No byte more: the same length again, a copy onto itself, a move, nothing at all.
    await write(store, "1", 60);
    await store.copyObject(copied, object("2", { version: "w" }), { author, garbageDueAt });
    const onto = await store.headObject("b", "2");
    assert.ok(onto !== undefined);
    await store.copyObject(onto, object("3"), { author, garbageDueAt, deleteSource: true });
    await write(store, "empty", 0);
    assert.deepEqual(await store.bucketUsage("b"), {
      bytes: 70,
      objects: 3,
      reservedBytes: 30,
      ...emptyTrash,
    });
  });

  test("a condition that fails is told before the quota, a missing bucket before both", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.changeBucket("b", { quotaBytes: 5 }, { author });
    await write(store, "1", 5);
    const absent = { garbageDueAt, ifAbsent: true };
    const whole = blob("new", { length: 50 });
    await assert.rejects(
      store.commitObject(object("1"), whole, { ...absent, author }),
      withCode("precondition_failed"),
    );
    await assert.rejects(
      store.commitObject(object("1", { bucket: "none" }), whole, {
        author,
        garbageDueAt,
        ifMatch: "*",
      }),
      withCode("bucket_not_found"),
    );
  });

  test("a reservation becomes the object's bytes and is not counted twice", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.changeBucket("b", { quotaBytes: 100 }, { author });
    await store.createUpload(upload("u", { reservedBytes: 100 }), many);
    await complete(store, "u", { length: 100 });
    assert.deepEqual(await store.bucketUsage("b"), {
      bytes: 100,
      objects: 1,
      reservedBytes: 0,
      ...emptyTrash,
    });
    // Nothing is left, and replacing it takes what it frees.
    await store.createUpload(upload("v", { key: "key of u" }), many);
    await complete(store, "v", { length: 90 });
    await store.createUpload(upload("w"), many);
    await assert.rejects(complete(store, "w", { length: 11 }), withCode("quota_exceeded"));
    assert.equal((await store.getUpload("w"))?.phase, "receiving");
    await complete(store, "w", { length: 10 });
    assert.deepEqual(await store.bucketUsage("b"), {
      bytes: 100,
      objects: 2,
      reservedBytes: 0,
      ...emptyTrash,
    });
  });

  test("a quota lowered below what is used refuses new bytes only", async (t) => {
    await using store = await openWithBucket(open, t);
    await write(store, "1", 60);
    await store.createUpload(upload("u", { reservedBytes: 40 }), many);
    await store.changeBucket("b", { quotaBytes: 10 }, { author });
    await assert.rejects(write(store, "2", 1), withCode("quota_exceeded"));
    await write(store, "1", 50);
    await assert.rejects(write(store, "1", 51), withCode("quota_exceeded"));
    const { upload: taken } = await take(store, "u");
    await store.checkpointUpload(taken, { reservedBytes: 30 });
    // It was promised room.
    await complete(store, "u", { length: 30 });
    await store.deleteObject("b", "1", { author, deletedAt, garbageDueAt });
    await assert.rejects(write(store, "2", 1), withCode("quota_exceeded"));
    await store.changeBucket("b", { quotaBytes: null }, { author });
    await write(store, "2", 1000);
  });

  test("writers at once never pass the quota together", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.changeBucket("b", { quotaBytes: 100 }, { author });
    const racing = Array.from({ length: 40 }, (_, index) =>
      index % 2 === 0
        ? write(store, `k${index}`, 9)
        : store.createUpload(upload(`u${index}`, { reservedBytes: 9 }), many),
    );
    const results = await Promise.allSettled(racing);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 11);
    for (const result of results) {
      if (result.status === "rejected") withCode("quota_exceeded")(result.reason);
    }
    const { bytes, reservedBytes } = await store.bucketUsage("b");
    assert.equal(bytes + reservedBytes, 99);
  });

  for (const seed of [1, 2, 3]) {
    test(`sums and references equal a recount after random operations of seed ${seed}`, async (t) => {
      await using store = await openWithBucket(open, t, { trashMs: 1000 });
      await store.createBucket(bucket("c", { quotaBytes: 500, trashMs: 1000 }), { author });
      const operate = randomOperation(store, seed);
      let trashed = 0;
      for (let round = 0; round < 25; round += 1) {
        // Some are refused, which must leave no trace either.
        const results = await Promise.allSettled(Array.from({ length: 16 }, () => operate()));
        for (const result of results) {
          if (result.status === "rejected")
            assert.ok(!isOperationalError(result.reason, "internal"));
        }
        for (const name of ["b", "c"]) {
          assert.deepEqual(await store.bucketUsage(name), await recount(store, name));
        }
        const { bytes, reservedBytes, trashObjects } = await store.bucketUsage("c");
        assert.ok(bytes + reservedBytes <= 500);
        trashed += trashObjects;
        const { referenced } = await store.countBlobsOfStorage("local");
        assert.equal(referenced, (await referencedBlobs(store)).size);
      }
      assert.ok((await store.bucketUsage("b")).objects > 0 && trashed > 0);
      // A reference too many would keep a blob for ever.
      await emptyAll(store);
      assert.equal((await store.countBlobsOfStorage("local")).referenced, 0);
    });
  }
}

/** Replaces with a blob of its own. */
async function write(store: MetadataStore, key: string, length: number): Promise<ObjectRecord> {
  const version = `${key} of ${length}, ${randomUUID()}`;
  const written = blob(version, { length });
  return (await store.commitObject(object(key, { version }), written, { author, garbageDueAt }))
    .object;
}

async function recount(store: MetadataStore, name: string) {
  const query = { bucket: name, prefix: "", delimiter: "", limit: 1000 };
  const { objects } = await store.listObjects(query);
  const uploads = await store.listUploads({ bucket: name, limit: 1000 });
  assert.ok(objects.length < 1000 && uploads.length < 1000);
  const { entries } = await store.listTrash({ bucket: name, prefix: "", limit: 1000 });
  assert.ok(entries.length < 1000);
  const running = uploads.filter(({ phase }) => phase === "receiving" || phase === "completing");
  return {
    bytes: objects.reduce((total, { length }) => total + length, 0),
    objects: objects.length,
    reservedBytes: running.reduce((total, record) => total + record.reservedBytes, 0),
    trashBytes: entries.reduce((total, entry) => total + entry.object.length, 0),
    trashObjects: entries.length,
  };
}

/** Of objects, of the trash and of complete partials. */
async function referencedBlobs(store: MetadataStore): Promise<ReadonlySet<string>> {
  const keys = new Set<string>();
  for (const name of ["b", "c"]) {
    const everything = { bucket: name, prefix: "", delimiter: "", limit: 1000 };
    const { objects } = await store.listObjects(everything);
    const { entries } = await store.listTrash({ bucket: name, prefix: "", limit: 1000 });
    for (const { blobKey } of objects) keys.add(blobKey);
    for (const entry of entries) keys.add(entry.object.blobKey);
    for (const record of await store.listUploads({ bucket: name, limit: 1000 })) {
      const isOwner = record.kind === "partial" && record.phase === "complete";
      if (isOwner && record.place !== null) keys.add(record.place.blobKey);
    }
  }
  return keys;
}

async function emptyAll(store: MetadataStore): Promise<void> {
  for (const name of ["b", "c"]) {
    const everything = { bucket: name, prefix: "", delimiter: "", limit: 1000 };
    const { objects } = await store.listObjects(everything);
    const keys = objects.map(({ key }) => key);
    await store.deleteObjects(name, keys, { author, deletedAt, garbageDueAt });
    const all = { bucket: name, prefix: "", limit: 1000 };
    await store.purgeTrash(all, { author, now: deletedAt, garbageDueAt });
    for (const { id } of await store.listUploads({ bucket: name, limit: 1000 })) {
      await store.cancelUpload(id);
      await store.forgetUpload(id, { garbageDueAt });
    }
    assert.deepEqual(await store.bucketUsage(name), await recount(store, name));
  }
}
