// The registry: what is added, changed and taken away while it is used, and what it refuses.

import { strict as assert } from "node:assert";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ErrorCode } from "../../core/errors.ts";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import { serverAuthor } from "../../core/ports/author.ts";
import { silentLog } from "../../core/ports/log.ts";
import type { MetadataStore } from "../../core/ports/metadata-store.ts";
import { calm, collect, keysOf, put, read, rejectsWith } from "../conformance/subject.ts";
import { forward } from "../layers/forward.ts";
import { rememberingMeter } from "../layers/testing.ts";
import type { StorageRegistry } from "./registry.ts";
import { newWorld, type World } from "./testing.ts";

const author = serverAuthor("test");
const fast = { id: "fast", driver: "memory", settings: { place: "fast" } };

async function opened(t: TestContext) {
  const world = await newWorld(t);
  const registry = await world.open();
  return { world, registry };
}

function throwsWith(code: ErrorCode, run: () => unknown): void {
  assert.throws(run, (error) => isOperationalError(error, code));
}

/** A row that says that the storage holds a blob. */
async function commit(metadata: MetadataStore, storageId: string, key: string): Promise<void> {
  const createdAt = new Date();
  const object = { bucket: "b", key, version: `v-${key}`, etag: "e", contentType: "x/y" };
  const digests = { crc64nvme: new Uint8Array(8) };
  await metadata.commitObject(
    { ...object, userMetadata: {}, createdAt },
    { storageId, blobKey: `b/${key}`, length: 1, digests },
    { author, garbageDueAt: createdAt },
  );
}

async function makeBucket(world: World, name: string, placement: string): Promise<void> {
  await world.metadata.createBucket(
    {
      name,
      visibility: "private",
      maxObjectBytes: null,
      contentTypes: null,
      uploadExpiryMs: 1_000,
      quotaBytes: null,
      placement,
      cors: null,
      trashMs: null,
      environment: null,
      deletesPerHour: null,
      retentionMs: null,
      bulkDeleteApprovals: 1,
      createdAt: new Date(),
    },
    { author },
  );
}

test("a storage that was added is used, listed, and there again after a restart", async (t) => {
  const { world, registry } = await opened(t);
  throwsWith("storage_not_found", () => registry.lease("fast", "create"));
  const info = await registry.add(fast);
  assert.deepEqual([info.state, info.isOpen, info.breaker], ["active", true, "closed"]);
  using lease = registry.lease("fast", "create");
  await put(lease.driver, "b/1", "bytes");
  assert.deepEqual(registry.ids().toSorted(), ["fast", "local"]);
  assert.equal(registry.readiness("fast"), "ready");
  lease[Symbol.dispose]();
  await registry[Symbol.asyncDispose]();
  assert.deepEqual(world.closed.toSorted(), ["fast", "local"]);
  const again = await world.open();
  assert.equal((await read(again.get("fast"), "b/1")).toString(), "bytes");
  assert.deepEqual(
    again.list().map(({ id, isDefault, isBuiltIn }) => [id, isDefault, isBuiltIn]),
    [
      ["fast", false, false],
      ["local", true, true],
    ],
  );
});

test("ids that are taken or malformed, unknown drivers and wrong settings are refused by name", async (t) => {
  const { registry } = await opened(t);
  await rejectsWith("already_exists", registry.add({ ...fast, id: "local" }));
  for (const id of ["", "A", "a b", "-a", "a/b", "..", "x".repeat(64)]) {
    await rejectsWith("invalid_request", registry.add({ ...fast, id }));
  }
  await assert.rejects(registry.add({ ...fast, driver: "ftp" }), /"ftp" is none of memory, posix/);
  await assert.rejects(registry.add({ ...fast, driver: "constructor" }), /is none of/);
  const settings = { place: 7, colour: "red" };
  await assert.rejects(registry.add({ ...fast, settings }), /settings: place: .*; .*colour/);
  assert.equal(registry.list().length, 1);
});

