/** Restoring from the trash and purging it. Each function is one transaction's work. */
import type {
  ObjectRecord,
  PurgeResult,
  RestoreResult,
  TrashPosition,
  TrashSelection,
} from "../../core/ports/metadata-store.ts";
import type { AuditEntry } from "../audit-records.ts";
import { rowToObject } from "../records.ts";
import type { Database, ObjectRow, TrashRow } from "../schema.ts";
import { rowToTrash } from "../trash-records.ts";
import { appendAudit, type Recorded } from "./audit.ts";
import { purgedEntry, restoredEntry } from "./audit-entries.ts";
import { removeReference } from "./blobs.ts";
import { deleteRow } from "./delete-objects.ts";
import { assertNotRetained, discard, putBack, retained, trashMsOf } from "./discard.ts";
import { readTrash, readTrashByIds } from "./list-trash.ts";
import { prepared } from "./prepared.ts";
import { assertQuota, changeTrashUsage, changeUsage, noChange, sumOfChanges } from "./usage.ts";

interface KeyOfBucket {
  readonly bucket: string;
  readonly key: string;
}

interface RestoreOptions extends Recorded {
  readonly ifExists: "skip" | "replace";
  readonly now: Date;
  readonly garbageDueAt: Date;
}

const selectObject = prepared<KeyOfBucket, ObjectRow>((db, { bucket, key }) =>
  db.selectFrom("objects").selectAll().where("bucket", "=", bucket).where("key", "=", key),
);

const deleteTrash = prepared<{ id: number }, never>((db, { id }) =>
  db.deleteFrom("trash").where("id", "=", id),
);

const selectNewest = prepared<
  KeyOfBucket & { since: number; until: number },
  { readonly id: number | null }
>((db, { bucket, key, since, until }) =>
  db
    .selectFrom("trash")
    .select((eb) => eb.fn.max<number | null>("id").as("id"))
    .where("bucket", "=", bucket)
    .where("key", "=", key)
    .where("deleted_at", ">=", since)
    .where("deleted_at", "<", until),
);

const selectDue = prepared<{ dueBefore: number; limit: number }, TrashRow>(
  (db, { dueBefore, limit }) =>
    db
      .selectFrom("trash")
      .selectAll()
      .where("purge_due_at", "<=", dueBefore)
      .orderBy("purge_due_at")
      .orderBy("id")
      .limit(limit),
);

/** Port: `restoreTrash`. */
export async function restoreTrash(
  db: Database,
  selection: TrashSelection,
  options: RestoreOptions,
): Promise<RestoreResult> {
  const { bucket } = selection;
  const { rows, missing, next } = await select(db, selection);
  // An absent bucket is refused, also when there is nothing to restore.
  await changeUsage(db, bucket, noChange);
  const trashMs = await trashMsOf(db, bucket);
  const restored: ObjectRecord[] = [];
  const skipped: ObjectRecord[] = [];
  const entries: AuditEntry[] = [];
  let change = noChange;
  for (const row of rows) {
    const outcome = await restoreOne(db, row, { ...options, selection, trashMs });
    if (outcome.kind === "skipped") skipped.push(outcome.object);
    if (outcome.kind !== "restored") continue;
    restored.push(outcome.object);
    entries.push(restoredEntry(options, outcome));
    change = sumOfChanges(change, outcome.change);
  }
  assertQuota(bucket, change, await changeUsage(db, bucket, change));
  await appendAudit(db, entries);
  return { restored, skipped, missing, ...(next && { next }) };
}

