/**
 * The audit log's end: what changes something appends here, within its own transaction.
 *
 * The head is read before an append and written after it. Who runs many calls in one transaction says so
 * (`openHead`): then it is read once before them and written once after them, and a call that is rolled back
 * takes its records, and with `resetHead` the head, back with it.
 */
import { strict as assert } from "node:assert";
import type { Authored, Refusal } from "../../core/ports/metadata-store.ts";
import { type AuditEntry, recordHash, recordText } from "../audit-records.ts";
import type { AuditPointRow, AuditRow, Database } from "../schema.ts";
import { assertInstant } from "../values.ts";
import { prepared } from "./prepared.ts";

/** An author, and the moment by the store's clock. */
export interface Recorded extends Authored {
  readonly at: Date;
}

const selectPoint = prepared<{ name: string }, AuditPointRow>((db, { name }) =>
  db.selectFrom("audit_points").selectAll().where("name", "=", name),
);

const insertRecord = prepared<AuditRow, never>((db, { sequence, at, record, hash }) =>
  db.insertInto("audit").values({ sequence, at, record, hash }),
);

const updateHead = prepared<{ sequence: number; hash: Uint8Array }, never>(
  (db, { sequence, hash }) =>
    db.updateTable("audit_points").set({ sequence, hash }).where("name", "=", "head"),
);

export async function auditPoint(db: Database, name: "head" | "anchor"): Promise<AuditPointRow> {
  const [row] = await selectPoint(db, { name });
  assert(row !== undefined, `the audit log has its ${name}`);
  return row;
}

export type AuditHead = Pick<AuditPointRow, "sequence" | "hash">;

interface OpenHead {
  /** As it is in the table. */
  readonly written: AuditHead;
  now: AuditHead;
}

/** Of connections whose transaction has several calls. */
const openHeads = new WeakMap<Database, OpenHead | "unread">();

/** From now on the head is written by `closeHead` alone, before the transaction is committed. */
export function openHead(db: Database): void {
  openHeads.set(db, "unread");
}

/** To be given to `resetHead` if the next call is rolled back. */
export function headBefore(db: Database): AuditHead | undefined {
  const open = openHeads.get(db);
  return open === undefined || open === "unread" ? undefined : open.now;
}

/** As it was before the call; without that it is read again. */
export function resetHead(db: Database, before: AuditHead | undefined): void {
  const open = openHeads.get(db);
  if (open === undefined || open === "unread") return;
  open.now = before ?? open.written;
}

/** Writes the head, if records were appended. */
export async function closeHead(db: Database): Promise<void> {
  const open = openHeads.get(db);
  openHeads.delete(db);
  if (open === undefined || open === "unread" || open.now === open.written) return;
  await updateHead(db, open.now);
}

/** The transaction is rolled back. */
export function forgetHead(db: Database): void {
  openHeads.delete(db);
}

/** The newest record, in the middle of a transaction too. */
export async function currentHead(db: Database): Promise<AuditHead> {
  const open = openHeads.get(db);
  if (open !== undefined && open !== "unread") return open.now;
  const { sequence, hash } = await auditPoint(db, "head");
  const written = { sequence, hash };
  if (open === "unread") openHeads.set(db, { written, now: written });
  return written;
}

async function moveHead(db: Database, head: AuditHead): Promise<void> {
  const open = openHeads.get(db);
  if (open === undefined || open === "unread") await updateHead(db, head);
  else open.now = head;
}

export async function appendAudit(
  db: Database,
  entries: readonly AuditEntry[],
): Promise<AuditHead> {
  let { sequence, hash } = await currentHead(db);
  for (const entry of entries) {
    assertInstant(entry.at);
    sequence += 1;
    const record = recordText(entry, sequence);
    hash = recordHash(hash, record);
    await insertRecord(db, { sequence, at: entry.at.getTime(), record, hash });
  }
  const head = { sequence, hash };
  if (entries.length > 0) await moveHead(db, head);
  return head;
}

/** Port: `appendRefusals`. */
export async function appendRefusals(db: Database, refusals: readonly Refusal[]): Promise<void> {
  await appendAudit(
    db,
    refusals.map(({ code, ...refusal }) => ({
      ...refusal,
      action: "request.refused",
      result: code,
    })),
  );
}