test("what the canary refuses is not added, and its driver is closed", async (t) => {
  const world = await newWorld(t);
  const registry = await world.open({
    admit: async (driver) => {
      if (driver.id === "fast") throw new OperationalError("invalid_request", "wrong region");
    },
  });
  await assert.rejects(registry.add(fast), /wrong region/);
  assert.deepEqual(world.closed, ["fast"]);
  assert.deepEqual(await listed(world), ["local"]);
  throwsWith("storage_not_found", () => registry.describe("fast"));
});

test("secrets are sealed in the store, shown by nobody, and stay where a change leaves them out", async (t) => {
  const { world, registry } = await opened(t);
  const secrets = { key: "sesame-1", nested: { token: "sesame-2", size: 5 } };
  await registry.add({ ...fast, settings: { place: "fast", ...secrets } });
  const stored = async () => (await world.metadata.listStorages()).find(({ id }) => id === "fast");
  const record = await stored();
  assert.deepEqual(record?.settings, { place: "fast", nested: { size: 5 } });
  assert.doesNotMatch(Buffer.from(record?.sealedSecrets ?? []).toString("latin1"), /sesame/);
  const shown = registry.describe("fast").settings;
  assert.doesNotMatch(JSON.stringify(registry.list()), /sesame/);
  assert.deepEqual(shown, {
    place: "fast",
    key: "[redacted]",
    nested: { token: "[redacted]", size: 5 },
  });
  // What was shown may be sent back with one value changed.
  await registry.change("fast", { settings: { ...shown, nested: { token: "new", size: 6 } } });
  const changed = await registry.change("fast", { settings: { nested: { token: null } } });
  assert.deepEqual(changed.settings, { place: "fast", key: "[redacted]", nested: { size: 6 } });
  assert.equal((await stored())?.revision, 3);
});

test("a change of settings opens the new before the old is closed, and leases keep the old", async (t) => {
  const { world, registry } = await opened(t);
  world.content("other");
  await registry.add(fast);
  const lease = registry.lease("fast", "create");
  await put(lease.driver, "b/1", "1");
  await registry.change("fast", { settings: { nested: {} } });
  assert.deepEqual(world.closed, []);
  await put(lease.driver, "b/2", "2");
  assert.notEqual(registry.get("fast"), lease.driver);
  assert.equal((await read(registry.get("fast"), "b/2")).toString(), "2");
  lease[Symbol.dispose]();
  lease[Symbol.dispose]();
  await settled();
  assert.deepEqual(world.closed, ["fast"]);
});

const hour = 3_600_000;

/** A storage that is in use, and what takes it away. */
const departures = [
  [
    "whose settings changed",
    (registry: StorageRegistry<string>) => registry.change("fast", { settings: { nested: {} } }),
  ],
  [
    "that was retired",
    async (registry: StorageRegistry<string>) => {
      await registry.drain("fast");
      return await registry.retire("fast");
    },
  ],
] as const;

for (const [title, take] of departures) {
  test(`a lease of a storage ${title} lives longer than a stop of the server may take`, async (t) => {
    const world = await newWorld(t);
    const registry = await world.open({ drainMsMax: 20, leaseMsMax: hour });
    await registry.add(fast);
    const lease = registry.lease("fast", "read");
    await take(registry);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual(world.closed, []);
    await lease.driver.probe({ signal: calm });
    lease[Symbol.dispose]();
    await until(() => world.closed.length > 0);
    assert.deepEqual(world.closed, ["fast"]);
  });

  test(`a lease of a storage ${title} ends with its own bound, while the server runs on`, async (t) => {
    const world = await newWorld(t);
    const registry = await world.open({ drainMsMax: hour, leaseMsMax: 20 });
    await registry.add(fast);
    const lease = registry.lease("fast", "read");
    await take(registry);
    await until(() => world.closed.length > 0);
    assert.deepEqual(world.closed, ["fast"]);
    await rejectsWith("unavailable", lease.driver.probe({ signal: calm }));
    assert.equal(registry.readiness("local"), "ready");
  });

  test(`a stop of the server ends the lease of a storage ${title} within the stop's bound`, async (t) => {
    const world = await newWorld(t);
    const registry = await world.open({ drainMsMax: 20, leaseMsMax: hour });
    await registry.add(fast);
    const lease = registry.lease("fast", "read");
    await take(registry);
    await registry[Symbol.asyncDispose]();
    assert.ok(world.closed.includes("fast") && world.closed.includes("local"));
    await rejectsWith("unavailable", lease.driver.probe({ signal: calm }));
    throwsWith("unavailable", () => registry.lease("local", "read"));
  });
}

