/**
 * Watches the file systems that the server writes to: of the metadata store, of the log's file, of each storage that is
 * a folder. Each has a soft watermark, above which it is told of and what is due is swept, and a hard one, above which
 * nothing new is begun on it until there is room again. Reads, deletes and what was begun go on.
 *
 * Whoever is about to refuse looks again first, so that nobody is refused for what was so a moment ago.
 */
import { isOperationalError, OperationalError } from "../core/errors.ts";
import { type Alerts, silentAlerts } from "../core/ports/alerts.ts";
import type { Log } from "../core/ports/log.ts";
import type { Meter } from "../core/ports/meter.ts";
import type { MetadataRoom } from "../core/ports/room.ts";
import type { DeclaredWrite, StorageRoom } from "../core/ports/storages.ts";
import type { Ballast } from "./ballast.ts";
import type { DiskConfig } from "./config.ts";
import { DiskPlace } from "./disk-place.ts";
import { DiskRoom } from "./disk-room.ts";
import {
  bytesWatermark,
  type DiskSample,
  type DiskState,
  type DiskVerdict,
  diskStateNumbers,
  judge,
} from "./disk-state.ts";
import { SampledGauges } from "./sampled-gauges.ts";

export interface WatchedFolder {
  /** As metrics, alerts and the log call it: `metadata`, `log`, `storage:ID`. */
  readonly mount: string;
  readonly path: string;
}

export interface DiskGuardOptions {
  readonly config: DiskConfig;
  /** Asked at each look, since storages come and go. The one of the metadata is always there. */
  readonly folders: () => readonly WatchedFolder[];
  /** Sweeps what is due; asked while a file system is low, once a minute at most. */
  readonly sweep: () => void;
  /** On the file system of the metadata. */
  readonly ballast: Ballast;
  readonly log: Log;
  readonly meter: Meter;
  readonly alerts?: Alerts | undefined;
}

export const metadataMount = "metadata";
export const logMount = "log";

export function storageMount(id: string): string {
  return `storage:${id}`;
}

/** A look that takes longer is not waited for. */
const lookMsMax = 1_000;
/** When a request is about to be refused. */
const askMsMax = 200;
/** A look that hangs for so long is told of. */
const hangsMs = 3_000;
const sweepAgainMs = 60_000;

interface Watched extends WatchedFolder {
  readonly place: DiskPlace;
  verdict: DiskVerdict;
  sample: DiskSample | undefined;
  hangs: boolean;
}

