/**
 * What was deleted or replaced and can be restored, as the metadata store keeps it: an object's row as it was,
 * which keeps its reference on the blob. Part of every metadata store; each method is one transaction.
 */
import type { Authored } from "./author.ts";
import type { ObjectRecord } from "./object-records.ts";

/** `replaced`: by another write to its key, or by a restore. */
export type TrashReason = "deleted" | "replaced";

export interface TrashRecord {
  /** Given by the store, in order, each once: of two the greater was deleted later. */
  readonly id: number;
  readonly object: ObjectRecord;
  /** Of the system's clock. */
  readonly deletedAt: Date;
  /** Of the steady clock (`core/resumable/steady-clock.ts`). */
  readonly purgeDueAt: Date;
  readonly reason: TrashReason;
  /** The author of it as JSON; null: nobody was told. */
  readonly deletedBy: string | null;
  /** The bulk delete that deleted it. */
  readonly jobId: string | null;
}

/** Of one bucket, which may be gone: what all of these hold for. */
export interface TrashFilter {
  readonly bucket: string;
  readonly prefix: string;
  /** At this moment or later. */
  readonly deletedAfter?: Date;
  /** Earlier than this. */
  readonly deletedBefore?: Date;
  readonly jobId?: string;
}

/** An entry behind which a list, a restore or a purge goes on. */
export interface TrashPosition {
  readonly id: number;
  readonly key: string;
  readonly deletedAt: Date;
}

/** Entries that fit the filter: with a prefix in order of keys, otherwise those deleted last come first. */
export type TrashQuery = TrashFilter & {
  readonly after?: TrashPosition;
  readonly limit: number;
};

/** Entries by their ids, or a page of a filter. */
export type TrashSelection =
  | { readonly bucket: string; readonly ids: readonly number[] }
  | TrashQuery;

export interface TrashPage {
  readonly entries: readonly TrashRecord[];
  /** Give it as `after` for the next page; absent on the last. */
  readonly next?: TrashPosition;
}

export interface RestoreResult {
  /** What there is again. */
  readonly restored: readonly ObjectRecord[];
  /** Whose key has an object, which stayed; of a filter also because that object is retained. */
  readonly skipped: readonly ObjectRecord[];
  /** Of ids that are not in the bucket's trash (any more). */
  readonly missing: number;
  readonly next?: TrashPosition;
}

export interface PurgeResult {
  readonly purged: readonly ObjectRecord[];
  /** Those that are retained still. */
  readonly retained: readonly ObjectRecord[];
  readonly missing: number;
  readonly next?: TrashPosition;
}

export interface TrashStore {
  listTrash(query: TrashQuery): Promise<TrashPage>;
  /** Those of these ids that are in the bucket's trash, in order of ids. */
  getTrash(bucket: string, ids: readonly number[]): Promise<readonly TrashRecord[]>;
  /**
   * Makes objects of entries again, as they were: version, etag, instants, metadata. Of several entries of one
   * key that fit a filter the one deleted last counts, and none that is older than a restored object: so the
   * same restore again changes nothing. Where the key has an object: `skip` leaves it, `replace` puts it into
   * the trash. `bucket_not_found`; `quota_exceeded`; `object_retained` if an id would replace such an object.
   */
  restoreTrash(
    selection: TrashSelection,
    options: Authored & {
      readonly ifExists: "skip" | "replace";
      readonly now: Date;
      readonly garbageDueAt: Date;
    },
  ): Promise<RestoreResult>;
  /** Gives up the references of entries, for good; those that are retained stay. */
  purgeTrash(
    selection: TrashSelection,
    options: Authored & { readonly now: Date; readonly garbageDueAt: Date },
  ): Promise<PurgeResult>;
  /** Of all buckets those that are due, the longest first; answers how many. `dueBefore` is steady. */
  purgeTrashDue(
    options: Authored & {
      readonly dueBefore: Date;
      readonly garbageDueAt: Date;
      readonly limit: number;
    },
  ): Promise<number>;
}