test("an upload that began before the settings changed is counted, waited for, and not retired under", async (t) => {
  const { registry } = await opened(t);
  await registry.add(fast);
  const running = registry.lease("fast", "create");
  await registry.change("fast", { settings: { nested: {} } });
  assert.equal((await registry.drain("fast", { waitMsMax: 5 })).uploadsRunning, 1);
  await rejectsWith("locked", registry.change("fast", { state: "read-only" }));
  await rejectsWith("locked", registry.retire("fast"));
  const drained = registry.drain("fast", { waitMsMax: hour });
  running[Symbol.dispose]();
  assert.equal((await drained).uploadsRunning, 0);
  assert.equal((await registry.retire("fast")).state, "retired");
});

test("an upload under which its storage was closed counts until it ends: it may still commit a row", async (t) => {
  const world = await newWorld(t);
  const registry = await world.open({ leaseMsMax: 20 });
  await registry.add(fast);
  const running = registry.lease("fast", "create");
  await registry.change("fast", { settings: { nested: {} } });
  await until(() => world.closed.length > 0);
  await settled();
  assert.equal((await registry.drain("fast", { waitMsMax: 5 })).uploadsRunning, 1);
  await rejectsWith("locked", registry.retire("fast"));
  running[Symbol.dispose]();
  assert.equal((await registry.retire("fast")).state, "retired");
});

test("settings that lead to another storage, or to none, are refused and change nothing", async (t) => {
  const { world, registry } = await opened(t);
  await registry.add(fast);
  await registry.add({ ...fast, id: "other", settings: { place: "other" } });
  await assert.rejects(
    registry.change("fast", { settings: { place: "other" } }),
    /is the storage other/,
  );
  await assert.rejects(
    registry.change("fast", { settings: { place: "empty" } }),
    /carries no mark/,
  );
  assert.equal(world.content("empty").blobs.size, 0, "nothing was written there");
  await assert.rejects(registry.add({ ...fast, id: "third" }), /is the storage fast/);
  assert.deepEqual(registry.describe("fast").settings, { place: "fast" });
  assert.equal(registry.describe("fast").revision, 1);
});

test("a folder keeps its own mark: another folder under the id is refused at change and at start", async (t) => {
  const { world, registry } = await opened(t);
  const [one, two] = [join(world.folder, "one"), join(world.folder, "two")];
  await registry.add({ id: "disk", driver: "posix", settings: { root: one } });
  await registry.add({ id: "disk2", driver: "posix", settings: { root: two } });
  await put(registry.get("disk"), "b/1", "1");
  await assert.rejects(registry.change("disk", { settings: { root: two } }), /marker/);
  await assert.rejects(
    registry.change("disk", { settings: { root: `${one}-new` } }),
    /missing|marker/,
  );
  const renamed = join(world.folder, "renamed");
  await rename(one, renamed);
  await registry.change("disk", { settings: { root: renamed } });
  assert.equal((await read(registry.get("disk"), "b/1")).toString(), "1");
  await registry[Symbol.asyncDispose]();
  // As if it were not mounted.
  await rename(renamed, one);
  await mkdir(renamed);
  const again = await world.open();
  throwsWith("unavailable", () => again.lease("disk", "read"));
  assert.match(again.describe("disk").problem ?? "", /mounted|marker/);
  assert.equal((await read(again.get("disk2"), "roma/x").catch(() => Buffer.of())).length, 0);
  await rm(renamed, { recursive: true });
});

