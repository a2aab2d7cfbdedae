/**
 * Objects: rows that point at blobs. Each function is one transaction's work and expects the
 * caller to run it in a transaction that is serialised against other writers (SQLite: the one
 * writer; PostgreSQL: isolation level SERIALIZABLE, repeated when the engine says so). So
 * conditions are judged on what the write itself replaces.
 *
 * References are added before they are removed: a blob that stays in use is never garbage between. How an object
 * leaves its row is `discard.ts`'s.
 */
import { sql } from "kysely";
import { OperationalError } from "../../core/errors.ts";
import type {
  BlobRecord,
  GrantUse,
  NewObject,
  ObjectChanges,
  ObjectRecord,
  ObjectWithBlob,
  WriteConditions,
  WriteResult,
} from "../../core/ports/metadata-store.ts";
import {
  attributesToJson,
  objectOf,
  objectToRow,
  rowToObject,
  rowToObjectWithBlob,
} from "../records.ts";
import type { BlockColumns, Database, ObjectRow, PieceColumns } from "../schema.ts";
import { appendAudit, type Recorded } from "./audit.ts";
import { changedEntry, copiedEntry, type WritingUpload, writtenEntry } from "./audit-entries.ts";
import { addBlob, addReference, removeReference } from "./blobs.ts";
import { assertConditions } from "./conditions.ts";
import { changeOfDelete, deleteRow } from "./delete-objects.ts";
import { assertNotRetained, discard } from "./discard.ts";
import { takeGrantUse } from "./grant-uses.ts";
import { headObject } from "./head-object.ts";
import { prepared } from "./prepared.ts";
import {
  assertQuota,
  changeUsage,
  noChange,
  sumOfChanges,
  type UsageAfter,
  type UsageChange,
} from "./usage.ts";

interface ObjectAddress {
  readonly bucket: string;
  readonly key: string;
}

const selectObjectWithBlob = prepared<ObjectAddress, ObjectRow & BlockColumns & PieceColumns>(
  (db, { bucket, key }) =>
    db
      .selectFrom("objects")
      .innerJoin("blobs", (join) =>
        join
          .onRef("blobs.storage_id", "=", "objects.storage_id")
          .onRef("blobs.blob_key", "=", "objects.blob_key"),
      )
      .selectAll("objects")
      .select(["blobs.block_bytes", "blobs.block_sums", "blobs.pieces_of", "blobs.piece_runs"])
      .where("objects.bucket", "=", bucket)
      .where("objects.key", "=", key),
);

/** With how long its bucket keeps it, for one statement less on the path of every write that replaces. */
const selectReplaced = prepared<ObjectAddress, ObjectRow & { readonly trash_ms: number | null }>(
  (db, { bucket, key }) =>
    db
      .selectFrom("objects")
      .selectAll("objects")
      .select((eb) =>
        eb
          .selectFrom("buckets")
          .select("buckets.trash_ms")
          .whereRef("buckets.name", "=", "objects.bucket")
          .as("trash_ms"),
      )
      .where("objects.bucket", "=", bucket)
      .where("objects.key", "=", key),
);

const foundMax = 8;

const selectBySha256 = prepared<{ bucket: string; sha256: Uint8Array; length: number }, ObjectRow>(
  (db, { bucket, sha256, length }) =>
    db
      .selectFrom("objects")
      .selectAll()
      .where("sha256", "is not", null)
      .where("sha256", "=", sha256)
      .where("length", "=", length)
      // As an expression, or an engine without statistics takes the primary key and reads the bucket.
      .where(sql<string>`bucket || ''`, "=", bucket)
      .limit(sql.lit(foundMax)),
);

const upsertObject = prepared<ObjectRow, never>((db, row) => {
  const changing = {
    version: row.version,
    etag: row.etag,
    content_type: row.content_type,
    user_metadata: row.user_metadata,
    created_at: row.created_at,
    length: row.length,
    storage_id: row.storage_id,
    blob_key: row.blob_key,
    crc64nvme: row.crc64nvme,
    md5: row.md5,
    crc32: row.crc32,
    crc32c: row.crc32c,
    sha1: row.sha1,
    sha256: row.sha256,
    attributes: row.attributes,
    retain_until: row.retain_until,
    legal_hold: row.legal_hold,
    restored_through: row.restored_through,
  };
  return db
    .insertInto("objects")
    .values({ bucket: row.bucket, key: row.key, ...changing })
    .onConflict((conflict) => conflict.columns(["bucket", "key"]).doUpdateSet(changing));
});

