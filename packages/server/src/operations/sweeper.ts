/**
 * The sweeper: removes what no object needs any more. Five kinds of rubbish, each with the proof that
 * it is rubbish:
 *
 * - trash: deleted and replaced objects whose time there is over, by the clock that no change of the system's
 *   time moves;
 * - garbage: blobs whose last reference went, written down by the transaction that took it;
 * - left-overs: temporary files of writes that never ended, not of writes that run in any worker;
 * - orphans: published blobs that no row knows, because a crash came before the commit;
 * - pending uploads: begun at a storage under a blob's key, owned by nobody here, because the answer that
 *   named them was lost. Only those are cancelled that both clocks call old: the storage's, by the time
 *   that it lists, and ours, by the minute in the key.
 *
 * An orphan is looked for only among blobs made since this metadata store exists, and a sweep that
 * would remove more than a share of what it saw stops and reports: it is more likely that the
 * wrong store was opened than that so many uploads crashed.
 */
import type { BlobsInUse } from "../core/blobs-in-use.ts";
import { blobKeyFolder, blobKeyPrefix } from "../core/ids.ts";
import { type Alerts, silentAlerts } from "../core/ports/alerts.ts";
import { serverAuthor } from "../core/ports/author.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { GarbageRecord, MetadataStore } from "../core/ports/metadata-store.ts";
import type { Meter } from "../core/ports/meter.ts";
import {
  deleteManyMax,
  type StorageDriver,
  type UploadAddress,
} from "../core/ports/storage-driver.ts";
import type { Storages } from "../core/ports/storages.ts";

export interface SweeperOptions {
  readonly metadata: MetadataStore;
  readonly storages: Storages;
  /** Only blobs of this installation are ever looked at. */
  readonly installation: string;
  /** What requests have in hand, in all workers. */
  readonly inUse: Pick<BlobsInUse, "written" | "read" | "leftOvers" | "oldestRunningAt">;
  /** Which of these blobs, or of the storage's uploads to their keys, an upload that rests still needs. */
  readonly ownedKeys: (
    storageId: string,
    blobKeys: readonly string[],
  ) => Promise<ReadonlySet<string>>;
  readonly clock: Clock;
  /** Of the steady clock: by which trash is due. */
  readonly steadyNow: () => Date;
  readonly log: Log;
  readonly meter: Meter;
  readonly alerts?: Alerts;
  readonly intervalMs: number;
  /** Left-overs and orphans younger than this are left alone while the server runs. */
  readonly ageMsMin: number;
  /** Pending uploads younger than this are left alone, at the start too; by default a day. */
  readonly pendingAgeMsMin?: number;
  /** Between two looks for them at one storage, which may have very many; by default an hour. */
  readonly pendingIntervalMs?: number;
  /** Orphans above this share of the blobs seen stop the sweep … */
  readonly orphanShareMax: number;
  /** … once there are more than these. */
  readonly orphansFree: number;
}

export interface SweepReport {
  readonly trash: number;
  readonly garbage: number;
  readonly leftOvers: number;
  readonly orphans: number;
  readonly pendingUploads: number;
  /** Storages whose orphans were left because there were too many. */
  readonly stopped: readonly string[];
}

/** More than these are not collected: the sweep goes on from there the next time. */
const orphansMax = 100_000;

const garbageBatch = 500;
/** Of one transaction, which others wait for. */
const trashBatch = 500;
const knownBatch = 500;
const deletesAtOnce = 8;
/** Of one transaction, which others wait for. */
const piecesPerWrite = 1_000;
const hourMs = 60 * 60 * 1000;

export class Sweeper implements AsyncDisposable {
  readonly #options: SweeperOptions;
  readonly #stop = new AbortController();
  /** By storage, of the clock that never goes back. */
  readonly #pendingAskedAt = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** Every `intervalMs`, one sweep at a time. */
  start(): void {
    this.#wait(this.#options.intervalMs);
  }

