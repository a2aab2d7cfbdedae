/**
 * The sweeper: removes what no object needs any more. Three kinds of rubbish, each with the proof that
 * it is rubbish:
 *
 * - garbage: blobs whose last reference went, written down by the transaction that took it;
 * - left-overs: temporary files of writes that never ended, not of writes that run here;
 * - orphans: published blobs that no row knows, because a crash came before the commit.
 *
 * An orphan is looked for only among blobs made since this metadata store exists, and a sweep that
 * would remove more than a share of what it saw stops and reports: it is more likely that the
 * wrong store was opened than that so many uploads crashed.
 */
import { blobKeyFolder, blobKeyPrefix } from "../core/ids.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { GarbageRecord, MetadataStore } from "../core/ports/metadata-store.ts";
import type { Meter } from "../core/ports/meter.ts";
import type { StorageDriver } from "../core/ports/storage-driver.ts";
import type { Storages } from "../core/ports/storages.ts";

export interface SweeperOptions {
  readonly metadata: MetadataStore;
  readonly storages: Storages;
  /** Only blobs of this installation are ever looked at. */
  readonly installation: string;
  /** Whether a running upload is about to need the blob. */
  readonly isWriting: (blobKey: string) => boolean;
  /** When the oldest running upload began: its blob's key is as old as that. */
  readonly oldestRunningAt: () => Date | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly intervalMs: number;
  /** Left-overs and orphans younger than this are left alone while the server runs. */
  readonly ageMsMin: number;
  /** Orphans above this share of the blobs seen stop the sweep … */
  readonly orphanShareMax: number;
  /** … once there are more than these. */
  readonly orphansFree: number;
}

export interface SweepReport {
  readonly garbage: number;
  readonly leftOvers: number;
  readonly orphans: number;
  /** Storages whose orphans were left because there were too many. */
  readonly stopped: readonly string[];
}

/** More than these are not collected: the sweep goes on from there the next time. */
const orphansMax = 100_000;

const garbageBatch = 500;
const knownBatch = 500;
const deletesAtOnce = 8;

