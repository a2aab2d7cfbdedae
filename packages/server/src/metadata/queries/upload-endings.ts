/** Uploads at their end: complete, cancelled, forgotten. Each function is one transaction's work. */
import { strict as assert } from "node:assert";
import { OperationalError } from "../../core/errors.ts";
import type {
  BlobRecord,
  NewObject,
  WriteConditions,
  WriteResult,
} from "../../core/ports/metadata-store.ts";
import type { UploadRecord, UploadTaken, UploadWriter } from "../../core/ports/upload-store.ts";
import type { Database } from "../schema.ts";
import { uploadToRow } from "../upload-records.ts";
import type { Recorded } from "./audit.ts";
import { addBlob } from "./blobs.ts";
import { giveBackGrantUse } from "./grant-uses.ts";
import { headObject } from "./head-object.ts";
import { commitReleasing, copyReleasing } from "./objects.ts";
import { addUnread, deleteProgress, deleteUpload } from "./upload-garbage.ts";
import { keepPieces, partsToGarbage } from "./upload-parts.ts";
import { assertWriter, findUpload, findWritable, statements, withSegments } from "./upload-rows.ts";
import { isLeased } from "./uploads.ts";
import { changeReservation } from "./usage.ts";

/** Nobody reads the parts of a complete upload, and they take as much room as its object. */
const atOnce = new Date(0);

export async function completeUpload(
  db: Database,
  writer: UploadWriter,
  object: NewObject,
  blob: BlobRecord,
  options: WriteConditions & Recorded & { readonly garbageDueAt: Date; readonly expiresAt: Date },
): Promise<WriteResult> {
  const upload = await findWritable(db, writer.id);
  const { bucket, key, reservedBytes } = upload;
  assert(object.bucket === bucket && object.key === key, "an upload keeps its bucket and key");
  if (upload.phase === "complete") return await writtenBefore(db, upload);
  assertWriter(upload, writer);
  const written = await commitReleasing(db, object, blob, { ...options, reservedBytes, upload });
  await complete(db, upload, { ...options, version: object.version, blob });
  return written;
}

export async function completeByReference(
  db: Database,
  writer: UploadWriter,
  source: { readonly bucket: string; readonly key: string; readonly version: string },
  object: NewObject,
  options: WriteConditions & Recorded & { readonly garbageDueAt: Date; readonly expiresAt: Date },
): Promise<WriteResult> {
  const upload = await findWritable(db, writer.id);
  const { bucket, key, reservedBytes, place, offset } = upload;
  assert(object.bucket === bucket && object.key === key, "an upload keeps its bucket and key");
  if (upload.phase === "complete") return await writtenBefore(db, upload);
  assertWriter(upload, writer);
  const written = await copyReleasing(db, source, object, { ...options, reservedBytes, upload });
  if (place !== null) await addUnread(db, { ...place, length: offset }, options.garbageDueAt);
  await complete(db, upload, { ...options, version: object.version, blob: written.object });
  return written;
}

export async function completePartial(
  db: Database,
  writer: UploadWriter,
  blob: BlobRecord,
  options: { readonly expiresAt: Date; readonly version: string; readonly garbageDueAt: Date },
): Promise<UploadRecord> {
  const upload = await findWritable(db, writer.id);
  assert(upload.kind === "partial", "an object's upload is completed with its object");
  if (upload.phase === "complete") return upload;
  assertWriter(upload, writer);
  await addBlob(db, blob);
  if (upload.reservedBytes > 0) {
    await changeReservation(db, upload.bucket, -upload.reservedBytes);
  }
  const { storageId, blobKey } = blob;
  const partBytes = upload.place?.partBytes ?? null;
  const place = { storageId, blobKey, token: null, partBytes };
  return await complete(db, { ...upload, place }, { ...options, blob });
}

async function complete(
  db: Database,
  upload: UploadRecord,
  options: {
    readonly version: string;
    readonly blob: Pick<BlobRecord, "length" | "pieces" | "storageId">;
    readonly expiresAt: Date;
    readonly garbageDueAt: Date;
  },
): Promise<UploadRecord> {
  const { version, blob, expiresAt, garbageDueAt } = options;
  const { length, pieces, storageId } = blob;
  assert(
    pieces === undefined || pieces.uploadId === upload.id,
    "the pieces are the upload's parts",
  );
  let isOfParts = pieces !== undefined;
  if (pieces !== undefined) await keepPieces(db, { pieces, length, storageId }, atOnce);
  else isOfParts = (await partsToGarbage(db, upload.id, atOnce)) > 0;
  await deleteProgress(db, upload.id, garbageDueAt);
  // Of parts in any order the client names those that count.
  const isWhole = length >= upload.offset || isOfParts;
  assert(isWhole, `a blob of ${length} bytes for ${upload.offset} received`);
  const after: UploadRecord = {
    ...upload,
    phase: "complete",
    offset: length,
    length,
    checks: null,
    reservedBytes: 0,
    version,
    expiresAt,
    holder: null,
    leaseUntil: null,
  };
  await update(db, after);
  return after;
}

/** What an upload that is complete became. */
async function writtenBefore(
  db: Database,
  { id, bucket, key, version }: UploadRecord,
): Promise<WriteResult> {
  assert(key !== null, "a partial becomes no object");
  const object = await headObject(db, bucket, key);
  if (object !== undefined && object.version === version) return { object };
  const message = `object "${key}" of upload "${id}" was replaced or deleted since`;
  throw new OperationalError("precondition_failed", message, { context: { bucket, key } });
}

export async function cancelUpload(
  db: Database,
  id: string,
  { expiredBefore }: { readonly expiredBefore?: Date } = {},
): Promise<UploadTaken | undefined> {
  const upload = await findUpload(db, id);
  if (upload === undefined || upload.phase === "cancelling") {
    return upload && (await withSegments(db, upload));
  }
  if (expiredBefore !== undefined) {
    const { expiresAt } = upload;
    if (expiresAt > expiredBefore || isLeased(upload, expiredBefore)) return undefined;
  }
  if (upload.phase === "complete") return { upload, segments: [] };
  if (upload.reservedBytes > 0) {
    await changeReservation(db, upload.bucket, -upload.reservedBytes);
  }
  await giveBackGrantUse(db, upload.grant?.use);
  const after: UploadRecord = {
    ...upload,
    phase: "cancelling",
    fence: upload.fence + 1,
    reservedBytes: 0,
    holder: null,
    leaseUntil: null,
  };
  await update(db, after);
  return await withSegments(db, after);
}

export async function forgetUpload(
  db: Database,
  id: string,
  { garbageDueAt }: { readonly garbageDueAt: Date },
): Promise<void> {
  const upload = await findUpload(db, id);
  if (upload !== undefined) await deleteUpload(db, upload, garbageDueAt);
}

async function update(db: Database, upload: UploadRecord): Promise<void> {
  const row = uploadToRow(upload);
  await statements.updateProgress(db, row);
  await statements.updateLease(db, row);
}