type Changeable = Pick<ObjectRow, "attributes" | "retain_until" | "legal_hold">;

const updateChangeable = prepared<ObjectAddress & Changeable, never>(
  (db, { bucket, key, attributes, retain_until, legal_hold }) =>
    db
      .updateTable("objects")
      .set({ attributes, retain_until, legal_hold })
      .where("bucket", "=", bucket)
      .where("key", "=", key),
);

type WriteOptions = WriteConditions &
  Recorded & {
    readonly garbageDueAt: Date;
    readonly grantUse?: GrantUse;
  };

/** Of an upload that has so many bytes reserved and gives them back. */
interface Releasing {
  readonly reservedBytes: number;
  /** Left out: the object came in one request. */
  readonly upload?: WritingUpload;
}

export async function commitObject(
  db: Database,
  object: NewObject,
  blob: BlobRecord,
  options: WriteOptions,
): Promise<WriteResult> {
  return await commitReleasing(db, object, blob, { ...options, reservedBytes: 0 });
}

/** What `commitObject` does, for an upload that has so many bytes reserved and gives them back. */
export async function commitReleasing(
  db: Database,
  object: NewObject,
  blob: BlobRecord,
  options: WriteOptions & Releasing,
): Promise<WriteResult> {
  const replaced = await findReplaced(db, object);
  const change = { ...changeOfWrite(blob, replaced), reservedBytes: -options.reservedBytes };
  const { retention_ms } = await admit(db, object, { replaced, change, options });
  const written = retainedFor(objectOf(object, blob), retention_ms);
  await addBlob(db, blob);
  await replace(db, replaced, { by: written, ...options });
  await upsertObject(db, objectToRow(written));
  await appendAudit(db, [writtenEntry(options, { object: written, replaced: replaced?.object })]);
  return writeResult(written, replaced?.object);
}

export async function copyObject(
  db: Database,
  source: ObjectAddress & { readonly version: string },
  object: NewObject,
  options: WriteOptions & { readonly deleteSource?: boolean },
): Promise<WriteResult> {
  return await copyReleasing(db, source, object, { ...options, reservedBytes: 0 });
}

/** What `copyObject` does, for an upload that has so many bytes reserved and gives them back. */
export async function copyReleasing(
  db: Database,
  source: ObjectAddress & { readonly version: string },
  object: NewObject,
  options: WriteOptions & Releasing & { readonly deleteSource?: boolean },
): Promise<WriteResult> {
  const from = await headObject(db, source.bucket, source.key);
  if (from === undefined) throw objectNotFound(source);
  if (from.version !== source.version) {
    throw sourceReplaced(source);
  }
  const replaced = await findReplaced(db, object);
  const withinBucket = source.bucket === object.bucket;
  const ontoItself = withinBucket && source.key === object.key;
  // A move onto itself has replaced its source already.
  const deletesSource = options.deleteSource === true && !ontoItself;
  const adding = { ...changeOfWrite(from, replaced), reservedBytes: -options.reservedBytes };
  const leaving = changeOfDelete([from], { trashMs: null });
  const change = deletesSource && withinBucket ? sumOfChanges(adding, leaving) : adding;
  const { retention_ms } = await admit(db, object, { replaced, change, options });
  if (deletesSource) assertNotRetained(from, object.createdAt);
  const written = retainedFor(objectOf(object, from), retention_ms);
  await addReference(db, { storageId: from.storageId, blobKey: from.blobKey });
  await replace(db, replaced, { by: written, ...options });
  await upsertObject(db, objectToRow(written));
  if (deletesSource) {
    await deleteRow(db, { bucket: source.bucket, key: source.key });
    await removeReference(db, from, options.garbageDueAt);
    if (!withinBucket) await changeUsage(db, source.bucket, leaving);
  }
  await appendAudit(db, [
    copiedEntry(options, { object: written, replaced: replaced?.object, source }),
  ]);
  return writeResult(written, replaced?.object);
}

