/**
 * Parts that are blobs of their own: in any order, from any process, the last to come with a number counts.
 * As in `objects.ts`, each function is one transaction's work.
 */
import { strict as assert } from "node:assert";
import { OperationalError } from "../../core/errors.ts";
import type { BlobAddress, BlobRecord, PieceRun } from "../../core/ports/metadata-store.ts";
import type { UploadPartBlob, UploadPartsQuery } from "../../core/ports/upload-store.ts";
import { partToRow, rowToPart } from "../part-records.ts";
import type { Database, UploadPartRow } from "../schema.ts";
import { uploadToRow } from "../upload-records.ts";
import { addGarbage, forgetGarbage } from "./blobs.ts";
import { prepared } from "./prepared.ts";
import { findWritable, statements } from "./upload-rows.ts";
import { changeReservation } from "./usage.ts";

/** More than an upload can have. */
const everyPart = 100_000;

const upsertPart = prepared<UploadPartRow, never>((db, row) => {
  const changing = {
    length: row.length,
    storage_id: row.storage_id,
    blob_key: row.blob_key,
    digests: row.digests,
    block_bytes: row.block_bytes,
    block_sums: row.block_sums,
    created_at: row.created_at,
  };
  return db
    .insertInto("upload_parts")
    .values({ upload_id: row.upload_id, number: row.number, ...changing })
    .onConflict((conflict) => conflict.columns(["upload_id", "number"]).doUpdateSet(changing));
});

const selectPart = prepared<{ id: string; number: number }, UploadPartRow>((db, { id, number }) =>
  db
    .selectFrom("upload_parts")
    .selectAll()
    .where("upload_id", "=", id)
    .where("number", "=", number),
);

const selectParts = prepared<{ id: string; after: number; limit: number }, UploadPartRow>(
  (db, { id, after, limit }) =>
    db
      .selectFrom("upload_parts")
      .selectAll()
      .where("upload_id", "=", id)
      .where("number", ">", after)
      .orderBy("number")
      .limit(limit),
);

const deleteParts = prepared<{ id: string }, UploadPartRow>((db, { id }) =>
  db.deleteFrom("upload_parts").where("upload_id", "=", id).returningAll(),
);

const deletePart = prepared<{ id: string; number: number }, never>((db, { id, number }) =>
  db.deleteFrom("upload_parts").where("upload_id", "=", id).where("number", "=", number),
);

const sumParts = prepared<{ id: string }, { count: number; bytes: number | null }>((db, { id }) =>
  db
    .selectFrom("upload_parts")
    .select((eb) => [eb.fn.countAll<number>().as("count"), eb.fn.sum<number>("length").as("bytes")])
    .where("upload_id", "=", id),
);

/** Of a blob in pieces that nobody points at. */
const selectPiecesOf = prepared<BlobAddress, { pieces_of: string | null }>(
  (db, { storageId, blobKey }) =>
    db
      .selectFrom("blobs")
      .select("pieces_of")
      .where("storage_id", "=", storageId)
      .where("blob_key", "=", blobKey)
      .where("reference_count", "=", 0),
);

export async function putUploadPart(
  db: Database,
  id: string,
  part: UploadPartBlob,
  options: { readonly now: Date; readonly expiresAt: Date; readonly garbageDueAt: Date },
): Promise<UploadPartBlob | undefined> {
  const upload = await findWritable(db, id);
  if (upload.phase !== "receiving") throw ended(id);
  const { leaseUntil } = upload;
  if (leaseUntil !== null && leaseUntil > options.now) throw completing(id);
  const [row] = await selectPart(db, { id, number: part.number });
  const replaced = row && rowToPart(row);
  const offset = upload.offset + part.length - (replaced?.length ?? 0);
  // What was declared has been reserved from the beginning.
  const reservedBytes = Math.max(offset, upload.length ?? 0);
  const more = reservedBytes - upload.reservedBytes;
  if (more !== 0) await changeReservation(db, upload.bucket, more);
  await upsertPart(db, partToRow(id, part));
  // The same blob again: the answer to the first call was lost.
  const isRepeated = replaced?.blobKey === part.blobKey && replaced.storageId === part.storageId;
  if (replaced !== undefined && !isRepeated) {
    await addGarbage(db, replaced, options.garbageDueAt);
  }
  const changed = uploadToRow({
    ...upload,
    offset,
    reservedBytes,
    expiresAt: options.expiresAt,
  });
  await statements.updateProgress(db, changed);
  // Who began to complete it, and was not heard of since, saw other parts: it can commit no more.
  if (leaseUntil !== null) {
    const freed = { ...upload, fence: upload.fence + 1, holder: null, leaseUntil: null };
    await statements.updateLease(db, uploadToRow(freed));
  }
  return replaced;
}

export async function listUploadParts(
  db: Database,
  id: string,
  { after, limit }: UploadPartsQuery,
): Promise<readonly UploadPartBlob[]> {
  return (await selectParts(db, { id, after, limit })).map(rowToPart);
}

/**
 * All of them become garbage, but for one that an object points at by now. Answers how many there were.
 */
export async function partsToGarbage(
  db: Database,
  id: string,
  garbageDueAt: Date,
): Promise<number> {
  const rows = await deleteParts(db, { id });
  for (const row of rows) await addGarbage(db, rowToPart(row), garbageDueAt);
  return rows.length;
}

/** Those that are pieces of the blob stay, for as long as it does; the others become garbage. */
export async function keepPieces(
  db: Database,
  { pieces, length, storageId }: Required<Pick<BlobRecord, "pieces" | "length" | "storageId">>,
  garbageDueAt: Date,
): Promise<void> {
  const { uploadId: id, runs } = pieces;
  const count = runs.reduce((sum, run) => sum + run.count, 0);
  const [all] = await sumParts(db, { id });
  if (Number(all?.count) !== count) {
    const numbers = new Set(pieceNumbers(runs));
    for (const row of await selectParts(db, { id, after: 0, limit: everyPart })) {
      if (numbers.has(row.number)) continue;
      await deletePart(db, { id, number: row.number });
      await addGarbage(db, rowToPart(row), garbageDueAt);
    }
  }
  const [kept] = await sumParts(db, { id });
  const isWhole = Number(kept?.count) === count && Number(kept?.bytes) === length;
  assert(isWhole, `the parts of ${id} are not the pieces of the blob in ${storageId}`);
}

/** Port: `releasePieces`. */
export async function releasePieces(
  db: Database,
  blob: BlobAddress,
  { garbageDueAt, limit }: { readonly garbageDueAt: Date; readonly limit: number },
): Promise<number> {
  const [row] = await selectPiecesOf(db, blob);
  const id = row?.pieces_of;
  if (id === undefined || id === null) return 0;
  const parts = await selectParts(db, { id, after: 0, limit });
  for (const part of parts) {
    await deletePart(db, { id, number: part.number });
    await addGarbage(db, rowToPart(part), garbageDueAt);
  }
  if (parts.length < limit) await forgetGarbage(db, [blob]);
  return parts.length;
}

function* pieceNumbers(runs: readonly PieceRun[]): Generator<number> {
  for (const { number, count } of runs)
    for (let index = 0; index < count; index += 1) yield number + index;
}

function ended(id: string): OperationalError {
  return new OperationalError("upload_not_found", `upload "${id}" takes no more parts`, {
    context: { uploadId: id },
  });
}

function completing(id: string): OperationalError {
  return new OperationalError("locked", `upload "${id}" is being completed`, {
    context: { uploadId: id },
  });
}
