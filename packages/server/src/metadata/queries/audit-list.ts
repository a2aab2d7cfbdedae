/** Reading the audit log: pages along the chain, whose cost is bounded whatever the filter leaves out. */
import { strict as assert } from "node:assert";
import { sql } from "kysely";
import type {
  AuditFilter,
  AuditLine,
  AuditPage,
  AuditQuery,
} from "../../core/ports/metadata-store.ts";
import { recordLine } from "../audit-records.ts";
import type { AuditRow, Database } from "../schema.ts";
import { parseJson } from "../values.ts";
import { auditPoint } from "./audit.ts";

/** Records that one page looks at: their texts are a few megabytes. */
const lookedAtMax = 10_000;

/** Port: `listAudit`. */
export async function listAudit(db: Database, query: AuditQuery): Promise<AuditPage> {
  const { limit } = query;
  const anchor = await auditPoint(db, "anchor");
  const head = await auditPoint(db, "head");
  const first = Math.max(query.after, anchor.sequence, await sequenceBefore(db, query.since));
  const take = isFiltered(query) ? lookedAtMax : Math.min(limit, lookedAtMax);
  const rows = await recordsAfter(db, first, take);
  let previous = await hashAt(db, first, anchor);
  let after = first;
  const lines: AuditLine[] = [];
  for (const { sequence, at, record, hash } of rows) {
    if (lines.length === limit) break;
    // A line before it that was removed leaves the one that is there; verifying tells.
    if (matches(query, at, record)) {
      lines.push({ sequence, line: recordLine(record, previous, hash) });
    }
    previous = hash;
    after = sequence;
  }
  return { lines, after, hasMore: after < head.sequence && rows.length > 0 };
}

/** In order of the chain. */
export async function recordsAfter(
  db: Database,
  after: number,
  limit: number,
): Promise<readonly AuditRow[]> {
  return await db
    .selectFrom("audit")
    .selectAll()
    .where("sequence", ">", after)
    .orderBy("sequence")
    .limit(limit)
    .execute();
}

/** Of the record at that place, or of the anchor. Zero bytes where there is none any more. */
export async function hashAt(
  db: Database,
  sequence: number,
  anchor: { readonly sequence: number; readonly hash: Uint8Array },
): Promise<Uint8Array> {
  if (sequence === anchor.sequence) return anchor.hash;
  const row = await db
    .selectFrom("audit")
    .select("hash")
    .where("sequence", "=", sequence)
    .executeTakeFirst();
  return row?.hash ?? new Uint8Array(32);
}

/** Before the earliest record of that moment or later, wherever a clock that was set back put it. */
async function sequenceBefore(db: Database, since: Date | undefined): Promise<number> {
  if (since === undefined) return 0;
  const row = await db
    .selectFrom("audit")
    // As an expression, or SQLite walks along the chain until it finds one, instead of by the index.
    .select(sql<number | null>`min(sequence + 0)`.as("first"))
    .where("at", ">=", since.getTime())
    .executeTakeFirst();
  // None: whatever comes is behind the end.
  return row?.first == null ? (await auditPoint(db, "head")).sequence : Number(row.first) - 1;
}

function isFiltered({ since, until, bucket, key, actor, action }: AuditFilter): boolean {
  return [since, until, bucket, key, actor, action].some((value) => value !== undefined);
}

interface RecordJson {
  readonly action: string;
  readonly actor: { readonly id?: string };
  readonly owner?: string;
  readonly bucket?: string;
  readonly key?: string;
  readonly from?: { readonly bucket: string; readonly key: string };
}

function matches(filter: AuditFilter, at: number, text: string): boolean {
  if (filter.since !== undefined && at < filter.since.getTime()) return false;
  if (filter.until !== undefined && at >= filter.until.getTime()) return false;
  const { bucket, key, actor, action } = filter;
  if ([bucket, key, actor, action].every((value) => value === undefined)) return true;
  const record = parseJson<RecordJson>(text);
  assert(typeof record.action === "string", "a record has an action");
  return (
    isOneOf(action, record.action) &&
    isOneOf(actor, record.actor.id, record.owner) &&
    (isAt(filter, record) || (record.from !== undefined && isAt(filter, record.from)))
  );
}

function isAt(
  { bucket, key }: AuditFilter,
  place: { readonly bucket?: string; readonly key?: string },
): boolean {
  return isOneOf(bucket, place.bucket) && isOneOf(key, place.key);
}

function isOneOf(wanted: string | undefined, ...values: readonly (string | undefined)[]): boolean {
  return wanted === undefined || values.includes(wanted);
}
