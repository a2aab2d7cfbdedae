/** The audit log: a record in the transaction of each change, in one chain, and none without a change. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { serverAuthor } from "../../core/ports/author.ts";
import type { Author, MetadataStore } from "../../core/ports/metadata-store.ts";
import {
  accessKey,
  at,
  author,
  blob,
  bucket,
  deletedAt,
  garbageDueAt,
  type OpenStore,
  object,
  storage,
  take,
  upload,
} from "../conformance-samples.ts";

interface RecordJson {
  readonly v: number;
  readonly sequence: number;
  readonly at: string;
  readonly action: string;
  readonly result: string;
  readonly actor: object;
  readonly details?: object;
  readonly [member: string]: unknown;
}

export async function recordsOf(
  store: MetadataStore,
  query: Partial<Parameters<MetadataStore["listAudit"]>[0]> = {},
): Promise<readonly RecordJson[]> {
  const { lines } = await store.listAudit({ after: 0, limit: 1000, ...query });
  return lines.map(({ line }) => JSON.parse(line));
}

const actionsOf = async (store: MetadataStore) =>
  (await recordsOf(store)).map(({ action }) => action);

/** What stands in each record of these tests, and is no test of theirs. */
function factsOf({ v, sequence, at: _at, previous, hash, actor, result, ...facts }: RecordJson) {
  assert.equal(v, 1);
  assert.equal(result, "done");
  assert.match(String(previous), /^[0-9a-f]{64}$/);
  assert.match(String(hash), /^[0-9a-f]{64}$/);
  return facts;
}

