/** Conformance: uploads come back as they were made, have one writer, and go on from their checkpoint. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { MetadataStore } from "../../core/ports/metadata-store.ts";
import type { UploadRecord } from "../../core/ports/upload-store.ts";
import {
  at,
  author,
  bucket,
  bytes,
  checks,
  complete,
  garbage,
  garbageDueAt,
  type OpenStore,
  openWithBucket,
  part,
  place,
  plain,
  tail,
  take,
  upload,
  withCode,
} from "../conformance-samples.ts";

const many = { openMax: 1000 };
// Own properties, as a parser of headers makes them.
const oddTexts: Record<string, string> = JSON.parse(
  '{"__proto__":"p","constructor":"c","\\ud83d\\ude00":"\\u0000 \\u7167","empty":"","q":"\\"\\\\"}',
);
const everything = upload("full", {
  protocol: "ietf",
  owner: "somebody",
  length: 5 * 1024 ** 4,
  contentType: "image/png; a=b",
  userMetadata: oddTexts,
  attributes: oddTexts,
  digests: { crc64nvme: bytes(8, 1), md5: bytes(16, 2), sha256: bytes(32, 6) },
  conditions: { ifAbsent: true, ifMatch: ["a", 'b"'], ifVersion: "v" },
  place: place("x", { token: "t", partBytes: 8 * 1024 ** 2 }),
  reservedBytes: 5 * 1024 ** 4,
  expiresAt: at(5),
  fence: 7,
  holder: "there",
  leaseUntil: at(3),
});

export function uploadTests(open: OpenStore): void {
  test("an upload comes back with everything it was created with", async (t) => {
    await using store = await openWithBucket(open, t);
    const bare = upload("bare", { kind: "partial", contentType: "" });
    for (const record of [everything, bare]) {
      await store.createUpload(record, many);
      assert.deepEqual(plain(await store.getUpload(record.id)), plain(record));
    }
    const odd = (await store.getUpload("full"))?.attributes ?? {};
    assert.deepEqual(Object.keys(odd), Object.keys(oddTexts));
    assert.equal(await store.getUpload("absent"), undefined);
  });

  test("an upload without a bucket, with a key taken as id, or broken is refused", async (t) => {
    await using store = await openWithBucket(open, t);
    const absent = upload("x", { bucket: "absent" });
    await assert.rejects(store.createUpload(absent, many), withCode("bucket_not_found"));
    for (const broken of [
      upload("x", { key: null }),
      upload("x", { kind: "partial", key: "k" }),
      upload("x", { offset: 3, length: 2 }),
      upload("x", { holder: "here" }),
      upload("x", { version: "v" }),
      upload("x", { phase: "complete", version: "v" }),
      upload("x", { reservedBytes: -1 }),
      upload("x", { digests: { md5: bytes(15, 1) } }),
      upload("x", { expiresAt: new Date(Number.NaN) }),
    ]) {
      await assert.rejects(store.createUpload(broken, many), withCode("internal"));
    }
    await store.createUpload(upload("x"), many);
    const again = upload("x", { reservedBytes: 5 });
    await assert.rejects(store.createUpload(again, many), withCode("internal"));
    assert.equal((await store.bucketUsage("b")).reservedBytes, 0);
  });

  test("an owner has so many uploads open at most, and others none the less", async (t) => {
    await using store = await openWithBucket(open, t);
    const create = (id: string, openMax: number, owner = "owner") =>
      store.createUpload(upload(id, { owner, reservedBytes: 5 }), { openMax });
    await assert.rejects(create("0", 0), withCode("rate_limited"));
    const racing = ["1", "2", "3", "4", "5", "6"].map((id) => create(id, 3));
    const results = await Promise.allSettled(racing);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 3);
    await assert.rejects(create("7", 3), withCode("rate_limited"));
    assert.equal((await store.bucketUsage("b")).reservedBytes, 15);
    await create("8", 3, "other");
    // Neither a complete one nor one that is being cancelled is open.
    await complete(store, "1");
    await create("9", 3);
    await store.cancelUpload("2");
    await create("10", 3);
    await assert.rejects(create("11", 3), withCode("rate_limited"));
  });

  test("uploads are listed in order of ids, by bucket and by page, without checks", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.createBucket(bucket("c"), { author });
    for (const id of ["3", "1", "4", "2"]) {
      await store.createUpload(upload(id, { bucket: id < "3" ? "b" : "c" }), many);
    }
    const { upload: taken } = await take(store, "2");
    await store.checkpointUpload(taken, { offset: 9, checks: checks(9) });
    const ids = async (query: { bucket?: string; after?: string; limit?: number }) =>
      (await store.listUploads({ limit: 10, ...query })).map(({ id }) => id);
    assert.deepEqual(await ids({}), ["1", "2", "3", "4"]);
    assert.deepEqual(await ids({ limit: 2 }), ["1", "2"]);
    assert.deepEqual(await ids({ after: "2" }), ["3", "4"]);
    assert.deepEqual(await ids({ bucket: "b" }), ["1", "2"]);
    assert.deepEqual(await ids({ bucket: "c", after: "3", limit: 1 }), ["4"]);
    assert.deepEqual(await ids({ bucket: "absent" }), []);
    const listed = (await store.listUploads({ limit: 10 })).find(({ id }) => id === "2");
    assert.deepEqual([listed?.offset, listed?.checks], [9, null]);
    assert.equal((await store.getUpload("2"))?.checks?.length, 9);
  });

  test("of racing takers one gets the upload, and the holder is asked to yield", async (t) => {
    await using store = await created(open, t);
    const racing = ["p", "q", "r", "s"].map((holder) =>
      store.takeUpload("u", { holder, now: at(0), until: at(10) }),
    );
    const taken = (await Promise.all(racing)).filter((result) => result !== undefined);
    assert.equal(taken.length, 1);
    const [{ upload: won }] = taken as [(typeof taken)[0]];
    assert.equal(won.fence, 1);
    assert.deepEqual(won.leaseUntil, at(10));
    const lease = { holder: won.holder ?? "", until: at(20) };
    assert.deepEqual(await store.renewUploads([won], lease), { kept: ["u"], yield: ["u"] });
    assert.deepEqual((await store.getUpload("u"))?.leaseUntil, at(20));
  });

  test("a lease that ran out, was given back or is the holder's own is taken over", async (t) => {
    await using store = await created(open, t);
    const { upload: first } = await take(store, "u", { holder: "p", until: at(10) });
    const early = { holder: "q", now: at(9), until: at(30) };
    assert.equal(await store.takeUpload("u", early), undefined);
    const { upload: second } = await take(store, "u", { holder: "q", now: at(10), until: at(30) });
    assert.equal(second.fence, first.fence + 1);
    const { upload: third } = await take(store, "u", { holder: "q", now: at(11), until: at(31) });
    assert.equal(third.fence, second.fence + 1);
    await store.releaseUpload(second);
    assert.equal((await store.getUpload("u"))?.holder, "q", "a stale writer gives nothing back");
    await store.releaseUpload(third);
    assert.equal((await store.getUpload("u"))?.leaseUntil, null);
    const { upload: fourth } = await take(store, "u", { holder: "p", now: at(12) });
    assert.equal(fourth.fence, third.fence + 1);
    await store.releaseUpload({ id: "absent", fence: 1 });
  });

  test("who is asked to yield is the holder of that moment, not the next one", async (t) => {
    await using store = await created(open, t);
    const asked = async (holder: string, fence: number) => {
      const writers = [{ id: "u", fence }];
      return (await store.renewUploads(writers, { holder, until: at(50) })).yield;
    };
    const { upload: first } = await take(store, "u", { holder: "p" });
    assert.deepEqual(await asked("p", first.fence), []);
    assert.equal(await store.takeUpload("u", { holder: "q", now: at(1), until: at(9) }), undefined);
    assert.deepEqual(await asked("p", first.fence), ["u"]);
    assert.deepEqual(await asked("p", first.fence), ["u"]);
    await store.releaseUpload(first);
    const { upload: second } = await take(store, "u", { holder: "q" });
    assert.deepEqual(await asked("q", second.fence), []);
    // The same when it was not given back but ran out.
    await store.takeUpload("u", { holder: "p", now: at(1), until: at(9) });
    const { upload: third } = await take(store, "u", { holder: "p", now: at(60), until: at(90) });
    assert.deepEqual(await asked("p", third.fence), []);
  });

  test("renewing answers those that are still the holder's, and touches no others", async (t) => {
    await using store = await openWithBucket(open, t);
    for (const id of ["lost", "kept", "foreign", "free", "cancelled"]) {
      await store.createUpload(upload(id), many);
    }
    const writers = [{ id: "absent", fence: 1 }];
    for (const id of ["lost", "kept", "cancelled"]) writers.push((await take(store, id)).upload);
    await take(store, "lost", { holder: "there", now: at(200), until: at(300) });
    writers.push((await take(store, "foreign", { holder: "there", until: at(300) })).upload);
    writers.push({ id: "free", fence: 0 });
    await store.cancelUpload("cancelled");
    const renewed = await store.renewUploads(writers, { holder: "here", until: at(400) });
    assert.deepEqual(renewed, { kept: ["kept"], yield: [] });
    const until = async (id: string) => (await store.getUpload(id))?.leaseUntil;
    assert.deepEqual(await until("kept"), at(400));
    assert.deepEqual(await until("lost"), at(300));
    assert.deepEqual(await until("foreign"), at(300));
    assert.equal(await until("free"), null);
    assert.deepEqual(await store.renewUploads([], { holder: "here", until: at(1) }), {
      kept: [],
      yield: [],
    });
  });

  test("a checkpoint changes what was given, and a taker goes on from it", async (t) => {
    await using store = await created(open, t);
    const { upload: first } = await take(store, "u");
    const pooled = Buffer.alloc(1 << 16, 0xee);
    pooled.set(checks(23).sums, 100);
    const sums = pooled.subarray(100, 100 + checks(23).sums.length);
    const at20 = await store.checkpointUpload(first, { place: place("x", { token: "t" }) });
    assert.deepEqual(plain(at20), plain({ ...first, place: place("x", { token: "t" }) }));
    const changes = {
      offset: 23,
      length: 40,
      checks: { ...checks(23), sums },
      expiresAt: at(1500),
      reservedBytes: 40,
    };
    const at23 = await store.checkpointUpload(first, {
      ...changes,
      // In any order.
      add: [tail(1, { offset: 20 }), part(2), part(1)],
    });
    assert.deepEqual(plain(at23), plain({ ...at20, ...changes, checks: checks(23) }));
    assert.deepEqual(plain(await store.getUpload("u")), plain(at23));
    const { upload: second, segments } = await take(store, "u");
    assert.deepEqual(plain(second), plain({ ...at23, fence: 2 }));
    assert.deepEqual(plain(segments), plain([part(1), part(2), tail(1, { offset: 20 })]));
    assert.equal((await store.bucketUsage("b")).reservedBytes, 40);
    const released = await store.checkpointUpload(second, { phase: "completing", release: true });
    const { phase, holder, leaseUntil } = released;
    assert.deepEqual([phase, holder, leaseUntil], ["completing", null, null]);
    assert.deepEqual(plain(await store.getUpload("u")), plain(released));
    await take(store, "u", { holder: "there" });
  });

  test("a checkpoint that goes back, or whose checks are of other bytes, is refused whole", async (t) => {
    await using store = await created(open, t);
    const { upload: taken } = await take(store, "u");
    const before = await store.checkpointUpload(taken, {
      offset: 8,
      length: 10,
      checks: checks(8),
      place: place("x"),
    });
    for (const broken of [
      { offset: 7, checks: checks(7) },
      { offset: 9 },
      { offset: 9, checks: checks(10) },
      { checks: { ...checks(8), sums: bytes(8, 1) } },
      { offset: 11, checks: checks(11) },
      { length: 11 },
      { add: [part(0)] },
      { reservedBytes: 1.5 },
    ]) {
      await assert.rejects(
        store.checkpointUpload(taken, { add: [part(1)], ...broken }),
        withCode("internal"),
      );
    }
    const { upload: after, segments } = await take(store, "u");
    assert.deepEqual(plain(after), plain({ ...before, fence: before.fence + 1 }));
    assert.deepEqual(segments, []);
  });

  test("a part written again replaces itself; a tail would be lost and is refused", async (t) => {
    await using store = await created(open, t);
    const { upload: taken } = await take(store, "u");
    await store.checkpointUpload(taken, { place: place("x"), add: [part(1), tail(1)] });
    await store.checkpointUpload(taken, { add: [part(1, { etag: "newer", length: 9 })] });
    const again = store.checkpointUpload(taken, { add: [tail(1, { blobKey: "another" })] });
    await assert.rejects(again, withCode("internal"));
    const { segments } = await take(store, "u");
    assert.deepEqual(plain(segments), plain([part(1, { etag: "newer", length: 9 }), tail(1)]));
  });

  test("dropped tails are garbage from the commit that adds what was made of them", async (t) => {
    await using store = await created(open, t);
    const { upload: taken } = await take(store, "u");
    await store.checkpointUpload(taken, { place: place("x"), add: [tail(1), tail(2)] });
    const known = () => store.knownBlobs("local", ["tail 1", "tail 2", "tail 3", "x", "y"]);
    assert.deepEqual([...(await known())].sort(), ["tail 1", "tail 2"]);
    assert.deepEqual(await store.knownBlobs("other", ["tail 1"]), new Set());
    assert.deepEqual(await garbage(store), []);
    const third = tail(1, { blobKey: "tail 3" });
    await store.checkpointUpload(taken, { dropTails: true, add: [part(1), third], garbageDueAt });
    const { segments } = await take(store, "u");
    assert.deepEqual(plain(segments), plain([part(1), third]));
    assert.deepEqual((await garbage(store)).sort(), ["tail 1", "tail 2"]);
    const dueBefore = new Date(garbageDueAt.getTime() - 1);
    assert.deepEqual(await store.listGarbage({ dueBefore, limit: 10 }), []);
    assert.deepEqual([...(await known())].sort(), ["tail 1", "tail 2", "tail 3"]);
    const { upload: again } = await take(store, "u");
    await store.checkpointUpload(again, { dropTails: true });
    // Nobody said when: at once, and so it is listed first.
    assert.equal((await store.listGarbage({ dueBefore: at(0), limit: 10 })).length, 1);
    assert.equal((await garbage(store))[0], "tail 3");
    await store.forgetGarbage([{ storageId: "local", blobKey: "tail 3" }]);
    assert.deepEqual([...(await known())].sort(), ["tail 1", "tail 2"]);
  });

  test("an upload with segments stays in its storage", async (t) => {
    await using store = await created(open, t);
    const { upload: taken } = await take(store, "u");
    await store.checkpointUpload(taken, { place: place("x") });
    const elsewhere = place("y", { storageId: "other" });
    await store.checkpointUpload(taken, { place: elsewhere, add: [tail(1)] });
    await assert.rejects(
      store.checkpointUpload(taken, { place: place("z") }),
      withCode("internal"),
    );
    assert.deepEqual([...(await store.knownBlobs("other", ["tail 1"]))], ["tail 1"]);
  });

  test("a writer whose fence is old commits nothing", async (t) => {
    await using store = await created(open, t);
    const { upload: stale } = await take(store, "u");
    const { upload: newest } = await take(store, "u");
    const change = { offset: 4, checks: checks(4), reservedBytes: 9, place: place("x") };
    await assert.rejects(store.checkpointUpload(stale, change), withCode("locked"));
    const ahead = { id: "u", fence: newest.fence + 1 };
    await assert.rejects(store.checkpointUpload(ahead, change), withCode("locked"));
    const absent = { id: "absent", fence: 1 };
    await assert.rejects(store.checkpointUpload(absent, change), withCode("upload_not_found"));
    assert.deepEqual(plain(await store.getUpload("u")), plain(newest));
    assert.equal((await store.bucketUsage("b")).reservedBytes, 0);
    // A lease that ran out, and that nobody else took, still commits.
    const late = { now: at(900), until: at(901) };
    const { upload: last } = await take(store, "u", late);
    assert.equal((await store.checkpointUpload(last, change)).offset, 4);
  });

  test("more than an id and a fence may stand on a writer", async (t) => {
    await using store = await created(open, t);
    const { upload: taken } = await take(store, "u");
    const writer = { id: "u", fence: taken.fence, stop: () => {} };
    await store.checkpointUpload(writer, {});
    const renewed = await store.renewUploads([writer], { holder: "here", until: at(9) });
    assert.deepEqual(renewed.kept, ["u"]);
    await store.releaseUpload(writer);
  });
}

/** A store with the bucket `b` and the upload `u`. */
async function created(
  open: OpenStore,
  t: Parameters<OpenStore>[0],
  changes: Partial<UploadRecord> = {},
): Promise<MetadataStore> {
  const store = await openWithBucket(open, t);
  await store.createUpload(upload("u", changes), many);
  return store;
}
