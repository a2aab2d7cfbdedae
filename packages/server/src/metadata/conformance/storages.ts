/** Conformance: records of storages, and that one with blobs is neither retired nor forgotten. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isOperationalError } from "../../core/errors.ts";
import type { MetadataStore, StorageRecord } from "../../core/ports/metadata-store.ts";
import {
  author,
  blob,
  bytes,
  deletedAt,
  garbageDueAt,
  type OpenStore,
  object,
  openWithBucket,
  put,
  storage,
  withCode,
} from "../conformance-samples.ts";

export function storageTests(open: OpenStore): void {
  test("storages come back as they were put, in order of ids", async (t) => {
    await using store = await open(t);
    assert.deepEqual(await store.listStorages(), []);
    const pooled = Buffer.from(bytes(40, 3));
    const records = [
      storage("b", { sealedSecrets: null, settings: {}, state: "read-only" }),
      storage("a", { sealedSecrets: pooled, state: "draining" }),
      storage("B"),
    ];
    for (const record of records) await store.putStorage(record, { author });
    const [first, second, third] = records;
    assert.deepEqual((await store.listStorages()).map(comparable), [
      comparable(third),
      comparable(second),
      comparable(first),
    ]);
  });

  test("a storage is replaced by its next revision, and by no other", async (t) => {
    await using store = await open(t);
    await store.putStorage(storage("s"), { author });
    await assert.rejects(
      store.putStorage(storage("s"), { author }),
      withCode("precondition_failed"),
    );
    const next = storage("s", { revision: 2, state: "draining", settings: { root: "/other" } });
    await store.putStorage(next, { author });
    await assert.rejects(store.putStorage(next, { author }), withCode("precondition_failed"));
    const skipping = storage("s", { revision: 4 });
    await assert.rejects(store.putStorage(skipping, { author }), withCode("precondition_failed"));
    const absent = storage("t", { revision: 2 });
    await assert.rejects(store.putStorage(absent, { author }), withCode("precondition_failed"));
    assert.deepEqual((await store.listStorages()).map(comparable), [comparable(next)]);
  });

  test("of racing changes of a storage one wins", async (t) => {
    await using store = await open(t);
    await store.putStorage(storage("s"), { author });
    const racing = Array.from({ length: 8 }, (_, racer) =>
      store.putStorage(storage("s", { revision: 2, settings: { racer } }), { author }),
    );
    const won = (await Promise.allSettled(racing)).flatMap((result, racer) =>
      result.status === "fulfilled" ? [racer] : [],
    );
    assert.equal(won.length, 1);
    assert.deepEqual((await store.listStorages())[0]?.settings, { racer: won[0] });
  });

  test("blobs of a storage are counted, garbage by itself, other storages' not", async (t) => {
    await using store = await openWithBucket(open, t);
    assert.deepEqual(await store.countBlobsOfStorage("s"), { referenced: 0, garbage: 0 });
    await put(store, "elsewhere");
    for (const key of ["1", "2", "3"]) await putIn(store, "s", key);
    await store.deleteObject("b", "2", { deletedAt, author, garbageDueAt });
    assert.deepEqual(await store.countBlobsOfStorage("s"), { referenced: 2, garbage: 1 });
  });

  test("a storage that holds blobs is neither retired nor forgotten, and the count is told", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.putStorage(storage("s"), { author });
    await putIn(store, "s", "1");
    await putIn(store, "s", "2");
    await store.deleteObject("b", "2", { deletedAt, author, garbageDueAt });
    const retired = storage("s", { revision: 2, state: "retired" });
    const refusal = (error: unknown): boolean => {
      assert.ok(isOperationalError(error, "not_empty"));
      const { blobs, referenced, garbage } = error.context;
      assert.deepEqual([blobs, referenced, garbage], [2, 1, 1]);
      return true;
    };
    await assert.rejects(store.putStorage(retired, { author }), refusal);
    await assert.rejects(store.deleteStorage("s", { author }), refusal);
    await store.deleteObject("b", "1", { deletedAt, author, garbageDueAt });
    await assert.rejects(store.putStorage(retired, { author }), withCode("not_empty"));
    await store.forgetGarbage(["1", "2"].map((blobKey) => ({ storageId: "s", blobKey })));
    await store.putStorage(retired, { author });
    assert.equal((await store.listStorages())[0]?.state, "retired");
    await store.deleteStorage("s", { author });
    assert.deepEqual(await store.listStorages(), []);
    await assert.rejects(store.deleteStorage("s", { author }), withCode("storage_not_found"));
  });
}

async function putIn(store: MetadataStore, storageId: string, key: string): Promise<void> {
  await store.commitObject(object(key), blob(key, { storageId }), { author, garbageDueAt });
}

/** Bytes as text: stores may answer them as any kind of byte array. */
function comparable(record: StorageRecord | undefined) {
  const { sealedSecrets = null, ...rest } = record ?? {};
  return { ...rest, sealed: sealedSecrets && Buffer.from(sealedSecrets).toString("hex") };
}
