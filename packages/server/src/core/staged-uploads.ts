/**
 * Uploads whose bytes come before anybody knows whose they are: some protocols send the credentials last. The
 * bytes are stored as a blob that no row names, in the storage where the object will most likely be; `publish`
 * judges as `Uploads.put` does and commits, and what is not published is removed.
 *
 * Nobody has said who he is meanwhile, so the number of such uploads, their bytes together and the time of each
 * are bounded. A crash leaves a blob without a row, which the sweeper removes as any other.
 */
import { abortableBody } from "./abortable-body.ts";
import { type Actor, authorize } from "./access.ts";
import { bodyOfBlobs } from "./assembly.ts";
import type { Buckets } from "./buckets.ts";
import { commitUpload, dropUncommitted } from "./commit-upload.ts";
import { assertUsesLeft, grantConditions } from "./grant-writes.ts";
import { newBlobKey, newVersion } from "./ids.ts";
import { RunningBlobs } from "./multipart/running-blobs.ts";
import type { ObjectKey } from "./object-key.ts";
import { peekBytes } from "./peek.ts";
import { assertSomePlace, choosePlace } from "./place.ts";
import type { Clock } from "./ports/clock.ts";
import type { Log } from "./ports/log.ts";
import type {
  BlobRecord,
  MetadataStore,
  ObjectAttributes,
  WriteConditions,
  WriteResult,
} from "./ports/metadata-store.ts";
import type { Meter } from "./ports/meter.ts";
import type { Siblings } from "./ports/siblings.ts";
import type { BlobHead, Body } from "./ports/storage-driver.ts";
import type { StorageLease, Storages } from "./ports/storages.ts";
import type { TypeDetector } from "./ports/type-detector.ts";
import { type StagingLimits, StagingRoom } from "./staging-room.ts";
import {
  assertLengthAllowed,
  assertTypeAllowed,
  assertUserMetadata,
  writeLimits,
} from "./write-limits.ts";

export interface StagedUploadsOptions {
  readonly metadata: MetadataStore;
  readonly storages: Storages;
  readonly buckets: Buckets;
  readonly detector: TypeDetector;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** Whose blobs these are: stands in their keys (`newInstallation`). */
  readonly installation: string;
  readonly blobGraceMs: number;
  /** The server's own limit, under every bucket's. */
  readonly maxObjectBytes?: number;
  /** Which share these limits: each worker has its part of them. */
  readonly siblings?: Siblings;
  /** At once. */
  readonly stagedMax: number;
  /** Of these, from one sender. */
  readonly stagedPerAddressMax: number;
  /** Of all together. */
  readonly stagedBytesMax: number;
  /** From the first byte of one to its last. */
  readonly stagedMsMax: number;
}

export interface StageRequest {
  /** From where it comes; of one sender only so many wait at once. */
  readonly sender: string;
  readonly body: Body;
  /** What it will most likely be, for the choice of a storage; another is found out, and costs a copy. */
  readonly likely: {
    readonly bucket: string;
    readonly key: string;
    readonly contentType?: string;
  };
  readonly signal: AbortSignal;
}

export interface PublishRequest {
  readonly bucket: string;
  readonly key: ObjectKey;
  /** Declared; judged against the bytes. */
  readonly contentType?: string;
  readonly userMetadata?: Readonly<Record<string, string>>;
  readonly attributes?: ObjectAttributes;
  readonly conditions?: WriteConditions;
  readonly signal: AbortSignal;
}

/** Bytes that are durable and nobody's. Disposing it removes them unless they were published. */
export interface StagedUpload extends AsyncDisposable {
  readonly length: number;
  /** Once. Throws what `Uploads.put` throws. */
  publish(actor: Actor, request: PublishRequest): Promise<WriteResult>;
}

export class StagedUploads {
  readonly #options: StagedUploadsOptions;
  readonly #running = new RunningBlobs();
  readonly #room: StagingRoom;

  constructor(options: StagedUploadsOptions) {
    this.#options = options;
    this.#room = new StagingRoom(shareOf(options, options.siblings?.count ?? 1));
  }

  /**
   * Stores the body. What the body throws leaves nothing; `overloaded` without room for it, `request_timeout`
   * when it takes too long, `storage_full`, `unavailable`.
   */
  async stage(request: StageRequest): Promise<StagedUpload> {
    const using = new AsyncDisposableStack();
    try {
      return await this.#stage(request, using);
    } catch (error) {
      await using.disposeAsync();
      throw error;
    }
  }

  /** Whether a request that runs here is about to need the blob. */
  isWriting(blobKey: string): boolean {
    return this.#running.has(blobKey);
  }

  /** When the oldest of them began; `undefined` when there is none. */
  oldestRunningAt(): Date | undefined {
    return this.#running.oldestAt();
  }

