/** Conformance: what is retained or under legal hold is neither deleted, replaced, moved away nor purged. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { MetadataStore } from "../../core/ports/metadata-store.ts";
import {
  author,
  complete,
  createdAt,
  garbageDueAt,
  type OpenStore,
  object,
  openWithBucket,
  put,
  upload,
  withCode,
} from "../conformance-samples.ts";

const retentionMs = 60_000;
const until = new Date(createdAt.getTime() + retentionMs);
const before = new Date(until.getTime() - 1);
const held = withCode("object_retained");

export function retentionTests(open: OpenStore): void {
  test("a bucket's retention is fixed on what is written, and holds against every way out", async (t) => {
    await using store = await openWithBucket(open, t, { retentionMs, trashMs: 1 });
    const written = await put(store, "k", { version: "v1" });
    assert.deepEqual(written.retainUntil, until);
    assert.deepEqual((await store.headObject("b", "k"))?.retainUntil, until);
    await store.changeBucket("b", { retentionMs: null }, { author });
    await refusesAll(store, "k");
    const copy = await store.copyObject(written, object("copy"), { author, garbageDueAt });
    assert.equal(copy.object.retainUntil, undefined, "the copy's own, of what its bucket says now");
    const batch = await store.deleteObjects("b", ["k", "copy"], {
      author,
      deletedAt: before,
      garbageDueAt,
    });
    assert.deepEqual(
      batch.deleted.map(({ key }) => key),
      ["copy"],
    );
    assert.deepEqual(
      batch.refused.map(({ code }) => code),
      ["object_retained"],
    );
    await store.deleteObject("b", "k", { author, deletedAt: until, garbageDueAt });
    assert.equal(await store.headObject("b", "k"), undefined);
  });

  test("uploads are retained too", async (t) => {
    await using store = await openWithBucket(open, t, { retentionMs });
    await store.createUpload(upload("u", { key: "k" }), { openMax: 9 });
    assert.deepEqual((await complete(store, "u")).object.retainUntil, until);
  });

  test("an object's retention is only moved later, whatever the bucket says", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k");
    const changed = await store.changeObject("b", "k", { retainUntil: until }, { author });
    assert.deepEqual(changed.retainUntil, until);
    await assert.rejects(store.changeObject("b", "k", { retainUntil: before }, { author }), held);
    await refusesAll(store, "k");
    const later = new Date(until.getTime() + 1);
    await store.changeObject("b", "k", { retainUntil: later }, { author });
    await store.changeObject("b", "k", { attributes: { a: "b" } }, { author });
    assert.deepEqual((await store.headObject("b", "k"))?.retainUntil, later);
  });

  test("a legal hold holds until it is taken off", async (t) => {
    await using store = await openWithBucket(open, t, { trashMs: 1 });
    await put(store, "k");
    assert.equal(
      (await store.changeObject("b", "k", { legalHold: true }, { author })).legalHold,
      true,
    );
    await refusesAll(store, "k");
    const years = new Date("2999-01-01T00:00:00Z");
    await assert.rejects(
      store.deleteObject("b", "k", { author, deletedAt: years, garbageDueAt }),
      held,
    );
    const freed = await store.changeObject("b", "k", { legalHold: false }, { author });
    assert.equal("legalHold" in freed, false);
    await store.deleteObject("b", "k", { author, deletedAt: before, garbageDueAt });
  });

  test("a restore replaces nothing that is held, and what is retained is not purged", async (t) => {
    await using store = await openWithBucket(open, t, { trashMs: 1, retentionMs });
    await put(store, "k", { version: "v1", blobKey: "v1" });
    // Under a clock set ahead.
    await store.deleteObject("b", "k", { author, deletedAt: until, garbageDueAt });
    const page = { bucket: "b", prefix: "", limit: 9 };
    const [entry] = (await store.listTrash(page)).entries;
    assert.ok(entry !== undefined);
    const ids = { bucket: "b", ids: [entry.id] };
    const purge = await store.purgeTrash(ids, { author, now: before, garbageDueAt });
    assert.deepEqual([purge.purged, purge.retained.length], [[], 1]);
    assert.ok(entry.purgeDueAt >= until);
    await store.changeBucket("b", { retentionMs: null }, { author });
    await put(store, "k", { version: "v2", blobKey: "v2" });
    await store.changeObject("b", "k", { legalHold: true }, { author });
    const replacing = { author, ifExists: "replace", now: until, garbageDueAt } as const;
    await assert.rejects(store.restoreTrash(ids, replacing), held);
    assert.equal((await store.restoreTrash(page, replacing)).skipped.length, 1);
    assert.equal((await store.headObject("b", "k"))?.version, "v2");
  });
}

/** A moment before the retention ends, which is also before every hold does. */
async function refusesAll(store: MetadataStore, key: string): Promise<void> {
  const there = await store.headObject("b", key);
  assert.ok(there !== undefined);
  await assert.rejects(
    store.deleteObject("b", key, { author, deletedAt: before, garbageDueAt }),
    held,
  );
  await assert.rejects(put(store, key, { createdAt: before, blobKey: "x" }), held);
  const away = object("away", { createdAt: before });
  const move = { author, garbageDueAt, deleteSource: true };
  await assert.rejects(store.copyObject(there, away, move), held);
  const ontoItself = object(key, { version: "self", createdAt: before });
  await assert.rejects(store.copyObject(there, ontoItself, { author, garbageDueAt }), held);
  assert.deepEqual(await store.headObject("b", key), there);
}
