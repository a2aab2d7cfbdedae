/**
 * What each bucket holds, has reserved and has in the trash, as sums that are changed in the transactions that change what
 * they sum up: so they are exact at every commit, and a quota is judged on them.
 */
import { sql } from "kysely";
import { OperationalError } from "../../core/errors.ts";
import type { BucketUsage } from "../../core/ports/upload-store.ts";
import type { BucketUsageRow, Database } from "../schema.ts";
import { prepared } from "./prepared.ts";

/** Added to the sums; negative to take away. */
export interface UsageChange {
  readonly bytes: number;
  readonly objects: number;
  readonly reservedBytes: number;
  readonly trashBytes: number;
  readonly trashObjects: number;
}

export const noChange: UsageChange = {
  bytes: 0,
  objects: 0,
  reservedBytes: 0,
  trashBytes: 0,
  trashObjects: 0,
};

export function sumOfChanges(a: UsageChange, b: UsageChange): UsageChange {
  return {
    bytes: a.bytes + b.bytes,
    objects: a.objects + b.objects,
    reservedBytes: a.reservedBytes + b.reservedBytes,
    trashBytes: a.trashBytes + b.trashBytes,
    trashObjects: a.trashObjects + b.trashObjects,
  };
}

/** A bucket's sums with a change, its quota and its retention. */
export interface UsageAfter {
  readonly bytes: number;
  readonly reserved_bytes: number;
  readonly quota_bytes: number | null;
  readonly retention_ms: number | null;
}

const addToUsage = prepared<UsageChange & { bucket: string }, UsageAfter>((db, values) =>
  db
    .updateTable("bucket_usage")
    .set((eb) => ({
      bytes: eb("bytes", "+", values.bytes),
      objects: eb("objects", "+", values.objects),
      reserved_bytes: eb("reserved_bytes", "+", values.reservedBytes),
      trash_bytes: eb("trash_bytes", "+", values.trashBytes),
      trash_objects: eb("trash_objects", "+", values.trashObjects),
    }))
    .where("bucket", "=", values.bucket)
    .returning((eb) => [
      "bytes",
      "reserved_bytes",
      // Its own row's bucket: a bucket and its sums come and go together.
      eb
        .selectFrom("buckets")
        .select("buckets.quota_bytes")
        .where("buckets.name", "=", values.bucket)
        .as("quota_bytes"),
      eb
        .selectFrom("buckets")
        .select("buckets.retention_ms")
        .where("buckets.name", "=", values.bucket)
        .as("retention_ms"),
    ]),
);

const addToTrashUsage = prepared<
  { readonly bytes: number; readonly objects: number; readonly bucket: string },
  never
>((db, values) =>
  db
    .updateTable("bucket_usage")
    .set((eb) => ({
      trash_bytes: eb("trash_bytes", "+", values.bytes),
      trash_objects: eb("trash_objects", "+", values.objects),
    }))
    .where("bucket", "=", values.bucket),
);

const selectUsage = prepared<{ bucket: string }, BucketUsageRow>((db, { bucket }) =>
  db.selectFrom("bucket_usage").selectAll().where("bucket", "=", bucket),
);

/** `bucket_not_found`. Whoever adds bytes gives the answer to `assertQuota` in the same transaction. */
export async function changeUsage(
  db: Database,
  bucket: string,
  change: UsageChange,
): Promise<UsageAfter> {
  const [after] = await addToUsage(db, { ...change, bucket });
  if (after === undefined) throw bucketNotFound(bucket);
  return after;
}

/** Of what leaves the trash for good. Its bucket may be gone, and the sums with it. */
export async function changeTrashUsage(
  db: Database,
  bucket: string,
  change: { readonly bytes: number; readonly objects: number },
): Promise<void> {
  await addToTrashUsage(db, { ...change, bucket });
}

/**
 * `quota_exceeded` if the change adds bytes and the bucket then holds and has reserved more than its
 * quota. What adds none is never refused, also when the quota was lowered below what is used.
 */
export function assertQuota(bucket: string, change: UsageChange, after: UsageAfter): void {
  const { quota_bytes: quotaBytes } = after;
  const bytes = change.bytes + change.reservedBytes;
  if (quotaBytes === null || bytes <= 0) return;
  if (after.bytes + after.reserved_bytes <= quotaBytes) return;
  const usedBytes = after.bytes - change.bytes;
  const reservedBytes = after.reserved_bytes - change.reservedBytes;
  throw new OperationalError(
    "quota_exceeded",
    `${bytes} more bytes pass the quota of bucket "${bucket}": of ${quotaBytes} bytes ` +
      `${usedBytes} are used and ${reservedBytes} reserved by uploads that run`,
    { context: { bucket, quotaBytes, usedBytes, reservedBytes, bytes } },
  );
}

/** Room for an upload that runs; negative gives it back. `quota_exceeded`, `bucket_not_found`. */
export async function changeReservation(
  db: Database,
  bucket: string,
  reservedBytes: number,
): Promise<void> {
  const change = { ...noChange, reservedBytes };
  assertQuota(bucket, change, await changeUsage(db, bucket, change));
}

/** Of a bucket that is made in the same transaction. One of its name may have left a trash. */
export async function createUsage(db: Database, bucket: string): Promise<void> {
  const trash = await db
    .selectFrom("trash")
    .select((eb) => [
      eb.fn.coalesce(eb.fn.sum<number>("length"), sql.lit(0)).as("trash_bytes"),
      eb.fn.countAll<number>().as("trash_objects"),
    ])
    .where("bucket", "=", bucket)
    .executeTakeFirstOrThrow();
  await db
    .insertInto("bucket_usage")
    .values({ bucket, bytes: 0, objects: 0, reserved_bytes: 0, ...trash })
    .execute();
}

export async function deleteUsage(db: Database, bucket: string): Promise<void> {
  await db.deleteFrom("bucket_usage").where("bucket", "=", bucket).execute();
}

export async function bucketUsage(db: Database, bucket: string): Promise<BucketUsage> {
  const [row] = await selectUsage(db, { bucket });
  if (row === undefined) throw bucketNotFound(bucket);
  return {
    bytes: row.bytes,
    reservedBytes: row.reserved_bytes,
    objects: row.objects,
    trashBytes: row.trash_bytes,
    trashObjects: row.trash_objects,
  };
}

export function bucketNotFound(name: string): OperationalError {
  return new OperationalError("bucket_not_found", `bucket "${name}" does not exist`, {
    context: { bucket: name },
  });
}
