/**
 * Completing uploads in parts. Of one upload one completion runs at a time, in all processes: it holds the
 * upload's lease. Who asks while it runs, or after it, is told what became of the upload. It runs to its
 * end even if nobody waits any more.
 */
import type { Actor } from "../access.ts";
import { assemble, bodyOfBlobs } from "../assembly.ts";
import { authorOf } from "../author.ts";
import type { Buckets } from "../buckets.ts";
import { firstDifference, RunningDigests } from "../digests/digest-set.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import { failedCondition, hasEarlyCondition } from "../failed-condition.ts";
import { withContext } from "../grant-writes.ts";
import { newBlobKey, newVersion } from "../ids.ts";
import { OneAtATime } from "../one-at-a-time.ts";
import { runsOf } from "../pieces.ts";
import { choosePlace } from "../place.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type {
  BlobAddress,
  BlobRecord,
  MetadataStore,
  WriteConditions,
} from "../ports/metadata-store.ts";
import type { Meter } from "../ports/meter.ts";
import type { Storages } from "../ports/storages.ts";
import type { TypeDetector } from "../ports/type-detector.ts";
import type { UploadPartBlob, UploadRecord } from "../ports/upload-store.ts";
import type { LeaseHolder } from "../resumable/lease-holder.ts";
import type { SteadyClock } from "../resumable/steady-clock.ts";
import { uploadNotFound } from "../resumable/view.ts";
import { WriterLeases, type Writing } from "../resumable/writer-leases.ts";
import { assertLengthAllowed, assertTypeAllowed, writeLimits } from "../write-limits.ts";
import { frontEndAttributes } from "./object-attributes.ts";
import type { CompletedMultipart, CompleteMultipartRequest } from "./requests.ts";
import type { RunningBlobs } from "./running-blobs.ts";
import {
  assertInOrder,
  chooseParts,
  etagOfNamed,
  untold,
  type Whole,
  wholeOf,
  wrongDigest,
} from "./whole.ts";

export interface CompletionsOptions {
  readonly metadata: MetadataStore;
  readonly storages: Storages;
  readonly buckets: Buckets;
  readonly detector: TypeDetector;
  readonly clock: Clock;
  readonly steady: SteadyClock;
  readonly log: Log;
  readonly meter: Meter;
  readonly installation: string;
  readonly blobGraceMs: number;
  readonly maxObjectBytes?: number;
  readonly partBytesMin: number;
  readonly running: RunningBlobs;
  readonly holder: LeaseHolder;
  readonly leaseMs?: number;
  readonly renewMs?: number;
}

type Request = Omit<CompleteMultipartRequest, "signal">;

const partsPerRead = 1_000;
/** How long the result of an upload is remembered, for who did not get the answer. */
const rememberMs = 24 * 60 * 60 * 1000;
/** Far longer than any storage takes: a completion ends. */
const completeMsMax = 6 * 60 * 60 * 1000;
const deleteMs = 10_000;

export class Completions {
  readonly #options: CompletionsOptions;
  readonly #leases: WriterLeases;
  readonly #running = new OneAtATime();

  constructor(options: CompletionsOptions) {
    this.#options = options;
    this.#leases = new WriterLeases({ ...options, store: options.metadata });
  }

  async complete(
    actor: Actor,
    upload: UploadRecord,
    { signal, ...request }: CompleteMultipartRequest,
  ): Promise<CompletedMultipart> {
    assertInOrder(request.parts);
    return await this.#running.run(upload.id, signal, () => this.#run(actor, upload.id, request));
  }

  async close(): Promise<void> {
    await this.#leases.close();
  }

