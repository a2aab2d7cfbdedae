// Uploads and reads over a registry whose storages fail, drain and go while they run.

import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import type { PlacementJson } from "@roma/contract";
import { typeDetector } from "../../content-types/detect.ts";
import type { Actor } from "../../core/access.ts";
import { Buckets } from "../../core/buckets.ts";
import { OperationalError } from "../../core/errors.ts";
import { parseKey } from "../../core/object-key.ts";
import { Objects } from "../../core/objects.ts";
import { systemClock } from "../../core/ports/clock.ts";
import { silentLog } from "../../core/ports/log.ts";
import { silentMeter } from "../../core/ports/meter.ts";
import { Uploads } from "../../core/uploads.ts";
import { calm, collect, keysOf, put as putBlob, rejectsWith } from "../conformance/subject.ts";
import { forward } from "../layers/forward.ts";
import { withLayers } from "../layers/stack.ts";
import { newWorld } from "./testing.ts";

const root: Actor = {
  kind: "key",
  keyId: "ROOT",
  policy: [{ buckets: ["*"], actions: ["*"] }],
};

async function serving(t: TestContext) {
  const world = await newWorld(t);
  const down = new Set<string>();
  const registry = await world.open({
    // Below the layers, so that the breaker sees it.
    wrap: (driver) =>
      withLayers(
        forward(driver, {
          put: async (key, body, given) => {
            if (down.has(driver.id)) throw new OperationalError("unavailable", "down");
            return await driver.put(key, body, given);
          },
          probe: async (call) => {
            if (down.has(driver.id)) throw new OperationalError("unavailable", "down");
            await driver.probe(call);
          },
        }),
        { breaker: { openMsMin: 1, openMsMax: 1 }, retry: { attemptsMax: 1 } },
      ),
  });
  for (const id of ["fast", "spare"]) {
    await registry.add({ id, driver: "memory", settings: { place: id } });
  }
  const shared = {
    metadata: world.metadata,
    storages: registry,
    clock: systemClock,
    log: silentLog,
  };
  const buckets = new Buckets({ ...shared, trashMs: null });
  const core = { ...shared, buckets, blobGraceMs: 0, meter: silentMeter };
  const uploads = new Uploads({
    installation: "test",
    ...core,
    detector: typeDetector,
  });
  const objects = new Objects(core);
  const put = async (name: string, text = name, first: Promise<void> = Promise.resolve()) => {
    const body = (async function* () {
      await first;
      yield Buffer.from(text);
    })();
    const key = parseKey(name);
    const { object } = await uploads.put(root, { bucket: "b", key, body, signal: calm });
    return object.storageId;
  };
  const open = (name: string) => objects.open(root, { bucket: "b", key: parseKey(name) });
  const read = async (name: string) => {
    const { read } = await open(name);
    return (await collect(await read({ signal: calm }))).toString();
  };
  const place = (placement: PlacementJson) => buckets.change(root, "b", { placement });
  await buckets.create(root, "b", {});
  return { world, registry, buckets, down, put, read, open, place };
}

test("while the breaker of the first choice is open, new objects go to the fallback, and come back", async (t) => {
  const { registry, down, put, read, place } = await serving(t);
  await place([{ prefix: "img/", storage: "fast", fallback: "spare" }]);
  assert.equal(await put("img/1"), "fast");
  assert.equal(await put("doc"), "local");
  down.add("fast");
  for (let count = 0; count < 5; count += 1) await rejectsWith("unavailable", put("img/2"));
  assert.equal(registry.readiness("fast"), "failing");
  assert.equal(await put("img/2"), "spare");
  assert.equal(await read("img/1"), "img/1", "the old object is read from where it is");
  down.add("spare");
  await rejectsWith("unavailable", put("img/3"));
  down.clear();
  await new Promise((resolve) => setTimeout(resolve, 5));
  // As the cold probe does.
  await putBlob(registry.get("fast"), "roma/probe/00", "of the probe");
  assert.equal(await put("img/3"), "fast");
  assert.deepEqual([await read("img/2"), await read("img/3")], ["img/2", "img/3"]);
});