test("a storage that does not open stops nobody, says why, and is tried again", async (t) => {
  const { world, registry } = await opened(t);
  await registry.add(fast);
  await registry[Symbol.asyncDispose]();
  world.broken.set("fast", new OperationalError("unavailable", "the disk is gone"));
  const meter = rememberingMeter();
  const again = await world.open({ retryMs: 5, meter });
  throwsWith("unavailable", () => again.lease("fast", "read"));
  assert.equal(again.readiness("fast"), "failing");
  assert.equal(again.describe("fast").problem, "the disk is gone");
  assert.equal(meter.value("storage_refused", { storage: "fast" }), 1);
  await put(again.get("local"), "b/1", "others go on");
  world.broken.clear();
  await until(() => again.readiness("fast") === "ready");
  assert.equal(again.describe("fast").problem, undefined);
  assert.equal(meter.value("storage_refused", { storage: "fast" }), 0);
});

test("why a storage did not open is explained: at the start, and at each attempt after it", async (t) => {
  const { world, registry } = await opened(t);
  await registry.add(fast);
  await registry[Symbol.asyncDispose]();
  const told: string[] = [];
  const explain = (error: unknown) => `explained: ${error instanceof Error ? error.message : ""}`;
  const log = { ...silentLog, error: (_: object, message: string) => void told.push(message) };
  world.broken.set("fast", new OperationalError("unavailable", "at the start"));
  const again = await world.open({ retryMs: 5, explain, log });
  assert.equal(again.describe("fast").problem, "explained: at the start");
  world.broken.set("fast", new OperationalError("unavailable", "later"));
  await until(() => again.describe("fast").problem === "explained: later");
  assert.equal(told[0], "storage fast is refused: explained: at the start");
  assert.equal(told.at(-1), "storage fast is refused: explained: later");
});

test("a storage that hangs while it opens does not hold up the others", async (t) => {
  const { world, registry } = await opened(t);
  await registry.add(fast);
  await registry[Symbol.asyncDispose]();
  const again = await world.open({
    openMsMax: 50,
    admit: async (driver, { signal }) => {
      if (driver.id === "local") return;
      await new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    },
  });
  assert.match(again.describe("fast").problem ?? "", /did not open within 50 ms/);
  assert.equal(again.readiness("local"), "ready");
});

test("a built-in storage that does not open stops the start; its settings come from outside at each one", async (t) => {
  const { world, registry } = await opened(t);
  await rejectsWith("unsupported", registry.change("local", { settings: { nested: {} } }));
  await registry[Symbol.asyncDispose]();
  world.broken.set("local", new OperationalError("unavailable", "the disk is gone"));
  await assert.rejects(world.open(), /the disk is gone/);
  world.broken.clear();
  const settings = { place: "local", nested: { size: 9 } };
  const again = await world.open({ builtIn: [{ id: "local", driver: "memory", settings }] });
  assert.deepEqual(again.describe("local").settings, settings);
  assert.equal(again.describe("local").revision, 2);
  const elsewhere = { id: "local", driver: "memory", settings: { place: "elsewhere" } };
  await assert.rejects(world.open({ builtIn: [elsewhere] }), /carries no mark/);
});

test("a draining storage refuses new uploads, finishes those that run, and reads go on", async (t) => {
  const { registry } = await opened(t);
  await registry.add(fast);
  const running = registry.lease("fast", "create");
  const busy = await registry.drain("fast", { waitMsMax: 5 });
  assert.deepEqual([busy.state, busy.uploadsRunning], ["draining", 1]);
  assert.equal(registry.readiness("fast"), "closed");
  throwsWith("unavailable", () => registry.lease("fast", "create"));
  registry.lease("fast", "continue")[Symbol.dispose]();
  await put(running.driver, "b/1", "1");
  assert.equal((await read(registry.get("fast"), "b/1")).toString(), "1");
  await rejectsWith("locked", registry.change("fast", { state: "read-only" }));
  const drained = registry.drain("fast");
  running[Symbol.dispose]();
  assert.equal((await drained).uploadsRunning, 0);
  await registry.change("fast", { state: "read-only" });
  throwsWith("unavailable", () => registry.lease("fast", "continue"));
  registry.lease("fast", "delete")[Symbol.dispose]();
  await registry.change("fast", { state: "active" });
  registry.lease("fast", "create")[Symbol.dispose]();
});

