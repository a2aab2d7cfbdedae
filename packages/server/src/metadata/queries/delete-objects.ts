/**
 * Deleting objects: into the trash of their bucket, as many as its cap leaves. Each function is one transaction's
 * work, as in `objects.ts`.
 */
import { OperationalError } from "../../core/errors.ts";
import type {
  DeleteOptions,
  DeleteResult,
  ObjectRecord,
  WriteConditions,
} from "../../core/ports/metadata-store.ts";
import type { Database } from "../schema.ts";
import { appendAudit, type Recorded } from "./audit.ts";
import { deletedEntry } from "./audit-entries.ts";
import { assertConditions } from "./conditions.ts";
import { countDeletes, deletesLeft } from "./delete-cap.ts";
import { assertNotRetained, discard, retained, trashMsOf } from "./discard.ts";
import { headObject } from "./head-object.ts";
import { prepared } from "./prepared.ts";
import { changeUsage, noChange, type UsageChange } from "./usage.ts";

interface ObjectAddress {
  readonly bucket: string;
  readonly key: string;
}

/** The row alone: whoever calls it has discarded the object, or pointed another at its blob. */
export const deleteRow = prepared<ObjectAddress, never>((db, { bucket, key }) =>
  db.deleteFrom("objects").where("bucket", "=", bucket).where("key", "=", key),
);

export async function deleteObject(
  db: Database,
  bucket: string,
  key: string,
  options: WriteConditions & DeleteOptions & Recorded,
): Promise<ObjectRecord | undefined> {
  const { deletesPerHour: cap = null, deletedAt: now } = options;
  const object = await headObject(db, bucket, key);
  assertConditions({ bucket, key }, object, options);
  if (object === undefined) return undefined;
  assertNotRetained(object, now);
  if ((await deletesLeft(db, bucket, { cap, now })) < 1) throw capReached(bucket, cap);
  await deleteFound(db, bucket, { found: [object], options });
  return object;
}

export async function deleteObjects(
  db: Database,
  bucket: string,
  keys: readonly string[],
  options: DeleteOptions & Recorded,
): Promise<DeleteResult> {
  const { deletesPerHour: cap = null, deletedAt: now } = options;
  const left = await deletesLeft(db, bucket, { cap, now });
  const found = new Map<string, ObjectRecord>();
  const refused: DeleteResult["refused"][number][] = [];
  for (const key of new Set(keys)) {
    const object = await headObject(db, bucket, key);
    if (object === undefined) continue;
    const refusal =
      retained(object, now) ?? (found.size < left ? undefined : capReached(bucket, cap));
    if (refusal === undefined) found.set(key, object);
    else refused.push({ key, code: refusal.code, message: refusal.message });
  }
  const deleted = [...found.values()];
  if (deleted.length > 0) await deleteFound(db, bucket, { found: deleted, options });
  return { deleted, refused };
}

/** All that may be deleted, together. */
async function deleteFound(
  db: Database,
  bucket: string,
  work: { readonly found: readonly ObjectRecord[]; readonly options: DeleteOptions & Recorded },
): Promise<void> {
  const { deletesPerHour: cap = null, deletedAt: now, garbageDueAt, author } = work.options;
  const trashMs = await trashMsOf(db, bucket);
  for (const object of work.found) {
    await discard(db, object, { now, reason: "deleted", author, garbageDueAt, trashMs });
    await deleteRow(db, { bucket, key: object.key });
  }
  await changeUsage(db, bucket, changeOfDelete(work.found, { trashMs }));
  if (cap !== null) await countDeletes(db, bucket, { deletes: work.found.length, now });
  await appendAudit(
    db,
    work.found.map((object) => deletedEntry(work.options, object)),
  );
}

/** What deleting them does to their bucket, which keeps them for `trashMs`. */
export function changeOfDelete(
  deleted: readonly ObjectRecord[],
  { trashMs }: { readonly trashMs: number | null },
): UsageChange {
  const bytes = deleted.reduce((total, { length }) => total + length, 0);
  const leaving = { ...noChange, bytes: -bytes, objects: -deleted.length };
  if (trashMs === null) return leaving;
  return { ...leaving, trashBytes: bytes, trashObjects: deleted.length };
}

function capReached(bucket: string, cap: number | null): OperationalError {
  const message =
    `requests deleted ${cap} objects of bucket "${bucket}" within an hour, as many as may be: ` +
    "wait, raise its deletesPerHour, or plan a bulk delete";
  return new OperationalError("delete_cap_reached", message, { context: { bucket, cap } });
}
