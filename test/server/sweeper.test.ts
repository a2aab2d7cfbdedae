/** The sweeper over the real store and a real folder: what it takes, and above all what it leaves. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdir, readdir, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { BlobsInUse } from "../../packages/server/src/core/blobs-in-use.ts";
import { newBlobKey, newVersion } from "../../packages/server/src/core/ids.ts";
import type { Clock } from "../../packages/server/src/core/ports/clock.ts";
import { silentLog } from "../../packages/server/src/core/ports/log.ts";
import type { MetadataStore } from "../../packages/server/src/core/ports/metadata-store.ts";
import { silentMeter } from "../../packages/server/src/core/ports/meter.ts";
import { noSiblings } from "../../packages/server/src/core/ports/siblings.ts";
import {
  author,
  blob,
  deletedAt,
  object,
  partBlob,
  upload,
} from "../../packages/server/src/metadata/conformance-samples.ts";
import { openSqliteStore } from "../../packages/server/src/metadata/index.ts";
import { Sweeper } from "../../packages/server/src/operations/sweeper.ts";
import { openPosixStorage } from "../../packages/server/src/storage/index.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { fixedStorages } from "./fixed-storages.ts";

const hour = 60 * 60 * 1000;

class MovableClock implements Clock {
  #offsetMs = 0;
  now() {
    return new Date(Date.now() + this.#offsetMs);
  }
  monotonicMs() {
    return performance.now() + this.#offsetMs;
  }
  move(ms: number) {
    this.#offsetMs += ms;
  }
}

async function open(
  t: TestContext,
  options: { readonly orphansFree?: number; readonly oldestRunningAt?: () => Date } = {},
) {
  const folder = await temporaryFolder(t);
  const clock = new MovableClock();
  const root = join(folder, "objects");
  const metadata = await openSqliteStore({ path: join(folder, "m.sqlite"), log: silentLog });
  const storage = await openPosixStorage({ id: "local", root, createMarker: true });
  const writing = new Set<string>();
  const owned = new Set<string>();
  const reading = new Set<string>();
  const storages = fixedStorages([storage]);
  const sweeper = new Sweeper({
    installation: "ours",
    metadata,
    storages,
    inUse: new BlobsInUse({
      siblings: noSiblings(),
      storages,
      isWriting: (blobKey) => writing.has(blobKey),
      isReading: (blobKey) => reading.has(blobKey),
      oldestRunningAt: options.oldestRunningAt ?? (() => undefined),
    }),
    ownedKeys: async (_, blobKeys) => new Set(blobKeys.filter((key) => owned.has(key))),
    clock,
    steadyNow: () => clock.now(),
    log: silentLog,
    meter: silentMeter,
    intervalMs: hour,
    ageMsMin: hour,
    orphanShareMax: 0.1,
    orphansFree: options.orphansFree ?? 100,
  });
  t.after(async () => {
    await sweeper[Symbol.asyncDispose]();
    await storage[Symbol.asyncDispose]();
    await metadata[Symbol.asyncDispose]();
  });
  await metadata.createBucket(
    {
      name: "b",
      visibility: "private",
      maxObjectBytes: null,
      contentTypes: null,
      uploadExpiryMs: hour,
      quotaBytes: null,
      placement: "local",
      cors: null,
      trashMs: null,
      environment: null,
      deletesPerHour: null,
      retentionMs: null,
      bulkDeleteApprovals: 1,
      createdAt: clock.now(),
    },
    { author },
  );
  const { signal } = new AbortController();
  /** Bytes in the storage that no row knows yet. */
  const publish = async (installation = "ours") => {
    const version = newVersion(clock.now());
    const blobKey = newBlobKey(installation, clock.now(), version);
    await storage.put(blobKey, chunks("bytes"), { signal });
    return { version, blobKey };
  };
  /** An object, as an upload leaves it. */
  const store = async (key: string) => {
    const { version, blobKey } = await publish();
    await metadata.commitObject(
      {
        bucket: "b",
        key,
        version,
        etag: `${version}-1`,
        contentType: "text/plain",
        userMetadata: {},
        createdAt: clock.now(),
      },
      { storageId: "local", blobKey, length: 5, digests: { crc64nvme: new Uint8Array(8) } },
      { author, garbageDueAt: clock.now() },
    );
    return blobKey;
  };
  const has = async (blobKey: string) =>
    storage.head(blobKey, { signal }).then(
      () => true,
      () => false,
    );
  return { root, clock, metadata, storage, sweeper, writing, owned, reading, publish, store, has };
}