test("retiring a storage that holds blobs is refused with the count, and an empty one is gone for good", async (t) => {
  const { world, registry } = await opened(t);
  await makeBucket(world, "b", "local");
  await registry.add(fast);
  await put(registry.get("fast"), "roma/probe/00", "of the probe");
  await commit(world.metadata, "fast", "1");
  await commit(world.metadata, "fast", "2");
  await world.metadata.deleteObject("b", "2", {
    deletedAt: new Date(),
    author,
    garbageDueAt: new Date(),
  });
  await assert.rejects(
    registry.retire("fast"),
    /is active and cannot become retired: drain it first/,
  );
  await registry.drain("fast");
  await assert.rejects(registry.retire("fast"), (error) => {
    assert.ok(isOperationalError(error, "not_empty"));
    assert.match(error.message, /still holds 2 blobs, 1 of them waiting/);
    assert.equal(error.context.blobs, 2);
    return true;
  });
  registry.lease("fast", "continue")[Symbol.dispose]();
  await world.metadata.deleteObject("b", "1", {
    deletedAt: new Date(),
    author,
    garbageDueAt: new Date(),
  });
  const blobs = ["1", "2"].map((key) => ({ storageId: "fast", blobKey: `b/${key}` }));
  await world.metadata.forgetGarbage(blobs);
  assert.equal((await registry.retire("fast")).state, "retired");
  await settled();
  assert.deepEqual(world.closed, ["fast"]);
  assert.deepEqual([...world.content("fast").blobs.keys()], ["roma/storage.json"]);
  throwsWith("storage_not_found", () => registry.lease("fast", "read"));
  throwsWith("storage_not_found", () => registry.readiness("fast"));
  assert.deepEqual(registry.ids(), ["local"]);
  await rejectsWith("already_exists", registry.add(fast));
  await rejectsWith("storage_not_found", registry.change("fast", { state: "active" }));
  await registry.reload();
  assert.equal(registry.describe("fast").state, "retired");
  await registry.forget("fast");
  throwsWith("storage_not_found", () => registry.describe("fast"));
  await registry.add(fast);
});

test("a storage is not retired while an upload runs, a placement names it, or it is the default", async (t) => {
  const { world, registry } = await opened(t);
  await registry.add(fast);
  await rejectsWith("precondition_failed", registry.drain("local"));
  await registry.makeDefault("fast");
  assert.equal(registry.defaultId, "fast");
  await rejectsWith("precondition_failed", registry.drain("fast"));
  await registry.makeDefault("local");
  await makeBucket(world, "photos", "fast");
  const running = registry.lease("fast", "create");
  await registry.drain("fast", { waitMsMax: 1 });
  await assert.rejects(registry.retire("fast"), /placement of photos/);
  await world.metadata.changeBucket("photos", { placement: "local" }, { author });
  await rejectsWith("locked", registry.retire("fast"));
  running[Symbol.dispose]();
  assert.equal((await registry.retire("fast")).state, "retired");
});

test("while it is found out whether a storage is empty, no upload goes on there", async (t) => {
  const world = await newWorld(t);
  const counting = Promise.withResolvers<void>();
  const counted = Promise.withResolvers<void>();
  const metadata = {
    ...bound(world.metadata),
    countBlobsOfStorage: async () => {
      counting.resolve();
      await counted.promise;
      return { referenced: 3, garbage: 0 };
    },
  };
  const registry = await world.open({ metadata });
  await registry.add(fast);
  await registry.drain("fast");
  const retiring = registry.retire("fast");
  await counting.promise;
  throwsWith("unavailable", () => registry.lease("fast", "continue"));
  registry.lease("fast", "read")[Symbol.dispose]();
  counted.resolve();
  await rejectsWith("not_empty", retiring);
  registry.lease("fast", "continue")[Symbol.dispose]();
});

test("the default that was chosen is the default after a restart", async (t) => {
  const { world, registry } = await opened(t);
  await registry.add(fast);
  await registry.makeDefault("fast");
  await registry[Symbol.asyncDispose]();
  assert.equal((await world.open()).defaultId, "fast");
});

