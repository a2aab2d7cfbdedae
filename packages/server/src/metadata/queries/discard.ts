/**
 * How an object leaves its row: into the trash of its bucket, which keeps its reference on the blob, or, where
 * there is none, by giving the reference back. What is retained or held does not leave.
 */
import { type RawBuilder, sql } from "kysely";
import { OperationalError } from "../../core/errors.ts";
import {
  type Author,
  type ObjectRecord,
  steadyClockSetting,
  type TrashReason,
} from "../../core/ports/metadata-store.ts";
import type { Database, TrashRow } from "../schema.ts";
import { removeReference } from "./blobs.ts";
import { prepared } from "./prepared.ts";

/** When, why and by whom; `now` is of the system's clock. */
export interface Discarding {
  readonly now: Date;
  readonly reason: TrashReason;
  /** For the blob of what does not go into the trash. */
  readonly garbageDueAt: Date;
  /** `null`: not into the trash. */
  readonly trashMs: number | null;
  readonly author: Author;
  /** Of the bulk delete. */
  readonly jobId?: string | null;
}

/** Where an object is: of both tables, in the same order. */
const sharedColumns = [
  "bucket",
  "key",
  "version",
  "etag",
  "content_type",
  "created_at",
  "length",
  "storage_id",
  "blob_key",
  "crc64nvme",
  "md5",
  "crc32",
  "crc32c",
  "sha1",
  "sha256",
  "retain_until",
  "user_metadata",
  "attributes",
] as const;

type Stamp = Omit<TrashRow, (typeof sharedColumns)[number] | "id">;
type Trashed = Stamp & { readonly bucket: string; readonly key: string };

const integer = (value: number) => sql<number>`cast(${value} as bigint)`;
const text = (value: string | null): RawBuilder<string | null> =>
  sql<string | null>`cast(${value} as text)`;

const insertTrash = prepared<Trashed, { readonly id: number }>((db, row) =>
  db
    .insertInto("trash")
    .columns([...sharedColumns, "deleted_at", "purge_due_at", "reason", "deleted_by", "job_id"])
    .expression((eb) =>
      eb
        .selectFrom("objects")
        .select([...sharedColumns])
        .select([
          integer(row.deleted_at).as("deleted_at"),
          integer(row.purge_due_at).as("purge_due_at"),
          text(row.reason).$castTo<string>().as("reason"),
          text(row.deleted_by).as("deleted_by"),
          text(row.job_id).as("job_id"),
        ])
        .where("bucket", "=", row.bucket)
        .where("key", "=", row.key),
    )
    .returning("id"),
);

const insertRestored = prepared<{ id: number; restoredThrough: number }, never>(
  (db, { id, restoredThrough }) =>
    db
      .insertInto("objects")
      .columns([...sharedColumns, "restored_through"])
      .expression((eb) =>
        eb
          .selectFrom("trash")
          .select([...sharedColumns])
          .select(integer(restoredThrough).as("restored_through"))
          .where("id", "=", id),
      ),
);

const selectTrashMs = prepared<{ bucket: string }, { readonly trash_ms: number | null }>(
  (db, { bucket }) => db.selectFrom("buckets").select("trash_ms").where("name", "=", bucket),
);

const selectSteady = prepared<{ name: string }, { readonly value: string }>((db, { name }) =>
  db.selectFrom("settings").select("value").where("name", "=", name),
);

/** How long the bucket keeps what leaves it; `null`: not at all, or there is no such bucket. */
export async function trashMsOf(db: Database, bucket: string): Promise<number | null> {
  const [row] = await selectTrashMs(db, { bucket });
  return row?.trash_ms ?? null;
}

/**
 * To be called while the object's row is there; the caller then deletes or replaces it, and changes the bucket's
 * sums. Answers the id in the trash, if it went there.
 */
export async function discard(
  db: Database,
  object: ObjectRecord,
  { now, reason, garbageDueAt, trashMs, author, jobId = null }: Discarding,
): Promise<number | undefined> {
  if (trashMs === null) {
    await removeReference(db, object, garbageDueAt);
    return undefined;
  }
  const due = (await laterThan(db, now)) + trashMs;
  const [row] = await insertTrash(db, {
    bucket: object.bucket,
    key: object.key,
    deleted_at: now.getTime(),
    // Retained in the trash: it was deleted under a clock set ahead.
    purge_due_at: Math.max(due, object.retainUntil?.getTime() ?? 0),
    reason,
    deleted_by: JSON.stringify(author),
    job_id: jobId,
  });
  return row?.id;
}

/** Makes an object of what is in the trash, whose row the caller then deletes. */
export async function putBack(
  db: Database,
  restored: { readonly id: number; readonly restoredThrough: number },
): Promise<void> {
  await insertRestored(db, restored);
}

/** `object_retained`. */
export function assertNotRetained(object: ObjectRecord | undefined, now: Date): void {
  const refusal = object && retained(object, now);
  if (refusal !== undefined) throw refusal;
}

/** Why the object does not leave; `undefined`: it may. */
export function retained(object: ObjectRecord, now: Date): OperationalError | undefined {
  const { bucket, key, retainUntil, legalHold } = object;
  if (legalHold === true) return refusal({ bucket, key }, "is under legal hold");
  if (retainUntil === undefined || retainUntil <= now) return undefined;
  const until = retainUntil.toISOString();
  return refusal({ bucket, key, retainUntil: until }, `is retained until ${until}`);
}

function refusal(context: Readonly<Record<string, string>>, what: string): OperationalError {
  const message = `object "${context.key}" ${what}: nobody deletes, moves or replaces it`;
  return new OperationalError("object_retained", message, { context });
}

/**
 * Now, and no earlier than the steady clock was seen: what is deleted while the system's time is days behind
 * is not purged at once when it is put right. The sweeper asks the steady clock what is due.
 */
async function laterThan(db: Database, now: Date): Promise<number> {
  const [row] = await selectSteady(db, { name: steadyClockSetting });
  const seen = Number(row?.value ?? 0);
  return Math.max(now.getTime(), Number.isSafeInteger(seen) ? seen : 0);
}
