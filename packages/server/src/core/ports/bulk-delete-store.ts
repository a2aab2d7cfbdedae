/** Bulk deletes as the metadata store keeps them: part of every metadata store; each method is one transaction. */
import type { Authored } from "./author.ts";

/**
 * `planned`: counted, nothing is done. `confirmed`: by one of the two keys that its bucket asks for. `running`:
 * pages of objects go into the trash. `stopped`: somebody said so, or the plan expired unconfirmed. `done`.
 * `undoing`: pages come back. `undone`.
 */
export type BulkDeleteState =
  | "planned"
  | "confirmed"
  | "running"
  | "stopped"
  | "done"
  | "undoing"
  | "undone";

export interface BulkDeleteRecord {
  /** In order of time. */
  readonly id: string;
  readonly state: BulkDeleteState;
  /** 1 at first, one more with each change. */
  readonly revision: number;
  readonly bucket: string;
  readonly prefix: string;
  /** Objects that are younger are not meant: what comes after the plan stays. */
  readonly plannedAt: string;
  /** Until then it can be confirmed. */
  readonly expiresAt: string;
  readonly objects: number;
  readonly bytes: number;
  /** Hex, SHA-256 over key and version of each object, in order. */
  readonly digest: string;
  readonly samples: readonly string[];
  readonly plannedBy: string;
  readonly confirmedBy: readonly string[];
  /** The key after which the next page begins. */
  readonly after: string | null;
  readonly deleted: number;
  readonly deletedBytes: number;
  /** That stayed because they are retained. */
  readonly retained: number;
  /** The entry of the trash after which the next page is restored. */
  readonly undoneThrough: number;
  readonly restored: number;
  /** Whose keys had another object by then. */
  readonly skipped: number;
}

/** How a page is done. */
export interface BulkDeleteStep extends Authored {
  readonly now: Date;
  readonly garbageDueAt: Date;
  /** Objects that are looked at. */
  readonly limit: number;
  /** Of all bulk deletes of this server, in any hour. */
  readonly perHour: number;
  /** Of a bucket without a trash. */
  readonly trashMsDefault: number;
}

export interface BulkDeleteProgress {
  readonly record: BulkDeleteRecord;
  /** Objects that changed. */
  readonly changed: number;
  /** The hour's objects are used up: nothing more goes now. */
  readonly isCapped: boolean;
}

export interface BulkDeleteStore {
  /** At revision 1 a new one; later the revision before its own is replaced, or `precondition_failed`. */
  putBulkDelete(record: BulkDeleteRecord, options: Authored): Promise<void>;
  getBulkDelete(id: string): Promise<BulkDeleteRecord | undefined>;
  /** The latest first. */
  listBulkDeletes(options: { readonly limit: number }): Promise<readonly BulkDeleteRecord[]>;
  /**
   * One page of one that is `running` or `undoing`, with its record in the same transaction: a page that was
   * not acknowledged did not happen, and none happens twice. `undefined` if it is neither.
   */
  advanceBulkDelete(id: string, step: BulkDeleteStep): Promise<BulkDeleteProgress | undefined>;
}