test("what another process changed is seen after a reload, and wrong settings do not close what works", async (t) => {
  const { world, registry } = await opened(t);
  await registry.add(fast);
  const other = await world.open();
  await other.add({ ...fast, id: "more", settings: { place: "more" } });
  await other.drain("fast");
  await other.makeDefault("more");
  const before = registry.get("fast");
  await registry.reload();
  assert.deepEqual(registry.ids().toSorted(), ["fast", "local", "more"]);
  assert.equal(registry.describe("fast").state, "draining");
  assert.equal(registry.get("fast"), before, "only its state changed: the driver stays open");
  assert.equal(registry.defaultId, "more");

  // A record whose settings lead elsewhere, as no registry would write it.
  const record = (await world.metadata.listStorages()).find(({ id }) => id === "fast");
  assert.ok(record);
  const wrong = { ...record, settings: { place: "more" }, revision: record.revision + 1 };
  await world.metadata.putStorage(wrong, { author });
  await registry.reload();
  assert.match(registry.describe("fast").problem ?? "", /is the storage more/);
  assert.equal(registry.get("fast"), before);
  await assert.rejects(other.change("fast", { state: "active" }), (error) =>
    isOperationalError(error, "precondition_failed"),
  );
  await world.metadata.putStorage({ ...record, revision: record.revision + 2 }, { author });
  await registry.reload();
  assert.equal(registry.describe("fast").problem, undefined);
});

test("a storage whose breaker is open is failing, and what attends it ends before it", async (t) => {
  const world = await newWorld(t);
  let state: "closed" | "open" = "closed";
  world.layer = (driver) => forward(driver, { breaker: () => state });
  const attended: string[] = [];
  const registry = await world.open({
    attend: (driver, { mayWrite }) => {
      attended.push(`${driver.id} ${mayWrite()}`);
      return {
        [Symbol.asyncDispose]: async () => {
          await driver.probe({ signal: calm });
          attended.push(`${driver.id} ended`);
        },
      };
    },
  });
  state = "open";
  assert.equal(registry.readiness("local"), "failing");
  assert.equal(registry.describe("local").breaker, "open");
  await registry[Symbol.asyncDispose]();
  assert.deepEqual(attended, ["local true", "local ended"]);
});

test("the long canary runs on the storage that is asked for", async (t) => {
  const { registry } = await opened(t);
  assert.equal(await registry.test("local", { signal: calm }), "tested local");
  await rejectsWith("storage_not_found", registry.test("none", { signal: calm }));
});

test("a hundred uploads and reads while settings change ten times: none fails, nothing is lost", async (t) => {
  const { world, registry } = await opened(t);
  await registry.add(fast);
  const upload = async (number: number): Promise<void> => {
    using lease = registry.lease("fast", "create");
    const slowly = async function* () {
      for (let chunk = 0; chunk < 5; chunk += 1) {
        await settled();
        yield Buffer.from(`${number} `);
      }
    };
    await lease.driver.put(`b/${number}`, slowly(), { signal: calm });
    const { body } = await lease.driver.get(`b/${number}`, { signal: calm });
    assert.equal((await collect(body)).toString(), `${number} `.repeat(5));
  };
  const uploads: Promise<void>[] = [];
  for (let change = 0; change < 10; change += 1) {
    for (let count = 0; count < 10; count += 1) uploads.push(upload(uploads.length));
    await registry.change("fast", { settings: { nested: { size: change } } });
  }
  await Promise.all(uploads);
  assert.equal((await keysOf(registry.get("fast"), "b/")).length, 100);
  await settled();
  assert.equal(world.closed.length, 10, "each old one was closed once");
});

const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

async function listed(world: World): Promise<readonly string[]> {
  return (await world.metadata.listStorages()).map(({ id }) => id);
}

async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!isSo()) {
    assert.ok(performance.now() < end, "it did not happen within a minute");
    await settled();
  }
}

/** The store's methods, to be called on an object that is not it. */
function bound(store: MetadataStore) {
  return {
    listStorages: () => store.listStorages(),
    putStorage: store.putStorage.bind(store),
    deleteStorage: store.deleteStorage.bind(store),
    listBuckets: () => store.listBuckets(),
    getSetting: store.getSetting.bind(store),
    putSetting: store.putSetting.bind(store),
  };
}