  async #run(actor: Actor, id: string, request: Request): Promise<CompletedMultipart> {
    const signal = AbortSignal.timeout(completeMsMax);
    await using writing = await this.#take(id, signal);
    const { upload } = writing.taken;
    if (upload.phase === "complete") return await this.#replay(upload, request);
    const { key } = upload;
    if (key === null) throw uploadNotFound();
    const { metadata, buckets, clock, steady, meter, maxObjectBytes } = this.#options;
    const bucket = await buckets.require(upload.bucket);
    const limits = writeLimits(actor, bucket, maxObjectBytes, upload.grant);
    const conditions = { ...request.conditions, ...upload.conditions };
    const { partBytesMin } = this.#options;
    const stored = await this.#storedParts(id);
    let parts: readonly UploadPartBlob[];
    try {
      parts = chooseParts(stored, request.parts, { partBytesMin });
    } catch (error) {
      // Somebody may have aborted it since it was taken, and its parts are gone because of that.
      return await this.#afterFailure(id, request, error);
    }
    const known = wholeOf(parts, request, upload.attributes);
    assertLengthAllowed(known.length, limits);
    await this.#precheck(upload, key, conditions);
    const ending = AbortSignal.any([signal, writing.lost]);
    const contentType = await this.#typeOf(parts, upload, ending);
    assertTypeAllowed(contentType, limits);
    const whole = await this.#withRead(known, parts, { request, signal: ending });
    await this.#removeEarlier(upload);

