/**
 * Objects: rows that point at blobs. Each function is one transaction's work and expects the
 * caller to run it in a transaction that is serialised against other writers (SQLite: the one
 * writer; PostgreSQL: isolation level SERIALIZABLE, repeated when the engine says so). So
 * conditions are judged on what the write itself replaces.
 *
 * References are added before they are removed: a blob that stays in use is never garbage between.
 */
import { sql } from "kysely";
import { OperationalError } from "../../core/errors.ts";
import type {
  Authored,
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
import { addBlob, addReference, removeReference } from "./blobs.ts";
import { takeGrantUse } from "./grant-uses.ts";
import { prepared } from "./prepared.ts";
import { assertQuota, changeUsage, type UsageChange } from "./usage.ts";

interface ObjectAddress {
  readonly bucket: string;
  readonly key: string;
}

const selectObject = prepared<ObjectAddress, ObjectRow>((db, { bucket, key }) =>
  db.selectFrom("objects").selectAll().where("bucket", "=", bucket).where("key", "=", key),
);

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
  };
  return db
    .insertInto("objects")
    .values({ bucket: row.bucket, key: row.key, ...changing })
    .onConflict((conflict) => conflict.columns(["bucket", "key"]).doUpdateSet(changing));
});

const deleteRow = prepared<ObjectAddress, ObjectRow>((db, { bucket, key }) =>
  db.deleteFrom("objects").where("bucket", "=", bucket).where("key", "=", key).returningAll(),
);

const updateAttributes = prepared<ObjectAddress & { attributes: string | null }, never>(
  (db, { bucket, key, attributes }) =>
    db
      .updateTable("objects")
      .set({ attributes })
      .where("bucket", "=", bucket)
      .where("key", "=", key),
);

type WriteOptions = WriteConditions &
  Authored & {
    readonly garbageDueAt: Date;
    readonly grantUse?: GrantUse;
  };

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
  options: WriteOptions & { readonly reservedBytes: number },
): Promise<WriteResult> {
  const replaced = await headObject(db, object.bucket, object.key);
  const change = { ...changeOfWrite(blob, replaced), reservedBytes: -options.reservedBytes };
  await admit(db, object, { replaced, change, options });
  const written = objectOf(object, blob);
  await addBlob(db, blob);
  await upsertObject(db, objectToRow(written));
  if (replaced !== undefined) await removeReference(db, replaced, options.garbageDueAt);
  return writeResult(written, replaced);
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
  options: WriteOptions & { readonly deleteSource?: boolean; readonly reservedBytes: number },
): Promise<WriteResult> {
  const from = await headObject(db, source.bucket, source.key);
  if (from === undefined) throw objectNotFound(source);
  if (from.version !== source.version) {
    throw sourceReplaced(source);
  }
  const replaced = await headObject(db, object.bucket, object.key);
  const withinBucket = source.bucket === object.bucket;
  const ontoItself = withinBucket && source.key === object.key;
  // A move onto itself has replaced its source already.
  const deletesSource = options.deleteSource === true && !ontoItself;
  const adding = { ...changeOfWrite(from, replaced), reservedBytes: -options.reservedBytes };
  const change = deletesSource && withinBucket ? sum(adding, changeOfDelete([from])) : adding;
  await admit(db, object, { replaced, change, options });
  const written = objectOf(object, from);
  await addReference(db, { storageId: from.storageId, blobKey: from.blobKey });
  await upsertObject(db, objectToRow(written));
  if (replaced !== undefined) await removeReference(db, replaced, options.garbageDueAt);
  if (deletesSource) {
    await deleteRow(db, { bucket: source.bucket, key: source.key });
    await removeReference(db, from, options.garbageDueAt);
    if (!withinBucket) await changeUsage(db, source.bucket, changeOfDelete([from]));
  }
  return writeResult(written, replaced);
}

export async function changeObject(
  db: Database,
  bucket: string,
  key: string,
  { attributes: changes }: ObjectChanges,
  options: WriteConditions & Authored,
): Promise<ObjectRecord> {
  const before = await headObject(db, bucket, key);
  if (before === undefined) throw objectNotFound({ bucket, key });
  assertConditions({ bucket, key }, before, options);
  const entries = Object.entries({ ...before.attributes, ...changes });
  const attributes = Object.fromEntries(
    entries.flatMap(([name, value]) => (value === null ? [] : [[name, value] as const])),
  );
  await updateAttributes(db, { bucket, key, attributes: attributesToJson(attributes) });
  return { ...before, attributes };
}

