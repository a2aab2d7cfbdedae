/** Conformance: what background work finds: expired, cancelled and interrupted uploads, and their places. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { MetadataStore } from "../../core/ports/metadata-store.ts";
import {
  at,
  complete,
  garbageDueAt,
  type OpenStore,
  openWithBucket,
  place,
  take,
  upload,
} from "../conformance-samples.ts";

const many = { openMax: 5000 };

export function uploadsDueTests(open: OpenStore): void {
  test("expired uploads without a writer are due, oldest first, complete ones too", async (t) => {
    await using store = await openWithBucket(open, t);
    for (const [id, seconds] of [
      ["c", 30],
      ["a", 20],
      ["b", 10],
      ["d", 40],
    ] as const) {
      await store.createUpload(upload(id, { expiresAt: at(seconds) }), many);
    }
    assert.deepEqual(await due(store, 9), []);
    assert.deepEqual(await due(store, 10), ["b"]);
    assert.deepEqual(await due(store, 39), ["b", "a", "c"]);
    assert.deepEqual(await due(store, 39, 2), ["b", "a"]);
    await take(store, "a", { now: at(5), until: at(35) });
    assert.deepEqual(await due(store, 34), ["b", "c"]);
    assert.deepEqual(await due(store, 35), ["b", "a", "c"]);
    const { upload: taken } = await take(store, "b");
    await store.checkpointUpload(taken, { expiresAt: at(50), release: true });
    assert.deepEqual(await due(store, 39), ["a", "c"]);
    await complete(store, "d");
    assert.deepEqual(await due(store, 1999), ["a", "c", "b"]);
    assert.deepEqual(await due(store, 2000), ["a", "c", "b", "d"]);
  });

  test("what is being cancelled or was interrupted at its end is due before it expires", async (t) => {
    await using store = await openWithBucket(open, t);
    const ids = ["completing", "cancelling", "running", "receiving"];
    for (const [index, id] of ids.entries()) {
      await store.createUpload(upload(id, { expiresAt: at(1000 + index * 100) }), many);
    }
    const { upload: ending } = await take(store, "completing", { until: at(10) });
    await store.checkpointUpload(ending, { phase: "completing" });
    const { upload: running } = await take(store, "running", { until: at(20) });
    await store.checkpointUpload(running, { phase: "completing" });
    await store.cancelUpload("cancelling");
    assert.deepEqual(await due(store, 9), ["cancelling"]);
    assert.deepEqual(await due(store, 10), ["completing", "cancelling"]);
    await store.releaseUpload(running);
    assert.deepEqual(await due(store, 11), ["completing", "cancelling", "running"]);
    // Each once, also when it has expired as well.
    assert.deepEqual(await due(store, 5000), ids);
    assert.deepEqual(await due(store, 5000, 2), ["completing", "cancelling"]);
    await store.forgetUpload("cancelling", { garbageDueAt });
    await complete(store, "completing");
    assert.deepEqual(await due(store, 100), ["running"]);
  });

  test("expiry cancels what has expired and has no writer, and nothing else", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.createUpload(upload("u", { expiresAt: at(10), reservedBytes: 7 }), many);
    const expire = async (seconds: number) =>
      (await store.cancelUpload("u", { expiredBefore: at(seconds) }))?.upload.phase;
    assert.equal(await expire(9), undefined);
    const { upload: taken } = await take(store, "u", { until: at(20) });
    assert.equal(await expire(19), undefined);
    assert.equal((await store.getUpload("u"))?.phase, "receiving");
    await store.checkpointUpload(taken, { expiresAt: at(30) });
    assert.equal(await expire(29), undefined);
    assert.equal((await store.bucketUsage("b")).reservedBytes, 7);
    assert.equal(await expire(30), "cancelling");
    assert.equal((await store.bucketUsage("b")).reservedBytes, 0);
    // It ends, whatever its expiry says.
    assert.equal(await expire(0), "cancelling");
  });

  test("expiry leaves complete uploads complete, and tells of them once they have expired", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.createUpload(upload("u", { expiresAt: at(10) }), many);
    await complete(store, "u");
    assert.equal(await store.cancelUpload("u", { expiredBefore: at(1999) }), undefined);
    const expired = await store.cancelUpload("u", { expiredBefore: at(2000) });
    assert.equal(expired?.upload.phase, "complete");
    assert.notEqual(await store.headObject("b", "key of u"), undefined);
  });

  test("a taker and expiry at once: either the upload is taken or it is gone", async (t) => {
    await using store = await openWithBucket(open, t);
    for (let round = 0; round < 10; round += 1) {
      const id = `u${round}`;
      await store.createUpload(upload(id, { expiresAt: at(10) }), many);
      const taking = () => store.takeUpload(id, { holder: "q", now: at(10), until: at(20) });
      const expiring = () => store.cancelUpload(id, { expiredBefore: at(10) });
      const calls = round % 2 === 0 ? [taking, expiring] : [expiring, taking];
      const results = await Promise.allSettled<unknown>(calls.map((call) => call()));
      const [taken, expired] = round % 2 === 0 ? results : results.toReversed();
      const wasTaken = taken?.status === "fulfilled" && taken.value !== undefined;
      const wasExpired = expired?.status === "fulfilled" && expired.value !== undefined;
      assert.notEqual(wasTaken, wasExpired);
    }
  });

  test("a place is owned by the upload that names it, until the upload is forgotten", async (t) => {
    await using store = await openWithBucket(open, t);
    const keys = Array.from({ length: 1100 }, (_, index) => `x${index}`);
    const create = (blobKey: string) =>
      store.createUpload(upload(blobKey, { place: place(blobKey) }), many);
    await Promise.all(keys.map(create));
    await store.createUpload(upload("elsewhere", { place: place("y", { storageId: "s" }) }), many);
    await store.createUpload(upload("nowhere"), many);
    const asked = [...keys, ...keys.map((key) => `no ${key}`), "y"];
    assert.deepEqual(await store.uploadsOwning("local", asked), new Set(keys));
    assert.deepEqual(await store.uploadsOwning("s", asked), new Set(["y"]));
    assert.deepEqual(await store.uploadsOwning("local", []), new Set());
    const owned = async (blobKey: string) =>
      (await store.uploadsOwning("local", [blobKey])).has(blobKey);
    const { upload: taken } = await take(store, "x0");
    await store.checkpointUpload(taken, { place: place("x0", { token: "t" }), release: true });
    // Complete ones too: who asked the blobs before the commit must not find it unowned after.
    await complete(store, "x0");
    assert.equal(await owned("x0"), true);
    await store.cancelUpload("x1");
    assert.equal(await owned("x1"), true);
    for (const id of ["x0", "x1"]) await store.forgetUpload(id, { garbageDueAt });
    assert.deepEqual(
      [await owned("x0"), await owned("x1"), await owned("x2")],
      [false, false, true],
    );
  });
}

async function due(store: MetadataStore, seconds: number, limit = 10): Promise<string[]> {
  const records = await store.listUploadsDue({ now: at(seconds), limit });
  return records.map(({ id }) => id);
}