    const blobAt = clock.now();
    const blobKey = newBlobKey(this.#options.installation, blobAt, newVersion(blobAt));
    using _running = this.#options.running.begin(blobKey, blobAt);
    let made: BlobAddress | undefined;
    try {
      const blob =
        blobOfPieces(upload.id, parts, { blobKey, whole }) ??
        (await assemble(parts, {
          storages: this.#options.storages,
          newBlobKey: () => blobKey,
          chooseStorage: () =>
            choosePlace({ bucket, key, contentType, length: whole.length }, this.#options),
          record: async (place) => {
            made = place;
            const recorded = { ...place, token: null, partBytes: null };
            await metadata.checkpointUpload(writing, { place: recorded });
          },
          signal: ending,
        }));
      ending.throwIfAborted();
      const now = clock.now();
      writing.releasing();
      const written = await metadata.completeUpload(
        writing,
        {
          bucket: upload.bucket,
          key,
          version: newVersion(now),
          etag: whole.etag,
          contentType,
          userMetadata: upload.userMetadata,
          attributes: withContext(
            { ...frontEndAttributes(upload.attributes), ...whole.attributes },
            upload.grant?.context,
          ),
          createdAt: now,
        },
        withDigests(blob, whole),
        {
          ...conditions,
          author: authorOf(actor),
          garbageDueAt: this.#garbageDueAt(),
          expiresAt: steady.in(rememberMs),
        },
      );
      writing.released();
      meter.count("upload_completed_total");
      return { ...written, replayed: false };
    } catch (error) {
      if (made !== undefined) await this.#drop(made, error);
      return await this.#afterFailure(id, request, error);
    }
  }

  /** What another has made of the upload meanwhile says more than what failed because of it. */
  async #afterFailure(id: string, request: Request, error: unknown): Promise<CompletedMultipart> {
    const now = await this.#options.metadata.getUpload(id).catch(() => {
      throw error;
    });
    if (now === undefined || now.phase === "cancelling") throw uploadNotFound();
    if (now.phase === "complete") return await this.#replay(now, request);
    throw error;
  }

  /** Waits as long as another process completes it. */
  async #take(id: string, signal: AbortSignal): Promise<Writing> {
    for (;;) {
      try {
        return await this.#leases.take(id, { mode: "append", signal });
      } catch (error) {
        if (!isOperationalError(error, "locked")) throw error;
      }
    }
  }

  /** What a complete upload made, if these are its parts and the object is still that one. */
  async #replay(upload: UploadRecord, { parts }: Request): Promise<CompletedMultipart> {
    const { bucket, key, version } = upload;
    const object = key === null ? undefined : await this.#options.metadata.headObject(bucket, key);
    const isSame = object?.version === version && object.etag === etagOfNamed(parts);
    if (object === undefined || !isSame) throw uploadNotFound();
    return { object, replayed: true };
  }

  async #storedParts(id: string): Promise<ReadonlyMap<number, UploadPartBlob>> {
    const stored = new Map<number, UploadPartBlob>();
    let after = 0;
    for (;;) {
      const query = { after, limit: partsPerRead };
      const parts = await this.#options.metadata.listUploadParts(id, query);
      for (const part of parts) stored.set(part.number, part);
      if (parts.length < partsPerRead) return stored;
      after = parts.at(-1)?.number ?? after;
    }
  }

  /** Early answers for what is bound to fail; the commit judges again. */
  async #precheck(
    { bucket }: UploadRecord,
    key: string,
    conditions: WriteConditions = {},
  ): Promise<void> {
    if (!hasEarlyCondition(conditions)) return;
    const current = await this.#options.metadata.headObject(bucket, key);
    if (failedCondition(current, conditions) === undefined) return;
    throw new OperationalError("precondition_failed", "the object is not as the condition asks", {
      context: { bucket, key },
    });
  }

  /** By the first bytes, as of every object. */
  async #typeOf(
    parts: readonly UploadPartBlob[],
    { contentType }: UploadRecord,
    signal: AbortSignal,
  ): Promise<string> {
    const { detector, storages } = this.#options;
    const first = parts.find(({ length }) => length > 0);
    const declared = contentType ?? undefined;
    if (first === undefined) return await detector.detect(new Uint8Array(), declared);
    const { length, digests, blocks, blobKey, storageId } = first;
    using lease = storages.lease(storageId, "read");
    const { body } = await lease.driver.get(blobKey, {
      signal,
      firstByte: 0,
      lastByte: Math.min(detector.bytesWanted, length) - 1,
      expected: { length, crc64nvme: digests.crc64nvme, ...(blocks && { blocks }) },
    });
    await using reading = body;
    const chunks: Uint8Array[] = [];
    for await (const chunk of reading) chunks.push(Uint8Array.from(chunk));
    return await detector.detect(Buffer.concat(chunks), declared);
  }

  /** With those digests that only the bytes tell: all of them are read, if that is allowed. */
  async #withRead(
    whole: Whole,
    parts: readonly UploadPartBlob[],
    { request, signal }: { readonly request: Request; readonly signal: AbortSignal },
  ): Promise<Whole> {
    const { digests = {} } = request;
    const names = untold(digests, parts);
    if (names.length === 0) return whole;
    const running = new RunningDigests(names);
    const { storages } = this.#options;
    for await (const chunk of bodyOfBlobs(parts, { storages, signal })) running.update(chunk);
    const read = running.finish();
    const different = firstDifference(digests, read);
    if (different !== undefined) throw wrongDigest(different);
    return { ...whole, digests: { ...read, ...whole.digests } };
  }

  /** What an attempt that was cut off may have left; nobody points at it. */
  async #removeEarlier({ place }: UploadRecord): Promise<void> {
    if (place === null) return;
    using lease = this.#options.storages.lease(place.storageId, "delete");
    await lease.driver.delete(place.blobKey, { signal: AbortSignal.timeout(deleteMs) });
  }

  /** Where the commit may have happened all the same it stays: the next attempt finds it, or the sweeper. */
  async #drop({ storageId, blobKey }: BlobAddress, error: unknown): Promise<void> {
    const { storages, log } = this.#options;
    const isUncertain = !isOperationalError(error) || error.code === "unavailable";
    if (isUncertain || error.code === "internal") return;
    try {
      const signal = AbortSignal.timeout(deleteMs);
      await storages.get(storageId).delete(blobKey, { signal });
    } catch (cause) {
      log.warn({ err: cause, blobKey, storageId }, "blob left for the sweeper");
    }
  }

  #garbageDueAt(): Date {
    return new Date(this.#options.clock.now().getTime() + this.#options.blobGraceMs);
  }
}

/**
 * The parts as they lie there, each a piece of the blob: no byte is copied. `undefined` where one alone is
 * the blob already, or they are in different storages.
 */
function blobOfPieces(
  uploadId: string,
  parts: readonly UploadPartBlob[],
  { blobKey, whole }: { readonly blobKey: string; readonly whole: Whole },
): BlobRecord | undefined {
  const pieces = parts.filter(({ length }) => length > 0);
  const [first, second] = pieces;
  if (first === undefined || second === undefined) return undefined;
  const { storageId } = first;
  if (pieces.some((piece) => piece.storageId !== storageId)) return undefined;
  const { length, digests } = whole;
  return { storageId, blobKey, length, digests, pieces: { uploadId, runs: runsOf(pieces) } };
}

/** With those that are known of the whole beside its own. */
function withDigests(blob: BlobRecord, whole: Whole): BlobRecord {
  return { ...blob, digests: { ...blob.digests, ...whole.digests } };
}