  async #stage(request: StageRequest, using: AsyncDisposableStack): Promise<StagedUpload> {
    const { storages, detector, clock, installation, meter } = this.#options;
    const { bucket: name, key } = request.likely;
    const likely = await this.#options.buckets.find(name);
    if (likely !== undefined) await assertSomePlace({ bucket: likely, key }, this.#options);
    const slot = using.use(this.#room.enter(request.sender));
    const now = clock.now();
    const version = newVersion(now);
    const blobKey = newBlobKey(installation, now, version);
    using.use(this.#running.begin(blobKey, now));
    meter.gauge("uploads_running", 1);
    using.defer(() => meter.gauge("uploads_running", -1));
    const signal = AbortSignal.any([request.signal, slot.signal]);
    const peeked = await peekBytes(abortableBody(request.body, signal), detector.bytesWanted);
    using.defer(() => peeked.release());
    // Whoever stores a chunk frees its memory.
    const firstBytes = Uint8Array.from(peeked.firstBytes);
    const storageId = await this.#likelyPlace(request, firstBytes);
    const lease = using.use(storages.lease(storageId, "create"));
    const head = await lease.driver.put(blobKey, slot.counted(peeked.body), { signal });
    slot.stopClock();
    return new Staged(
      { blob: blobOf(head, { storageId, blobKey }), version, createdAt: now },
      { firstBytes, lease, using, options: this.#options },
    );
  }

  async #likelyPlace({ likely }: StageRequest, firstBytes: Uint8Array): Promise<string> {
    const { storages, buckets, detector } = this.#options;
    const bucket = await buckets.find(likely.bucket);
    if (bucket === undefined) return storages.defaultId;
    const contentType = await detector.detect(firstBytes, likely.contentType);
    return await choosePlace({ bucket, key: likely.key, contentType }, this.#options);
  }
}

/** At least one of everything: of more workers than that all together may have a few more. */
function shareOf(limits: StagingLimits, workers: number): StagingLimits {
  const share = (limit: number): number => Math.max(1, Math.floor(limit / workers));
  return {
    stagedMax: share(limits.stagedMax),
    stagedPerAddressMax: share(limits.stagedPerAddressMax),
    stagedBytesMax: share(limits.stagedBytesMax),
    stagedMsMax: limits.stagedMsMax,
  };
}

interface Made {
  readonly blob: BlobRecord;
  readonly version: string;
  readonly createdAt: Date;
}

class Staged implements StagedUpload {
  readonly #made: Made;
  readonly #firstBytes: Uint8Array;
  readonly #lease: StorageLease;
  readonly #using: AsyncDisposableStack;
  readonly #options: StagedUploadsOptions;
  /** The blob is a row's, or may be. */
  #isSettled = false;

  constructor(
    made: Made,
    held: {
      readonly firstBytes: Uint8Array;
      readonly lease: StorageLease;
      /** Everything that ends with it. */
      readonly using: AsyncDisposableStack;
      readonly options: StagedUploadsOptions;
    },
  ) {
    this.#made = made;
    this.#firstBytes = held.firstBytes;
    this.#lease = held.lease;
    this.#using = held.using;
    this.#options = held.options;
  }

  get length(): number {
    return this.#made.blob.length;
  }

  async publish(actor: Actor, given: PublishRequest): Promise<WriteResult> {
    const { metadata, buckets, detector, maxObjectBytes, meter } = this.#options;
    const { bucket: name, key, signal } = given;
    authorize(actor, "object:write", { bucket: name, key });
    const bucket = await buckets.require(name);
    const conditions = grantConditions(actor, given.conditions);
    await assertUsesLeft(actor, metadata);
    assertUserMetadata(given.userMetadata ?? {});
    const limits = writeLimits(actor, bucket, maxObjectBytes);
    assertLengthAllowed(this.length, limits);
    const contentType = await detector.detect(this.#firstBytes, given.contentType);
    assertTypeAllowed(contentType, limits);
    const storageId = await choosePlace(
      { bucket, key, contentType, length: this.length },
      this.#options,
    );
    signal.throwIfAborted();
    const { version, createdAt } = this.#made;
    const request = { ...given, conditions, contentType, version, createdAt };
    const result =
      storageId === this.#made.blob.storageId
        ? await this.#commit(actor, request)
        : await this.#commitElsewhere(actor, request, storageId);
    meter.count("upload_completed_total");
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!this.#isSettled) {
        await dropUncommitted(this.#lease.driver, this.#made.blob.blobKey, this.#options);
      }
    } finally {
      this.#isSettled = true;
      await this.#using.disposeAsync();
    }
  }

  async #commit(actor: Actor, request: Parameters<typeof commitUpload>[1]): Promise<WriteResult> {
    const { blob } = this.#made;
    this.#isSettled = true;
    try {
      return await commitUpload(actor, request, blob, this.#options);
    } catch (error) {
      const { log } = this.#options;
      await dropUncommitted(this.#lease.driver, blob.blobKey, { log, error });
      throw error;
    }
  }

  /** The bytes belong into another storage than was thought: verified as they are read, and as they arrive. */
  async #commitElsewhere(
    actor: Actor,
    request: PublishRequest & Parameters<typeof commitUpload>[1],
    storageId: string,
  ): Promise<WriteResult> {
    const { storages, log } = this.#options;
    const { blob } = this.#made;
    const { length, digests, blobKey } = blob;
    const { crc64nvme } = digests;
    const { signal } = request;
    using lease = storages.lease(storageId, "create");
    const body = bodyOfBlobs([blob], { storages, signal });
    const head = await lease.driver.put(blobKey, body, { signal, length, digests: { crc64nvme } });
    try {
      const copied = blobOf(head, { storageId, blobKey });
      return await commitUpload(actor, request, copied, this.#options);
    } catch (error) {
      await dropUncommitted(lease.driver, blobKey, { log, error });
      throw error;
    }
  }
}

function blobOf(
  head: BlobHead,
  place: { readonly storageId: string; readonly blobKey: string },
): BlobRecord {
  const { crc64nvme } = head.digests;
  if (crc64nvme === undefined) throw new Error("the storage stack computed no CRC-64/NVME");
  return {
    ...place,
    length: head.length,
    digests: { ...head.digests, crc64nvme },
    ...(head.blocks === undefined ? {} : { blocks: head.blocks }),
  };
}
