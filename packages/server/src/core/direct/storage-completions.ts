/**
 * Completing uploads whose bytes went straight to the storage. One runs at a time, in all processes: it holds
 * the upload's lease, and goes on when nobody waits any more. In this order, each step of which may be
 * done again after a crash:
 *
 *   parts as the storage has them, judged → recorded → the storage makes one blob of them → read back once,
 *   compared and judged → one transaction
 *
 * Nobody but the storage has seen the bytes, so what it holds is read before anything points at it. A
 * verdict on them that no second attempt could change ends the upload, and its blob is garbage.
 */
import type { Actor } from "../access.ts";
import { authorOf } from "../author.ts";
import { firstDifference } from "../digests/digest-set.ts";
import { discardUpload } from "../discard-upload.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import { failedCondition, hasEarlyCondition } from "../failed-condition.ts";
import { withContext } from "../grant-writes.ts";
import { etagOfVersion, newVersion } from "../ids.ts";
import { OneAtATime } from "../one-at-a-time.ts";
import type { Author, BlobRecord, WriteResult } from "../ports/metadata-store.ts";
import type {
  DigestName,
  Digests,
  Part,
  PartWrites,
  StorageDriver,
} from "../ports/storage-driver.ts";
import type { UploadPart, UploadTaken } from "../ports/upload-store.ts";
import { isFinalVerdict } from "../resumable/completion.ts";
import { uploadNotFound } from "../resumable/view.ts";
import type { WriterLeases, Writing } from "../resumable/writer-leases.ts";
import {
  assertLengthAllowed,
  assertTypeAllowed,
  type WriteLimits,
  writeLimits,
} from "../write-limits.ts";
import type { DirectUploadsOptions } from "./options.ts";
import { chooseAll } from "./part-plan.ts";
import { readBack } from "./read-back.ts";
import {
  type DirectRecord,
  isDirect,
  isFormUpload,
  placeOf,
  planOfRecord,
  stagingKeyOf,
} from "./record.ts";
import { replay } from "./replay.ts";
import type { CompleteDirectRequest, CompletedDirect } from "./requests.ts";
import { partsOfStaged } from "./staged-form.ts";

type Options = Omit<DirectUploadsOptions, "holder"> & { readonly leases: WriterLeases };
type Request = Omit<CompleteDirectRequest, "signal">;

/** Far longer than reading any blob takes: a completion ends. */
const completeMsMax = 6 * 60 * 60 * 1000;
const deleteMsMax = 10_000;

export class StorageCompletions {
  readonly #options: Options;
  readonly #running = new OneAtATime();

  constructor(options: Options) {
    this.#options = options;
  }

  async complete(
    actor: Actor,
    { id }: DirectRecord,
    { signal, ...request }: CompleteDirectRequest,
  ): Promise<CompletedDirect> {
    return await this.#running.run(id, signal, () => this.#run(actor, id, request));
  }

  async #run(actor: Actor, id: string, request: Request): Promise<CompletedDirect> {
    const signal = AbortSignal.timeout(completeMsMax);
    await using writing = await this.#take(id, signal);
    const { upload } = writing.taken;
    if (!isDirect(upload)) throw uploadNotFound();
    if (upload.phase === "complete") return await replay(upload, request, this.#options);
    const { buckets, storages, maxObjectBytes } = this.#options;
    const bucket = await buckets.require(upload.bucket);
    const limits = writeLimits(actor, bucket, maxObjectBytes, upload.grant);
    assertLengthAllowed(upload.length, limits);
    await this.#precheck(upload);
    const { storageId } = placeOf(upload);
    using lease = storages.lease(storageId, "continue");
    const { driver } = lease;
    const { parts: api } = driver;
    if (api === undefined) throw new OperationalError("unsupported", "the storage has no parts");
    const ending = AbortSignal.any([signal, writing.stop, writing.lost]);
    const settling = { driver, api, request, signal: ending };
    const parts = await this.#settledParts(writing, upload, settling);
    try {
      const { address } = placeOf(upload);
      await api.complete(address, parts, { signal: ending, length: upload.length });
      const author = authorOf(actor);
      const given = { driver, parts, request, limits, author, signal: ending };
      const written = await this.#commit(writing, upload, given);
      await this.#dropStaged(driver, upload);
      return { ...written, replayed: false };
    } catch (error) {
      return await this.#afterFailure(writing, upload, { driver, request, error });
    }
  }