/** The object `in pieces`: three parts of an upload, of which only the blob's pieces are left. */
async function storeInPieces(
  metadata: MetadataStore,
  clock: Clock,
  publish: () => Promise<{ readonly blobKey: string }>,
): Promise<readonly string[]> {
  const later = new Date(clock.now().getTime() + 100 * hour);
  const id = "u";
  const named = { bucket: "b", key: "in pieces" };
  await metadata.createUpload(upload(id, { ...named, protocol: "s3" }), { openMax: 9 });
  const keys: string[] = [];
  for (const number of [1, 2, 3]) {
    const { blobKey } = await publish();
    keys.push(blobKey);
    await metadata.putUploadPart(id, partBlob(number, { blobKey, length: 5 }), {
      now: clock.now(),
      expiresAt: later,
      garbageDueAt: clock.now(),
    });
  }
  const lease = { holder: "test", now: clock.now(), until: later };
  const { upload: writer } = (await metadata.takeUpload(id, lease)) ?? assert.fail();
  const pieces = { uploadId: id, runs: [{ number: 1, count: 3, length: 5 }] };
  const whole = blob("whole", { length: 15, pieces });
  const times = { garbageDueAt: clock.now(), expiresAt: later };
  await metadata.completeUpload(writer, object("in pieces", { version: "v" }), whole, {
    ...times,
    author,
  });
  await metadata.forgetUpload(id, { garbageDueAt: clock.now() });
  return keys;
}

async function* chunks(text: string) {
  yield Buffer.from(text);
}

test("a deleted object's blob goes once its grace is over, not before", async (t) => {
  const { clock, metadata, sweeper, store, has } = await open(t);
  const blobKey = await store("a");
  await metadata.deleteObject("b", "a", {
    deletedAt,
    author,
    garbageDueAt: new Date(clock.now().getTime() + hour),
  });
  assert.equal((await sweeper.sweep()).garbage, 0);
  assert.equal(await has(blobKey), true);
  clock.move(hour + 1);
  assert.equal((await sweeper.sweep()).garbage, 1);
  assert.equal(await has(blobKey), false);
  assert.equal((await sweeper.sweep()).garbage, 0, "it is forgotten");
});

test("a blob that a copy still points at stays", async (t) => {
  const { clock, metadata, sweeper, store, has } = await open(t);
  const blobKey = await store("a");
  const { version } = (await metadata.headObject("b", "a")) ?? assert.fail();
  const copy = newVersion(clock.now());
  await metadata.copyObject(
    { bucket: "b", key: "a", version },
    {
      bucket: "b",
      key: "c",
      version: copy,
      etag: `${copy}-1`,
      contentType: "text/plain",
      userMetadata: {},
      createdAt: clock.now(),
    },
    { author, garbageDueAt: clock.now() },
  );
  await metadata.deleteObject("b", "a", { deletedAt, author, garbageDueAt: clock.now() });
  clock.move(2 * hour);
  assert.equal((await sweeper.sweep()).garbage, 0);
  assert.equal(await has(blobKey), true);
});

test("the pieces of a deleted object's blob go with it, but not while somebody reads them", async (t) => {
  const { clock, metadata, sweeper, reading, publish, has } = await open(t);
  const pieces = await storeInPieces(metadata, clock, publish);
  clock.move(2 * hour);
  assert.equal((await sweeper.sweep({ afterCrash: true })).orphans, 0);
  for (const key of pieces) assert.equal(await has(key), true);
  await metadata.deleteObject("b", "in pieces", { deletedAt, author, garbageDueAt: clock.now() });
  reading.add("whole");
  assert.equal((await sweeper.sweep()).garbage, 0);
  for (const key of pieces) assert.equal(await has(key), true);
  reading.clear();
  assert.equal((await sweeper.sweep()).garbage, pieces.length);
  for (const key of pieces) assert.equal(await has(key), false);
  const known = await metadata.knownBlobs("local", [...pieces, "whole"]);
  assert.deepEqual([...known], []);
});

test("an orphan goes: at once after a crash, only when old while the server runs", async (t) => {
  const { clock, sweeper, publish, store, has } = await open(t);
  await sweeper.sweep({ afterCrash: true });
  const kept = await store("a");
  const { blobKey } = await publish();
  assert.equal((await sweeper.sweep()).orphans, 0, "it is younger than the age");
  assert.equal(await has(blobKey), true);
  clock.move(2 * hour);
  assert.equal((await sweeper.sweep()).orphans, 1);
  assert.equal(await has(blobKey), false);
  const second = await publish();
  assert.equal((await sweeper.sweep({ afterCrash: true })).orphans, 1);
  assert.equal(await has(second.blobKey), false);
  assert.equal(await has(kept), true);
});

