/** The statements on the tables of uploads, and rows read as records; what they mean is elsewhere. */
import { strict as assert } from "node:assert";
import { sql } from "kysely";
import { OperationalError } from "../../core/errors.ts";
import type {
  UploadRecord,
  UploadSegment,
  UploadTaken,
  UploadWriter,
} from "../../core/ports/upload-store.ts";
import type { Database, UploadChecksRow, UploadRow, UploadSegmentRow } from "../schema.ts";
import { type ChecksColumns, rowToSegment, rowToUpload, uploadToRow } from "../upload-records.ts";
import { prepared } from "./prepared.ts";

const insertRow = prepared<UploadRow, never>((db, row) =>
  db.insertInto("uploads").values({
    id: row.id,
    bucket: row.bucket,
    key: row.key,
    kind: row.kind,
    phase: row.phase,
    protocol: row.protocol,
    owner: row.owner,
    offset: row.offset,
    length: row.length,
    reserved_bytes: row.reserved_bytes,
    fence: row.fence,
    holder: row.holder,
    lease_until: row.lease_until,
    yield_requested: row.yield_requested,
    storage_id: row.storage_id,
    blob_key: row.blob_key,
    token: row.token,
    part_bytes: row.part_bytes,
    version: row.version,
    created_at: row.created_at,
    expires_at: row.expires_at,
    content_type: row.content_type,
    conditions: row.conditions,
    digests: row.digests,
    user_metadata: row.user_metadata,
    attributes: row.attributes,
    grant_terms: row.grant_terms,
  }),
);

const selectRow = prepared<{ id: string }, UploadRow & ChecksColumns>((db, { id }) =>
  db
    .selectFrom("uploads")
    .leftJoin("upload_checks", "upload_checks.upload_id", "uploads.id")
    .selectAll("uploads")
    .select([
      "upload_checks.block_bytes as checks_block_bytes",
      "upload_checks.blocks_max as checks_blocks_max",
      "upload_checks.length as checks_length",
      "upload_checks.sums as checks_sums",
    ])
    .where("uploads.id", "=", id),
);

// Two statements for what changes: a lease is in no index, so that renewing one touches one row.
const updateProgress = prepared<UploadRow, never>((db, row) =>
  db
    .updateTable("uploads")
    .set({
      phase: row.phase,
      offset: row.offset,
      length: row.length,
      reserved_bytes: row.reserved_bytes,
      storage_id: row.storage_id,
      blob_key: row.blob_key,
      token: row.token,
      part_bytes: row.part_bytes,
      version: row.version,
      expires_at: row.expires_at,
    })
    .where("id", "=", row.id),
);

const updateLease = prepared<UploadRow, never>((db, row) =>
  db
    .updateTable("uploads")
    .set({
      fence: row.fence,
      holder: row.holder,
      lease_until: row.lease_until,
      yield_requested: row.yield_requested,
    })
    .where("id", "=", row.id),
);

const askToYield = prepared<{ id: string }, never>((db, { id }) =>
  db
    .updateTable("uploads")
    .set({ yield_requested: sql.lit(1) })
    .where("id", "=", id),
);

const renewLease = prepared<
  { id: string; fence: number; holder: string; leaseUntil: number },
  { yield_requested: number }
>((db, { id, fence, holder, leaseUntil }) =>
  db
    .updateTable("uploads")
    .set({ lease_until: leaseUntil })
    .where("id", "=", id)
    .where("fence", "=", fence)
    .where("holder", "=", holder)
    .returning("yield_requested"),
);

const releaseLease = prepared<UploadWriter, never>((db, { id, fence }) =>
  db
    .updateTable("uploads")
    .set({ holder: null, lease_until: null, yield_requested: sql.lit(0) })
    .where("id", "=", id)
    .where("fence", "=", fence),
);

const upsertChecks = prepared<UploadChecksRow, never>((db, row) => {
  const changing = {
    block_bytes: row.block_bytes,
    blocks_max: row.blocks_max,
    length: row.length,
    sums: row.sums,
  };
  return db
    .insertInto("upload_checks")
    .values({ upload_id: row.upload_id, ...changing })
    .onConflict((conflict) => conflict.column("upload_id").doUpdateSet(changing));
});

const deleteChecks = prepared<{ id: string }, never>((db, { id }) =>
  db.deleteFrom("upload_checks").where("upload_id", "=", id),
);

const upsertSegment = prepared<UploadSegmentRow, { number: number }>((db, row) => {
  const changing = { offset: row.offset, length: row.length, etag: row.etag, digests: row.digests };
  return (
    db
      .insertInto("upload_segments")
      .values({
        upload_id: row.upload_id,
        kind: row.kind,
        number: row.number,
        storage_id: row.storage_id,
        blob_key: row.blob_key,
        ...changing,
      })
      // A part that is written again replaces itself in the storage. A tail would be forgotten there.
      .onConflict((conflict) =>
        conflict
          .columns(["upload_id", "kind", "number"])
          .doUpdateSet(changing)
          .where("upload_segments.kind", "=", sql.lit("part")),
      )
      .returning("number")
  );
});

const selectSegments = prepared<{ id: string }, UploadSegmentRow>((db, { id }) =>
  db
    .selectFrom("upload_segments")
    .selectAll()
    .where("upload_id", "=", id)
    .orderBy("kind")
    .orderBy("number"),
);

const deleteTails = prepared<{ id: string }, UploadSegmentRow>((db, { id }) =>
  db
    .deleteFrom("upload_segments")
    .where("upload_id", "=", id)
    .where("kind", "=", sql.lit("tail"))
    .returningAll(),
);

const deleteSegments = prepared<{ id: string }, never>((db, { id }) =>
  db.deleteFrom("upload_segments").where("upload_id", "=", id),
);

const deleteRow = prepared<{ id: string }, never>((db, { id }) =>
  db.deleteFrom("uploads").where("id", "=", id),
);

export const statements = {
  updateProgress,
  updateLease,
  askToYield,
  renewLease,
  releaseLease,
  upsertChecks,
  deleteChecks,
  upsertSegment,
  selectSegments,
  deleteTails,
  deleteSegments,
  deleteRow,
} as const;

export async function insertUpload(db: Database, upload: UploadRecord): Promise<void> {
  assert(upload.checks === null, "a new upload has no bytes");
  await insertRow(db, uploadToRow(upload));
}

export async function findUpload(db: Database, id: string): Promise<UploadRecord | undefined> {
  const [row] = await selectRow(db, { id });
  return row && rowToUpload(row);
}

export async function segmentsOf(db: Database, id: string): Promise<readonly UploadSegment[]> {
  return (await selectSegments(db, { id })).map(rowToSegment);
}

export async function withSegments(db: Database, upload: UploadRecord): Promise<UploadTaken> {
  return { upload, segments: await segmentsOf(db, upload.id) };
}

/** For who wants to write. `upload_not_found`: there is none, or it is being cancelled. */
export async function findWritable(db: Database, id: string): Promise<UploadRecord> {
  const upload = await findUpload(db, id);
  if (upload === undefined || upload.phase === "cancelling") {
    throw new OperationalError("upload_not_found", `upload "${id}" does not exist`, {
      context: { uploadId: id },
    });
  }
  return upload;
}

/** `locked` unless nobody has taken the upload since the writer did, and it is not complete. */
export function assertWriter(upload: UploadRecord, { id, fence }: UploadWriter): void {
  if (upload.phase !== "complete" && upload.fence === fence) return;
  const what = upload.phase === "complete" ? "is complete" : "was taken over by another writer";
  throw new OperationalError("locked", `upload "${id}" ${what}`, { context: { uploadId: id } });
}
