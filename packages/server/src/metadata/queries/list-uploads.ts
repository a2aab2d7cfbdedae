/** Uploads found by what they are: their bucket, their place, their being due. Lists leave checks out. */
import { sql } from "kysely";
import type { BlobRecord } from "../../core/ports/metadata-store.ts";
import type { UploadQuery, UploadRecord } from "../../core/ports/upload-store.ts";
import { rowToBlob } from "../records.ts";
import type { BlobRow, Database } from "../schema.ts";
import { rowToUpload } from "../upload-records.ts";
import { keysPerQueryMax } from "./blobs.ts";
import { deleteUpload } from "./upload-garbage.ts";

/** Nobody reads a partial but an upload of its own bucket, and there is none. */
const atOnce = new Date(0);

export async function listUploads(
  db: Database,
  { bucket, after, limit }: UploadQuery,
): Promise<readonly UploadRecord[]> {
  let query = db.selectFrom("uploads").selectAll().orderBy("id").limit(limit);
  if (bucket !== undefined) query = query.where("bucket", "=", bucket);
  if (after !== undefined) query = query.where("id", ">", after);
  return (await query.execute()).map((row) => rowToUpload(row));
}

export async function listUploadsDue(
  db: Database,
  { now, limit }: { readonly now: Date; readonly limit: number },
): Promise<readonly UploadRecord[]> {
  const due = db
    .selectFrom("uploads")
    .selectAll()
    .where((eb) => eb.or([eb("lease_until", "is", null), eb("lease_until", "<=", now.getTime())]))
    .orderBy("expires_at")
    .orderBy("id")
    .limit(limit);
  // The two conditions of the partial indexes, word for word.
  const expired = await due
    .where("phase", "<>", sql.lit("cancelling"))
    .where("expires_at", "<=", now.getTime())
    .execute();
  const ending = await due
    .where("phase", "<>", sql.lit("receiving"))
    .where("phase", "<>", sql.lit("complete"))
    .execute();
  const byId = new Map([...expired, ...ending].map((row) => [row.id, row]));
  return [...byId.values()]
    .sort((a, b) => a.expires_at - b.expires_at)
    .slice(0, limit)
    .map((row) => rowToUpload(row));
}

export async function uploadsOwning(
  db: Database,
  storageId: string,
  blobKeys: readonly string[],
): Promise<ReadonlySet<string>> {
  const owned = new Set<string>();
  for (let start = 0; start < blobKeys.length; start += keysPerQueryMax) {
    const rows = await db
      .selectFrom("uploads")
      .select("blob_key")
      .where("storage_id", "=", storageId)
      .where("blob_key", "in", blobKeys.slice(start, start + keysPerQueryMax))
      .execute();
    for (const row of rows) if (row.blob_key !== null) owned.add(row.blob_key);
  }
  return owned;
}

export async function partialBlobs(
  db: Database,
  ids: readonly string[],
): Promise<ReadonlyMap<string, BlobRecord>> {
  const blobs = new Map<string, BlobRecord>();
  for (let start = 0; start < ids.length; start += keysPerQueryMax) {
    const rows: readonly (BlobRow & { readonly upload_id: string })[] = await db
      .selectFrom("uploads")
      .innerJoin("blobs", (join) =>
        join
          .onRef("blobs.storage_id", "=", "uploads.storage_id")
          .onRef("blobs.blob_key", "=", "uploads.blob_key"),
      )
      .selectAll("blobs")
      .select("uploads.id as upload_id")
      .where("uploads.id", "in", ids.slice(start, start + keysPerQueryMax))
      .where("uploads.kind", "=", "partial")
      .where("uploads.phase", "=", "complete")
      .execute();
    for (const row of rows) blobs.set(row.upload_id, rowToBlob(row));
  }
  return blobs;
}

/** Uploads that are not complete, of a bucket, or with a place or parts in a storage. */
export async function countUnfinished(
  db: Database,
  where: { readonly bucket: string } | { readonly storageId: string },
): Promise<number> {
  const query = db
    .selectFrom("uploads")
    .select((eb) => eb.fn.countAll<number>().as("count"))
    .where("phase", "<>", sql.lit("complete"));
  if ("bucket" in where) {
    const { count } = await query.where("bucket", "=", where.bucket).executeTakeFirstOrThrow();
    // PostgreSQL counts in 64 bits, which may come as a text.
    return Number(count);
  }
  const { storageId } = where;
  const placed = await query
    .where("storage_id", "=", storageId)
    .where("blob_key", "is not", null)
    .executeTakeFirstOrThrow();
  // Of an upload without a place: one that has parts gets it when it is completed.
  const inParts = await query
    .where("blob_key", "is", null)
    .where("id", "in", (eb) =>
      eb
        .selectFrom("upload_parts")
        .select("upload_id")
        .where("upload_parts.storage_id", "=", storageId),
    )
    .executeTakeFirstOrThrow();
  return Number(placed.count) + Number(inParts.count);
}

/** Of a bucket that has no others. */
export async function deleteCompleteUploads(db: Database, bucket: string): Promise<void> {
  const partials = await db
    .selectFrom("uploads")
    .selectAll()
    .where("bucket", "=", bucket)
    .where("kind", "=", "partial")
    .execute();
  for (const row of partials) await deleteUpload(db, rowToUpload(row), atOnce);
  await db.deleteFrom("uploads").where("bucket", "=", bucket).execute();
}
