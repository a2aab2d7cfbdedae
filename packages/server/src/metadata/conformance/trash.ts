/** Conformance: what is deleted or replaced can be restored as it was, until it is purged. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  type MetadataStore,
  steadyClockSetting,
  type TrashQuery,
  type TrashRecord,
} from "../../core/ports/metadata-store.ts";
import {
  at,
  author,
  blob,
  bucket,
  complete,
  createdAt,
  deletedAt,
  garbage,
  garbageDueAt,
  type OpenStore,
  object,
  openWithBucket,
  plain,
  put,
  upload,
  withCode,
} from "../conformance-samples.ts";

const trashMs = 1_000_000;
const deleting = { author, deletedAt, garbageDueAt };
const restoring = { author, ifExists: "skip", now: deletedAt, garbageDueAt } as const;
const all = { bucket: "b", prefix: "", limit: 1000 } as const;
const later = (ms: number) => new Date(deletedAt.getTime() + ms);

export function trashTests(open: OpenStore): void {
  const openTrash: typeof openWithBucket = (_, t) => openWithBucket(open, t, { trashMs });

  test("a deleted object is in the trash, keeps its blob, and comes back as it was", async (t) => {
    await using store = await openTrash(open, t);
    const attributes = { tags: "a=b" };
    const written = await put(store, "k", { userMetadata: { a: "ß" }, attributes, version: "v1" });
    await store.deleteObject("b", "k", deleting);
    assert.equal(await store.headObject("b", "k"), undefined);
    assert.deepEqual(await garbage(store), []);
    const [entry] = await entries(store);
    assert.ok(entry !== undefined);
    assert.deepEqual(plain(entry.object), plain(written));
    const { reason, jobId, deletedBy } = entry;
    assert.deepEqual(
      { reason, jobId, deletedBy },
      { reason: "deleted", jobId: null, deletedBy: JSON.stringify(author) },
    );
    assert.deepEqual([entry.deletedAt, entry.purgeDueAt], [deletedAt, later(trashMs)]);
    assert.deepEqual(await usage(store), [0, 0, 5, 1]);
    const found = await store.getTrash("b", [entry.id, entry.id + 1]);
    assert.deepEqual(plain(found), plain([entry]));
    assert.deepEqual(await store.getTrash("other", [entry.id]), []);
    const result = await store.restoreTrash({ bucket: "b", ids: [entry.id] }, restoring);
    assert.deepEqual(plain(result.restored), plain([written]));
    assert.deepEqual(plain(await store.headObject("b", "k")), plain(written));
    assert.deepEqual([await entries(store), await usage(store)], [[], [5, 1, 0, 0]]);
    const again = await store.restoreTrash({ bucket: "b", ids: [entry.id] }, restoring);
    assert.deepEqual(again, { restored: [], skipped: [], missing: 1 });
  });

  test("every way of replacing puts what was there into the trash; moving away does not", async (t) => {
    await using store = await openTrash(open, t);
    const first = await put(store, "k", { version: "v1", blobKey: "b1" });
    const second = await put(store, "k", { version: "v2", blobKey: "b2" });
    await store.copyObject(second, object("k", { version: "v3" }), { author, garbageDueAt });
    await store.createUpload(upload("u", { key: "k" }), { openMax: 9 });
    await complete(store, "u", { version: "v4" });
    await store.createUpload(upload("w", { key: "k" }), { openMax: 9 });
    const taken = await store.takeUpload("w", { holder: "h", now: at(0), until: at(9) });
    assert.ok(taken !== undefined);
    const other = await put(store, "other", { version: "o1" });
    const byReference = { author, garbageDueAt, expiresAt: at(1) };
    await store.completeByReference(
      taken.upload,
      other,
      object("k", { version: "v5" }),
      byReference,
    );
    await store.copyObject(other, object("k", { version: "v6" }), {
      author,
      garbageDueAt,
      deleteSource: true,
    });
    const kept = await entries(store);
    assert.deepEqual(
      kept.map(({ object: { version }, reason }) => [version, reason]),
      ["v5", "v4", "v3", "v2", "v1"].map((version) => [version, "replaced"]),
    );
    assert.deepEqual(await store.headObject("b", "other"), undefined);
    assert.deepEqual(await garbage(store), []);
    const oldest = kept.at(-1);
    assert.ok(oldest !== undefined);
    assert.deepEqual(plain(oldest.object), plain(first));
    const replacing = { ...restoring, ifExists: "replace" } as const;
    await store.restoreTrash({ bucket: "b", ids: [oldest.id] }, replacing);
    assert.equal((await store.headObject("b", "k"))?.version, "v1");
    const [newest] = await entries(store);
    assert.deepEqual([newest?.object.version, newest?.reason], ["v6", "replaced"]);
  });

  test("without a trash nothing is kept, and a change holds from then on", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "a");
    await store.deleteObject("b", "a", deleting);
    assert.deepEqual([await garbage(store), await entries(store)], [["blob of a"], []]);
    await put(store, "c");
    await store.changeBucket("b", { trashMs: 5 }, { author });
    await store.deleteObject("b", "c", deleting);
    await store.changeBucket("b", { trashMs: null }, { author });
    assert.deepEqual((await entries(store)).map(keyOf), ["c"]);
    assert.deepEqual(await usage(store), [0, 0, 5, 1]);
  });

  test("the trash is listed by time and by prefix, page by page", async (t) => {
    await using store = await openTrash(open, t);
    const keys = ["p/2", "q", "p/1", "p/1", "p0", "p/\u{10ffff}"];
    for (const [index, key] of keys.entries()) {
      await put(store, key, { version: `v${index}`, blobKey: `b${index}` });
      await store.deleteObject("b", key, { author, deletedAt: later(index), garbageDueAt });
    }
    const versions = async (query: Partial<TrashQuery>) => {
      const found: string[] = [];
      let after: TrashQuery["after"];
      do {
        const page = await store.listTrash({ ...all, limit: 2, ...query, ...(after && { after }) });
        found.push(...page.entries.map(({ object: { version } }) => version));
        after = page.next;
      } while (after !== undefined);
      return found.join(" ");
    };
    assert.equal(await versions({}), "v5 v4 v3 v2 v1 v0");
    assert.equal(await versions({ prefix: "p/" }), "v2 v3 v0 v5");
    assert.equal(await versions({ prefix: "p/1" }), "v2 v3");
    assert.equal(await versions({ prefix: "p/\u{10ffff}" }), "v5");
    const window = { deletedAfter: later(1), deletedBefore: later(4) };
    assert.equal(await versions(window), "v3 v2 v1");
    assert.equal(await versions({ ...window, prefix: "p" }), "v2 v3");
    assert.equal(await versions({ bucket: "absent" }), "");
  });

  test("of the versions of a key that fit, the one deleted last is restored", async (t) => {
    await using store = await openTrash(open, t);
    for (const [index, version] of ["v1", "v2", "v3"].entries()) {
      await put(store, "k", { version, blobKey: version });
      await store.deleteObject("b", "k", { author, deletedAt: later(index), garbageDueAt });
    }
    const two = { ...all, deletedBefore: later(2) };
    const { restored } = await store.restoreTrash(two, restoring);
    assert.deepEqual(
      restored.map(({ version }) => version),
      ["v2"],
    );
    const again = await store.restoreTrash({ ...all, prefix: "k" }, restoring);
    assert.deepEqual([again.restored, again.skipped.length], [[], 1], "v3 was deleted later");
  });

  test("a restore by a filter that is asked again changes nothing", async (t) => {
    await using store = await openTrash(open, t);
    await put(store, "k", { version: "v1", blobKey: "v1" });
    await put(store, "k", { version: "v2", blobKey: "v2" });
    await store.deleteObject("b", "k", deleting);
    await put(store, "k", { version: "v3", blobKey: "v3", createdAt: later(1) });
    const skipping = await store.restoreTrash(all, restoring);
    assert.deepEqual(
      [skipping.restored, skipping.skipped.map(({ version }) => version)],
      [[], ["v2"]],
    );
    const replacing = { ...restoring, ifExists: "replace", now: later(2) } as const;
    const { restored } = await store.restoreTrash(all, replacing);
    assert.deepEqual(
      restored.map(({ version }) => version),
      ["v2"],
    );
    for (let again = 0; again < 2; again++) {
      const nothing = { restored: [], skipped: [], missing: 0 };
      assert.deepEqual(await store.restoreTrash(all, replacing), nothing);
    }
    assert.equal((await store.headObject("b", "k"))?.version, "v2");
    const kept = (await entries(store)).map(({ object: { version } }) => version).sort();
    assert.deepEqual(kept, ["v1", "v3"]);
    // Deleted again, it is the newest again.
    await store.deleteObject("b", "k", { author, deletedAt: later(3), garbageDueAt });
    const last = await store.restoreTrash({ ...all, prefix: "k" }, restoring);
    assert.deepEqual(
      last.restored.map(({ version }) => version),
      ["v2"],
    );
  });

  test("restored bytes count against the quota, and a refusal leaves all in the trash", async (t) => {
    await using store = await openTrash(open, t);
    await put(store, "a");
    await put(store, "c");
    await store.deleteObjects("b", ["a", "c"], deleting);
    await store.changeBucket("b", { quotaBytes: 9 }, { author });
    await assert.rejects(store.restoreTrash(all, restoring), withCode("quota_exceeded"));
    assert.deepEqual(await usage(store), [0, 0, 10, 2]);
    await store.changeBucket("b", { quotaBytes: 10 }, { author });
    assert.equal((await store.restoreTrash(all, restoring)).restored.length, 2);
    assert.deepEqual(await usage(store), [10, 2, 0, 0]);
  });

  test("purging gives up the reference, for good", async (t) => {
    await using store = await openTrash(open, t);
    const source = await put(store, "a");
    await store.copyObject(source, object("copy"), { author, garbageDueAt });
    await put(store, "c");
    await store.deleteObjects("b", ["a", "c"], deleting);
    const { purged } = await store.purgeTrash(all, { author, now: deletedAt, garbageDueAt });
    assert.deepEqual(purged.map(({ key }) => key).sort(), ["a", "c"]);
    assert.deepEqual(await garbage(store), ["blob of c"]);
    assert.deepEqual([await entries(store), await usage(store)], [[], [5, 1, 0, 0]]);
    const ids = { bucket: "b", ids: [1, 2] };
    const again = await store.purgeTrash(ids, { author, now: deletedAt, garbageDueAt });
    assert.deepEqual(again, { purged: [], retained: [], missing: 2 });
  });

  test("what is due is purged, the longest due first, and no earlier", async (t) => {
    await using store = await openTrash(open, t);
    for (const [index, key] of ["a", "c", "d"].entries()) {
      await put(store, key);
      await store.deleteObject("b", key, { author, deletedAt: later(index), garbageDueAt });
    }
    const purge = (ms: number, limit = 9) =>
      store.purgeTrashDue({ author, dueBefore: later(trashMs + ms), garbageDueAt, limit });
    assert.equal(await purge(-1), 0);
    assert.equal(await purge(2, 1), 1);
    assert.deepEqual((await entries(store)).map(keyOf), ["d", "c"]);
    assert.equal(await purge(1), 1);
    assert.equal(await purge(2), 1);
    assert.deepEqual(await garbage(store), ["blob of a", "blob of c", "blob of d"]);
    assert.deepEqual(await usage(store), [0, 0, 0, 0]);
  });

  test("what is deleted while the system's time is behind is not due earlier for that", async (t) => {
    await using store = await openTrash(open, t);
    await store.putSetting(steadyClockSetting, String(deletedAt.getTime()));
    await put(store, "k");
    await store.deleteObject("b", "k", { author, deletedAt: new Date(0), garbageDueAt });
    const [entry] = await entries(store);
    assert.deepEqual([entry?.deletedAt, entry?.purgeDueAt], [new Date(0), later(trashMs)]);
  });

  test("the trash outlives its bucket, and is restored once there is one of that name", async (t) => {
    await using store = await openTrash(open, t);
    await put(store, "k");
    await store.deleteObject("b", "k", deleting);
    await store.deleteBucket("b", { author });
    assert.deepEqual((await entries(store)).map(keyOf), ["k"]);
    await assert.rejects(store.restoreTrash(all, restoring), withCode("bucket_not_found"));
    await store.createBucket(bucket("b", { trashMs }), { author });
    assert.deepEqual(await usage(store), [0, 0, 5, 1]);
    assert.equal((await store.restoreTrash(all, restoring)).restored.length, 1);
    assert.deepEqual(await usage(store), [5, 1, 0, 0]);
    await store.deleteObject("b", "k", deleting);
    await store.deleteBucket("b", { author });
    const due = { author, dueBefore: later(trashMs), garbageDueAt, limit: 9 };
    assert.equal(await store.purgeTrashDue(due), 1);
    assert.deepEqual(await garbage(store), ["blob of k"]);
  });

  test("a storage whose blobs are in the trash holds blobs", async (t) => {
    await using store = await openTrash(open, t);
    await store.commitObject(object("k"), blob("x", { storageId: "fast" }), {
      author,
      garbageDueAt,
    });
    await store.deleteObject("b", "k", deleting);
    assert.deepEqual(await store.countBlobsOfStorage("fast"), { referenced: 1, garbage: 0 });
    assert.deepEqual([...(await store.knownBlobs("fast", ["x"]))], ["x"]);
    assert.ok(createdAt < deletedAt);
  });
}

async function entries(store: MetadataStore): Promise<readonly TrashRecord[]> {
  return (await store.listTrash(all)).entries;
}

function keyOf({ object: { key } }: TrashRecord): string {
  return key;
}

/** Bytes and objects that are there, and those in the trash. */
async function usage(store: MetadataStore): Promise<readonly number[]> {
  const { bytes, objects, trashBytes, trashObjects } = await store.bucketUsage("b");
  return [bytes, objects, trashBytes, trashObjects];
}
