/** Conformance: conditions are judged inside the transaction that writes. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { WriteConditions } from "../../core/ports/metadata-store.ts";
import {
  author,
  blob,
  deletedAt,
  garbage,
  garbageDueAt,
  type OpenStore,
  object,
  openWithBucket,
  put,
  withCode,
} from "../conformance-samples.ts";

/** Against an object with the version `v1` and the etag `v1-1`, and against none. */
const conditions: readonly {
  readonly when: WriteConditions;
  readonly existing: boolean;
  readonly absent: boolean;
}[] = [
  { when: {}, existing: true, absent: true },
  { when: { ifAbsent: false }, existing: true, absent: true },
  { when: { ifAbsent: true }, existing: false, absent: true },
  { when: { ifMatch: "*" }, existing: true, absent: false },
  { when: { ifMatch: ["v1-1"] }, existing: true, absent: false },
  { when: { ifMatch: ["other", "v1-1"] }, existing: true, absent: false },
  { when: { ifMatch: ["other"] }, existing: false, absent: false },
  { when: { ifMatch: ["V1-1"] }, existing: false, absent: false },
  { when: { ifMatch: [] }, existing: false, absent: false },
  { when: { ifVersion: "v1" }, existing: true, absent: false },
  { when: { ifVersion: "v0" }, existing: false, absent: false },
  { when: { ifMatch: ["v1-1"], ifVersion: "v0" }, existing: false, absent: false },
];

export function conditionTests(open: OpenStore): void {
  for (const kind of ["commit", "copy", "delete"] as const) {
    test(`a ${kind} whose condition does not hold answers precondition_failed and changes nothing`, async (t) => {
      await using store = await openWithBucket(open, t);
      const source = await put(store, "source", { version: "s1" });
      for (const [index, { when, ...holds }] of conditions.entries()) {
        for (const state of ["existing", "absent"] as const) {
          const key = `${state}-${index}`;
          const before =
            state === "existing" ? await put(store, key, { version: "v1" }) : undefined;
          const options = { ...when, garbageDueAt };
          const next = object(key, { version: "v2" });
          const writing: Promise<unknown> =
            kind === "commit"
              ? store.commitObject(next, blob(`new of ${key}`), { ...options, author })
              : kind === "copy"
                ? store.copyObject(source, next, { ...options, author })
                : store.deleteObject("b", key, { ...options, author, deletedAt });
          const what = `${key} ${JSON.stringify(when)}`;
          if (holds[state]) {
            await writing;
            const after = await store.headObject("b", key);
            assert.equal(after?.version, kind === "delete" ? undefined : "v2", what);
          } else {
            await assert.rejects(writing, withCode("precondition_failed"), what);
            assert.deepEqual(await store.headObject("b", key), before, what);
            assert.equal((await store.knownBlobs("local", [`new of ${key}`])).size, 0, what);
            assert.equal((await garbage(store)).includes(`blob of ${key}`), false, what);
          }
        }
      }
    });
  }

  test("of 20 racing ifAbsent commits exactly one wins", async (t) => {
    await using store = await openWithBucket(open, t);
    for (let round = 0; round < 5; round += 1) {
      const key = `raced-${round}`;
      const racing = Array.from({ length: 20 }, (_, index) =>
        store.commitObject(object(key, { version: `v${index}` }), blob(`${key} ${index}`), {
          author,
          ifAbsent: true,
          garbageDueAt,
        }),
      );
      const results = await Promise.allSettled(racing);
      const won = results.filter((result) => result.status === "fulfilled");
      assert.equal(won.length, 1);
      assert.equal((await store.headObject("b", key))?.version, won[0]?.value.object.version);
      for (const result of results) {
        if (result.status === "rejected") withCode("precondition_failed")(result.reason);
      }
    }
  });

  test("of 20 racing writers that read the same version exactly one wins", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k", { version: "v0" });
    const racing = Array.from({ length: 20 }, (_, index) =>
      index % 2 === 0
        ? store.commitObject(object("k", { version: `v${index + 1}` }), blob(`x${index}`), {
            author,
            ifVersion: "v0",
            garbageDueAt,
          })
        : store.deleteObject("b", "k", { deletedAt, author, ifVersion: "v0", garbageDueAt }),
    );
    const results = await Promise.allSettled(racing);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  });

  test("of 20 racing moves of one object exactly one wins and one object is left", async (t) => {
    await using store = await openWithBucket(open, t);
    const source = await put(store, "k", { version: "v0", blobKey: "x" });
    const racing = Array.from({ length: 20 }, (_, index) =>
      store.copyObject(source, object(`to-${index}`), { author, garbageDueAt, deleteSource: true }),
    );
    const results = await Promise.allSettled(racing);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
    const query = { bucket: "b", prefix: "", delimiter: "", limit: 100 };
    assert.equal((await store.listObjects(query)).objects.length, 1);
    assert.deepEqual(await garbage(store), []);
  });

  test("a read sees every write that resolved before it", async (t) => {
    await using store = await openWithBucket(open, t);
    for (let index = 0; index < 200; index += 1) {
      await put(store, "k", { version: `v${index}`, blobKey: `x${index}` });
      assert.equal((await store.headObject("b", "k"))?.version, `v${index}`);
    }
  });
}
