/** Conformance: objects come back as they were written, are replaced, copied, moved and deleted. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { BlobRecord } from "../../core/ports/metadata-store.ts";
import {
  author,
  blob,
  bucket,
  bytes,
  createdAt,
  deletedAt,
  garbageDueAt,
  type OpenStore,
  object,
  oddKeys,
  openWithBucket,
  plain,
  put,
  withCode,
} from "../conformance-samples.ts";

const allDigests = {
  crc64nvme: bytes(8, 1),
  md5: bytes(16, 2),
  crc32: bytes(4, 3),
  crc32c: bytes(4, 4),
  sha1: bytes(20, 5),
  sha256: bytes(32, 6),
};
// Own properties, as a parser of headers makes them.
const oddMetadata: Record<string, string> = JSON.parse(
  '{"__proto__":"p","constructor":"c","name":"\u7167\u7247 \u{1f600}","empty":"","q":"\\"\\\\"}',
);

export function objectTests(open: OpenStore): void {
  test("an object comes back with everything it was committed with", async (t) => {
    await using store = await openWithBucket(open, t);
    const full = object("k", {
      contentType: "image/png; a=b",
      userMetadata: oddMetadata,
      attributes: oddMetadata,
    });
    const blocks = { blockBytes: 4096, sums: bytes(24, 9) };
    const fullBlob = blob("x", { length: 10_000, digests: allDigests, blocks });
    const expected = {
      ...full,
      length: 10_000,
      storageId: "local",
      blobKey: "x",
      digests: allDigests,
    };
    const { object: written, replaced } = await store.commitObject(full, fullBlob, {
      author,
      garbageDueAt,
    });
    assert.deepEqual(plain(written), plain(expected));
    assert.equal(replaced, undefined);
    const head = await store.headObject("b", "k");
    assert.deepEqual(plain(head), plain(expected));
    assert.deepEqual(Object.keys(head?.userMetadata ?? {}), Object.keys(oddMetadata));
    assert.deepEqual(plain(await store.getObject("b", "k")), plain({ ...expected, blocks }));
    assert.equal(await store.headObject("b", "K"), undefined);
    assert.equal(await store.getObject("b", "absent"), undefined);
    assert.equal(await store.headObject("absent", "k"), undefined);
  });

  test("digests and blocks that were not computed stay absent, empty blobs are kept", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k");
    assert.deepEqual(Object.keys((await store.headObject("b", "k"))?.digests ?? {}), ["crc64nvme"]);
    assert.equal("blocks" in ((await store.getObject("b", "k")) ?? {}), false);
    const blocks = { blockBytes: 4096, sums: new Uint8Array(0) };
    const empty = blob("empty", { length: 0, blocks });
    await store.commitObject(object("empty"), empty, { author, garbageDueAt });
    assert.deepEqual(plain((await store.getObject("b", "empty"))?.blocks), plain(blocks));
  });

  test("bytes given as views of larger buffers are stored as the view", async (t) => {
    await using store = await openWithBucket(open, t);
    const pool = Buffer.alloc(1 << 20, 0xee);
    pool.set(allDigests.md5, 100);
    pool.set(allDigests.crc64nvme, 200);
    const digests = { crc64nvme: pool.subarray(200, 208), md5: pool.subarray(100, 116) };
    await store.commitObject(object("k"), blob("x", { digests }), { author, garbageDueAt });
    const { crc64nvme, md5 } = allDigests;
    assert.deepEqual(plain((await store.headObject("b", "k"))?.digests), plain({ crc64nvme, md5 }));
  });

  test("keys that differ in any byte are different objects", async (t) => {
    await using store = await openWithBucket(open, t);
    await Promise.all(oddKeys.map((key, index) => put(store, key, { version: `v${index}` })));
    for (const [index, key] of oddKeys.entries()) {
      const head = await store.headObject("b", key);
      assert.deepEqual([head?.key, head?.version], [key, `v${index}`]);
    }
    const { objects } = await store.listObjects({
      bucket: "b",
      prefix: "",
      delimiter: "",
      limit: 1000,
    });
    assert.equal(objects.length, oddKeys.length);
  });

  test("committing onto a key replaces the object and answers what was there", async (t) => {
    await using store = await openWithBucket(open, t);
    const first = await put(store, "k", { version: "v1", blobKey: "x1" });
    const { object: second, replaced } = await store.commitObject(
      object("k", { version: "v2", contentType: "image/gif" }),
      blob("x2", { length: 7 }),
      { author, garbageDueAt },
    );
    assert.deepEqual(plain(replaced), plain(first));
    assert.deepEqual(plain(await store.headObject("b", "k")), plain(second));
    assert.deepEqual([second.version, second.length, second.blobKey], ["v2", 7, "x2"]);
  });

  test("committing into a bucket that is not there is refused and stores nothing", async (t) => {
    await using store = await open(t);
    await assert.rejects(put(store, "k"), withCode("bucket_not_found"));
    assert.equal((await store.knownBlobs("local", ["blob of k"])).size, 0);
  });

  test("an invalid object or blob is refused and stores nothing", async (t) => {
    await using store = await openWithBucket(open, t);
    const short = { crc64nvme: bytes(8, 1), md5: bytes(15, 1) };
    for (const [brokenObject, brokenBlob] of [
      [object("lone \ud800 surrogate"), blob("x")],
      [object("nul\0"), blob("x")],
      [object(""), blob("x")],
      [object("k", { createdAt: new Date(Number.NaN) }), blob("x")],
      [object("k"), blob("x", { length: -1 })],
      [object("k"), blob("x", { length: 2 ** 53 })],
      [object("k"), blob("x", { digests: short })],
      [object("k"), blob("x", { blocks: { blockBytes: 4, sums: bytes(8, 1) } })],
      [object("k"), blob("")],
    ] as const) {
      const committing = store.commitObject(brokenObject, brokenBlob, { author, garbageDueAt });
      await assert.rejects(committing, withCode("internal"));
    }
    assert.equal((await store.knownBlobs("local", ["x"])).size, 0);
    const query = { bucket: "b", prefix: "", delimiter: "", limit: 10 };
    assert.deepEqual((await store.listObjects(query)).objects, []);
  });

  test("a copy points at the source's blob and both stay", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.createBucket(bucket("c"), { author });
    const source = await put(store, "k", { version: "v1", blobKey: "x" });
    const target = object("copy", { bucket: "c", version: "v2", userMetadata: { new: "1" } });
    const { object: copied, replaced } = await store.copyObject(source, target, {
      author,
      garbageDueAt,
    });
    const { length, storageId, blobKey, digests } = source;
    const expected = { ...target, length, storageId, blobKey, digests };
    assert.deepEqual(plain(copied), plain(expected));
    assert.equal(replaced, undefined);
    assert.deepEqual(plain(await store.headObject("c", "copy")), plain(expected));
    assert.deepEqual(plain(await store.headObject("b", "k")), plain(source));
  });

  test("a move leaves only the target; onto itself it only changes the row", async (t) => {
    await using store = await openWithBucket(open, t);
    const source = await put(store, "k", { version: "v1" });
    const options = { garbageDueAt, deleteSource: true };
    await store.copyObject(source, object("moved", { version: "v2" }), { ...options, author });
    assert.equal(await store.headObject("b", "k"), undefined);
    assert.equal((await store.headObject("b", "moved"))?.version, "v2");
    const again = object("moved", { version: "v3" });
    const { replaced } = await store.copyObject({ ...again, version: "v2" }, again, {
      ...options,
      author,
    });
    assert.equal(replaced?.version, "v2");
    assert.equal((await store.headObject("b", "moved"))?.version, "v3");
  });

  test("copying is refused where the source, its version or the target's bucket is gone", async (t) => {
    await using store = await openWithBucket(open, t);
    const source = await put(store, "k", { version: "v1" });
    for (const [from, to, code] of [
      [{ ...source, key: "absent" }, object("to"), "object_not_found"],
      [{ ...source, bucket: "absent" }, object("to"), "object_not_found"],
      [{ ...source, version: "v0" }, object("to"), "precondition_failed"],
      [source, object("to", { bucket: "absent" }), "bucket_not_found"],
    ] as const) {
      const copying = store.copyObject(from, to, { author, garbageDueAt, deleteSource: true });
      await assert.rejects(copying, withCode(code));
    }
    assert.deepEqual(plain(await store.headObject("b", "k")), plain(source));
    assert.equal(await store.headObject("b", "to"), undefined);
  });

  test("deleting answers what was deleted, and nothing the second time", async (t) => {
    await using store = await openWithBucket(open, t);
    const written = await put(store, "k");
    assert.deepEqual(
      plain(await store.deleteObject("b", "k", { deletedAt, author, garbageDueAt })),
      plain(written),
    );
    assert.equal(
      await store.deleteObject("b", "k", { deletedAt, author, garbageDueAt }),
      undefined,
    );
    assert.equal(
      await store.deleteObject("absent", "k", { deletedAt, author, garbageDueAt }),
      undefined,
    );
    assert.equal(await store.headObject("b", "k"), undefined);
  });

  test("a batch deletes those that exist and answers them", async (t) => {
    await using store = await openWithBucket(open, t);
    const keys = Array.from({ length: 1000 }, (_, index) => `k${index}`);
    await Promise.all(keys.map((key) => put(store, key)));
    const kept = await put(store, "kept");
    const asked = [...keys, "absent", "k0"];
    const { deleted } = await store.deleteObjects("b", asked, { deletedAt, author, garbageDueAt });
    assert.deepEqual(deleted.map(({ key }) => key).sort(), keys.toSorted());
    assert.deepEqual(await store.deleteObjects("b", asked, { deletedAt, author, garbageDueAt }), {
      deleted: [],
      refused: [],
    });
    assert.deepEqual(await store.deleteObjects("b", [], { deletedAt, author, garbageDueAt }), {
      deleted: [],
      refused: [],
    });
    assert.deepEqual(plain(await store.headObject("b", "kept")), plain(kept));
  });

  test("objects are found by the SHA-256 of their bytes, in one bucket and of one length", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.createBucket(bucket("other"), { author });
    const sha256 = bytes(32, 9);
    const known = { ...blob("x").digests, sha256 };
    const add = (key: string, inBucket: string, more: Partial<BlobRecord>) =>
      store.commitObject(
        object(key, { bucket: inBucket }),
        blob(`${inBucket} ${key}`, { digests: known, ...more }),
        { author, garbageDueAt },
      );
    const { object: found } = await add("k", "b", {});
    await add("longer", "b", { length: 6 });
    await add("k", "other", {});
    await add("unknown", "b", { digests: blob("x").digests });
    await add("different", "b", { digests: { ...known, sha256: bytes(32, 8) } });
    const asked = { bucket: "b", sha256, length: 5 };
    assert.deepEqual(plain(await store.findObjects(asked)), plain([found]));
    // A view into a larger buffer is the same bytes.
    const view = new Uint8Array([0, ...sha256, 0]).subarray(1, 33);
    assert.equal((await store.findObjects({ ...asked, sha256: view })).length, 1);
    for (let index = 0; index < 20; index += 1) await add(`many ${index}`, "b", {});
    const many = (await store.findObjects(asked)).length;
    assert.ok(many >= 2 && many <= 20, `${many} are a few`);
    await store.deleteObject("b", "k", { deletedAt, author, garbageDueAt });
    assert.ok(!(await store.findObjects(asked)).some(({ key }) => key === "k"));
    assert.deepEqual(await store.findObjects({ ...asked, bucket: "none" }), []);
  });

  test("instants keep their milliseconds", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k");
    assert.equal((await store.headObject("b", "k"))?.createdAt.getTime(), createdAt.getTime());
  });
}
