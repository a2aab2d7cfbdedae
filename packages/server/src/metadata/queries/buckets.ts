/**
 * Buckets. A bucket that holds objects, or uploads that are not complete, cannot be deleted. What of it is in the
 * trash stays there, and can be restored once there is a bucket of that name again.
 */
import { OperationalError } from "../../core/errors.ts";
import type { BucketChanges, BucketRecord } from "../../core/ports/metadata-store.ts";
import { bucketToRow, rowToBucket } from "../records.ts";
import type { BucketRow, Database } from "../schema.ts";
import { appendAudit, type Recorded } from "./audit.ts";
import { forgetDeletes } from "./delete-cap.ts";
import { countUnfinished, deleteCompleteUploads } from "./list-uploads.ts";
import { prepared } from "./prepared.ts";
import { bucketNotFound, createUsage, deleteUsage } from "./usage.ts";

const selectBucket = prepared<{ name: string }, BucketRow>((db, { name }) =>
  db.selectFrom("buckets").selectAll().where("name", "=", name),
);

export async function createBucket(
  db: Database,
  bucket: BucketRecord,
  options: Recorded,
): Promise<void> {
  const inserted = await db
    .insertInto("buckets")
    .values(bucketToRow(bucket))
    .onConflict((conflict) => conflict.column("name").doNothing())
    .returning("name")
    .execute();
  if (inserted.length === 0) {
    throw new OperationalError("already_exists", `bucket "${bucket.name}" exists`, {
      context: { bucket: bucket.name },
    });
  }
  await createUsage(db, bucket.name);
  const { name, createdAt: _, ...settings } = bucket;
  const details = { settings };
  await appendAudit(db, [{ ...options, action: "bucket.created", bucket: name, details }]);
}

export async function getBucket(db: Database, name: string): Promise<BucketRecord | undefined> {
  const [row] = await selectBucket(db, { name });
  return row && rowToBucket(row);
}

export async function listBuckets(db: Database): Promise<readonly BucketRecord[]> {
  const rows = await db.selectFrom("buckets").selectAll().orderBy("name").execute();
  return rows.map(rowToBucket);
}

export async function changeBucket(
  db: Database,
  name: string,
  changes: BucketChanges,
  options: Recorded,
): Promise<BucketRecord> {
  const before = await getBucket(db, name);
  if (before === undefined) throw bucketNotFound(name);
  const after = { ...before, ...changes, name, createdAt: before.createdAt };
  const { name: _, ...columns } = bucketToRow(after);
  await db.updateTable("buckets").set(columns).where("name", "=", name).execute();
  const details = { changes };
  await appendAudit(db, [{ ...options, action: "bucket.changed", bucket: name, details }]);
  return after;
}

export async function deleteBucket(db: Database, name: string, options: Recorded): Promise<void> {
  const object = await db
    .selectFrom("objects")
    .select("key")
    .where("bucket", "=", name)
    .limit(1)
    .executeTakeFirst();
  if (object !== undefined) {
    throw new OperationalError("not_empty", `bucket "${name}" still holds objects`, {
      context: { bucket: name },
    });
  }
  const uploads = await countUnfinished(db, { bucket: name });
  if (uploads > 0) {
    throw new OperationalError(
      "not_empty",
      `bucket "${name}" still has ${uploads} uploads that are not complete`,
      { context: { bucket: name, uploads } },
    );
  }
  await deleteCompleteUploads(db, name);
  await deleteUsage(db, name);
  await forgetDeletes(db, name);
  const deleted = await db
    .deleteFrom("buckets")
    .where("name", "=", name)
    .returning("name")
    .execute();
  if (deleted.length === 0) throw bucketNotFound(name);
  await appendAudit(db, [{ ...options, action: "bucket.deleted", bucket: name }]);
}
