// How do a million objects get into the store in a minute? By its own migrations and its own commit of
// an object, run on its own connection in this process, thousands to a transaction.

import { randomBytes } from "node:crypto";
import { newBlobKey, newVersion } from "../packages/server/src/core/ids.ts";
import { serverAuthor } from "../packages/server/src/core/ports/author.ts";
import { sqliteEngine } from "../packages/server/src/metadata/migrations/engine.ts";
import { migrate } from "../packages/server/src/metadata/migrations/migrate.ts";
import { createBucket } from "../packages/server/src/metadata/queries/buckets.ts";
import { commitObject } from "../packages/server/src/metadata/queries/objects.ts";
import { openWriter } from "../packages/server/src/metadata/sqlite/connection.ts";

const rowsPerTransaction = 10_000;
const author = serverAuthor("bench");

/** Makes the bucket with `count` objects. The server is not running. */
export async function loadObjects(
  path: string,
  {
    bucket,
    count,
    trashMs = null,
  }: { readonly bucket: string; readonly count: number; readonly trashMs?: number | null },
): Promise<void> {
  const { raw, db } = openWriter(path);
  try {
    await migrate(db, { engine: sqliteEngine, now: () => new Date() });
    await createBucket(
      db,
      {
        name: bucket,
        visibility: "private",
        maxObjectBytes: null,
        contentTypes: null,
        uploadExpiryMs: 86_400_000,
        quotaBytes: null,
        placement: "local",
        cors: null,
        trashMs,
        environment: null,
        deletesPerHour: null,
        retentionMs: null,
        bulkDeleteApprovals: 1,
        createdAt: new Date(),
      },
      { author, at: new Date() },
    );
    for (let start = 0; start < count; start += rowsPerTransaction) {
      raw.exec("begin immediate");
      const end = Math.min(count, start + rowsPerTransaction);
      for (let index = start; index < end; index += 1) await commitOne(db, bucket, index);
      raw.exec("commit");
    }
    raw.exec("pragma wal_checkpoint(truncate)");
  } finally {
    raw.close();
  }
}

/** Of the object at the index, from 0. */
export function loadedKey(index: number): string {
  return `folder-${index % 100}/name of the object ${String(index).padStart(8, "0")}.jpg`;
}

async function commitOne(
  db: Parameters<typeof commitObject>[0],
  bucket: string,
  index: number,
): Promise<void> {
  const now = new Date();
  const version = newVersion(now);
  await commitObject(
    db,
    {
      bucket,
      key: loadedKey(index),
      version,
      etag: `${version}-1`,
      contentType: "image/jpeg",
      userMetadata: { owner: "bench" },
      createdAt: now,
    },
    {
      storageId: "local",
      blobKey: newBlobKey("bench", now, version),
      length: 100_000 + index,
      digests: { crc64nvme: new Uint8Array(randomBytes(8)) },
    },
    { author, at: now, garbageDueAt: now },
  );
}
