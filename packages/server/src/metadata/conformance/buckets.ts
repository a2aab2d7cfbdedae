/** Conformance: buckets, settings, and what survives closing. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { BucketRecord } from "../../core/ports/metadata-store.ts";
import {
  author,
  bucket,
  createdAt,
  deletedAt,
  type OpenStore,
  openWithBucket,
  put,
  withCode,
} from "../conformance-samples.ts";

const detailed = bucket("detailed", {
  visibility: "public-read",
  maxObjectBytes: 5 * 1024 ** 4,
  contentTypes: ["image/*", "text/plain"],
  uploadExpiryMs: 10_000,
  quotaBytes: 0,
  placement: [
    { prefix: "影/", contentType: "image/*", minBytes: 1, storage: "fast", mirrors: ["a", "b"] },
    { storage: "slow", fallback: "fast" },
  ],
  cors: [
    {
      id: "照",
      allowedOrigins: ["https://*.example"],
      allowedMethods: ["PUT"],
      allowedHeaders: ["*"],
      exposeHeaders: ["ETag"],
      maxAgeSeconds: 0,
    },
  ],
});

export function bucketTests(open: OpenStore): void {
  test("a bucket comes back as it was created", async (t) => {
    await using store = await open(t);
    for (const record of [bucket("plain"), detailed]) {
      await store.createBucket(record, { author });
      assert.deepEqual(await store.getBucket(record.name), record);
    }
    assert.equal(await store.getBucket("absent"), undefined);
    assert.equal(await store.getBucket("PLAIN"), undefined);
  });

  test("a bucket whose name is taken is refused and the first stays", async (t) => {
    await using store = await open(t);
    await store.createBucket(detailed, { author });
    await assert.rejects(
      store.createBucket(bucket("detailed"), { author }),
      withCode("already_exists"),
    );
    assert.deepEqual(await store.getBucket("detailed"), detailed);
  });

  test("buckets are listed in byte order of their names", async (t) => {
    await using store = await open(t);
    assert.deepEqual(await store.listBuckets(), []);
    for (const name of ["b", "a.b", "a", "_", "B", "a-b", "constructor", "10", "9"]) {
      await store.createBucket(bucket(name), { author });
    }
    const names = (await store.listBuckets()).map(({ name }) => name);
    assert.deepEqual(names, ["10", "9", "B", "_", "a", "a-b", "a.b", "b", "constructor"]);
  });

  test("changing a bucket changes what was given and nothing else", async (t) => {
    await using store = await open(t);
    await store.createBucket(detailed, { author });
    const changed: BucketRecord = { ...detailed, visibility: "private", contentTypes: null };
    const changes = { visibility: "private", contentTypes: null } as const;
    assert.deepEqual(await store.changeBucket("detailed", changes, { author }), changed);
    assert.deepEqual(await store.getBucket("detailed"), changed);
    assert.deepEqual(await store.changeBucket("detailed", {}, { author }), changed);
    await assert.rejects(
      store.changeBucket("absent", changes, { author }),
      withCode("bucket_not_found"),
    );
  });

  test("only an empty bucket is deleted, and only once", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k");
    await assert.rejects(store.deleteBucket("b", { author }), withCode("not_empty"));
    assert.notEqual(await store.getBucket("b"), undefined);
    await store.deleteObject("b", "k", { deletedAt, author, garbageDueAt: createdAt });
    await store.deleteBucket("b", { author });
    assert.equal(await store.getBucket("b"), undefined);
    await assert.rejects(store.deleteBucket("b", { author }), withCode("bucket_not_found"));
  });

  test("a record that breaks the port's types is refused and not stored", async (t) => {
    await using store = await open(t);
    for (const broken of [
      bucket(""),
      bucket("nul\0"),
      bucket("x", { maxObjectBytes: -1 }),
      bucket("x", { quotaBytes: 1.5 }),
      bucket("x", { createdAt: new Date(Number.NaN) }),
    ]) {
      await assert.rejects(store.createBucket(broken, { author }), withCode("internal"));
    }
    assert.deepEqual(await store.listBuckets(), []);
  });

  test("a setting is what was put last", async (t) => {
    await using store = await open(t);
    assert.equal(await store.getSetting("place"), undefined);
    await store.putSetting("place", "b/1");
    await store.putSetting("place", "");
    await store.putSetting("Place", "\u{1f600} 'x'");
    assert.equal(await store.getSetting("place"), "");
    assert.equal(await store.getSetting("Place"), "\u{1f600} 'x'");
  });

  test("what was acknowledged is there after closing and opening again", async (t) => {
    {
      await using store = await openWithBucket(open, t);
      await put(store, "k", { userMetadata: { a: "b" } });
      await store.putSetting("id", "42");
      // Not awaited one by one: closing waits for what is under way.
      const last = Array.from({ length: 50 }, (_, index) => put(store, `last-${index}`));
      await store[Symbol.asyncDispose]();
      await Promise.all(last);
    }
    await using store = await open(t);
    assert.deepEqual((await store.headObject("b", "k"))?.userMetadata, { a: "b" });
    assert.equal(await store.getSetting("id"), "42");
    assert.notEqual(await store.headObject("b", "last-49"), undefined);
    await store.probe();
  });

  test("a closed store refuses calls with unavailable, and closing twice is harmless", async (t) => {
    const store = await openWithBucket(open, t);
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    await assert.rejects(store.getBucket("b"), withCode("unavailable"));
    await assert.rejects(store.deleteBucket("b", { author }), withCode("unavailable"));
    await assert.rejects(store.probe(), withCode("unavailable"));
  });
}