async function restoreOne(
  db: Database,
  row: TrashRow,
  options: RestoreOptions & {
    readonly selection: TrashSelection;
    readonly trashMs: number | null;
  },
) {
  const { bucket, key } = row;
  const { selection, trashMs, now, author, garbageDueAt, ifExists } = options;
  const byFilter = !("ids" in selection);
  // A bulk delete deletes one version of a key.
  const hasRivals = byFilter && selection.jobId === undefined;
  if (hasRivals && !(await isNewest(db, row, selection))) return { kind: "older" } as const;
  const { object } = rowToTrash(row);
  let replaced: ObjectRecord | undefined;
  const [before] = await selectObject(db, { bucket, key });
  let restoredThrough = row.id;
  let change = {
    ...noChange,
    bytes: row.length,
    objects: 1,
    trashBytes: -row.length,
    trashObjects: -1,
  };
  if (before !== undefined) {
    if (byFilter && row.id <= (before.restored_through ?? 0)) return { kind: "older" } as const;
    replaced = rowToObject(before);
    const stays = byFilter && retained(replaced, now) !== undefined;
    if (ifExists === "skip" || stays) return { kind: "skipped", object } as const;
    assertNotRetained(replaced, now);
    const discarding = { now, reason: "replaced", author, garbageDueAt, trashMs } as const;
    restoredThrough = (await discard(db, replaced, discarding)) ?? restoredThrough;
    await deleteRow(db, { bucket, key });
    const kept = trashMs === null ? {} : { trashBytes: replaced.length, trashObjects: 1 };
    const left = { ...noChange, bytes: -replaced.length, objects: -1, ...kept };
    change = sumOfChanges(change, left);
  }
  await putBack(db, { id: row.id, restoredThrough });
  await deleteTrash(db, { id: row.id });
  return { kind: "restored", object, replaced, change } as const;
}

async function isNewest(
  db: Database,
  { bucket, key, id }: TrashRow,
  filter: { readonly deletedAfter?: Date; readonly deletedBefore?: Date },
): Promise<boolean> {
  const since = filter.deletedAfter?.getTime() ?? Number.MIN_SAFE_INTEGER;
  const until = filter.deletedBefore?.getTime() ?? Number.MAX_SAFE_INTEGER;
  const [newest] = await selectNewest(db, { bucket, key, since, until });
  return newest?.id === id;
}

/** Port: `purgeTrash`. */
export async function purgeTrash(
  db: Database,
  selection: TrashSelection,
  options: Recorded & { readonly now: Date; readonly garbageDueAt: Date },
): Promise<PurgeResult> {
  const { now, garbageDueAt } = options;
  const { rows, missing, next } = await select(db, selection);
  const kept: ObjectRecord[] = [];
  const purged: ObjectRecord[] = [];
  for (const row of rows) {
    const { object } = rowToTrash(row);
    if (retained(object, now) !== undefined) {
      kept.push(object);
      continue;
    }
    await purgeOne(db, row, garbageDueAt);
    purged.push(object);
  }
  await appendAudit(
    db,
    purged.map((object) => purgedEntry(options, object)),
  );
  return { purged, retained: kept, missing, ...(next && { next }) };
}

/** Port: `purgeTrashDue`. */
export async function purgeTrashDue(
  db: Database,
  options: Recorded & {
    readonly dueBefore: Date;
    readonly garbageDueAt: Date;
    readonly limit: number;
  },
): Promise<number> {
  const { dueBefore, garbageDueAt, limit } = options;
  const rows = await selectDue(db, { dueBefore: dueBefore.getTime(), limit });
  for (const row of rows) await purgeOne(db, row, garbageDueAt);
  await appendAudit(
    db,
    rows.map((row) => purgedEntry(options, rowToTrash(row).object)),
  );
  return rows.length;
}

async function purgeOne(db: Database, row: TrashRow, garbageDueAt: Date): Promise<void> {
  const { id, bucket, length } = row;
  await deleteTrash(db, { id });
  await removeReference(db, { storageId: row.storage_id, blobKey: row.blob_key }, garbageDueAt);
  await changeTrashUsage(db, bucket, { bytes: -length, objects: -1 });
}

async function select(
  db: Database,
  selection: TrashSelection,
): Promise<{
  readonly rows: readonly TrashRow[];
  readonly missing: number;
  readonly next?: TrashPosition;
}> {
  if (!("ids" in selection)) return { ...(await readTrash(db, selection)), missing: 0 };
  const rows = await readTrashByIds(db, selection.bucket, selection.ids);
  return { rows, missing: new Set(selection.ids).size - rows.length };
}
