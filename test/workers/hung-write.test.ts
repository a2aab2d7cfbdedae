/**
 * A write that hangs in one worker, and that nobody waits for any more: until it has ended, no other worker writes the
 * upload. Two workers in one process, each with a driver of its own over the same folder.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { typeDetector } from "../../packages/server/src/content-types/detect.ts";
import { Buckets } from "../../packages/server/src/core/buckets.ts";
import { isOperationalError } from "../../packages/server/src/core/errors.ts";
import { parseKey } from "../../packages/server/src/core/object-key.ts";
import { Objects } from "../../packages/server/src/core/objects.ts";
import { systemClock } from "../../packages/server/src/core/ports/clock.ts";
import { silentLog } from "../../packages/server/src/core/ports/log.ts";
import { silentMeter } from "../../packages/server/src/core/ports/meter.ts";
import type { Json, Siblings } from "../../packages/server/src/core/ports/siblings.ts";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import {
  LeaseHolder,
  ResumableUploads,
  SteadyClock,
} from "../../packages/server/src/core/resumable/index.ts";
import { openSqliteStore } from "../../packages/server/src/metadata/index.ts";
import { openPosixStorage, withLayers } from "../../packages/server/src/storage/index.ts";
import { timeout } from "../../packages/server/src/storage/layers/timeout.ts";
import { systemFiles } from "../../packages/server/src/storage/posix/files.ts";
import { PartBuffers } from "../../packages/server/src/storage/s3/part-buffers.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { fixedStorages } from "../server/fixed-storages.ts";
import { chunks, root } from "../uploads/core.ts";

const { signal } = new AbortController();

test("an upload stays its worker's until a write that hangs there has ended", async (t) => {
  const folder = await temporaryFolder(t);
  const metadata = await openSqliteStore({ path: join(folder, "m.sqlite"), log: silentLog });
  const mayWrite = Promise.withResolvers<void>();
  let hanging = 0;
  // What stands still before a write hangs is the machine, and not timed.
  const monotonicMs = () => (hanging === 0 ? 0 : performance.now() + 60_000);
  const clock = { ...systemClock, monotonicMs };
  const files = {
    ...systemFiles,
    write: async (...given: Parameters<typeof systemFiles.write>) => {
      // Not those of its journal.
      if ((given[1][0]?.length ?? 0) > 10_000) {
        hanging += 1;
        await mayWrite.promise;
      }
      return await systemFiles.write(...given);
    },
  };
  const at = { id: "store", root: join(folder, "objects") };
  const hung = await openPosixStorage({ ...at, createMarker: true, files });
  const good = await openPosixStorage({ ...at, uuid: hung.uuid });
  t.after(async () => {
    mayWrite.resolve();
    for (const one of [hung, good, metadata]) await one[Symbol.asyncDispose]();
  });
  const steady = await SteadyClock.start({ clock: systemClock, settings: metadata });
  const team = siblings(["one", "two"]);
  const workerOf = (name: string, driver: StorageDriver) => {
    const storages = fixedStorages([driver]);
    const buckets = new Buckets({ metadata, storages, clock: systemClock, trashMs: null });
    const shared = { metadata, storages, buckets, clock: systemClock, blobGraceMs: 0 };
    const options = { ...shared, log: silentLog, meter: silentMeter };
    const uploads = new ResumableUploads({
      ...{ ...options, steady, detector: typeDetector, installation: "test" },
      buffers: new PartBuffers(),
      holder: LeaseHolder.among(team(name)),
    });
    t.after(() => uploads.close());
    return { uploads, buckets, objects: new Objects(options) };
  };
  const one = workerOf("one", timeout({ answerMs: 300, progressMs: 300, clock })(hung));
  const two = workerOf("two", withLayers(good));
  await one.buckets.create(root, "b", {});
  const bytes = randomBytes(3_000_000);
  const { upload } = await two.uploads.create(root, {
    ...{ bucket: "b", key: parseKey("k"), kind: "object", protocol: "tus" },
    ...{ length: bytes.length, signal },
  });
  const append = (uploads: ResumableUploads, body: Buffer) =>
    uploads.append(root, upload.id, {
      ...{ offset: 0, body: chunks(body), bodyLength: body.length, complete: "at-length", signal },
    });
  // Other bytes: where they came in late, they would be seen.
  const failed = await append(one.uploads, Buffer.alloc(bytes.length)).catch((error) => error);
  assert.ok(isOperationalError(failed, "unavailable"), String(failed));
  assert.ok(hanging > 0);
  const refused = await append(two.uploads, bytes).catch((error) => error);
  assert.ok(isOperationalError(refused, "locked"), String(refused));
  mayWrite.resolve();
  const until = performance.now() + 60_000;
  for (;;) {
    const result = await append(two.uploads, bytes).catch((error: unknown) => error);
    if (!isOperationalError(result, "locked")) break;
    assert.ok(performance.now() < until, "it is free again");
  }
  const opened = await two.objects.open(root, { bucket: "b", key: parseKey("k") });
  const read: Uint8Array[] = [];
  for await (const chunk of await opened.read({ signal })) read.push(Uint8Array.from(chunk));
  assert.ok(Buffer.concat(read).equals(bytes));
});

/** Workers of one process that answer each other. */
function siblings(names: readonly string[]): (name: string) => Siblings {
  type Handler = (message: Json, from: string) => Json | Promise<Json>;
  const handlers = new Map(names.map((name) => [name, new Map<string, Handler>()]));
  return (self) => ({
    self,
    count: names.length,
    ask: async (topic, question, { of }) => {
      const others = names.filter((name) => name !== self && (of ?? name) === name);
      return await Promise.all(
        others.map(async (from) => {
          const answer = await handlers.get(from)?.get(topic)?.(question, self);
          return { from, answer: answer ?? null };
        }),
      );
    },
    tell: () => {},
    on: (topic, handle) => void handlers.get(self)?.set(topic, handle),
    lead: () => {},
  });
}
