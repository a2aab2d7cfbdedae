/** Conformance: a blob is garbage exactly while no object points at it. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  author,
  blob,
  bytes,
  deletedAt,
  garbage,
  garbageDueAt,
  type OpenStore,
  object,
  openWithBucket,
  put,
  withCode,
} from "../conformance-samples.ts";

const later = new Date(garbageDueAt.getTime() + 1000);
const muchLater = new Date(garbageDueAt.getTime() + 2000);

export function blobTests(open: OpenStore): void {
  test("a replaced or deleted object's blob becomes garbage, due when the writer said", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k", { version: "v1", blobKey: "x1" });
    assert.deepEqual(await garbage(store), []);
    await store.commitObject(object("k", { version: "v2" }), blob("x2"), {
      author,
      garbageDueAt: later,
    });
    await store.deleteObject("b", "k", { deletedAt, author, garbageDueAt: muchLater });
    const due = async (dueBefore: Date, limit = 10) =>
      (await store.listGarbage({ dueBefore, limit })).map(({ blobKey }) => blobKey);
    assert.deepEqual(await due(garbageDueAt), []);
    assert.deepEqual(await due(later), ["x1"]);
    assert.deepEqual(await due(muchLater), ["x1", "x2"]);
    assert.deepEqual(await due(muchLater, 1), ["x1"]);
    assert.deepEqual(await store.listGarbage({ dueBefore: later, limit: 1 }), [
      { storageId: "local", blobKey: "x1", length: 5, inPieces: false },
    ]);
  });

  test("a blob with several objects is garbage only when the last is gone", async (t) => {
    await using store = await openWithBucket(open, t);
    const source = await put(store, "a", { blobKey: "x" });
    await store.copyObject(source, object("b"), { author, garbageDueAt });
    await store.copyObject(source, object("c"), { author, garbageDueAt });
    await store.deleteObject("b", "a", { deletedAt, author, garbageDueAt });
    await put(store, "b", { version: "v2", blobKey: "y" });
    assert.deepEqual(await garbage(store), []);
    await store.deleteObjects("b", ["c"], { deletedAt, author, garbageDueAt });
    assert.deepEqual(await garbage(store), ["x"]);
  });

  test("a blob that no object will point at is garbage from the beginning, due at the latest instant", async (t) => {
    await using store = await openWithBucket(open, t);
    const blobAt = { storageId: "local", blobKey: "staged", length: 7 };
    await store.recordGarbage(blobAt, { garbageDueAt: later });
    await store.recordGarbage(blobAt, { garbageDueAt });
    assert.deepEqual([...(await store.knownBlobs("local", ["staged"]))], ["staged"]);
    assert.deepEqual(await store.listGarbage({ dueBefore: garbageDueAt, limit: 9 }), []);
    assert.deepEqual(await store.listGarbage({ dueBefore: later, limit: 9 }), [
      { ...blobAt, inPieces: false },
    ]);
    await store.recordGarbage(blobAt, { garbageDueAt: muchLater });
    assert.deepEqual(await store.listGarbage({ dueBefore: later, limit: 9 }), []);
    await store.forgetGarbage([blobAt]);
    assert.deepEqual(await store.listGarbage({ dueBefore: muchLater, limit: 9 }), []);
    await put(store, "k", { version: "v1", blobKey: "x1" });
    await store.recordGarbage({ ...blobAt, blobKey: "x1" }, { garbageDueAt });
    assert.deepEqual(await garbage(store), [], "an object points at it");
  });

  test("copies and moves onto what already points at the blob keep it alive", async (t) => {
    await using store = await openWithBucket(open, t);
    let source = await put(store, "a", { version: "v0", blobKey: "x" });
    for (const [index, deleteSource] of [false, true, false].entries()) {
      const next = object("a", { version: `v${index + 1}` });
      ({ object: source } = await store.copyObject(source, next, {
        author,
        garbageDueAt,
        deleteSource,
      }));
      assert.deepEqual(await garbage(store), []);
    }
    await store.copyObject(source, object("b", { version: "w" }), { author, garbageDueAt });
    await store.copyObject(source, object("b", { version: "w2" }), {
      author,
      garbageDueAt,
      deleteSource: true,
    });
    assert.deepEqual(await garbage(store), []);
    await store.deleteObject("b", "b", { deletedAt, author, garbageDueAt });
    assert.deepEqual(await garbage(store), ["x"]);
  });

  test("a move onto another object makes that one's blob garbage and keeps its own", async (t) => {
    await using store = await openWithBucket(open, t);
    const source = await put(store, "a", { blobKey: "x" });
    await put(store, "b", { blobKey: "y" });
    await store.copyObject(source, object("b"), { author, garbageDueAt, deleteSource: true });
    assert.deepEqual(await garbage(store), ["y"]);
    assert.equal((await store.headObject("b", "b"))?.blobKey, "x");
  });

  test("a blob that is committed again leaves the garbage", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k", { blobKey: "x" });
    await store.deleteObject("b", "k", { deletedAt, author, garbageDueAt });
    assert.deepEqual(await garbage(store), ["x"]);
    await put(store, "k", { blobKey: "x" });
    assert.deepEqual(await garbage(store), []);
    await store.forgetGarbage([{ storageId: "local", blobKey: "x" }]);
    assert.equal((await store.getObject("b", "k"))?.blobKey, "x");
    assert.deepEqual([...(await store.knownBlobs("local", ["x"]))], ["x"]);
  });

  test("the same commit twice counts one reference", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k", { blobKey: "x" });
    await put(store, "k", { blobKey: "x" });
    await store.deleteObject("b", "k", { deletedAt, author, garbageDueAt });
    assert.deepEqual(await garbage(store), ["x"]);
  });

  test("other bytes under a known blob key are refused", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k", { blobKey: "x" });
    for (const other of [
      blob("x", { length: 6 }),
      blob("x", { digests: { crc64nvme: bytes(8, 99) } }),
    ]) {
      const committing = store.commitObject(object("l"), other, { author, garbageDueAt });
      await assert.rejects(committing, withCode("internal"));
    }
    assert.equal(await store.headObject("b", "l"), undefined);
  });

  test("forgetting removes garbage and leaves referenced blobs alone", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "kept", { blobKey: "kept" });
    await put(store, "gone", { blobKey: "gone" });
    await store.deleteObject("b", "gone", { deletedAt, author, garbageDueAt });
    const addresses = ["kept", "gone", "absent"].map((blobKey) => ({
      storageId: "local",
      blobKey,
    }));
    await store.forgetGarbage([{ storageId: "other", blobKey: "gone" }]);
    assert.deepEqual(await garbage(store), ["gone"]);
    await store.forgetGarbage(addresses);
    await store.forgetGarbage([]);
    assert.deepEqual(await garbage(store), []);
    const known = await store.knownBlobs("local", ["kept", "gone", "absent"]);
    assert.deepEqual([...known], ["kept"]);
    assert.notEqual(await store.getObject("b", "kept"), undefined);
  });

  test("known blobs are those of the storage, referenced or garbage, of any number asked", async (t) => {
    await using store = await openWithBucket(open, t);
    const keys = Array.from({ length: 1300 }, (_, index) => `blob-${index}`);
    await Promise.all(keys.map((key) => put(store, key, { blobKey: key })));
    await store.deleteObjects("b", keys.slice(0, 650), { deletedAt, author, garbageDueAt });
    const asked = [...keys, ...keys.map((key) => `no-${key}`)];
    assert.deepEqual(await store.knownBlobs("local", asked), new Set(keys));
    assert.deepEqual(await store.knownBlobs("other", asked), new Set());
    assert.deepEqual(await store.knownBlobs("local", []), new Set());
  });
}