export async function changeObject(
  db: Database,
  bucket: string,
  key: string,
  changes: ObjectChanges,
  options: WriteConditions & Recorded,
): Promise<ObjectRecord> {
  const before = await headObject(db, bucket, key);
  if (before === undefined) throw objectNotFound({ bucket, key });
  assertConditions({ bucket, key }, before, options);
  const { retainUntil = before.retainUntil, legalHold = before.legalHold } = changes;
  if (before.retainUntil !== undefined && (retainUntil ?? 0) < before.retainUntil) {
    const until = before.retainUntil.toISOString();
    const message = `object "${key}" is retained until ${until}, which can only be moved later`;
    throw new OperationalError("object_retained", message, { context: { bucket, key } });
  }
  const entries = Object.entries({ ...before.attributes, ...changes.attributes });
  const attributes = Object.fromEntries(
    entries.flatMap(([name, value]) => (value === null ? [] : [[name, value] as const])),
  );
  await updateChangeable(db, {
    bucket,
    key,
    attributes: attributesToJson(attributes),
    retain_until: retainUntil?.getTime() ?? null,
    legal_hold: legalHold === true ? 1 : null,
  });
  await appendAudit(db, [changedEntry(options, before, changes)]);
  const { retainUntil: _until, legalHold: _hold, ...rest } = before;
  return {
    ...rest,
    attributes,
    ...(retainUntil === undefined ? {} : { retainUntil }),
    ...(legalHold === true ? { legalHold } : {}),
  };
}

/** Port: `findObjects`. */
export async function findObjects(
  db: Database,
  bytes: { readonly bucket: string; readonly sha256: Uint8Array; readonly length: number },
): Promise<readonly ObjectRecord[]> {
  return (await selectBySha256(db, bytes)).map(rowToObject);
}

export async function getObject(
  db: Database,
  bucket: string,
  key: string,
): Promise<ObjectWithBlob | undefined> {
  const [row] = await selectObjectWithBlob(db, { bucket, key });
  return row && rowToObjectWithBlob(row);
}

/** What a write replaces, and how long its bucket keeps that. */
interface Replaced {
  readonly object: ObjectRecord;
  readonly trashMs: number | null;
}

async function findReplaced(
  db: Database,
  { bucket, key }: ObjectAddress,
): Promise<Replaced | undefined> {
  const [row] = await selectReplaced(db, { bucket, key });
  return row && { object: rowToObject(row), trashMs: row.trash_ms };
}

/** To be called before the new row takes the place of the old. */
async function replace(
  db: Database,
  replaced: Replaced | undefined,
  options: Recorded & { readonly by: ObjectRecord; readonly garbageDueAt: Date },
): Promise<void> {
  if (replaced === undefined) return;
  const { object, trashMs } = replaced;
  const { by, author, garbageDueAt } = options;
  const now = by.createdAt;
  await discard(db, object, { now, reason: "replaced", author, garbageDueAt, trashMs });
}

/** As its bucket says; from then on it is the object's own. */
function retainedFor(object: ObjectRecord, retentionMs: number | null): ObjectRecord {
  if (retentionMs === null) return object;
  return { ...object, retainUntil: new Date(object.createdAt.getTime() + retentionMs) };
}

/**
 * Whether the write may be: its bucket exists, its conditions hold, what it replaces may go, its bytes fit, its
 * grant has a use left; refused in this order. Adds it to the bucket's sums, which a refusal rolls back.
 */
async function admit(
  db: Database,
  address: ObjectAddress & { readonly createdAt: Date },
  write: {
    readonly replaced: Replaced | undefined;
    readonly change: UsageChange;
    readonly options: Pick<WriteOptions, "grantUse"> & WriteConditions;
  },
): Promise<UsageAfter> {
  const { bucket, createdAt } = address;
  const after = await changeUsage(db, bucket, write.change);
  const replaced = write.replaced?.object;
  assertConditions(address, replaced, write.options);
  assertNotRetained(replaced, createdAt);
  assertQuota(bucket, write.change, after);
  await takeGrantUse(db, write.options.grantUse);
  return after;
}

function changeOfWrite(
  written: { readonly length: number },
  replaced: Replaced | undefined,
): UsageChange {
  const adding = { ...noChange, bytes: written.length, objects: 1 };
  if (replaced === undefined) return adding;
  return sumOfChanges(adding, changeOfDelete([replaced.object], replaced));
}

function writeResult(object: ObjectRecord, replaced: ObjectRecord | undefined): WriteResult {
  return replaced === undefined ? { object } : { object, replaced };
}

/** Told from a condition on the target by its context: the caller may look for the source again. */
function sourceReplaced({
  bucket,
  key,
  version,
}: ObjectAddress & { readonly version: string }): OperationalError {
  const message = `object "${key}" is no longer version ${version}`;
  return new OperationalError("precondition_failed", message, {
    context: { bucket, key, fromVersion: version },
  });
}

function objectNotFound({ bucket, key }: ObjectAddress): OperationalError {
  return new OperationalError("object_not_found", `object "${key}" does not exist`, {
    context: { bucket, key },
  });
}
