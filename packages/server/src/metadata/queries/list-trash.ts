/**
 * Reading the trash of a bucket: walks an index from where the last page ended, by key where a prefix is given,
 * by the job where one is, otherwise by the time of deletion, so that its cost depends on what is wanted.
 */
import { strict as assert } from "node:assert";
import type {
  TrashPage,
  TrashPosition,
  TrashQuery,
  TrashRecord,
} from "../../core/ports/metadata-store.ts";
import { prefixSuccessor } from "../key-range.ts";
import type { Database, TrashRow } from "../schema.ts";
import { rowToTrash } from "../trash-records.ts";
import { prepared } from "./prepared.ts";

/** Half open: deleted from `since` on and before `until`. */
interface Range {
  readonly bucket: string;
  readonly since: number;
  readonly until: number;
  readonly afterId: number;
  readonly limit: number;
}

const select = (db: Database, { bucket, since, until, limit }: Range) =>
  db
    .selectFrom("trash")
    .selectAll()
    .where("bucket", "=", bucket)
    .where("deleted_at", ">=", since)
    .where("deleted_at", "<", until)
    .limit(limit);

const behindKey = (db: Database, range: Range & { afterKey: string }) =>
  select(db, range)
    .where((eb) =>
      eb(eb.refTuple("key", "id"), ">", eb.tuple(eb.val(range.afterKey), eb.val(range.afterId))),
    )
    .orderBy("key")
    .orderBy("id");

// Shapes of one query: so that each has constant text and the engine sees plain bounds.
const reads = {
  byKey: prepared<Range & { afterKey: string }, TrashRow>(behindKey),
  byKeyBelow: prepared<Range & { afterKey: string; end: string }, TrashRow>((db, range) =>
    behindKey(db, range).where("key", "<", range.end),
  ),
  byTime: prepared<Range & { before: number }, TrashRow>((db, range) =>
    select(db, range)
      .where((eb) =>
        eb(
          eb.refTuple("deleted_at", "id"),
          "<",
          eb.tuple(eb.val(range.before), eb.val(range.afterId)),
        ),
      )
      .orderBy("deleted_at", "desc")
      .orderBy("id", "desc"),
  ),
  byJob: prepared<Range & { jobId: string }, TrashRow>((db, range) =>
    select(db, range)
      .where("job_id", "=", range.jobId)
      .where("id", ">", range.afterId)
      .orderBy("id"),
  ),
  byId: prepared<{ bucket: string; id: number }, TrashRow>((db, { bucket, id }) =>
    db.selectFrom("trash").selectAll().where("id", "=", id).where("bucket", "=", bucket),
  ),
};

/** Port: `listTrash`. */
export async function listTrash(db: Database, query: TrashQuery): Promise<TrashPage> {
  const { rows, next } = await readTrash(db, query);
  return { entries: rows.map(rowToTrash), ...(next && { next }) };
}

/** Port: `getTrash`. */
export async function getTrash(
  db: Database,
  bucket: string,
  ids: readonly number[],
): Promise<readonly TrashRecord[]> {
  return (await readTrashByIds(db, bucket, ids)).map(rowToTrash);
}

export async function readTrashByIds(
  db: Database,
  bucket: string,
  ids: readonly number[],
): Promise<readonly TrashRow[]> {
  const rows: TrashRow[] = [];
  for (const id of new Set(ids)) rows.push(...(await reads.byId(db, { bucket, id })));
  return rows.sort((a, b) => a.id - b.id);
}

/** A page of rows, and the last of them if there may be more. */
export async function readTrash(
  db: Database,
  query: TrashQuery,
): Promise<{ readonly rows: readonly TrashRow[]; readonly next?: TrashPosition }> {
  const { limit } = query;
  assert(Number.isSafeInteger(limit) && limit > 0, `limit ${limit}`);
  const rows = await read(db, query);
  const last = rows.at(-1);
  if (last === undefined || rows.length < limit) return { rows };
  return { rows, next: { id: last.id, key: last.key, deletedAt: new Date(last.deleted_at) } };
}

async function read(db: Database, query: TrashQuery): Promise<readonly TrashRow[]> {
  const { bucket, prefix, after, limit, jobId } = query;
  const since = query.deletedAfter?.getTime() ?? Number.MIN_SAFE_INTEGER;
  const until = query.deletedBefore?.getTime() ?? Number.MAX_SAFE_INTEGER;
  const range = { bucket, since, until, afterId: after?.id ?? 0, limit };
  if (prefix !== "") {
    assert(jobId === undefined, "a job's entries have no common prefix");
    const end = prefixSuccessor(prefix);
    // The ids begin at 1.
    const position = { ...range, afterKey: after?.key ?? prefix };
    return await (end === undefined
      ? reads.byKey(db, position)
      : reads.byKeyBelow(db, { ...position, end }));
  }
  if (jobId !== undefined) return await reads.byJob(db, { ...range, jobId });
  const before = after?.deletedAt.getTime() ?? until;
  return await reads.byTime(db, { ...range, before });
}