export async function headObject(
  db: Database,
  bucket: string,
  key: string,
): Promise<ObjectRecord | undefined> {
  const [row] = await selectObject(db, { bucket, key });
  return row && rowToObject(row);
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

export async function deleteObject(
  db: Database,
  bucket: string,
  key: string,
  options: WriteOptions,
): Promise<ObjectRecord | undefined> {
  const deleted = await removeObject(db, { bucket, key }, options);
  if (deleted !== undefined) await changeUsage(db, bucket, changeOfDelete([deleted]));
  return deleted;
}

export async function deleteObjects(
  db: Database,
  bucket: string,
  keys: readonly string[],
  options: Authored & { readonly garbageDueAt: Date },
): Promise<readonly ObjectRecord[]> {
  const deleted: ObjectRecord[] = [];
  for (const key of keys) {
    const object = await removeObject(db, { bucket, key }, options);
    if (object !== undefined) deleted.push(object);
  }
  if (deleted.length > 0) await changeUsage(db, bucket, changeOfDelete(deleted));
  return deleted;
}

/** The caller takes it out of the bucket's sums. */
async function removeObject(
  db: Database,
  address: ObjectAddress,
  options: WriteOptions,
): Promise<ObjectRecord | undefined> {
  const [row] = await deleteRow(db, address);
  const deleted = row && rowToObject(row);
  // A refusal rolls the deletion back.
  assertConditions(address, deleted, options);
  if (deleted !== undefined) await removeReference(db, deleted, options.garbageDueAt);
  return deleted;
}

/**
 * Whether the write may be: its bucket exists, its conditions hold, its bytes fit, its grant has a use left;
 * refused in this order. Adds it to the bucket's sums, which a refusal rolls back.
 */
async function admit(
  db: Database,
  address: ObjectAddress,
  write: {
    readonly replaced: ObjectRecord | undefined;
    readonly change: UsageChange;
    readonly options: Pick<WriteOptions, "grantUse"> & WriteConditions;
  },
): Promise<void> {
  const { bucket } = address;
  const after = await changeUsage(db, bucket, write.change);
  assertConditions(address, write.replaced, write.options);
  assertQuota(bucket, write.change, after);
  await takeGrantUse(db, write.options.grantUse);
}

function changeOfWrite(
  written: { readonly length: number },
  replaced: ObjectRecord | undefined,
): UsageChange {
  const { length } = written;
  if (replaced === undefined) return { bytes: length, objects: 1, reservedBytes: 0 };
  return { bytes: length - replaced.length, objects: 0, reservedBytes: 0 };
}

function changeOfDelete(deleted: readonly ObjectRecord[]): UsageChange {
  const bytes = deleted.reduce((total, { length }) => total + length, 0);
  return { bytes: -bytes, objects: -deleted.length, reservedBytes: 0 };
}

function sum(a: UsageChange, b: UsageChange): UsageChange {
  return {
    bytes: a.bytes + b.bytes,
    objects: a.objects + b.objects,
    reservedBytes: a.reservedBytes + b.reservedBytes,
  };
}

function assertConditions(
  address: ObjectAddress,
  existing: ObjectRecord | undefined,
  { ifAbsent, ifMatch, ifVersion }: WriteConditions,
): void {
  if (ifAbsent === true && existing !== undefined) throw preconditionFailed(address, "exists");
  if (ifMatch !== undefined) {
    if (existing === undefined) throw preconditionFailed(address, "does not exist");
    if (ifMatch !== "*" && !ifMatch.includes(existing.etag)) {
      throw preconditionFailed(address, `has the etag "${existing.etag}"`);
    }
  }
  if (ifVersion !== undefined && existing?.version !== ifVersion) {
    throw preconditionFailed(address, `is no longer version ${ifVersion}`);
  }
}

function writeResult(object: ObjectRecord, replaced: ObjectRecord | undefined): WriteResult {
  return replaced === undefined ? { object } : { object, replaced };
}

function preconditionFailed({ bucket, key }: ObjectAddress, what: string): OperationalError {
  return new OperationalError("precondition_failed", `object "${key}" ${what}`, {
    context: { bucket, key },
  });
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