export function auditTests(open: OpenStore): void {
  const changed = { author, garbageDueAt };
  const deleting = { ...changed, deletedAt };

  test("each change has its record, with what it was and what was there before", async (t) => {
    await using store = await open(t);
    await store.createBucket(bucket("b"), { author });
    const one = object("k", { version: "v1" });
    await store.commitObject(one, blob("1", { length: 3 }), changed);
    await store.commitObject(object("k", { version: "v2" }), blob("2", { length: 4 }), changed);
    const source = { bucket: "b", key: "k", version: "v2" };
    await store.copyObject(source, object("copy", { version: "v3" }), changed);
    const moving = { ...changed, deleteSource: true };
    await store.copyObject(source, object("moved", { version: "v4" }), moving);
    const attributes = { "x-secret": "a value", gone: null };
    await store.changeObject("b", "moved", { attributes }, { author });
    await store.deleteObject("b", "copy", deleting);
    await store.commitObject(object("l", { version: "v5" }), blob("5"), changed);
    await store.deleteObjects("b", ["l", "moved", "nothing"], deleting);
    const records = await recordsOf(store);
    assert.deepEqual(
      records.map(({ sequence }) => sequence),
      records.map((_, index) => index + 1),
    );
    const at = (key: string, version: string, size: number) => ({
      bucket: "b",
      key,
      version,
      size,
    });
    const from = source;
    const { createdAt: _, name: _name, ...settings } = bucket("b");
    assert.deepEqual(records.map(factsOf), [
      { action: "bucket.created", bucket: "b", details: { settings } },
      { action: "object.created", ...at("k", "v1", 3) },
      { action: "object.replaced", ...at("k", "v2", 4), replaced: { version: "v1", size: 3 } },
      { action: "object.copied", ...at("copy", "v3", 4), from },
      { action: "object.moved", ...at("moved", "v4", 4), from },
      {
        action: "object.changed",
        ...{ bucket: "b", key: "moved", version: "v4" },
        details: { attributes: ["x-secret", "gone"] },
      },
      { action: "object.deleted", ...at("copy", "v3", 4) },
      { action: "object.created", ...at("l", "v5", 5) },
      { action: "object.deleted", ...at("l", "v5", 5) },
      { action: "object.deleted", ...at("moved", "v4", 4) },
    ]);
    assert.ok(!JSON.stringify(records).includes("a value"));
    const { problems, checked } = await store.verifyAudit({ after: 0, limit: 100 });
    assert.deepEqual([problems, checked], [[], 10]);
  });

  test("so have keys, storages, settings and buckets; and no secret is in them", async (t) => {
    await using store = await open(t);
    const secret = new TextEncoder().encode("a sealed secret of sorts");
    await store.createAccessKey(accessKey("K", { sealedSecret: secret }), { author });
    await store.changeAccessKey("K", { enabled: false, sealedSecret: secret }, { author });
    await store.deleteAccessKey("K", { author });
    const settings = { root: "/mnt/private", token: "hidden" };
    await store.putStorage(storage("s", { settings, sealedSecrets: secret }), { author });
    await store.putStorage(storage("s", { revision: 2, state: "draining" }), { author });
    await store.deleteStorage("s", { author });
    await store.putSetting("noted", "by the server");
    await store.putSetting("storages.default", "s", { author });
    await store.createBucket(bucket("b"), { author });
    await store.changeBucket("b", { visibility: "public-read" }, { author });
    await store.deleteBucket("b", { author });
    const records = await recordsOf(store);
    const { name, policy } = accessKey("K");
    assert.deepEqual(
      records.map(({ action, details }) => [action, details]).filter((_, index) => index !== 7),
      [
        ["key.created", { accessKey: "K", name, policy }],
        ["key.changed", { accessKey: "K", enabled: false, secret: "changed" }],
        ["key.deleted", { accessKey: "K" }],
        ["storage.created", { storage: "s", driver: "posix", state: "active", revision: 1 }],
        ["storage.changed", { storage: "s", driver: "posix", state: "draining", revision: 2 }],
        ["storage.deleted", { storage: "s" }],
        ["setting.changed", { setting: "storages.default", value: "s" }],
        ["bucket.changed", { changes: { visibility: "public-read" } }],
        ["bucket.deleted", undefined],
      ],
    );
    const texts = JSON.stringify(records);
    for (const hidden of [
      "sealed",
      "hidden",
      "/mnt/private",
      Buffer.from(secret).toString("base64"),
    ]) {
      assert.ok(!texts.includes(hidden), hidden);
    }
  });

  test("an upload's object names the upload, who began it and its grant's context; once", async (t) => {
    await using store = await open(t);
    await store.createBucket(bucket("b"), { author });
    const grant = { context: '{"user":7}' };
    await store.createUpload(upload("u", { owner: "K", grant }), { openMax: 9 });
    const { upload: taken } = await take(store, "u");
    const made = object("key of u", { version: "v1" });
    const options = { ...changed, expiresAt: at(9) };
    await store.completeUpload(taken, made, blob("1"), options);
    // The same again, after an answer that was lost.
    await store.completeUpload(taken, made, blob("1"), options);
    const [, record, ...others] = await recordsOf(store);
    assert.deepEqual(others, []);
    assert.deepEqual(record && factsOf(record), {
      action: "object.created",
      ...{ bucket: "b", key: "key of u", version: "v1", size: 5 },
      upload: "u",
      owner: "K",
      context: { user: 7 },
    });
  });

  test("the author stands in the record, as far as it is known", async (t) => {
    await using store = await open(t);
    const origin = { address: "192.0.2.7", via: "127.0.0.1", requestId: "r", protocol: "s3" };
    const grant: Author = {
      ...{ kind: "grant", id: "K", grantId: "g", context: '{"a":"ü"}', origin },
    };
    const nobody: Author = { ...grant, kind: "anonymous", id: null, grantId: null, context: null };
    await store.createBucket(bucket("a"), { author: grant });
    await store.createBucket(bucket("b"), {
      author: { ...nobody, origin: { ...origin, via: null } },
    });
    await store.createBucket(bucket("c"), { author });
    const shown = (await recordsOf(store)).map(
      ({ actor, address, via, requestId, protocol, context }) =>
        JSON.parse(JSON.stringify({ actor, address, via, requestId, protocol, context })),
    );
    const { via, ...direct } = origin;
    assert.deepEqual(shown, [
      { actor: { kind: "grant", id: "K", grant: "g" }, ...direct, via, context: { a: "ü" } },
      { actor: { kind: "anonymous" }, ...direct },
      { actor: { kind: "server", id: "test" } },
    ]);
  });

  test("what comes back from the trash and what leaves it has its record too", async (t) => {
    await using store = await open(t);
    await store.createBucket(bucket("b", { trashMs: 1_000 }), { author });
    for (const key of ["k", "l", "m"]) {
      await store.commitObject(object(key, { version: `of ${key}` }), blob(key), changed);
    }
    await store.deleteObjects("b", ["k", "l", "m"], deleting);
    const inTrash = { bucket: "b", limit: 9 };
    const now = { author, now: deletedAt, garbageDueAt };
    await store.restoreTrash({ ...inTrash, prefix: "k" }, { ...now, ifExists: "skip" });
    await store.purgeTrash({ ...inTrash, prefix: "l" }, now);
    const dueBefore = new Date(deletedAt.getTime() + 3_600_000);
    await store.purgeTrashDue({ author: serverAuthor("test"), dueBefore, garbageDueAt, limit: 9 });
    const records = (await recordsOf(store)).slice(-3);
    assert.deepEqual(
      records.map(({ action, key, version, actor }) => [action, key, version, actor]),
      [
        ["object.restored", "k", "of k", records[0]?.actor],
        ["object.purged", "l", "of l", records[0]?.actor],
        ["object.purged", "m", "of m", { kind: "server", id: "test" }],
      ],
    );
  });

  test("a hold says that it was set, and until when", async (t) => {
    await using store = await open(t);
    await store.createBucket(bucket("b"), { author });
    await store.commitObject(object("k"), blob("k"), changed);
    const retainUntil = new Date("2100-01-01T00:00:00.000Z");
    await store.changeObject("b", "k", { retainUntil, legalHold: true }, { author });
    const [record] = (await recordsOf(store)).slice(-1);
    assert.deepEqual(record?.details, {
      attributes: [],
      retainUntil: "2100-01-01T00:00:00.000Z",
      legalHold: true,
    });
  });

  test("what is refused, or changes nothing, leaves no record", async (t) => {
    await using store = await open(t);
    await store.createBucket(bucket("b"), { author });
    await store.commitObject(object("k"), blob("1"), changed);
    const before = await actionsOf(store);
    const refused = [
      store.createBucket(bucket("b"), { author }),
      store.deleteBucket("b", { author }),
      store.changeBucket("none", {}, { author }),
      store.commitObject(object("k"), blob("2"), { ...changed, ifAbsent: true }),
      store.deleteObject("b", "k", { ...deleting, ifMatch: ["no"] }),
      store.changeObject("b", "none", { attributes: {} }, { author }),
      store.deleteAccessKey("none", { author }),
      store.deleteStorage("none", { author }),
      store.putStorage(storage("s", { revision: 7 }), { author }),
    ];
    for (const { status } of await Promise.allSettled(refused)) assert.equal(status, "rejected");
    assert.equal(await store.deleteObject("b", "none", deleting), undefined);
    assert.deepEqual(await store.deleteObjects("b", ["none"], deleting), {
      deleted: [],
      refused: [],
    });
    assert.deepEqual(await actionsOf(store), before);
  });

  test("many writers at once make one chain, with a record for each that was acknowledged", async (t) => {
    await using store = await open(t);
    await store.createBucket(bucket("b"), { author });
    const versions = Array.from({ length: 200 }, (_, index) => `v${index}`);
    const outcomes = await Promise.allSettled(
      versions.map((version, index) =>
        store.commitObject(object(`k${index % 50}`, { version }), blob(version), {
          ...changed,
          // Three of four find the key taken, and leave nothing.
          ifAbsent: true,
        }),
      ),
    );
    const kept = versions.filter((_, index) => outcomes[index]?.status === "fulfilled");
    assert.equal(kept.length, 50);
    const recorded = (await recordsOf(store, { action: "object.created" })).map(
      ({ version }) => version,
    );
    assert.deepEqual(recorded.toSorted(), kept.toSorted());
    assert.deepEqual((await store.verifyAudit({ after: 0, limit: 1000 })).problems, []);
  });

  test("a filter takes what it says, and pages go along the chain", async (t) => {
    await using store = await open(t);
    const by = (id: string): Author => ({ ...author, kind: "key", id });
    await store.createBucket(bucket("a"), { author: by("one") });
    await store.createBucket(bucket("b"), { author: by("two") });
    for (const [index, id] of ["one", "two", "one"].entries()) {
      const made = object(`k${index}`, { version: `v${index}` });
      await store.commitObject(made, blob(`${index}`), { ...changed, author: by(id) });
    }
    const source = { bucket: "b", key: "k0", version: "v0" };
    await store.copyObject(source, object("x", { bucket: "a", version: "w" }), changed);
    const sequences = async (query: Parameters<typeof recordsOf>[1]) =>
      (await recordsOf(store, query)).map(({ sequence }) => sequence);
    assert.deepEqual(await sequences({ actor: "one" }), [1, 3, 5]);
    assert.deepEqual(await sequences({ bucket: "a" }), [1, 6]);
    assert.deepEqual(await sequences({ key: "k0" }), [3, 6]);
    assert.deepEqual(await sequences({ bucket: "a", key: "k0" }), []);
    assert.deepEqual(await sequences({ action: "bucket.created", actor: "two" }), [2]);
    assert.deepEqual(await sequences({ after: 4 }), [5, 6]);
    const first = await store.listAudit({ after: 0, limit: 2 });
    assert.deepEqual([first.lines.length, first.after, first.hasMore], [2, 2, true]);
    const filtered = await store.listAudit({ after: 0, limit: 1, actor: "two" });
    assert.deepEqual([filtered.lines.length, filtered.after, filtered.hasMore], [1, 2, true]);
    const last = await store.listAudit({ after: filtered.after, limit: 2, actor: "two" });
    assert.deepEqual([last.lines.length, last.after, last.hasMore], [1, 6, false]);
    const nothing = await store.listAudit({ after: 6, limit: 2 });
    assert.deepEqual([nothing.lines.length, nothing.after, nothing.hasMore], [0, 6, false]);
    const future = new Date(Date.now() + 60_000);
    assert.deepEqual(await sequences({ since: future }), []);
    assert.deepEqual(await sequences({ until: future }), [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(await sequences({ until: new Date(0) }), []);
  });

  test("refusals are recorded apart from changes", async (t) => {
    await using store = await open(t);
    const refusal = { author, at: at(0), code: "access_denied" } as const;
    await store.appendRefusals([
      { ...refusal, permission: "object:delete", bucket: "b", key: "k" },
      { ...refusal, repeated: 7 },
    ]);
    const records = await recordsOf(store);
    assert.deepEqual(
      records.map(({ action, result, permission, bucket: name, key, repeated }) => [
        ...[action, result, permission, name, key, repeated],
      ]),
      [
        ["request.refused", "access_denied", "object:delete", "b", "k", undefined],
        ["request.refused", "access_denied", undefined, undefined, undefined, 7],
      ],
    );
  });

  test("the oldest are forgotten from the beginning on, and the chain says so and stays whole", async (t) => {
    await using store = await open(t);
    for (const name of ["a", "b", "c", "d"]) await store.createBucket(bucket(name), { author });
    const future = new Date(Date.now() + 60_000);
    assert.equal(await store.pruneAudit({ author, before: new Date(0), limit: 10 }), 0);
    assert.equal(await store.pruneAudit({ author, before: future, limit: 3 }), 3);
    const left = await recordsOf(store);
    assert.deepEqual(
      left.map(({ sequence, action }) => [sequence, action]),
      [
        [4, "bucket.created"],
        [5, "audit.pruned"],
      ],
    );
    const verified = await store.verifyAudit({ after: 0, limit: 100 });
    assert.deepEqual(verified.problems, []);
    assert.deepEqual([verified.anchor.sequence, verified.head.sequence], [3, 5]);
    assert.deepEqual(left[1]?.details, {
      through: 3,
      hash: verified.anchor.hash,
      count: 3,
    });
    assert.equal(left[0]?.previous, verified.anchor.hash);
    // All of it, the records of earlier forgetting too; and the chain goes on.
    assert.equal(await store.pruneAudit({ author, before: future, limit: 10 }), 2);
    await store.createBucket(bucket("e"), { author });
    assert.deepEqual(await actionsOf(store), ["audit.pruned", "bucket.created"]);
    assert.deepEqual((await store.verifyAudit({ after: 0, limit: 100 })).problems, []);
  });

  test("it is verified in stretches, and goes on after the store was closed", async (t) => {
    const first = await open(t);
    for (const name of ["a", "b", "c"]) await first.createBucket(bucket(name), { author });
    await first[Symbol.asyncDispose]();
    await using store = await open(t);
    await store.createBucket(bucket("d"), { author });
    const one = await store.verifyAudit({ after: 0, limit: 2 });
    assert.deepEqual([one.checked, one.problems, one.next], [2, [], 2]);
    const two = await store.verifyAudit({ after: 2, limit: 3 });
    assert.deepEqual([two.checked, two.problems, two.next], [2, [], undefined]);
    assert.equal(two.head.sequence, 4);
  });
}
