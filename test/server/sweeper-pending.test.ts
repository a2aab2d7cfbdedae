/** The sweeper and the uploads that storages still have pending; and how it deletes many blobs. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { OperationalError } from "../../packages/server/src/core/errors.ts";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import { openPosixStorage } from "../../packages/server/src/storage/index.ts";
import { forward, forwardParts } from "../../packages/server/src/storage/layers/forward.ts";
import { openMemoryStorage } from "../../packages/server/src/storage/memory/driver.ts";
import { s3Config } from "../../packages/server/src/storage/s3/config.ts";
import { openS3Storage } from "../../packages/server/src/storage/s3/driver.ts";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { openSwept, pendingUploadsCase } from "./swept-storage.ts";

const hour = 60 * 60 * 1000;
const day = 24 * hour;
const call = { signal: new AbortController().signal };

const storages: Readonly<Record<string, (t: TestContext) => Promise<StorageDriver>>> = {
  memory: async () => openMemoryStorage({ id: "it" }),
  posix: async (t) =>
    openPosixStorage({ id: "it", root: join(await temporaryFolder(t), "o"), createMarker: true }),
  "an emulated S3": (t) => openEmulated(t),
};

async function openEmulated(t: TestContext): Promise<StorageDriver> {
  const emulator = await new Emulator({ partBytesMin: 1 }).listen();
  t.after(() => emulator[Symbol.asyncDispose]());
  const { endpoint, region, bucket, lookup, key } = emulator;
  const given = { vendor: "aws-s3", endpoint, region, bucket, ...key };
  return openS3Storage({ id: "it", ...s3Config.parse(given), lookup });
}

for (const [name, openDriver] of Object.entries(storages)) pendingUploadsCase(name, openDriver);

test("an upload that only one of the two clocks calls old stays", async (t) => {
  const it = await openSwept(t, openMemoryStorage({ id: "it" }));
  // Its key is of the day before yesterday, and the storage has it since a moment ago.
  const late = await it.begin(it.newKey("ours", 2 * day));
  assert.equal((await it.sweeper.sweep()).pendingUploads, 0);
  assert.deepEqual(await it.pending(), [late]);
});

test("pending uploads are looked for once in an hour, and not while the server starts", async (t) => {
  const inner = openMemoryStorage({ id: "it" });
  let asked = 0;
  const driver = forward(inner, {
    parts: (parts) =>
      forwardParts(parts, {
        listPending: (prefix, options) => {
          asked += 1;
          return parts.listPending(prefix, options);
        },
      }),
  });
  const it = await openSwept(t, driver, { pendingIntervalMs: hour });
  await it.sweeper.sweep({ afterCrash: true });
  assert.equal(asked, 0);
  await it.sweeper.sweep();
  await it.sweeper.sweep();
  assert.equal(asked, 1);
  it.move(hour + 1);
  await it.sweeper.sweep();
  assert.equal(asked, 2);
});

test("a storage that cannot list its pending uploads is swept of all else", async (t) => {
  const inner = openMemoryStorage({ id: "it" });
  const driver = forward(inner, {
    parts: (parts) =>
      forwardParts(parts, {
        // biome-ignore lint/correctness/useYield: it fails before the first.
        async *listPending() {
          throw new OperationalError("unavailable", "access refused", { retryable: false });
        },
      }),
  });
  const it = await openSwept(t, driver);
  await it.sweeper.sweep({ afterCrash: true });
  const orphan = it.newKey();
  await it.storage.put(orphan, chunks("x"), call);
  it.move(2 * hour);
  await it.sweeper.sweep();
  await assert.rejects(it.storage.head(orphan, call));
});

test("blobs are deleted by a few calls for many, and what was not deleted is found again", async (t) => {
  const inner = openMemoryStorage({ id: "it" });
  const calls: number[] = [];
  const refused = new Set<string>();
  const driver: StorageDriver = {
    ...forward(inner, { delete: () => Promise.reject(new Error("one by one")) }),
    deleteMany: async (keys) => {
      calls.push(keys.length);
      const error = new OperationalError("unavailable", "not this one");
      for (const key of keys) if (!refused.has(key)) await inner.delete(key, call);
      return keys.filter((key) => refused.has(key)).map((key) => ({ key, error }));
    },
  };
  const it = await openSwept(t, driver);
  await it.sweeper.sweep({ afterCrash: true });
  const keys = Array.from({ length: 1_200 }, () => it.newKey());
  for (const key of keys) await inner.put(key, chunks("x"), call);
  const [first = ""] = keys;
  refused.add(first);
  await it.sweeper.sweep({ afterCrash: true });
  assert.deepEqual(calls.toSorted(), [1_000, 200].toSorted());
  const left = await Array.fromAsync(inner.list("b/ours/", call));
  assert.deepEqual(
    left.map(({ key }) => key),
    [first],
  );
  refused.clear();
  assert.equal((await it.sweeper.sweep({ afterCrash: true })).orphans, 1, "it is looked for again");
});

async function* chunks(text: string) {
  yield Buffer.from(text);
}
