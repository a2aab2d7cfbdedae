/** A sweeper over one storage of any kind, and what it does with uploads that are pending there. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { BlobsInUse } from "../../packages/server/src/core/blobs-in-use.ts";
import { newBlobKey, newVersion } from "../../packages/server/src/core/ids.ts";
import { silentLog } from "../../packages/server/src/core/ports/log.ts";
import { silentMeter } from "../../packages/server/src/core/ports/meter.ts";
import { noSiblings } from "../../packages/server/src/core/ports/siblings.ts";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import { openSqliteStore } from "../../packages/server/src/metadata/index.ts";
import { Sweeper } from "../../packages/server/src/operations/sweeper.ts";
import { withLayers } from "../../packages/server/src/storage/layers/stack.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { fixedStorages } from "./fixed-storages.ts";

const hour = 60 * 60 * 1000;
const day = 24 * hour;
const call = { signal: new AbortController().signal };

/** A test of that name; the storage is empty. */
export function pendingUploadsCase(
  name: string,
  openDriver: (t: TestContext) => Promise<StorageDriver>,
): void {
  test(`a pending upload that nobody owns goes a day after it began: ${name}`, async (t) => {
    const it = await openSwept(t, await openDriver(t));
    const lost = await it.begin(it.newKey());
    const running = await it.begin(it.newKey());
    const resting = await it.begin(it.newKey());
    const theirs = await it.begin(it.newKey("theirs"));
    const elsewhere = await it.begin("no-blob");
    it.writing.add(running);
    it.owned.set(resting, it.storage.id);
    it.move(day - hour);
    assert.equal((await it.sweeper.sweep()).pendingUploads, 0, "too young");
    assert.equal((await it.pending()).length, 5);
    it.move(2 * hour);
    const young = await it.begin(it.newKey("ours", -day));
    assert.equal((await it.sweeper.sweep()).pendingUploads, 1);
    const kept = [running, resting, theirs, elsewhere, young].toSorted();
    assert.deepEqual(await it.pending(), kept, `${lost} alone has gone`);
    it.owned.set(resting, "another storage");
    assert.equal((await it.sweeper.sweep()).pendingUploads, 1);
    assert.equal((await it.pending()).includes(resting), false);
  });
}

/** A sweeper over the storage, with all layers, and a clock that can be moved. */
export async function openSwept(
  t: TestContext,
  driver: StorageDriver,
  options: { readonly pendingIntervalMs?: number } = {},
) {
  const folder = await temporaryFolder(t);
  const storage = withLayers(driver);
  const metadata = await openSqliteStore({ path: join(folder, "m.sqlite"), log: silentLog });
  let offsetMs = 0;
  const writing = new Set<string>();
  const owned = new Map<string, string>();
  const storages = fixedStorages([storage]);
  const sweeper = new Sweeper({
    installation: "ours",
    metadata,
    storages,
    inUse: new BlobsInUse({
      siblings: noSiblings(),
      storages,
      isWriting: (blobKey) => writing.has(blobKey),
      isReading: () => false,
      oldestRunningAt: () => undefined,
    }),
    ownedKeys: async (storageId, keys) =>
      new Set(keys.filter((key) => owned.get(key) === storageId)),
    clock: {
      now: () => new Date(Date.now() + offsetMs),
      monotonicMs: () => performance.now() + offsetMs,
    },
    steadyNow: () => new Date(),
    log: silentLog,
    meter: silentMeter,
    intervalMs: hour,
    ageMsMin: hour,
    orphanShareMax: 0.1,
    orphansFree: 100_000,
    pendingIntervalMs: options.pendingIntervalMs ?? 0,
  });
  t.after(async () => {
    await sweeper[Symbol.asyncDispose]();
    await storage[Symbol.asyncDispose]();
    await metadata[Symbol.asyncDispose]();
  });
  const newKey = (installation = "ours", ageMs = 0): string => {
    const at = new Date(Date.now() - ageMs);
    return newBlobKey(installation, at, newVersion(at));
  };
  const { parts } = storage;
  assert.ok(parts);
  const begin = async (key: string): Promise<string> => {
    const partBytes = Math.max(parts.partBytesMin, 1);
    const upload = await parts.create(key, { ...call, partBytes });
    await parts.writePart(upload, 1, Buffer.from("x"), { ...call, digests: {} });
    return key;
  };
  const pending = async () =>
    (await Array.fromAsync(parts.listPending("", call))).map(({ key }) => key).toSorted();
  const move = (ms: number): void => {
    offsetMs += ms;
  };
  return { storage, metadata, sweeper, writing, owned, newKey, begin, pending, move };
}