export class DiskGuard implements StorageRoom, MetadataRoom, AsyncDisposable {
  readonly #options: DiskGuardOptions;
  readonly #gauges: SampledGauges;
  readonly #alerts: Alerts;
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #looking: Promise<void> | undefined;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(options: DiskGuardOptions) {
    this.#options = options;
    this.#gauges = new SampledGauges(options.meter);
    this.#alerts = options.alerts ?? silentAlerts;
  }

  /** Looks now, and from now on by itself. */
  async start(): Promise<void> {
    await this.look();
    this.#schedule();
  }

  /** At all of them, side by side; waits for none longer than a bound. */
  look(): Promise<void> {
    this.#looking ??= this.#lookAtAll().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Something was refused for want of room: the next look comes now. */
  noteRefusal(error: unknown): void {
    if (!this.#isStopped && isOperationalError(error, "storage_full")) void this.look();
  }

  /** Whether the storage takes no new bytes, as of the last look. */
  isClosed(storageId: string): boolean {
    return [metadataMount, storageMount(storageId)].some((mount) => isClosed(this.#stateOf(mount)));
  }

  /** Whether there is room above the hard watermark for so many more bytes, as of the last look. */
  fits(storageId: string, bytes = 0): boolean {
    return bytes <= this.#roomFor(storageMount(storageId));
  }

  /**
   * Counts what is declared against the room of the storage's file system until it is disposed, in this worker.
   * `undefined` for a storage without a disk here. `storage_full` when it does not fit, as of the last look.
   */
  reserve(storageId: string, write: DeclaredWrite): Disposable | undefined {
    const mount = storageMount(storageId);
    if (!this.fits(storageId, write.bytes)) throw this.#tooMuch(mount, write.bytes);
    return this.#watched.get(mount)?.place.room?.reserve(write);
  }

  async assertRoom(ids?: readonly string[], bytes = 0): Promise<void> {
    if (ids === undefined || isClosed(this.#stateOf(metadataMount))) {
      await this.#assertMount(metadataMount);
      if (ids === undefined) return;
    }
    const mounts = ids.map(storageMount);
    if (mounts.some((mount) => this.#takes(mount, bytes))) return;
    let refusal: unknown;
    for (const mount of mounts) {
      try {
        await this.#assertMount(mount, bytes);
        return;
      } catch (error) {
        refusal ??= error;
      }
    }
    throw refusal;
  }

  async makeRoom(): Promise<boolean> {
    const made = await this.#options.ballast.release();
    await this.look();
    return made;
  }

  /** The refusal of a storage that takes no bytes; `undefined` while it does. As of the last look. */
  refusalOf(storageId: string): OperationalError | undefined {
    const mount = [metadataMount, storageMount(storageId)].find((one) =>
      isClosed(this.#stateOf(one)),
    );
    return mount === undefined ? undefined : refusal(mount, this.#stateOf(mount));
  }

  /** One for each file system that is watched, for `/readyz`: none is essential, since reads go on. */
  checks(): readonly {
    readonly name: string;
    readonly essential: false;
    check(): Promise<void>;
  }[] {
    return [...this.#watched.values()].map((watched) => ({
      name: `disk ${watched.mount}`,
      essential: false as const,
      check: async () => {
        if (watched.hangs) throw new OperationalError("unavailable", "it does not answer");
        const { state } = watched.verdict;
        if (isClosed(state)) throw refusal(watched.mount, state);
      },
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
    await this.#options.ballast[Symbol.asyncDispose]();
  }

  #schedule(): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(async () => {
      await this.look().catch((error: unknown) => {
        this.#options.log.error({ err: error }, "looking at the disks failed");
      });
      this.#keepBallast();
      this.#schedule();
    }, this.#options.config.interval);
    this.#timer.unref();
  }

  #stateOf(mount: string): DiskState {
    return this.#watched.get(mount)?.verdict.state ?? "ok";
  }

  #takes(mount: string, bytes: number): boolean {
    return !isClosed(this.#stateOf(mount)) && bytes <= this.#roomFor(mount);
  }

  async #assertMount(mount: string, bytes = 0): Promise<void> {
    const watched = this.#watched.get(mount);
    if (watched === undefined || this.#takes(mount, bytes)) return;
    await this.#lookAt(watched, askMsMax);
    const { state } = watched.verdict;
    if (isClosed(state)) throw refusal(mount, state);
    if (!this.#takes(mount, bytes)) throw this.#tooMuch(mount, bytes);
  }

  /** Bytes above the hard watermark that nobody has declared yet; any number where nothing is known. */
  #roomFor(mount: string): number {
    const { place, sample } = this.#watched.get(mount) ?? {};
    if (place?.room === undefined || sample === undefined || sample.bytes === 0) {
      return Number.POSITIVE_INFINITY;
    }
    const metadata = this.#watched.get(metadataMount)?.place.room;
    const owed = place.room === metadata ? this.#options.ballast.owedBytes : 0;
    const kept = bytesWatermark(sample.bytes, this.#options.config, "hard");
    return Math.max(0, Math.floor(place.room.freeBytes - owed - kept));
  }

  #roomOn(device: number): DiskRoom {
    const rooms = [...this.#watched.values()].map(({ place }) => place.room);
    return rooms.find((room) => room?.device === device) ?? new DiskRoom(device);
  }

  #tooMuch(mount: string, bytes: number): OperationalError {
    const roomBytes = this.#roomFor(mount);
    const message = `${bytes} bytes were declared, and ${diskOf(mount)} has room for ${roomBytes}`;
    return new OperationalError("storage_full", message, {
      context: { ...contextOf(mount), bytes, roomBytes },
    });
  }

  async #lookAtAll(): Promise<void> {
    const folders = this.#options.folders();
    const mounts = new Set(folders.map(({ mount }) => mount));
    for (const watched of this.#watched.values()) {
      if (!mounts.has(watched.mount)) this.#forget(watched);
    }
    await Promise.all(
      folders.map(async (folder) => {
        let watched = this.#watched.get(folder.mount);
        if (watched?.path !== folder.path) {
          // What was told of the place that it had is not true of the new one.
          if (watched !== undefined) this.#forget(watched);
          watched = {
            ...folder,
            place: new DiskPlace(folder.path, (device) => this.#roomOn(device)),
            verdict: { state: "ok" },
            sample: undefined,
            hangs: false,
          };
          this.#watched.set(folder.mount, watched);
        }
        await this.#lookAt(watched, lookMsMax);
      }),
    );
  }

  async #lookAt(watched: Watched, msMax: number): Promise<void> {
    const found = await watched.place.look(msMax);
    // Forgotten meanwhile: nothing is told of it any more.
    if (this.#watched.get(watched.mount) !== watched) return;
    this.#noteHanging(watched);
    if (found === undefined) return;
    const isMetadata = watched.mount === metadataMount;
    // Room that is there only because the ballast is gone does not count.
    const owed = isMetadata ? this.#options.ballast.owedBytes : 0;
    const sample = { ...found, freeBytes: Math.max(0, found.freeBytes - owed) };
    const before = watched.verdict;
    watched.sample = sample;
    watched.verdict = judge(sample, this.#options.config, before.state);
    const { mount } = watched;
    this.#gauges.set("disk_free_bytes", found.freeBytes, { mount });
    if (found.inodes > 0) this.#gauges.set("disk_free_inodes", found.freeInodes, { mount });
    this.#gauges.set("disk_state", diskStateNumbers[watched.verdict.state], { mount });
    this.#tell(watched, before);
    if (isMetadata && isNearlyFull(found)) await this.#options.ballast.release();
  }

  #tell({ mount, verdict, sample }: Watched, before: DiskVerdict): void {
    const { log } = this.#options;
    const alerts = this.#alerts;
    const { freeBytes = 0, freeInodes = 0, bytes = 0, inodes = 0 } = sample ?? {};
    const fields = { mount, freeBytes, bytes, freeInodes, inodes };
    const { state } = verdict;
    const numbers = `${freeBytes} of ${bytes} bytes and ${freeInodes} of ${inodes} inodes are free on the disk of ${mount}`;
    const raise = (name: string, holds: boolean, message: string): void => {
      if (holds) alerts.raise(name, fields, message);
      else alerts.clear(name, { mount });
    };
    raise("disk_full", state === "full", `${numbers}: nothing new is written there`);
    raise("disk_low", state === "low" && verdict.short === "bytes", numbers);
    raise("inodes_low", state === "low" && verdict.short === "inodes", numbers);
    raise("disk_read_only", state === "read_only", `the disk of ${mount} is mounted read-only`);
    if (state === "low" || state === "full") this.#sweep();
    if (state === before.state) return;
    if (state === "ok") log.info(fields, `the disk of ${mount} has room again: ${numbers}`);
    else if (state === "low") log.warn(fields, `a disk is getting full: ${numbers}`);
    else if (state === "full")
      log.error(fields, `a disk is full: ${numbers}; writes there are refused`);
    else log.error(fields, `the disk of ${mount} is mounted read-only: writes there are refused`);
  }

  #sweep(): void {
    const now = performance.now();
    if (now - this.#sweptAt < sweepAgainMs) return;
    this.#sweptAt = now;
    this.#options.sweep();
  }

  #noteHanging(watched: Watched): void {
    const { mount, place } = watched;
    const hangs = place.lookingMs > hangsMs;
    if (hangs === watched.hangs) return;
    watched.hangs = hangs;
    this.#gauges.set("disk_hanging", hangs ? 1 : 0, { mount });
    const message = `the disk of ${mount} does not answer`;
    if (hangs) {
      this.#alerts.raise("disk_hanging", { mount }, message);
      this.#options.log.error({ mount }, `${message}: a look at it hangs`);
    } else {
      this.#alerts.clear("disk_hanging", { mount });
      this.#options.log.info({ mount }, `the disk of ${mount} answers again`);
    }
  }

  #forget({ mount, hangs }: Watched): void {
    this.#watched.delete(mount);
    this.#gauges.set("disk_state", 0, { mount });
    if (hangs) this.#gauges.set("disk_hanging", 0, { mount });
    for (const name of ["disk_full", "disk_low", "inodes_low", "disk_read_only", "disk_hanging"]) {
      this.#alerts.clear(name, { mount });
    }
  }

  /** Only where it does not make the disk low by itself. */
  #keepBallast(): void {
    const { ballast, config } = this.#options;
    const { sample, verdict } = this.#watched.get(metadataMount) ?? {};
    if (sample === undefined || verdict?.state !== "ok") return;
    // What is owed has been taken off already.
    const more = ballast.owedBytes === 0 ? ballast.bytes : 0;
    if (sample.freeBytes - more >= bytesWatermark(sample.bytes, config, "soft")) ballast.keep();
  }
}

function isClosed(state: DiskState): boolean {
  return state === "full" || state === "read_only";
}

/** The next write of the metadata store may be the one that fails. */
function isNearlyFull({ freeBytes, inodes, freeInodes }: DiskSample): boolean {
  return freeBytes < nearlyFullBytes || (inodes > 0 && freeInodes === 0);
}

const nearlyFullBytes = 256 * 1024;

function refusal(mount: string, state: DiskState): OperationalError {
  const context = contextOf(mount);
  return state === "read_only"
    ? new OperationalError("unavailable", `${diskOf(mount)} is mounted read-only`, { context })
    : new OperationalError("storage_full", `${diskOf(mount)} has no room for more`, { context });
}

function diskOf(mount: string): string {
  const { storageId } = contextOf(mount);
  return storageId === undefined ? "the metadata's disk" : `the disk of storage ${storageId}`;
}

function contextOf(mount: string): { readonly storageId?: string } {
  return mount.startsWith("storage:") ? { storageId: mount.slice("storage:".length) } : {};
}