  /** The next sweep comes now, if one is being waited for. */
  soon(): void {
    if (this.#timer === undefined || this.#stop.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#wait(0);
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(async () => {
      this.#timer = undefined;
      this.#running = this.sweep().catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#options.log.error({ err: error }, "sweep failed");
      });
      await this.#running;
      if (!this.#stop.signal.aborted) this.start();
    }, ms);
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
    const trash = await this.#purgeTrash();
    const garbage = await this.#sweepGarbage();
    let leftOvers = 0;
    let orphans = 0;
    let pendingUploads = 0;
    const stopped: string[] = [];
    for (const id of storages.ids()) {
      try {
        const storage = storages.get(id);
        leftOvers += await this.#sweepLeftOvers(storage, before);
        const result = await this.#sweepOrphans(storage, before, options);
        if (result.stopped) stopped.push(id);
        orphans += result.removed;
        // They are a day old at least: nothing at the start waits for them.
        if (options.afterCrash !== true) pendingUploads += await this.#sweepPending(storage);
      } catch (error) {
        if (this.#stop.signal.aborted) throw error;
        log.warn({ err: error, storageId: id }, "sweep of a storage failed; the others go on");
      }
    }
    const report = { trash, garbage, leftOvers, orphans, pendingUploads, stopped };
    meter.count("sweeper_removed_total", trash, { kind: "trash" });
    meter.count("sweeper_removed_total", garbage, { kind: "garbage" });
    meter.count("sweeper_removed_total", leftOvers, { kind: "left_over" });
    meter.count("sweeper_removed_total", orphans, { kind: "orphan" });
    meter.count("sweeper_removed_total", pendingUploads, { kind: "pending_upload" });
    if (trash + garbage + leftOvers + orphans + pendingUploads > 0) log.info(report, "swept");
    return report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#stop.abort();
    await this.#running;
  }

  /** Nobody reads what is in the trash, so its bytes go in the same round. */
  async #purgeTrash(): Promise<number> {
    const { metadata, clock, steadyNow } = this.#options;
    let purged = 0;
    for (;;) {
      this.#stop.signal.throwIfAborted();
      const due = {
        author: serverAuthor("sweeper"),
        dueBefore: steadyNow(),
        garbageDueAt: clock.now(),
        limit: trashBatch,
      };
      const count = await metadata.purgeTrashDue(due);
      purged += count;
      if (count < trashBatch) return purged;
    }
  }

