/**
 * One request's work on an upload, under its lease: what was received, and what of it is recorded. Bytes
 * are counted and digested once, as the storage takes them; nothing is recorded before it is durable,
 * and with checks pending nothing is recorded at all.
 */
import { BlockSums } from "../digests/block-sums.ts";
import { crc64NvmeToBytes } from "../digests/crc64-nvme.ts";
import { RunningDigests } from "../digests/digest-set.ts";
import { isOperationalError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { PartBufferPool } from "../ports/part-buffers.ts";
import type {
  BlobHead,
  DigestName,
  Digests,
  PartWrites,
  StorageDriver,
  UploadAddress,
} from "../ports/storage-driver.ts";
import type {
  UploadCheckpoint,
  UploadPart,
  UploadPlace,
  UploadRecord,
  UploadSegment,
  UploadStore,
  UploadTail,
} from "../ports/upload-store.ts";
import type { Incoming } from "./incoming.ts";
import type { Writing } from "./writer-leases.ts";

const cancelMsMax = 10_000;

export interface SessionOptions {
  readonly store: Pick<UploadStore, "checkpointUpload">;
  readonly writing: Writing;
  readonly upload: UploadRecord;
  readonly incoming: Incoming;
  readonly storage: StorageDriver;
  readonly place: UploadPlace;
  readonly buffers: PartBufferPool;
  /** Of parts that are gathered; left out: 8 MiB. */
  readonly partBytesLeast: number | undefined;
  readonly clock: Clock;
  /** A key for a tail: new with each call. */
  readonly newBlobKey: () => string;
  /** When the upload would expire if nothing came after this moment. */
  readonly expiresAt: () => Date;
  /** When tails that were joined may be removed: who reads them still has until then. */
  readonly garbageDueAt: () => Date;
  /** Digests of this request's body; nothing is recorded until `verified`. */
  readonly checked: readonly DigestName[] | undefined;
  readonly onProgress: ((offset: number) => void) | undefined;
  /** Ends calls on the storage that nobody can wait for any more. */
  readonly signal: AbortSignal;
}

/** How bytes get into one kind of storage. */
export interface Strategy {
  /** Takes what comes until no more does. */
  receive(): Promise<void>;
  /** Makes all that was received durable. */
  settle(): Promise<void>;
  /** The upload has all its bytes: makes them one blob. */
  finish(): Promise<BlobHead>;
  /** Gives back what it holds, in any ending. Idempotent. */
  close(): Promise<void>;
}

export class Session {
  readonly storage: StorageDriver;
  readonly incoming: Incoming;
  readonly buffers: PartBufferPool;
  readonly partBytesLeast: number | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly newBlobKey: () => string;
  /** Of everything up to `received`. */
  readonly sums: BlockSums;
  readonly parts: UploadPart[];
  readonly tails: UploadTail[];
  place: UploadPlace;
  /** All bytes are here: whatever is recorded from now on is recorded as `completing`. */
  isFinishing = false;
  readonly #options: SessionOptions;
  readonly #running: RunningDigests | undefined;
  readonly #whole: RunningDigests | undefined;
  #upload: UploadRecord;
  #isStaged: boolean;
  #pending: UploadCheckpoint = {};

  constructor(options: SessionOptions) {
    const { upload, checked, writing } = options;
    this.#options = options;
    this.#upload = upload;
    this.storage = options.storage;
    this.incoming = options.incoming;
    this.buffers = options.buffers;
    this.partBytesLeast = options.partBytesLeast;
    this.clock = options.clock;
    this.signal = options.signal;
    this.newBlobKey = options.newBlobKey;
    this.place = options.place;
    this.sums = new BlockSums(upload.checks === null ? {} : { resumeFrom: upload.checks });
    const { segments } = writing.taken;
    this.parts = segments.filter((segment) => segment.kind === "part");
    this.tails = segments.filter((segment) => segment.kind === "tail");
    this.#isStaged = checked !== undefined;
    this.#running = checked && new RunningDigests(checked);
    const wanted = Object.keys(upload.digests).filter((name) => name !== "crc64nvme");
    // Only a body that is the whole of the upload shows these on the way.
    this.#whole =
      upload.offset === 0 && wanted.length > 0
        ? new RunningDigests(wanted as DigestName[])
        : undefined;
  }

  /** As it is recorded. */
  get upload(): UploadRecord {
    return this.#upload;
  }

  /** Bytes taken so far, from the upload's beginning. */
  get received(): number {
    return this.sums.length;
  }

  /** Another process may not write beside this one: for what takes longer than one commit. */
  async recordLease(): Promise<void> {
    await this.#options.writing.record();
  }

  get crc64nvme(): Uint8Array {
    return crc64NvmeToBytes(this.sums.crc64nvme);
  }

  /** The next bytes for the storage, counted and digested. */
  async take(): Promise<Uint8Array | undefined> {
    const chunk = await this.incoming.next();
    if (chunk === undefined) return undefined;
    this.sums.update(chunk);
    this.#running?.update(chunk);
    this.#whole?.update(chunk);
    return chunk;
  }

  /** Of this request's body. */
  bodyDigests(): Digests {
    return this.#running?.finish() ?? {};
  }

  /** Digests of the whole that this request saw all of; none if it did not. */
  wholeDigests(): Digests {
    return this.#whole?.finish() ?? {};
  }

  /** The body is what the client said: what was held back may be recorded. */
  verified(): void {
    this.#isStaged = false;
  }

  /** Segments that are durable in the storage. They count at once for this session. */
  note(change: { readonly add?: readonly UploadSegment[]; readonly dropTails?: boolean }): void {
    if (change.dropTails === true) this.tails.length = 0;
    for (const segment of change.add ?? []) {
      if (segment.kind === "part") this.parts.push(segment);
      else this.tails.push(segment);
    }
    const { add = [], dropTails = false } = this.#pending;
    // Tails that came and went within one commit were never recorded.
    const kept = change.dropTails === true ? add.filter(({ kind }) => kind === "part") : add;
    this.#pending = {
      ...this.#pending,
      add: [...kept, ...(change.add ?? [])],
      dropTails: dropTails || change.dropTails === true,
    };
  }

  /** Records what is durable: everything up to `checks.length`. Held back while checks are pending. */
  async commit(
    checks: UploadCheckpoint["checks"],
    more: Pick<UploadCheckpoint, "release"> = {},
  ): Promise<void> {
    if (this.#isStaged) return;
    const { store, writing, expiresAt, garbageDueAt, onProgress } = this.#options;
    const pending = this.#pending;
    this.#pending = {};
    const offset = checks?.length ?? this.#upload.offset;
    const { length } = this.#upload;
    if (more.release === true) writing.releasing();
    this.#upload = await store.checkpointUpload(writing, {
      ...pending,
      ...more,
      ...(this.isFinishing ? { phase: "completing" as const } : {}),
      ...(checks === undefined ? {} : { offset, checks }),
      ...(pending.dropTails === true ? { garbageDueAt: garbageDueAt() } : {}),
      place: this.place,
      expiresAt: expiresAt(),
      // An upload of unknown length takes its room as it grows.
      ...(length === null ? { reservedBytes: offset } : {}),
    });
    if (more.release === true) writing.released();
    onProgress?.(this.#upload.offset);
  }

  /** As `recordPlace`; if the upload was cancelled meanwhile, nothing is left in the storage. */
  async recordToken(made: UploadAddress, parts: Pick<PartWrites, "cancel">): Promise<void> {
    try {
      await this.recordPlace({ ...this.place, token: made.token });
    } catch (error) {
      // Where the outcome is not known, the row may name it.
      if (isOperationalError(error, "upload_not_found") || isOperationalError(error, "locked")) {
        const signal = AbortSignal.timeout(cancelMsMax);
        await parts.cancel(made, { signal }).catch(() => undefined);
      }
      throw error;
    }
  }

  /** Records the place before the first byte goes there, so that a crash leaves nothing unknown. */
  async recordPlace(place: UploadPlace): Promise<void> {
    this.place = place;
    const { store, writing } = this.#options;
    this.#upload = await store.checkpointUpload(writing, { place });
  }
}
