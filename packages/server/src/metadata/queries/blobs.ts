/**
 * Blobs and their references. A blob's count is the number of object rows that point at it, and one for
 * a complete partial, whose blob it is; at none it is garbage with a due time, and a new reference takes
 * it out of the garbage again.
 */
import { strict as assert } from "node:assert";
import { sql } from "kysely";
import type { BlobAddress, BlobRecord, GarbageRecord } from "../../core/ports/metadata-store.ts";
import { blobToRow, garbageToRow } from "../records.ts";
import type { BlobRow, Database } from "../schema.ts";
import { prepared } from "./prepared.ts";

/** Variables of one statement; both engines take more. */
export const keysPerQueryMax = 500;

const upsertBlob = prepared<BlobRow, { reference_count: number }>((db, row) =>
  db
    .insertInto("blobs")
    .values({
      storage_id: row.storage_id,
      blob_key: row.blob_key,
      length: row.length,
      crc64nvme: row.crc64nvme,
      md5: row.md5,
      crc32: row.crc32,
      crc32c: row.crc32c,
      sha1: row.sha1,
      sha256: row.sha256,
      block_bytes: row.block_bytes,
      block_sums: row.block_sums,
      pieces_of: row.pieces_of,
      piece_runs: row.piece_runs,
      reference_count: row.reference_count,
      garbage_due_at: null,
    })
    // Committed before, by the same call tried again: blobs never change, so it is one more
    // reference to the same bytes. Other bytes under the same key would be a defect: no row.
    .onConflict((conflict) =>
      conflict
        .columns(["storage_id", "blob_key"])
        .doUpdateSet((eb) => ({
          reference_count: eb("blobs.reference_count", "+", eb.ref("excluded.reference_count")),
          garbage_due_at: null,
        }))
        .whereRef("blobs.length", "=", "excluded.length")
        .whereRef("blobs.crc64nvme", "=", "excluded.crc64nvme"),
    )
    .returning("reference_count"),
);

const referenceBlob = prepared<BlobAddress, { reference_count: number }>(
  (db, { storageId, blobKey }) =>
    db
      .updateTable("blobs")
      .set((eb) => ({ reference_count: eb("reference_count", "+", 1), garbage_due_at: null }))
      .where("storage_id", "=", storageId)
      .where("blob_key", "=", blobKey)
      .returning("reference_count"),
);

const unreferenceBlob = prepared<BlobAddress & { garbageDueAt: number }, { length: number }>(
  (db, { storageId, blobKey, garbageDueAt }) =>
    db
      .updateTable("blobs")
      .set((eb) => ({
        reference_count: eb("reference_count", "-", 1),
        garbage_due_at: eb
          .case()
          .when("reference_count", "=", 1)
          .then(sql<number>`cast(${garbageDueAt} as bigint)`)
          .else(null)
          .end(),
      }))
      .where("storage_id", "=", storageId)
      .where("blob_key", "=", blobKey)
      .returning("length"),
);

const deleteUnreferenced = prepared<BlobAddress, { length: number }>((db, { storageId, blobKey }) =>
  db
    .deleteFrom("blobs")
    .where("storage_id", "=", storageId)
    .where("blob_key", "=", blobKey)
    .where("reference_count", "=", 0)
    .returning("length"),
);

const insertGarbage = prepared<BlobRow, never>((db, row) =>
  db
    .insertInto("blobs")
    .values({
      storage_id: row.storage_id,
      blob_key: row.blob_key,
      length: row.length,
      crc64nvme: row.crc64nvme,
      reference_count: row.reference_count,
      garbage_due_at: row.garbage_due_at,
    })
    .onConflict((conflict) => conflict.columns(["storage_id", "blob_key"]).doNothing()),
);

/** Adds the blob with one reference, or one more reference to it. */
export async function addBlob(db: Database, blob: BlobRecord): Promise<void> {
  const rows = await upsertBlob(db, blobToRow(blob, 1));
  assert(rows.length === 1, `blob ${blob.blobKey} of ${blob.storageId} is known with other bytes`);
}

/** One more object points at a blob that is known. */
export async function addReference(db: Database, blob: BlobAddress): Promise<void> {
  const rows = await referenceBlob(db, blob);
  assert(rows.length === 1, `blob ${blob.blobKey} of ${blob.storageId} is not known`);
}

/** One object less points at it; at none it is garbage from then on. */
export async function removeReference(
  db: Database,
  blob: BlobAddress,
  garbageDueAt: Date,
): Promise<void> {
  const { storageId, blobKey } = blob;
  assert(!Number.isNaN(garbageDueAt.getTime()), "garbageDueAt is an instant");
  const rows = await unreferenceBlob(db, {
    storageId,
    blobKey,
    garbageDueAt: garbageDueAt.getTime(),
  });
  assert(rows.length === 1, `blob ${blobKey} of ${storageId} is not known`);
}

/** A blob that never had a reference. One that is known stays as it is. */
export async function addGarbage(
  db: Database,
  blob: Omit<BlobRecord, "blocks" | "pieces">,
  garbageDueAt: Date,
): Promise<void> {
  await insertGarbage(db, garbageToRow(blob, garbageDueAt));
}

/** Referenced or garbage, or tails or parts of uploads. */
export async function knownBlobs(
  db: Database,
  storageId: string,
  blobKeys: readonly string[],
): Promise<ReadonlySet<string>> {
  const known = new Set<string>();
  for (let start = 0; start < blobKeys.length; start += keysPerQueryMax) {
    const keys = blobKeys.slice(start, start + keysPerQueryMax);
    const blobs = await db
      .selectFrom("blobs")
      .select("blob_key")
      .where("storage_id", "=", storageId)
      .where("blob_key", "in", keys)
      .execute();
    const tails = await db
      .selectFrom("upload_segments")
      .select("blob_key")
      .where("storage_id", "=", storageId)
      .where("blob_key", "in", keys)
      .execute();
    const parts = await db
      .selectFrom("upload_parts")
      .select("blob_key")
      .where("storage_id", "=", storageId)
      .where("blob_key", "in", keys)
      .execute();
    for (const row of [...blobs, ...tails, ...parts])
      if (row.blob_key !== null) known.add(row.blob_key);
  }
  return known;
}

/** Due at `dueBefore` or earlier. */
export async function listGarbage(
  db: Database,
  { dueBefore, limit }: { readonly dueBefore: Date; readonly limit: number },
): Promise<readonly GarbageRecord[]> {
  const rows = await db
    .selectFrom("blobs")
    .select(["storage_id", "blob_key", "length", "pieces_of"])
    .where("garbage_due_at", "<=", dueBefore.getTime())
    .orderBy("garbage_due_at")
    .orderBy("storage_id")
    .orderBy("blob_key")
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    storageId: row.storage_id,
    blobKey: row.blob_key,
    length: row.length,
    inPieces: row.pieces_of !== null,
  }));
}

export async function forgetGarbage(db: Database, blobs: readonly BlobAddress[]): Promise<void> {
  for (const { storageId, blobKey } of blobs) await deleteUnreferenced(db, { storageId, blobKey });
}