  async #sweepGarbage(): Promise<number> {
    const { metadata, clock } = this.#options;
    let removed = 0;
    for (;;) {
      const due = await metadata.listGarbage({ dueBefore: clock.now(), limit: garbageBatch });
      const inPieces = await this.#unread(due.filter((blob) => blob.inPieces));
      for (const blob of inPieces) await this.#releasePieces(blob);
      const gone = await this.#deleteBlobs(due.filter((blob) => !blob.inPieces));
      await metadata.forgetGarbage(gone);
      removed += gone.length;
      // Blobs that could not be deleted stay listed; going on would find only them again.
      if (inPieces.length === 0 && gone.length < garbageBatch) return removed;
    }
  }

  /** While one worker does not say what it reads, none of them. */
  async #unread(blobs: readonly GarbageRecord[]): Promise<readonly GarbageRecord[]> {
    const { inUse, log } = this.#options;
    try {
      const read = await inUse.read(blobs.map(({ blobKey }) => blobKey));
      return blobs.filter(({ blobKey }) => !read.has(blobKey));
    } catch (error) {
      log.warn({ err: error, count: blobs.length }, "blobs in pieces were not removed");
      return [];
    }
  }

  /** Nobody can read it any more, so its pieces are due as well; they are listed next. */
  async #releasePieces(blob: GarbageRecord): Promise<void> {
    const { metadata, clock } = this.#options;
    const options = { garbageDueAt: clock.now(), limit: piecesPerWrite };
    for (;;) {
      this.#stop.signal.throwIfAborted();
      if ((await metadata.releasePieces(blob, options)) < piecesPerWrite) return;
    }
  }

  /** Answers those that are gone. A storage that does not answer keeps its garbage for later. */
  async #deleteBlobs(blobs: readonly GarbageRecord[]): Promise<readonly GarbageRecord[]> {
    const byStorage = Map.groupBy(blobs, ({ storageId }) => storageId);
    // Side by side: one that hangs holds up none of the others.
    const gone = await Promise.all(
      [...byStorage].map(([storageId, ofStorage]) => this.#deleteGarbage(storageId, ofStorage)),
    );
    this.#stop.signal.throwIfAborted();
    return gone.flat();
  }

  async #deleteGarbage(
    storageId: string,
    blobs: readonly GarbageRecord[],
  ): Promise<readonly GarbageRecord[]> {
    const { storages, log } = this.#options;
    const warn = (error: unknown, count: number): void =>
      log.warn({ err: error, storageId, count }, "garbage was not removed");
    try {
      const storage = storages.get(storageId);
      const failed = await this.#deleteKeys(
        storage,
        blobs.map(({ blobKey }) => blobKey),
      );
      const [failure] = failed.values();
      if (failure !== undefined) warn(failure.error, failed.size);
      return blobs.filter(({ blobKey }) => !failed.has(blobKey));
    } catch (error) {
      warn(error, blobs.length);
      return [];
    }
  }

  /** In as few calls as the storage allows; answers what was not deleted, and why. */
  async #deleteKeys(
    storage: StorageDriver,
    keys: readonly string[],
  ): Promise<ReadonlyMap<string, { readonly error: unknown }>> {
    const { signal } = this.#stop;
    const failed = new Map<string, { readonly error: unknown }>();
    const { deleteMany } = storage;
    const callMax = deleteMany === undefined ? 1 : deleteManyMax;
    const calls = Array.from({ length: Math.ceil(keys.length / callMax) }, (_, index) =>
      keys.slice(index * callMax, (index + 1) * callMax),
    ).values();
    const work = async () => {
      // One iterator for all: each takes the next call.
      for (const some of calls) {
        signal.throwIfAborted();
        try {
          if (deleteMany === undefined) await storage.delete(some[0] ?? "", { signal });
          else
            for (const { key, error } of await deleteMany(some, { signal }))
              failed.set(key, { error });
        } catch (error) {
          for (const key of some) failed.set(key, { error });
        }
      }
    };
    await Promise.all(Array.from({ length: deletesAtOnce }, work));
    return failed;
  }

  async #sweepLeftOvers(storage: StorageDriver, before: Date): Promise<number> {
    const { inUse } = this.#options;
    const { signal } = this.#stop;
    let removed = 0;
    let batch: string[] = [];
    const remove = async () => {
      const running = await inUse.leftOvers(storage.id, batch);
      for (const token of batch) {
        if (running.has(token)) continue;
        await storage.leftOvers?.remove(token, { signal });
        removed += 1;
      }
      batch = [];
    };
    for await (const leftOver of storage.leftOvers?.list({ signal }) ?? []) {
      if (leftOver.modifiedAt > before) continue;
      batch.push(leftOver.token);
      if (batch.length >= knownBatch) await remove();
    }
    await remove();
    return removed;
  }

  async #sweepOrphans(
    storage: StorageDriver,
    before: Date,
    { afterCrash = false }: { readonly afterCrash?: boolean },
  ): Promise<{ readonly removed: number; readonly stopped: boolean }> {
    const { metadata, log, meter, orphanShareMax, orphansFree } = this.#options;
    const { installation, inUse, alerts = silentAlerts } = this.#options;
    const placeName = `sweeper.place.${storage.id}`;
    const place = await metadata.getSetting(placeName);
    const next = blobKeyFolder(installation, earlier(before, await inUse.oldestRunningAt()));
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
      alerts.raise(
        "sweeper_stopped",
        { storage: storage.id, orphans: orphans.length, seen },
        `${orphans.length} of ${seen} blobs of storage ${storage.id} are unknown to the metadata store: nothing is removed`,
      );
      return { removed: 0, stopped: true };
    }
    alerts.clear("sweeper_stopped", { storage: storage.id });
    const [failure] = (await this.#deleteKeys(storage, orphans)).values();
    // The place stays: what is left is found again from there.
    if (failure !== undefined) throw failure.error;
    // Nor does it move at the start: a storage may still publish what a dead process had sent to it.
    const isPassed = !afterCrash && next > place && orphans.length < orphansMax;
    if (isPassed) await metadata.putSetting(placeName, next);
    return { removed: orphans.length, stopped: false };
  }

  async #findOrphans(storage: StorageDriver, place: string, before: Date) {
    const { metadata, inUse, ownedKeys, installation } = this.#options;
    const prefix = blobKeyPrefix(installation);
    const orphans: string[] = [];
    let seen = 0;
    let batch: string[] = [];
    const judge = async () => {
      // First "does an upload need it", then "is it known": a commit in between makes it known.
      const written = await inUse.written(batch);
      const unwritten = batch.filter((key) => !written.has(key));
      const owned = await ownedKeys(storage.id, unwritten);
      const candidates = unwritten.filter((key) => !owned.has(key));
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

  #isPendingDue(storageId: string): boolean {
    const { clock, pendingIntervalMs = hourMs } = this.#options;
    const now = clock.monotonicMs();
    const askedAt = this.#pendingAskedAt.get(storageId) ?? Number.NEGATIVE_INFINITY;
    if (now - askedAt < pendingIntervalMs) return false;
    this.#pendingAskedAt.set(storageId, now);
    return true;
  }

  async #sweepPending(storage: StorageDriver): Promise<number> {
    const { parts } = storage;
    if (parts === undefined || !this.#isPendingDue(storage.id)) return 0;
    const { clock, installation, inUse, ownedKeys } = this.#options;
    const { pendingAgeMsMin = 24 * hourMs } = this.#options;
    const { signal } = this.#stop;
    const before = new Date(clock.now().getTime() - pendingAgeMsMin);
    const firstYoung = blobKeyFolder(installation, before);
    let removed = 0;
    let batch: UploadAddress[] = [];
    const cancel = async () => {
      const written = await inUse.written(batch.map(({ key }) => key));
      const candidates = batch.filter(({ key }) => !written.has(key));
      const keys = candidates.map(({ key }) => key);
      const owned = await ownedKeys(storage.id, keys);
      for (const { key, token } of candidates) {
        if (owned.has(key)) continue;
        await parts.cancel({ key, token }, { signal });
        removed += 1;
      }
      batch = [];
    };
    for await (const upload of parts.listPending(blobKeyPrefix(installation), { signal })) {
      if (upload.createdAt > before || upload.key >= firstYoung) continue;
      batch.push(upload);
      if (batch.length >= knownBatch) await cancel();
    }
    if (batch.length > 0) await cancel();
    return removed;
  }
}

function earlier(a: Date, b: Date | undefined): Date {
  return b !== undefined && b < a ? b : a;
}
