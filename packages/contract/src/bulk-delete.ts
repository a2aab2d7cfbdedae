/** Bulk deletes: `POST /v1/bulk-deletes` and below. */

/**
 * `planned`: nothing is done. `confirmed`: by one of the two keys that its bucket asks for. `running`: objects go
 * into the trash. `stopped`, `done`; `undoing`: they come back. `undone`.
 */
export type BulkDeleteStateJson =
  | "planned"
  | "confirmed"
  | "running"
  | "stopped"
  | "done"
  | "undoing"
  | "undone";

export interface BulkDeleteJson {
  readonly id: string;
  readonly state: BulkDeleteStateJson;
  readonly bucket: string;
  readonly prefix: string;
  /** What is younger stays. */
  readonly plannedAt: string;
  /** Until then it can be confirmed. */
  readonly expiresAt: string;
  /** As planned. */
  readonly objects: number;
  readonly bytes: number;
  /** Hex; to be given back when it is confirmed. */
  readonly digest: string;
  /** Keys: the first, the last, and some between. */
  readonly samples: readonly string[];
  /** Ids of keys. */
  readonly plannedBy: string;
  readonly confirmedBy: readonly string[];
  readonly deleted: number;
  readonly deletedBytes: number;
  /** That stayed because they are retained or held. */
  readonly retained: number;
  readonly restored: number;
  /** That stayed in the trash because their keys had another object. */
  readonly skipped: number;
}

export interface BulkDeleteListJson {
  /** The latest first; 100 at most. */
  readonly bulkDeletes: readonly BulkDeleteJson[];
}
