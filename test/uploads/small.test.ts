/**
 * An upload that comes in one go is committed without a lease in the store: whoever writes beside it,
 * here or in another process, one of them wins as a whole, and the other is told.
 */
import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import { isOperationalError } from "../../packages/server/src/core/errors.ts";
import type { ResumableUploads } from "../../packages/server/src/core/resumable/index.ts";
import { forward } from "../../packages/server/src/storage/layers/forward.ts";
import { eventually } from "../harness/process-usage.ts";
import { chunks, openCore, root } from "./core.ts";

const { signal } = new AbortController();
const bytes = randomBytes(60_000);
const others = randomBytes(60_000);

const isLocked = (error: unknown): boolean => isOperationalError(error, "locked");

test("while its bytes are being stored no lease is in the store, and one commit completes it", async (t) => {
  const { core, id, appending, release } = await heldInStorage(t);
  const { fence, holder } = (await core.metadata.getUpload(id)) ?? {};
  assert.deepEqual({ fence, holder }, { fence: 0, holder: null });
  release();
  const { upload, written } = await appending;
  assert.equal(upload.offset, bytes.length);
  assert.equal(written?.object.version, upload.version);
  // The steady clock's instants, told by the system's, may differ by a millisecond.
  const { expiresAt: _told, ...told } = upload;
  const { expiresAt: _recorded, ...recorded } = await core.uploads.get(root, id);
  assert.deepEqual(told, recorded);
  assert.deepEqual(await core.read("k"), bytes);
});

test("another process that completes it first wins, and the late one is locked", async (t) => {
  const { core, id, appending, release } = await heldInStorage(t);
  await appendOver(core.other(), id, others);
  release();
  await assert.rejects(appending, isLocked);
  assert.deepEqual(await core.read("k"), others);
});

test("another process that has stored a part of it goes on, and the late one is locked", async (t) => {
  const { core, id, appending, release } = await heldInStorage(t);
  const other = core.other();
  await appendOver(other, id, others.subarray(0, 10_000));
  release();
  await assert.rejects(appending, isLocked);
  assert.equal((await other.get(root, id)).offset, 10_000);
  await appendOver(other, id, others.subarray(10_000), 10_000);
  assert.deepEqual(await core.read("k"), others);
});

test("who asks in the same process where it stands is told what holds", async (t) => {
  const { core, id, appending, release } = await heldInStorage(t);
  const settled = core.uploads.settle(root, id, { signal });
  // Only the storage lets go of it, so an answer before that would be of the old offset.
  setImmediate(release);
  const { offset, phase } = await settled;
  assert.deepEqual({ offset, phase }, { offset: bytes.length, phase: "complete" });
  await appending;
});

test("who asks while it is written is told what holds, also where the writer ends before the row is here", async (t) => {
  const { core, id, appending, release } = await heldInStorage(t);
  const { metadata } = core;
  const getUpload = metadata.getUpload.bind(metadata);
  metadata.getUpload = async (...given) => {
    metadata.getUpload = getUpload;
    const old = await getUpload(...given);
    release();
    await appending;
    return old;
  };
  const { offset, phase } = await core.uploads.settle(root, id, { signal });
  assert.deepEqual({ offset, phase }, { offset: bytes.length, phase: "complete" });
});

test("one that is cancelled meanwhile makes no object", async (t) => {
  const { core, id, appending, release } = await heldInStorage(t);
  const cancelled = core.uploads.cancel(root, id, { signal });
  await eventually("the store knows it", async () => {
    const upload = await core.metadata.getUpload(id);
    return upload === undefined || upload.phase === "cancelling";
  });
  release();
  await assert.rejects(appending);
  await cancelled;
  await assert.rejects(core.read("k"), (error) => isOperationalError(error, "object_not_found"));
});

test("a client that pauses in the middle gets a lease that the store knows", async (t) => {
  await using core = await openCore(t, { kind: "append" });
  const { upload } = await core.create("k", bytes.length);
  const held = Promise.withResolvers<void>();
  async function* slowly() {
    yield Uint8Array.from(bytes.subarray(0, 20_000));
    await held.promise;
    yield Uint8Array.from(bytes.subarray(20_000));
  }
  const appending = core.append(upload.id, 0, slowly());
  for (;;) {
    if ((await core.metadata.getUpload(upload.id))?.holder !== null) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  held.resolve();
  await appending;
  assert.deepEqual(await core.read("k"), bytes);
});

/** An append whose bytes are all there, and whose first put stands before the storage. */
async function heldInStorage(t: TestContext) {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  let puts = 0;
  const core = await openCore(t, {
    kind: "append",
    wrap: (driver) =>
      forward(driver, {
        put: async (...given) => {
          puts += 1;
          if (puts === 1) {
            reached.resolve();
            await released.promise;
          }
          return await driver.put(...given);
        },
      }),
  });
  const { upload } = await core.create("k", bytes.length);
  const appending = core.append(upload.id, 0, bytes);
  appending.catch(() => undefined);
  await Promise.race([reached.promise, appending]);
  return { core, id: upload.id, appending, release: () => released.resolve() };
}

async function appendOver(
  uploads: ResumableUploads,
  id: string,
  body: Uint8Array,
  offset = 0,
): Promise<void> {
  await uploads.append(root, id, {
    ...{ offset, body: chunks(body), bodyLength: body.length },
    ...{ complete: "at-length", signal },
  });
}
