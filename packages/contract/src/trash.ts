/** What was deleted or replaced, and can be restored: `/v1/trash/{bucket}`. `docs/trash.md`. */
import type { ChecksumsJson } from "./rest.ts";

/** An object as it was. */
export interface TrashEntryJson {
  /** Names the entry for a restore or a purge; the greater of two was deleted later. */
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly version: string;
  readonly size: number;
  /** With its quotes. */
  readonly etag: string;
  readonly contentType: string;
  readonly createdAt: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly checksums: ChecksumsJson;
  readonly storage: string;
  readonly deletedAt: string;
  /** When it is purged, unless it is restored. */
  readonly purgeAt: string;
  /** `replaced`: by another write to its key, or by a restore. */
  readonly reason: "deleted" | "replaced";
  /** Who did it; `null` where nobody was told. */
  readonly deletedBy: unknown;
  /** The bulk delete that did it. */
  readonly job: string | null;
}

export interface TrashListJson {
  /** With a prefix in order of keys, otherwise those deleted last come first. */
  readonly entries: readonly TrashEntryJson[];
  /** Ask again with it for the next page; `null` on the last. */
  readonly cursor: string | null;
}

/** Either ids, or what must hold for an entry: then all members that are given. */
export interface TrashSelectionJson {
  /** At most 1,000. */
  readonly ids?: readonly string[];
  readonly prefix?: string;
  /** At this moment or later. */
  readonly deletedAfter?: string;
  /** Earlier than this. */
  readonly deletedBefore?: string;
  /** From an answer that was not the last: goes on there. */
  readonly cursor?: string;
}

/** `POST /v1/trash/{bucket}/restore`: without ids and filter all that is there. */
export interface RestoreTrashJson extends TrashSelectionJson {
  /** When the key has an object: leave it (default), or put it into the trash. */
  readonly ifExists?: "skip" | "replace";
}

export interface RestoreTrashResultJson {
  readonly restored: number;
  readonly bytes: number;
  /** Whose key has an object that stayed. */
  readonly skipped: number;
  /** Of ids that are not in the trash (any more). */
  readonly missing: number;
  /** Ask again with it, there is more to do; `null`: all is done. */
  readonly cursor: string | null;
}

/** `POST /v1/trash/{bucket}/purge`: without ids and filter it is refused unless `all` is true. */
export interface PurgeTrashJson extends TrashSelectionJson {
  readonly all?: boolean;
}

export interface PurgeTrashResultJson {
  readonly purged: number;
  readonly bytes: number;
  /** Under retention still. */
  readonly retained: number;
  readonly missing: number;
  readonly cursor: string | null;
}