test("what a dead process had sent and the storage publishes only after the start's sweep is found later", async (t) => {
  const { clock, storage, sweeper, has } = await open(t);
  await sweeper.sweep({ afterCrash: true });
  const sentAt = clock.now();
  clock.move(hour / 4);
  assert.equal((await sweeper.sweep({ afterCrash: true })).orphans, 0, "it is not there yet");
  const blobKey = newBlobKey("ours", sentAt, newVersion(sentAt));
  await storage.put(blobKey, chunks("late"), { signal: new AbortController().signal });
  assert.equal((await sweeper.sweep()).orphans, 0, "it is younger than the age");
  clock.move(2 * hour);
  assert.equal((await sweeper.sweep()).orphans, 1);
  assert.equal(await has(blobKey), false);
});

test("blobs of another installation in the same place are never looked at", async (t) => {
  const { clock, sweeper, publish, has } = await open(t);
  await sweeper.sweep({ afterCrash: true });
  const { blobKey } = await publish("theirs");
  clock.move(24 * hour);
  assert.equal((await sweeper.sweep({ afterCrash: true })).orphans, 0);
  assert.equal(await has(blobKey), true);
});

test("a blob whose upload is about to commit is no orphan", async (t) => {
  const { clock, sweeper, writing, publish, has } = await open(t);
  await sweeper.sweep({ afterCrash: true });
  const { blobKey } = await publish();
  writing.add(blobKey);
  clock.move(2 * hour);
  assert.equal((await sweeper.sweep()).orphans, 0);
  assert.equal(await has(blobKey), true);
});

test("a blob that an upload still needs, of which no row of an object knows yet, is no orphan", async (t) => {
  const { clock, sweeper, owned, publish, has } = await open(t);
  await sweeper.sweep({ afterCrash: true });
  const { blobKey } = await publish();
  owned.add(blobKey);
  clock.move(2 * hour);
  assert.equal((await sweeper.sweep()).orphans, 0);
  assert.equal(await has(blobKey), true);
});

test("the place never passes the oldest running upload, whose blob is named for its beginning", async (t) => {
  const began = new Date();
  const { clock, sweeper, publish } = await open(t, { oldestRunningAt: () => began });
  await sweeper.sweep({ afterCrash: true });
  const { blobKey } = await publish();
  clock.move(10 * hour);
  const before = await sweeper.sweep();
  assert.equal(before.orphans, 1, blobKey);
});

test("a new metadata store over an old storage removes nothing that was there before", async (t) => {
  const { clock, sweeper, publish, has } = await open(t);
  const { blobKey } = await publish();
  clock.move(24 * hour);
  await sweeper.sweep({ afterCrash: true });
  await sweeper.sweep({ afterCrash: true });
  assert.equal(await has(blobKey), true);
});

test("too many unknown blobs stop the sweep of that storage, and nothing goes", async (t) => {
  const { clock, sweeper, publish, store, has } = await open(t, { orphansFree: 3 });
  await sweeper.sweep({ afterCrash: true });
  await store("a");
  const orphans = await Promise.all([publish(), publish(), publish(), publish()]);
  clock.move(2 * hour);
  const report = await sweeper.sweep();
  assert.deepEqual(report.stopped, ["local"]);
  assert.equal(report.orphans, 0);
  for (const { blobKey } of orphans) assert.equal(await has(blobKey), true);
});

test("temporary files of an earlier process go by age, or all at the start", async (t) => {
  const { root, sweeper } = await open(t);
  const folder = join(root, ".roma", "tmp");
  await mkdir(folder, { recursive: true });
  const [old, young] = [join(folder, randomUUID()), join(folder, randomUUID())];
  await writeFile(old, "x");
  await writeFile(young, "x");
  const longAgo = new Date(Date.now() - 2 * hour);
  await utimes(old, longAgo, longAgo);
  assert.equal((await sweeper.sweep()).leftOvers, 1);
  await assert.rejects(stat(old));
  await stat(young);
  assert.equal((await sweeper.sweep({ afterCrash: true })).leftOvers, 1);
  assert.deepEqual(await readdir(folder), []);
});