export class Sweeper implements AsyncDisposable {
  readonly #options: SweeperOptions;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** Every `intervalMs`, one sweep at a time. */
  start(): void {
    this.#timer = setTimeout(async () => {
      this.#running = this.sweep().catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#options.log.error({ err: error }, "sweep failed");
      });
      await this.#running;
      if (!this.#stop.signal.aborted) this.start();
    }, this.#options.intervalMs);
    this.#timer.unref();
  }

  /**
   * One round. `afterCrash` is for the start, before any upload runs: nothing that lies about can
   * belong to a running write, so no age is asked for.
   */
  async sweep(options: { readonly afterCrash?: boolean } = {}): Promise<SweepReport> {
    const { storages, clock, log, meter } = this.#options;
    const ageMs = options.afterCrash === true ? 0 : this.#options.ageMsMin;
    const before = new Date(clock.now().getTime() - ageMs);
    const garbage = await this.#sweepGarbage();
    let leftOvers = 0;
    let orphans = 0;
    const stopped: string[] = [];
    for (const id of storages.ids()) {
      try {
        const storage = storages.get(id);
        leftOvers += await this.#sweepLeftOvers(storage, before);
        const result = await this.#sweepOrphans(storage, before);
        if (result.stopped) stopped.push(id);
        orphans += result.removed;
      } catch (error) {
        if (this.#stop.signal.aborted) throw error;
        log.warn({ err: error, storageId: id }, "sweep of a storage failed; the others go on");
      }
    }
    const report = { garbage, leftOvers, orphans, stopped };
    meter.count("sweeper_removed_total", garbage, { kind: "garbage" });
    meter.count("sweeper_removed_total", leftOvers, { kind: "left_over" });
    meter.count("sweeper_removed_total", orphans, { kind: "orphan" });
    if (garbage + leftOvers + orphans > 0) log.info(report, "swept");
    return report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#stop.abort();
    await this.#running;
  }

  async #sweepGarbage(): Promise<number> {
    const { metadata, clock } = this.#options;
    let removed = 0;
    for (;;) {
      const due = await metadata.listGarbage({ dueBefore: clock.now(), limit: garbageBatch });
      const gone = await this.#deleteBlobs(due);
      await metadata.forgetGarbage(gone);
      removed += gone.length;
      // Blobs that could not be deleted stay listed; going on would find only them again.
      if (gone.length < garbageBatch) return removed;
    }
  }

  /** Answers those that are gone. A storage that does not answer keeps its garbage for later. */
  async #deleteBlobs(blobs: readonly GarbageRecord[]): Promise<readonly GarbageRecord[]> {
    const { storages, log } = this.#options;
    const gone: GarbageRecord[] = [];
    const queue = [...blobs];
    const work = async () => {
      for (;;) {
        const blob = queue.shift();
        if (blob === undefined) return;
        this.#stop.signal.throwIfAborted();
        try {
          await storages.get(blob.storageId).delete(blob.blobKey, { signal: this.#stop.signal });
          gone.push(blob);
        } catch (error) {
          log.warn({ err: error, storageId: blob.storageId }, "garbage was not removed");
        }
      }
    };
    await Promise.all(Array.from({ length: deletesAtOnce }, work));
    return gone;
  }

  async #sweepLeftOvers(storage: StorageDriver, before: Date): Promise<number> {
    const { signal } = this.#stop;
    let removed = 0;
    for await (const leftOver of storage.leftOvers?.list({ signal }) ?? []) {
      if (leftOver.modifiedAt > before) continue;
      await storage.leftOvers?.remove(leftOver.token, { signal });
      removed += 1;
    }
    return removed;
  }

  async #sweepOrphans(
    storage: StorageDriver,
    before: Date,
  ): Promise<{ readonly removed: number; readonly stopped: boolean }> {
    const { metadata, log, meter, orphanShareMax, orphansFree } = this.#options;
    const { installation, oldestRunningAt } = this.#options;
    const { signal } = this.#stop;
    const placeName = `sweeper.place.${storage.id}`;
    const place = await metadata.getSetting(placeName);
    const next = blobKeyFolder(installation, earlier(before, oldestRunningAt()));
    if (place === undefined || !place.startsWith(blobKeyPrefix(installation))) {
      // A new store: what the storage holds already was not put there by uploads it has seen.
      await metadata.putSetting(placeName, next);
      return { removed: 0, stopped: false };
    }
    const { seen, orphans } = await this.#findOrphans(storage, place, before);
    if (orphans.length > orphansFree && orphans.length > seen * orphanShareMax) {
      meter.count("sweeper_stopped_total", 1, { storage: storage.id });
      log.error(
        { storageId: storage.id, orphans: orphans.length, seen },
        "too many blobs are unknown to the metadata store: nothing was removed; " +
          "check that this is the store that belongs to this storage",
      );
      return { removed: 0, stopped: true };
    }
    for (const key of orphans) await storage.delete(key, { signal });
    if (next > place && orphans.length < orphansMax) await metadata.putSetting(placeName, next);
    return { removed: orphans.length, stopped: false };
  }

  async #findOrphans(storage: StorageDriver, place: string, before: Date) {
    const { metadata, isWriting, installation } = this.#options;
    const prefix = blobKeyPrefix(installation);
    const orphans: string[] = [];
    let seen = 0;
    let batch: string[] = [];
    const judge = async () => {
      // First "is it being written", then "is it known": a commit in between makes it known.
      const candidates = batch.filter((key) => !isWriting(key));
      const known = await metadata.knownBlobs(storage.id, candidates);
      orphans.push(...candidates.filter((key) => !known.has(key)));
      seen += batch.length;
      batch = [];
    };
    for await (const blob of storage.list(prefix, { signal: this.#stop.signal, after: place })) {
      if (blob.modifiedAt > before) continue;
      batch.push(blob.key);
      if (batch.length >= knownBatch) await judge();
      if (orphans.length >= orphansMax) break;
    }
    if (batch.length > 0) await judge();
    return { seen, orphans };
  }
}

function earlier(a: Date, b: Date | undefined): Date {
  return b !== undefined && b < a ? b : a;
}
