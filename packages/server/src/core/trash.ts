/**
 * The trash of buckets: what was deleted or replaced, to be listed, restored and purged. Its entries are rows that
 * keep their references on blobs, so a restore changes rows and copies no byte.
 *
 * A restore or a purge of very many entries goes through pages, each a transaction. After a while it answers with
 * where it is, to be asked to go on. Nothing is lost when it is cut in between: asked again from the beginning,
 * what was done stays done.
 */
import { type Actor, authorize } from "./access.ts";
import { authorOf } from "./author.ts";
import type { Buckets } from "./buckets.ts";
import type { KeyPrefix } from "./object-key.ts";
import type { Clock } from "./ports/clock.ts";
import type {
  Authored,
  MetadataStore,
  ObjectRecord,
  PurgeResult,
  RestoreResult,
  TrashFilter,
  TrashPosition,
  TrashRecord,
  TrashSelection,
} from "./ports/metadata-store.ts";

/** An entry, with the end of its time as the system's clock would say it now. */
export interface TrashEntry extends TrashRecord {
  readonly purgeAt: Date;
}

/** Entries by id, or those that fit a filter from a position on. */
export type TrashWish =
  | { readonly ids: readonly number[] }
  | (Omit<TrashFilter, "bucket" | "prefix" | "jobId"> & {
      readonly prefix: KeyPrefix;
      readonly after?: TrashPosition;
    });

export interface RestoreOutcome extends Counted {
  /** Whose key has an object that stayed. */
  readonly skipped: number;
}

export interface PurgeOutcome extends Counted {
  readonly retained: number;
}

interface Counted {
  /** Restored, or purged. */
  readonly objects: number;
  readonly bytes: number;
  /** Of ids that are not in the bucket's trash. */
  readonly missing: number;
  /** Where to go on; absent: all is done. */
  readonly next?: TrashPosition;
}

export interface TrashOptions {
  readonly metadata: MetadataStore;
  readonly buckets: Buckets;
  readonly clock: Clock;
  readonly steady: { toWall(steady: Date): Date };
  /** For the blobs of what is purged, and of what a restore replaces where there is no trash. */
  readonly blobGraceMs: number;
  /** After so long a restore or purge answers with where it is; by default 10 s. */
  readonly workMsMax?: number;
}

/** Of one transaction, which others wait for. */
const pageLimit = 500;

export class Trash {
  readonly #options: TrashOptions;

  constructor(options: TrashOptions) {
    this.#options = options;
  }

  /** With a prefix in order of keys, otherwise the latest first. Its bucket may be gone. */
  async list(
    actor: Actor,
    query: Omit<TrashFilter, "prefix" | "jobId"> & {
      readonly prefix: KeyPrefix;
      readonly after?: TrashPosition;
      readonly limit: number;
    },
  ): Promise<{ readonly entries: readonly TrashEntry[]; readonly next?: TrashPosition }> {
    authorize(actor, "trash:read", { bucket: query.bucket, prefix: query.prefix });
    const { metadata, steady } = this.#options;
    const { entries, next } = await metadata.listTrash(query);
    const shown = entries.map((entry) => ({ ...entry, purgeAt: steady.toWall(entry.purgeDueAt) }));
    return { entries: shown, ...(next && { next }) };
  }

  /**
   * Makes objects again. Of several entries of one key that fit a filter the one deleted last counts. Where the key
   * has an object: `skip` leaves it, `replace` puts it into the trash. `bucket_not_found`, `quota_exceeded`;
   * `object_retained` for an id whose key has such an object.
   */
  async restore(
    actor: Actor,
    bucket: string,
    wish: TrashWish,
    { ifExists, signal }: { readonly ifExists: "skip" | "replace"; readonly signal: AbortSignal },
  ): Promise<RestoreOutcome> {
    await this.#authorize(actor, "trash:restore", { bucket, wish });
    await this.#options.buckets.require(bucket);
    const { metadata } = this.#options;
    let skipped = 0;
    const counted = await this.#pages({ bucket, wish, signal }, async (selection) => {
      const result: RestoreResult = await metadata.restoreTrash(selection, {
        ifExists,
        ...this.#now(actor),
      });
      skipped += result.skipped.length;
      return { ...result, done: result.restored };
    });
    return { ...counted, skipped };
  }

  /** Gives entries up for good, before their time. Those that are retained stay. */
  async purge(
    actor: Actor,
    bucket: string,
    wish: TrashWish,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<PurgeOutcome> {
    await this.#authorize(actor, "trash:purge", { bucket, wish });
    const { metadata } = this.#options;
    let retained = 0;
    const counted = await this.#pages({ bucket, wish, signal }, async (selection) => {
      const result: PurgeResult = await metadata.purgeTrash(selection, this.#now(actor));
      retained += result.retained.length;
      return { ...result, done: result.purged };
    });
    return { ...counted, retained };
  }

  async #pages(
    work: { readonly bucket: string; readonly wish: TrashWish; readonly signal: AbortSignal },
    change: (selection: TrashSelection) => Promise<{
      readonly done: readonly ObjectRecord[];
      readonly missing: number;
      readonly next?: TrashPosition;
    }>,
  ): Promise<Counted> {
    const { bucket, wish, signal } = work;
    const { clock, workMsMax = 10_000 } = this.#options;
    const startedAt = clock.monotonicMs();
    const total = { objects: 0, bytes: 0, missing: 0 };
    let selection: TrashSelection =
      "ids" in wish ? { bucket, ids: wish.ids } : { bucket, ...wish, limit: pageLimit };
    for (;;) {
      signal.throwIfAborted();
      const { done, missing, next } = await change(selection);
      total.objects += done.length;
      total.bytes += done.reduce((sum, { length }) => sum + length, 0);
      total.missing += missing;
      if (next === undefined || "ids" in selection) return total;
      if (clock.monotonicMs() - startedAt >= workMsMax) return { ...total, next };
      selection = { ...selection, after: next };
    }
  }

  /** A filter by its prefix; ids by the keys that they stand for. */
  async #authorize(
    actor: Actor,
    action: "trash:restore" | "trash:purge",
    { bucket, wish }: { readonly bucket: string; readonly wish: TrashWish },
  ): Promise<void> {
    if (!("ids" in wish)) return authorize(actor, action, { bucket, prefix: wish.prefix });
    const entries = await this.#options.metadata.getTrash(bucket, wish.ids);
    // Who may do it nowhere in the bucket does not learn which ids are there.
    if (entries.length === 0) authorize(actor, action, { bucket, prefix: "" });
    for (const { object } of entries) authorize(actor, action, { bucket, key: object.key });
  }

  #now(actor: Actor): Authored & { readonly now: Date; readonly garbageDueAt: Date } {
    const now = this.#options.clock.now();
    return {
      author: authorOf(actor),
      now,
      garbageDueAt: new Date(now.getTime() + this.#options.blobGraceMs),
    };
  }
}