  /** Waits as long as another process completes it. */
  async #take(id: string, signal: AbortSignal): Promise<Writing> {
    for (;;) {
      try {
        return await this.#options.leases.take(id, { mode: "append", signal });
      } catch (error) {
        if (!isOperationalError(error, "locked")) throw error;
      }
    }
  }

  /** Early answers for what is bound to fail; the commit judges again. */
  async #precheck({ bucket, key, conditions }: DirectRecord): Promise<void> {
    if (!hasEarlyCondition(conditions)) return;
    const current = await this.#options.metadata.headObject(bucket, key);
    if (failedCondition(current, conditions) === undefined) return;
    throw new OperationalError("precondition_failed", "the object is not as the condition asks");
  }

  /**
   * All parts, as they will be asked for, recorded: what the storage forgets once it has made a blob of
   * them. An attempt that was cut off may have done that already.
   */
  async #settledParts(
    writing: Writing,
    upload: DirectRecord,
    given: {
      readonly driver: StorageDriver;
      readonly api: PartWrites;
      readonly request: Request;
      readonly signal: AbortSignal;
    },
  ): Promise<readonly Part[]> {
    const { driver, api, request, signal } = given;
    const plan = planOfRecord(upload);
    const stored = new Map<number, Part>();
    let isListed = true;
    try {
      const { address } = placeOf(upload);
      for await (const part of api.listParts(address, { signal })) {
        stored.set(part.partNumber, part);
      }
    } catch (error) {
      if (!isOperationalError(error, "upload_not_found")) throw error;
      const recorded = recordedParts(writing.taken);
      // The storage has lost it: nothing can come of it any more.
      if (recorded.length !== plan.partCount) {
        await this.#giveUp(writing);
        throw uploadNotFound();
      }
      isListed = false;
      for (const part of recorded) stored.set(part.partNumber, part);
    }
    if (isListed && isFormUpload(upload)) {
      const { address } = placeOf(upload);
      for (const part of await partsOfStaged(driver, { address, plan }, { signal })) {
        stored.set(part.partNumber, part);
      }
    }
    const parts = chooseAll(plan, stored, request.parts);
    if (!isListed) return parts;
    let offset = 0;
    const add = parts.map(({ number, length, etag, digests }): UploadPart => {
      const begin = offset;
      offset += length;
      return { kind: "part", number, offset: begin, length, etag, digests };
    });
    await this.#options.metadata.checkpointUpload(writing, { offset: upload.length, add });
    return parts;
  }

  async #commit(
    writing: Writing,
    upload: DirectRecord,
    given: {
      readonly driver: StorageDriver;
      readonly parts: readonly Part[];
      readonly request: Request;
      readonly limits: WriteLimits;
      readonly author: Author;
      readonly signal: AbortSignal;
    },
  ): Promise<WriteResult> {
    const { metadata, detector, clock, steady, meter } = this.#options;
    const { driver, parts, request, limits, author, signal } = given;
    const { address, storageId } = placeOf(upload);
    const { bucket, key, length, userMetadata } = upload;
    let contentType = "";
    const { digests, blocks } = await readBack(driver, {
      blobKey: address.key,
      length,
      parts,
      digestsWanted: namesOf(upload.digests, request.digests),
      firstBytesWanted: detector.bytesWanted,
      onFirstBytes: async (bytes) => {
        contentType = await detector.detect(bytes, upload.contentType ?? undefined);
        assertTypeAllowed(contentType, limits);
      },
      signal,
    });
    assertDigests(upload.digests, digests);
    assertDigests(request.digests ?? {}, digests);
    // The last moment to give up: after this the work is finished and its result recorded.
    signal.throwIfAborted();
    const { uploadExpiryMs } = await this.#options.buckets.require(bucket);
    const now = clock.now();
    const version = newVersion(now);
    const { md5 } = digests;
    const blob: BlobRecord = { storageId, blobKey: address.key, length, digests, blocks };
    writing.releasing();
    const written = await metadata.completeUpload(
      writing,
      {
        bucket,
        key,
        version,
        etag: md5 === undefined ? etagOfVersion(version) : Buffer.from(md5).toString("hex"),
        contentType,
        userMetadata,
        attributes: withContext({}, upload.grant?.context),
        createdAt: now,
      },
      blob,
      {
        ...upload.conditions,
        author,
        garbageDueAt: this.#garbageDueAt(),
        expiresAt: steady.in(uploadExpiryMs),
      },
    );
    writing.released();
    meter.count("upload_completed_total");
    return written;
  }

  /** What became of the upload meanwhile says more than what failed because of it. */
  async #afterFailure(
    writing: Writing,
    upload: DirectRecord,
    given: {
      readonly driver: StorageDriver;
      readonly request: Request;
      readonly error: unknown;
    },
  ): Promise<CompletedDirect> {
    const { driver, request, error } = given;
    const { metadata } = this.#options;
    const now = await metadata.getUpload(upload.id).catch(() => {
      throw error;
    });
    if (now?.phase === "complete" && isDirect(now)) {
      return await replay(now, request, this.#options);
    }
    if (now === undefined || now.phase === "cancelling") {
      await this.#dropCancelled(driver, upload);
      throw uploadNotFound();
    }
    const isGone = isOperationalError(error, "upload_not_found");
    if (isFinalVerdict(error) || isGone) {
      await this.#giveUp(writing);
      await this.#dropStaged(driver, upload);
    }
    throw error;
  }

  /** What a form brought is in the blob now; the sweeper removes what is posted later, or left here. */
  async #dropStaged(driver: StorageDriver, upload: DirectRecord): Promise<void> {
    if (!isFormUpload(upload)) return;
    const key = stagingKeyOf(placeOf(upload).address.key);
    try {
      await driver.delete(key, { signal: AbortSignal.timeout(deleteMsMax) });
    } catch (cause) {
      this.#options.log.warn(
        { err: cause, blobKey: key },
        "what a form brought is left to the sweeper",
      );
    }
  }

  /**
   * Who cancelled it may have been faster than the storage, which has made a blob since. Nobody can commit it
   * any more, unless a row knows it.
   */
  async #dropCancelled(driver: StorageDriver, upload: DirectRecord): Promise<void> {
    const { metadata, log } = this.#options;
    const { address, storageId } = placeOf(upload);
    try {
      const known = await metadata.knownBlobs(storageId, [address.key]);
      if (known.has(address.key)) return;
      await driver.delete(address.key, { signal: AbortSignal.timeout(deleteMsMax) });
    } catch (cause) {
      log.warn({ err: cause, blobKey: address.key, storageId }, "blob left behind");
    }
  }

  /** Nothing of it can become an object any more. */
  async #giveUp(writing: Writing): Promise<void> {
    const { metadata, storages, log } = this.#options;
    try {
      writing.releasing();
      const left = await metadata.cancelUpload(writing.id);
      writing.released();
      const garbageDueAt = this.#garbageDueAt();
      if (left !== undefined) await discardUpload(left, { metadata, storages, garbageDueAt });
    } catch (cause) {
      log.warn({ err: cause, uploadId: writing.id }, "an upload was left for the background");
    }
  }

  #garbageDueAt(): Date {
    return new Date(this.#options.clock.now().getTime() + this.#options.blobGraceMs);
  }
}

function recordedParts({ segments }: UploadTaken): readonly Part[] {
  return segments.flatMap((segment) => {
    if (segment.kind !== "part") return [];
    const { number, length, etag, digests } = segment;
    return [{ partNumber: number, length, etag, digests }];
  });
}

function namesOf(...all: readonly (Digests | undefined)[]): readonly DigestName[] {
  return [...new Set(all.flatMap((digests) => Object.keys(digests ?? {})))] as DigestName[];
}

function assertDigests(expected: Digests, computed: Digests): void {
  const different = firstDifference(expected, computed);
  if (different === undefined) return;
  throw new OperationalError("checksum_mismatch", `the ${different} of the upload differs`, {
    context: { digest: different },
  });
}
