/** Conformance: a grant is never used more often than its count, whatever races, fails or is cancelled. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { GrantUse, MetadataStore } from "../../core/ports/metadata-store.ts";
import {
  at,
  author,
  blob,
  complete,
  garbageDueAt,
  type OpenStore,
  object,
  openWithBucket,
  upload,
  withCode,
} from "../conformance-samples.ts";

const many = { openMax: 1000 };
const id = "KEY/grant-1";
const usedUp = withCode("access_denied");

function grantUse(usesMax: number, changes: Partial<GrantUse> = {}): GrantUse {
  return { id, usesMax, expiresAt: new Date("2026-02-04T00:00:00.000Z"), ...changes };
}

export function grantUseTests(open: OpenStore): void {
  test("each object that is written with a grant takes a use, and past the count none is", async (t) => {
    await using store = await openWithBucket(open, t);
    assert.equal(await store.getGrantUses(id), 0);
    const use = grantUse(2);
    const first = await write(store, "1", use);
    const copying = { garbageDueAt, grantUse: use };
    await store.copyObject(first, object("2", { version: "copied" }), { ...copying, author });
    assert.equal(await store.getGrantUses(id), 2);
    await assert.rejects(write(store, "3", use), usedUp);
    await assert.rejects(store.copyObject(first, object("3"), { ...copying, author }), usedUp);
    assert.equal(await store.headObject("b", "3"), undefined);
    assert.equal(await store.getGrantUses(id), 2);
    assert.equal((await store.bucketUsage("b")).objects, 2);
    // Another grant, and another key's with the same id of its own, count by themselves.
    await write(store, "3", { ...use, id: "KEY/grant-2" });
    await write(store, "4", { ...use, id: "OTHER/grant-1" });
    await write(store, "5", undefined);
  });

  test("what is refused for another reason takes no use", async (t) => {
    await using store = await openWithBucket(open, t);
    const use = grantUse(1);
    await write(store, "1", undefined);
    await assert.rejects(
      store.commitObject(object("1"), blob("x"), {
        author,
        garbageDueAt,
        ifAbsent: true,
        grantUse: use,
      }),
      withCode("precondition_failed"),
    );
    await store.changeBucket("b", { quotaBytes: 5 }, { author });
    await assert.rejects(write(store, "2", use), withCode("quota_exceeded"));
    assert.equal(await store.getGrantUses(id), 0);
  });

  test("an upload takes its use when it is made, and its object none more", async (t) => {
    await using store = await openWithBucket(open, t);
    const grant = { use: grantUse(1), context: "{}", contentTypes: ["image/*"], maxBytes: 9 };
    await store.createUpload(upload("u", { grant }), many);
    assert.deepEqual((await store.getUpload("u"))?.grant, grant);
    await assert.rejects(store.createUpload(upload("v", { grant }), many), usedUp);
    assert.equal(await store.getUpload("v"), undefined);
    await complete(store, "u", { length: 5 });
    assert.equal(await store.getGrantUses(id), 1);
    await store.forgetUpload("u", { garbageDueAt });
    assert.equal(await store.getGrantUses(id), 1);
  });

  test("an upload that is cancelled gives its use back, once", async (t) => {
    await using store = await openWithBucket(open, t);
    const grant = { use: grantUse(2) };
    await store.createUpload(upload("u", { grant, expiresAt: at(1) }), many);
    await write(store, "1", grant.use);
    await store.cancelUpload("u", { expiredBefore: at(2) });
    assert.equal(await store.getGrantUses(id), 1);
    await store.cancelUpload("u");
    await store.forgetUpload("u", { garbageDueAt });
    assert.equal(await store.getGrantUses(id), 1);
    await store.createUpload(upload("v", { grant }), many);
    await assert.rejects(write(store, "2", grant.use), usedUp);
    // Complete: it is an object.
    await complete(store, "v", { length: 5 });
    await store.cancelUpload("v");
    assert.equal(await store.getGrantUses(id), 2);
  });

  test("of writers at once no more succeed than the count says", async (t) => {
    await using store = await openWithBucket(open, t);
    const use = grantUse(7);
    const racing = Array.from({ length: 40 }, (_, index) =>
      index % 2 === 0
        ? write(store, `k${index}`, use)
        : store.createUpload(upload(`u${index}`, { grant: { use } }), many),
    );
    const results = await Promise.allSettled(racing);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 7);
    for (const result of results) {
      if (result.status === "rejected") usedUp(result.reason);
    }
    assert.equal(await store.getGrantUses(id), 7);
  });

  test("uses outlive the store's closing, and are forgotten some at a time once the grant has ended", async (t) => {
    {
      await using store = await openWithBucket(open, t);
      const ends = ["2026-02-04", "2026-02-05", "2026-02-06"].map((day) => new Date(day));
      for (const [index, expiresAt] of ends.entries()) {
        await write(store, `${index}`, grantUse(1, { id: `KEY/${index}`, expiresAt }));
      }
    }
    await using store = await open(t);
    await assert.rejects(write(store, "again", grantUse(1, { id: "KEY/0" })), usedUp);
    const expiredBefore = new Date("2026-02-06");
    assert.equal(await store.forgetGrantUses({ expiredBefore, limit: 1 }), 1);
    assert.equal(await store.getGrantUses("KEY/0"), 0);
    assert.equal(await store.forgetGrantUses({ expiredBefore, limit: 9 }), 1);
    assert.equal(await store.forgetGrantUses({ expiredBefore, limit: 9 }), 0);
    assert.equal(await store.getGrantUses("KEY/2"), 1);
  });
}

async function write(store: MetadataStore, key: string, grantUse: GrantUse | undefined) {
  const version = `${key} of ${grantUse?.id}`;
  const options = { garbageDueAt, ...(grantUse === undefined ? {} : { grantUse }) };
  return (await store.commitObject(object(key, { version }), blob(version), { ...options, author }))
    .object;
}