test("a placement may name a failing storage, and no draining one, itself or an unknown one", async (t) => {
  const { registry, down, place, put } = await serving(t);
  down.add("fast");
  await place([{ storage: "fast", fallback: "spare" }]);
  await registry.drain("spare");
  await rejectsWith("invalid_request", place("spare"));
  await rejectsWith("invalid_request", place([{ storage: "fast", fallback: "spare" }]));
  await rejectsWith("invalid_request", place([{ storage: "fast", fallback: "fast" }]));
  await rejectsWith("storage_not_found", place([{ storage: "fast", fallback: "none" }]));
  await rejectsWith("unsupported", place([{ storage: "fast", mirrors: ["local"] }]));
  down.clear();
  assert.equal(await put("k"), "fast");
  await registry.drain("fast");
  await rejectsWith("unavailable", put("k"));
});

test("an upload whose first bytes come after its placement moved and the storage was drained goes to the new one", async (t) => {
  const { registry, place, put } = await serving(t);
  await place("fast");
  const first = Promise.withResolvers<void>();
  const putting = put("late", "bytes", first.promise);
  await put("other");
  await place("spare");
  await registry.drain("fast");
  first.resolve();
  assert.equal(await putting, "spare");
});

test("a body that is being read keeps its storage open", async (t) => {
  const { world, registry, open, put, place } = await serving(t);
  await place("fast");
  await put("k", "x".repeat(200_000));
  const object = await open("k");
  const body = await object.read({ signal: calm });
  const chunks = body[Symbol.asyncIterator]();
  await chunks.next();
  await registry.change("fast", { settings: { nested: {} } });
  assert.equal(registry.describe("fast").othersRunning, 1, "on the old one");
  await turns();
  assert.deepEqual(world.closed, []);
  while ((await chunks.next()).done !== true);
  await turns();
  assert.deepEqual(world.closed, ["fast"]);
  await assert.rejects(object.read({ signal: AbortSignal.abort(new Error("gone")) }), /gone/);
  assert.equal(registry.describe("fast").othersRunning, 0, "what failed holds nothing");
});

/** Whatever can happen without more I/O has happened. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("placement changes ten times and a storage is drained and retired under load: no upload fails", async (t) => {
  const { world, registry, put, read, place } = await serving(t);
  const names: string[] = [];
  const running: Promise<string>[] = [];
  const burst = (count: number) => {
    for (let index = 0; index < count; index += 1) {
      const name = `k${names.length}`;
      names.push(name);
      running.push(put(name));
    }
  };
  // One of each round ends before the next change, so that every storage surely gets some.
  burst(5);
  await running.at(-1);
  for (let change = 0; change < 10; change += 1) {
    burst(20);
    await place(change % 2 === 0 ? "spare" : "fast");
    burst(5);
    await running.at(-1);
  }
  await place("spare");
  burst(20);
  const drained = await registry.drain("fast");
  assert.equal(drained.uploadsRunning, 0);
  const placed = await Promise.all(running);
  assert.deepEqual([...new Set(placed)].toSorted(), ["fast", "local", "spare"]);
  for (const name of names) assert.equal(await read(name), name);
  const inFast = names.filter((_, index) => placed[index] === "fast");
  await assert.rejects(registry.retire("fast"), new RegExp(`holds ${inFast.length} blobs`));
  for (const name of inFast) await put(name);
  await sweep();
  assert.equal((await registry.retire("fast")).state, "retired");
  for (const name of names) assert.equal(await read(name), name);
  assert.deepEqual([...world.content("fast").blobs.keys()], ["roma/storage.json"]);
  const kept = [
    ...(await keysOf(registry.get("spare"), "b/")),
    ...(await keysOf(registry.get("local"), "b/")),
  ];
  assert.equal(kept.length, names.length, "nothing is left that no object points at");

  async function sweep(): Promise<void> {
    const due = await world.metadata.listGarbage({ dueBefore: new Date(9e14), limit: 10_000 });
    for (const { storageId, blobKey } of due) {
      await registry.get(storageId).delete(blobKey, { signal: calm });
    }
    await world.metadata.forgetGarbage(due);
  }
});
