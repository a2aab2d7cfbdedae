/** Bulk deletes: their records, and the pages in which they go on. */
import { OperationalError } from "../../core/errors.ts";
import type {
  BulkDeleteProgress,
  BulkDeleteRecord,
  BulkDeleteStep,
  ObjectRecord,
} from "../../core/ports/metadata-store.ts";
import type { Database } from "../schema.ts";
import { appendAudit, type Recorded } from "./audit.ts";
import { deletedEntry } from "./audit-entries.ts";
import { restoreTrash } from "./change-trash.ts";
import { countDeletes, deletesLeft } from "./delete-cap.ts";
import { deleteRow } from "./delete-objects.ts";
import { discard, retained, trashMsOf } from "./discard.ts";
import { listObjects } from "./list-objects.ts";
import { changeUsage, noChange } from "./usage.ts";

/** No bucket has this name: deletes of all bulk deletes are counted under it. */
const everyBucket = "";

/** Port: `putBulkDelete`. What somebody did to it is in the audit log; its pages are there object by object. */
export async function putBulkDelete(
  db: Database,
  record: BulkDeleteRecord,
  { author, at }: Recorded,
): Promise<void> {
  await put(db, record);
  const { id, state, bucket, prefix, objects, bytes, digest } = record;
  const details = { id, prefix, objects, bytes, digest };
  await appendAudit(db, [{ author, at, action: `bulk-delete.${state}`, bucket, details }]);
}

async function put(db: Database, record: BulkDeleteRecord): Promise<void> {
  const { id, state, revision } = record;
  const columns = { state, revision, record: JSON.stringify(record) };
  const written =
    revision === 1
      ? await db
          .insertInto("bulk_deletes")
          .values({ id, ...columns })
          .onConflict((conflict) => conflict.column("id").doNothing())
          .returning("id")
          .execute()
      : await db
          .updateTable("bulk_deletes")
          .set(columns)
          .where("id", "=", id)
          .where("revision", "=", revision - 1)
          .returning("id")
          .execute();
  if (written.length > 0) return;
  const message = `bulk delete "${id}" was changed by somebody else`;
  throw new OperationalError("precondition_failed", message, { context: { bulkDelete: id } });
}

export async function getBulkDelete(
  db: Database,
  id: string,
): Promise<BulkDeleteRecord | undefined> {
  const row = await db
    .selectFrom("bulk_deletes")
    .select("record")
    .where("id", "=", id)
    .executeTakeFirst();
  return row && parse(row.record);
}

export async function listBulkDeletes(
  db: Database,
  { limit }: { readonly limit: number },
): Promise<readonly BulkDeleteRecord[]> {
  const rows = await db
    .selectFrom("bulk_deletes")
    .select("record")
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
  return rows.map(({ record }) => parse(record));
}

/** Port: `advanceBulkDelete`. */
export async function advanceBulkDelete(
  db: Database,
  id: string,
  step: BulkDeleteStep & Recorded,
): Promise<BulkDeleteProgress | undefined> {
  const record = await getBulkDelete(db, id);
  if (record?.state !== "running" && record?.state !== "undoing") return undefined;
  const progress =
    record.state === "running"
      ? await deletePage(db, record, step)
      : await restorePage(db, record, step);
  const next = { ...progress.record, revision: record.revision + 1 };
  await put(db, next);
  return { ...progress, record: next };
}

async function deletePage(
  db: Database,
  record: BulkDeleteRecord,
  step: BulkDeleteStep & Recorded,
): Promise<BulkDeleteProgress> {
  const { bucket, prefix, after } = record;
  const { now, perHour } = step;
  const left = await deletesLeft(db, everyBucket, { cap: perHour, now });
  const limit = Math.min(step.limit, left);
  if (limit < 1) return { record, changed: 0, isCapped: true };
  const query = { bucket, prefix, delimiter: "", limit, ...(after === null ? {} : { after }) };
  const page = await listObjects(db, query);
  const planned = page.objects.filter(({ createdAt }) => createdAt <= new Date(record.plannedAt));
  const leaving = planned.filter((object) => retained(object, now) === undefined);
  await intoTrash(db, record, { leaving, step });
  const bytes = leaving.reduce((sum, { length }) => sum + length, 0);
  const last = page.objects.at(-1)?.key ?? after;
  return {
    record: {
      ...record,
      state: page.next === undefined ? "done" : "running",
      after: last,
      deleted: record.deleted + leaving.length,
      deletedBytes: record.deletedBytes + bytes,
      retained: record.retained + planned.length - leaving.length,
    },
    changed: leaving.length,
    isCapped: false,
  };
}

async function intoTrash(
  db: Database,
  { id, bucket }: BulkDeleteRecord,
  {
    leaving,
    step,
  }: { readonly leaving: readonly ObjectRecord[]; readonly step: BulkDeleteStep & Recorded },
): Promise<void> {
  if (leaving.length === 0) return;
  const { now, author, garbageDueAt, trashMsDefault } = step;
  const trashMs = (await trashMsOf(db, bucket)) ?? trashMsDefault;
  for (const object of leaving) {
    const discarding = {
      now,
      reason: "deleted",
      garbageDueAt,
      trashMs,
      author,
      jobId: id,
    } as const;
    await discard(db, object, discarding);
    await deleteRow(db, { bucket, key: object.key });
  }
  const bytes = leaving.reduce((sum, { length }) => sum + length, 0);
  await changeUsage(db, bucket, {
    ...noChange,
    ...{ bytes: -bytes, objects: -leaving.length },
    ...{ trashBytes: bytes, trashObjects: leaving.length },
  });
  await countDeletes(db, everyBucket, { deletes: leaving.length, now });
  await appendAudit(
    db,
    leaving.map((object) => deletedEntry(step, object)),
  );
}

async function restorePage(
  db: Database,
  record: BulkDeleteRecord,
  { now, author, at, garbageDueAt, limit }: BulkDeleteStep & Recorded,
): Promise<BulkDeleteProgress> {
  const { id, bucket, undoneThrough } = record;
  const position = { id: undoneThrough, key: "", deletedAt: new Date(0) };
  const selection = { bucket, prefix: "", jobId: id, after: position, limit };
  const options = { ifExists: "skip", now, author, at, garbageDueAt } as const;
  const { restored, skipped, next } = await restoreTrash(db, selection, options);
  return {
    record: {
      ...record,
      state: next === undefined ? "undone" : "undoing",
      undoneThrough: next?.id ?? undoneThrough,
      restored: record.restored + restored.length,
      skipped: record.skipped + skipped.length,
    },
    changed: restored.length,
    isCapped: false,
  };
}

/** Text that was written here. */
function parse(text: string): BulkDeleteRecord {
  return JSON.parse(text);
}
