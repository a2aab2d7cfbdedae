/** The chain of the audit log: whether it is whole, and forgetting its oldest records so that it stays so. */
import type {
  AuditPoint,
  AuditProblem,
  AuditVerification,
} from "../../core/ports/metadata-store.ts";
import { recordHash, toHex } from "../audit-records.ts";
import type { AuditPointRow, AuditRow, Database } from "../schema.ts";
import { appendAudit, auditPoint, type Recorded } from "./audit.ts";
import { hashAt, recordsAfter } from "./audit-list.ts";

/** Of one stretch: what is wrong is seldom one record alone. */
const problemsMax = 20;

/** Port: `verifyAudit`. All of it sees one state of the database. */
export async function verifyAudit(
  db: Database,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<AuditVerification> {
  const anchor = await auditPoint(db, "anchor");
  const head = await auditPoint(db, "head");
  const start = Math.max(after, anchor.sequence);
  const rows = await recordsAfter(db, start, limit);
  const problems: AuditProblem[] = [];
  if (start === anchor.sequence) problems.push(...(await anchorProblems(db, anchor)));
  let last: AuditPoint & { readonly bytes: Uint8Array } = {
    ...pointOf({ sequence: start, hash: await hashAt(db, start, anchor) }),
    bytes: await hashAt(db, start, anchor),
  };
  for (const row of rows) {
    problems.push(...recordProblems(row, last.sequence, last.bytes));
    last = { ...pointOf(row), bytes: row.hash };
  }
  const isEnd = rows.length < limit;
  if (isEnd) problems.push(...headProblems(last, pointOf(head)));
  return {
    checked: rows.length,
    problems: problems.slice(0, problemsMax),
    ...(isEnd ? {} : { next: last.sequence }),
    anchor: pointOf(anchor),
    head: pointOf(head),
  };
}

/** What is wrong with a record that should follow on `before`. Each is judged by the hash that is stored before it. */
function recordProblems(
  { sequence, at, record, hash }: AuditRow,
  before: number,
  previous: Uint8Array,
): readonly AuditProblem[] {
  const problems: AuditProblem[] = [];
  if (sequence > before + 1) {
    const last = sequence - 1;
    const which =
      before + 1 === last ? `record ${last} is` : `records ${before + 1} to ${last} are`;
    problems.push({ sequence: before + 1, problem: `${which} missing` });
  }
  if (!Buffer.from(recordHash(previous, record)).equals(hash)) {
    // Behind a gap its hash cannot fit, and says nothing new.
    if (problems.length === 0) {
      problems.push({
        sequence,
        problem: `record ${sequence} was changed, or is not where it was`,
      });
    }
    return problems;
  }
  if (!isAt(record, { sequence, at })) {
    problems.push({ sequence, problem: `record ${sequence} says another place or time` });
  }
  return problems;
}

function isAt(record: string, { sequence, at }: Pick<AuditRow, "sequence" | "at">): boolean {
  try {
    const said: { readonly sequence?: unknown; readonly at?: unknown } = JSON.parse(record);
    return said.sequence === sequence && said.at === new Date(at).toISOString();
  } catch {
    return false;
  }
}

function headProblems(last: AuditPoint, head: AuditPoint): readonly AuditProblem[] {
  if (last.sequence < head.sequence) {
    const problem = `the end is missing: the newest record is ${head.sequence}, the last there is ${last.sequence}`;
    return [{ sequence: last.sequence + 1, problem }];
  }
  if (last.sequence > head.sequence) {
    const problem = `there are records behind the newest, ${head.sequence}`;
    return [{ sequence: head.sequence + 1, problem }];
  }
  if (last.hash === head.hash) return [];
  return [{ sequence: last.sequence, problem: `record ${last.sequence} is not the newest one` }];
}

/** What was forgotten is what a record says of it: moving the anchor needs another chain. */
async function anchorProblems(
  db: Database,
  anchor: AuditPointRow,
): Promise<readonly AuditProblem[]> {
  if (anchor.sequence === 0) return [];
  const row = await db
    .selectFrom("audit")
    .select("record")
    .where("sequence", "=", anchor.recorded_in ?? 0)
    .executeTakeFirst();
  const { sequence, hash } = pointOf(anchor);
  const expected = JSON.stringify({ through: sequence, hash }).slice(1, -1);
  if (row?.record.includes('"action":"audit.pruned"') && row.record.includes(expected)) return [];
  const problem = `no record says that everything up to ${sequence} was forgotten`;
  return [{ sequence: sequence + 1, problem }];
}

/** Port: `pruneAudit`. */
export async function pruneAudit(
  db: Database,
  options: Recorded & { readonly before: Date; readonly limit: number },
): Promise<number> {
  const { author, at, before, limit } = options;
  const anchor = await auditPoint(db, "anchor");
  const oldest = await db
    .selectFrom("audit")
    .select(["sequence", "at", "hash"])
    .orderBy("sequence")
    .limit(limit)
    .execute();
  const kept = oldest.findIndex((row) => row.at >= before.getTime());
  const old = kept === -1 ? oldest : oldest.slice(0, kept);
  const last = old.at(-1);
  if (last === undefined) return 0;
  // With those that prove that somebody removed a line, the proof would go as well.
  if (last.sequence - anchor.sequence !== old.length) return 0;
  await db.deleteFrom("audit").where("sequence", "<=", last.sequence).execute();
  const { sequence, hash } = pointOf(last);
  const details = { through: sequence, hash, count: old.length };
  const head = await appendAudit(db, [{ author, at, action: "audit.pruned", details }]);
  await db
    .updateTable("audit_points")
    .set({ sequence, hash: last.hash, recorded_in: head.sequence })
    .where("name", "=", "anchor")
    .execute();
  return old.length;
}

function pointOf({
  sequence,
  hash,
}: {
  readonly sequence: number;
  readonly hash: Uint8Array;
}): AuditPoint {
  return { sequence, hash: toHex(hash) };
}
