/** Entries of the trash as rows, and back. */
import { strict as assert } from "node:assert";
import type { TrashRecord } from "../core/ports/metadata-store.ts";
import { rowToObject } from "./records.ts";
import type { TrashRow } from "./schema.ts";

export function rowToTrash(row: TrashRow): TrashRecord {
  const { reason } = row;
  assert(reason === "deleted" || reason === "replaced", `reason "${reason}"`);
  return {
    id: row.id,
    object: rowToObject({ ...row, legal_hold: null, restored_through: null }),
    deletedAt: new Date(row.deleted_at),
    purgeDueAt: new Date(row.purge_due_at),
    reason,
    deletedBy: row.deleted_by,
    jobId: row.job_id,
  };
}
