/** Conformance: requests delete as many objects of a bucket in an hour as they may, and not one more. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  author,
  bucket,
  deletedAt,
  garbageDueAt,
  type OpenStore,
  object,
  openWithBucket,
  put,
  putAll,
  withCode,
} from "../conformance-samples.ts";

const minute = 60_000;
const keys = Array.from({ length: 20 }, (_, index) => `k${String(index).padStart(2, "0")}`);

export function deleteCapTests(open: OpenStore): void {
  const capped = (deletesPerHour: number, ms = 0) => ({
    author,
    deletedAt: new Date(deletedAt.getTime() + ms),
    garbageDueAt,
    deletesPerHour,
  });

  test("deletes of an hour are counted whichever way they come, and stop at the cap", async (t) => {
    await using store = await openWithBucket(open, t, { trashMs: minute });
    await putAll(store, keys);
    for (const key of keys.slice(0, 3)) await store.deleteObject("b", key, capped(8));
    const batch = await store.deleteObjects("b", keys.slice(0, 10), capped(8));
    assert.deepEqual(
      batch.deleted.map(({ key }) => key),
      keys.slice(3, 8),
    );
    assert.deepEqual(
      batch.refused.map(({ key, code }) => [key, code]),
      keys.slice(8, 10).map((key) => [key, "delete_cap_reached"]),
    );
    await assert.rejects(store.deleteObject("b", "k10", capped(8)), withCode("delete_cap_reached"));
    assert.notEqual(await store.headObject("b", "k10"), undefined);
    // What is not there is not deleted.
    assert.equal(await store.deleteObject("b", "absent", capped(8)), undefined);
    assert.deepEqual(await store.deleteObjects("b", ["absent"], capped(8)), {
      deleted: [],
      refused: [],
    });
  });

  test("an hour later they may again, minute by minute", async (t) => {
    await using store = await openWithBucket(open, t);
    await putAll(store, keys);
    await store.deleteObjects("b", keys.slice(0, 2), capped(3));
    await store.deleteObject("b", "k02", capped(3, 30 * minute));
    const refused = capped(3, 59 * minute);
    await assert.rejects(store.deleteObject("b", "k03", refused), withCode("delete_cap_reached"));
    await store.deleteObject("b", "k03", capped(3, 60 * minute));
    await store.deleteObject("b", "k04", capped(3, 60 * minute));
    const still = capped(3, 61 * minute);
    await assert.rejects(store.deleteObject("b", "k05", still), withCode("delete_cap_reached"));
    await store.deleteObject("b", "k05", capped(3, 90 * minute));
  });

  test("the system's time set back frees nothing", async (t) => {
    await using store = await openWithBucket(open, t);
    await putAll(store, keys);
    await store.deleteObjects("b", keys.slice(0, 2), capped(2));
    const before = capped(2, -600 * minute);
    await assert.rejects(store.deleteObject("b", "k02", before), withCode("delete_cap_reached"));
  });

  test("replaced and moved objects do not count, and each bucket counts for itself", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.createBucket(bucket("c"), { author });
    const first = await put(store, "a");
    await put(store, "a", { version: "v2", blobKey: "other" });
    await assert.rejects(
      store.copyObject(first, object("m"), { author, garbageDueAt, deleteSource: true }),
      withCode("precondition_failed"),
    );
    const second = await store.headObject("b", "a");
    assert.ok(second !== undefined);
    await store.copyObject(second, object("m"), { author, garbageDueAt, deleteSource: true });
    await store.deleteObject("b", "m", capped(1));
    await put(store, "x", { bucket: "c", blobKey: "x" });
    await store.deleteObject("c", "x", capped(1));
    await put(store, "x");
    await assert.rejects(store.deleteObject("b", "x", capped(1)), withCode("delete_cap_reached"));
    await assert.rejects(store.deleteObject("b", "x", capped(0)), withCode("delete_cap_reached"));
    await store.deleteObject("b", "x", { author, deletedAt, garbageDueAt });
  });

  test("deletes at once do not pass the cap together", async (t) => {
    await using store = await openWithBucket(open, t);
    await putAll(store, keys);
    const outcomes = await Promise.allSettled(
      keys.map((key) => store.deleteObject("b", key, capped(7))),
    );
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 7);
    const { objects } = await store.bucketUsage("b");
    assert.equal(objects, keys.length - 7);
  });
}
