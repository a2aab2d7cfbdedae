/**
 * Uploads in parts that come in any order, in parallel, again, and from several processes, as S3 has them.
 *
 * A part is a blob of its own, and counts once it is durable and recorded: the last to be recorded with a
 * number wins. There is no writer and no lease while parts come. Completing takes the lease, so that one
 * process does it and no part changes meanwhile; makes one blob of the named parts; and commits the object,
 * whose parts become garbage in the same transaction. A failed completion leaves the upload as it was.
 */
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { objectBytesMax } from "@roma/contract";
import { abortableBody } from "../abortable-body.ts";
import { type Actor, authorize, isAllowed } from "../access.ts";
import type { Buckets } from "../buckets.ts";
import { CheckedBody } from "../checked-body.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import { assertUsesLeft, grantConditions, grantTerms } from "../grant-writes.ts";
import { newBlobKey, newVersion } from "../ids.ts";
import type { Objects } from "../objects.ts";
import { assertSomePlace, choosePlace } from "../place.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { BlobAddress, BucketRecord, MetadataStore } from "../ports/metadata-store.ts";
import type { Meter } from "../ports/meter.ts";
import type { Siblings } from "../ports/siblings.ts";
import type { Body, DigestName, ObjectBody } from "../ports/storage-driver.ts";
import type { Storages } from "../ports/storages.ts";
import type { TypeDetector } from "../ports/type-detector.ts";
import {
  multipartProtocol,
  type UploadPartBlob,
  type UploadRecord,
} from "../ports/upload-store.ts";
import { CreateRate } from "../resumable/create-rate.ts";
import { LeaseHolder } from "../resumable/lease-holder.ts";
import type { SteadyClock } from "../resumable/steady-clock.ts";
import { type UploadAccess, uploadNotFound, viewOf } from "../resumable/view.ts";
import { assertNotOver, assertUserMetadata, writeLimits } from "../write-limits.ts";
import { Completions } from "./completions.ts";
import {
  checksumOf,
  checksumText,
  frontEndAttributes,
  multipartAttributes,
} from "./object-attributes.ts";
import type {
  CompletedMultipart,
  CompleteMultipartRequest,
  CopyPartRequest,
  CreateMultipartRequest,
  ListMultipartPage,
  ListMultipartQuery,
  ListPartsPage,
  MultipartAddress,
  MultipartView,
  PartView,
  PutPartRequest,
} from "./requests.ts";
import { RunningBlobs } from "./running-blobs.ts";
import { isUploadId, newUploadId } from "./upload-id.ts";
import { etagOfPart } from "./whole.ts";

/** Part numbers are 1 to this. */
export const partsMax = 10_000;
/** Of one part, put or copied. */
export const partBytesMax = 5 * 1024 ** 3;

export interface MultipartOptions {
  readonly metadata: MetadataStore;
  readonly storages: Storages;
  readonly buckets: Buckets;
  readonly objects: Objects;
  readonly detector: TypeDetector;
  readonly clock: Clock;
  readonly steady: SteadyClock;
  readonly log: Log;
  readonly meter: Meter;
  /** Whose blobs these are: stands in their keys (`newInstallation`). */
  readonly installation: string;
  readonly blobGraceMs: number;
  /** The server's own limit, under every bucket's. */
  readonly maxObjectBytes?: number;
  /** Unfinished uploads of one access key. */
  readonly openMax?: number;
  /** Uploads that one access key may begin in a second. */
  readonly createsPerSecondMax?: number;
  readonly siblings?: Siblings;
  /** Of every part but the last; left out: 5 MiB, as clients of S3 expect it. */
  readonly partBytesMin?: number;
  /** Left out: alone, and new with each start. */
  readonly holder?: LeaseHolder | undefined;
  readonly leaseMs?: number;
  readonly renewMs?: number;
}

const openMaxDefault = 10_000;
const createsPerSecondDefault = 1_000;
const partBytesMinDefault = 5 * 1024 ** 2;
const listPartsMax = 1_000;
const listUploadsMax = 1_000;
const deleteMs = 10_000;
/** For the choice of a storage, when the client has not said. */
const contentTypeDefault = "application/octet-stream";

export class Multipart {
  readonly #options: MultipartOptions;
  readonly #rate: CreateRate;
  readonly #running = new RunningBlobs();
  readonly #completions: Completions;

  constructor(options: MultipartOptions) {
    this.#options = options;
    const perSecond = options.createsPerSecondMax ?? createsPerSecondDefault;
    this.#rate = new CreateRate({
      perSecond,
      clock: options.clock,
      workers: options.siblings?.count,
    });
    this.#completions = new Completions({
      ...options,
      partBytesMin: options.partBytesMin ?? partBytesMinDefault,
      running: this.#running,
      holder: options.holder ?? LeaseHolder.alone(randomUUID()),
    });
  }

  /** `bucket_not_found`, `access_denied`, `rate_limited`, `invalid_request`. */
  async create(actor: Actor, request: CreateMultipartRequest): Promise<MultipartView> {
    const { metadata, buckets, clock, steady, meter, openMax } = this.#options;
    const { checksum } = request;
    authorize(actor, "object:write", { bucket: request.bucket, key: request.key });
    if (actor.kind === "anonymous") throw uploadNotFound();
    if (checksum?.name === "crc64nvme" && checksum.type === "composite") {
      throw invalid("CRC-64/NVME is of the full object", "checksum");
    }
    if (checksum?.type === "full-object" && !checksum.name.startsWith("crc")) {
      throw invalid(`${checksum.name} of a full object is not made from parts`, "checksum");
    }
    const bucket = await buckets.require(request.bucket);
    assertUserMetadata(request.userMetadata ?? {});
    await assertUsesLeft(actor, metadata);
    await assertSomePlace({ bucket, key: request.key }, this.#options);
    this.#rate.take(actor.keyId);
    const now = clock.now();
    const upload: UploadRecord = {
      id: newUploadId(now),
      bucket: request.bucket,
      key: request.key,
      kind: "object",
      protocol: multipartProtocol,
      owner: actor.keyId,
      phase: "receiving",
      offset: 0,
      length: null,
      contentType: request.contentType ?? null,
      userMetadata: request.userMetadata ?? {},
      attributes: {
        ...request.attributes,
        ...(checksum && { [multipartAttributes.checksum]: checksumText(checksum) }),
      },
      digests: {},
      conditions: grantConditions(actor),
      grant: grantTerms(actor),
      place: null,
      checks: null,
      reservedBytes: 0,
      createdAt: now,
      expiresAt: steady.in(bucket.uploadExpiryMs),
      version: null,
      fence: 0,
      holder: null,
      leaseUntil: null,
    };
    await metadata.createUpload(upload, { openMax: openMax ?? openMaxDefault });
    meter.count("uploads_created_total", 1, { protocol: multipartProtocol });
    return this.#view(upload);
  }

  /**
   * Stores a part, in the place of the one with its number. `upload_not_found`, `invalid_request` (the
   * number), `too_large`, `checksum_mismatch`, `incomplete_body`, `quota_exceeded`, `storage_full`; `locked`
   * while the upload is being completed.
   */
  async putPart(
    actor: Actor,
    address: MultipartAddress,
    request: PutPartRequest,
  ): Promise<PartView> {
    assertPartNumber(request.partNumber);
    const upload = await this.#requireReceiving(actor, address);
    return await this.#store(actor, upload, request);
  }

  /**
   * Stores bytes of an object as a part. What `putPart` throws; `object_not_found`, `range_unsatisfiable`,
   * and what may not be read is refused as when it is read.
   */
  async copyPart(
    actor: Actor,
    address: MultipartAddress,
    request: CopyPartRequest,
  ): Promise<PartView> {
    const { partNumber, from, firstByte, lastByte, signal } = request;
    assertPartNumber(partNumber);
    const upload = await this.#requireReceiving(actor, address);
    const source = await this.#options.objects.open(actor, from);
    request.judge?.(source.object);
    const { length: sourceLength, digests } = source.object;
    const isRange = firstByte !== undefined && lastByte !== undefined;
    if (isRange && (firstByte > lastByte || lastByte >= sourceLength)) {
      throw new OperationalError("range_unsatisfiable", "the range is not within the source", {
        context: { length: sourceLength, firstByte, lastByte },
      });
    }
    const length = isRange ? lastByte - firstByte + 1 : sourceLength;
    if (length > partBytesMax) throw partTooLarge(partBytesMax);
    const body = await source.read({ signal, ...(isRange ? { firstByte, lastByte } : {}) });
    return await this.#store(actor, upload, {
      partNumber,
      body: ownChunks(body),
      length,
      ...(length === sourceLength ? { digests: { crc64nvme: digests.crc64nvme } } : {}),
      signal,
    });
  }

  /** In order of numbers. `upload_not_found`, also of one that is complete. */
  async listParts(
    actor: Actor,
    address: MultipartAddress,
    query: { readonly after: number; readonly limit: number },
  ): Promise<ListPartsPage> {
    const upload = await this.#require(actor, address, "upload:read");
    if (upload.phase !== "receiving") throw uploadNotFound();
    const limit = Math.min(query.limit, listPartsMax);
    const { after } = query;
    const found = await this.#options.metadata.listUploadParts(upload.id, {
      after,
      limit: limit + 1,
    });
    const parts = found.slice(0, limit).map(viewOfPart);
    const hasMore = found.length > limit && limit > 0;
    const next = hasMore ? parts.at(-1)?.partNumber : undefined;
    return { upload: this.#view(upload), parts, ...(next === undefined ? {} : { next }) };
  }

  /** Those of the bucket that are not finished. `bucket_not_found`, `access_denied`. */
  async list(actor: Actor, query: ListMultipartQuery): Promise<ListMultipartPage> {
    const { bucket, prefix } = query;
    authorize(actor, "upload:read", { bucket, prefix });
    await this.#options.buckets.require(bucket);
    const limit = Math.min(query.limit, listUploadsMax);
    const page = await this.#options.metadata.listMultipart({ ...query, limit });
    return { ...page, uploads: page.uploads.map((upload) => this.#view(upload)) };
  }

  /**
   * Makes the object of the parts that are named; others are dropped. The same request again, also while the
   * first still runs, answers the same. It goes on when the client has gone. `upload_not_found`,
   * `invalid_part`, `too_small`, `too_large`, `invalid_request`, `checksum_mismatch`, `precondition_failed`,
   * `content_type_refused`, `quota_exceeded`.
   */
  async complete(
    actor: Actor,
    address: MultipartAddress,
    request: CompleteMultipartRequest,
  ): Promise<CompletedMultipart> {
    const upload = await this.#require(actor, address, "write");
    return await this.#completions.complete(actor, upload, request);
  }

  /** With all its parts. `upload_not_found`, also of one that is complete. */
  async abort(actor: Actor, address: MultipartAddress): Promise<void> {
    const { metadata } = this.#options;
    const upload = await this.#require(actor, address, "upload:cancel");
    if (upload.phase === "complete") throw uploadNotFound();
    // The fence is raised: a completion that runs can commit no more.
    const left = await metadata.cancelUpload(upload.id);
    if (left === undefined || left.upload.phase === "complete") throw uploadNotFound();
    await metadata.forgetUpload(upload.id, { garbageDueAt: this.#garbageDueAt() });
  }

  /** Whether a request that runs here is about to need the blob. */
  isWriting(blobKey: string): boolean {
    return this.#running.has(blobKey);
  }

  /** When the oldest blob that is being written here was begun. */
  oldestRunningAt(): Date | undefined {
    return this.#running.oldestAt();
  }

  /** Waits for completions that run, within bounds. */
  async close(): Promise<void> {
    await this.#completions.close();
  }

  async #store(actor: Actor, upload: UploadRecord, request: PutPartRequest): Promise<PartView> {
    const { metadata, storages, steady, installation, clock } = this.#options;
    const { partNumber, length, signal, digests = {} } = request;
    const bucket = await this.#options.buckets.require(upload.bucket);
    const bytesMax = await this.#roomOf(actor, { upload, bucket, partNumber, length });
    const storageId = await choosePlace(
      {
        bucket,
        key: upload.key ?? "",
        contentType: upload.contentType ?? contentTypeDefault,
        length: upload.length ?? undefined,
        bytes: length,
      },
      this.#options,
    );
    let written = 0;
    const write = length === undefined ? undefined : { bytes: length, writtenBytes: () => written };
    using lease = storages.lease(storageId, "create", write);
    const now = clock.now();
    const blobKey = newBlobKey(installation, now, newVersion(now));
    using _running = this.#running.begin(blobKey, now);
    const bounded = boundedBody(abortableBody(request.body, signal), bytesMax, (bytes) => {
      written = bytes;
    });
    const checked = new CheckedBody(bounded, request.checks);
    const checksum = checksumOf(upload.attributes);
    const isWhole = length !== undefined && length === upload.length;
    const wanted: readonly DigestName[] = [
      "md5",
      ...(checksum ? [checksum.name] : []),
      // One that is all of the upload shows what was declared of it.
      ...(isWhole ? (Object.keys(upload.digests) as DigestName[]) : []),
    ];
    const names = Object.keys(digests) as DigestName[];
    const head = await lease.driver.put(blobKey, checked.body, {
      signal,
      digestsWanted: [...checked.unknownOf(wanted), ...names],
      digests,
      ...(length === undefined ? {} : { length }),
    });
    try {
      const computed = { ...checked.digests, ...head.digests };
      const { md5, crc64nvme } = computed;
      assert(md5 !== undefined && crc64nvme !== undefined, "the storage stack computed them");
      const part: UploadPartBlob = {
        number: partNumber,
        length: head.length,
        storageId,
        blobKey,
        digests: { ...computed, md5, crc64nvme },
        ...(head.blocks === undefined ? {} : { blocks: head.blocks }),
        createdAt: clock.now(),
      };
      signal.throwIfAborted();
      await metadata.putUploadPart(upload.id, part, {
        now: steady.now(),
        expiresAt: steady.in(bucket.uploadExpiryMs),
        garbageDueAt: this.#garbageDueAt(),
      });
      return viewOfPart(part);
    } catch (error) {
      await this.#drop({ storageId, blobKey }, error);
      throw error;
    }
  }

  /** How many bytes a part may have. Early answers; the store counts exactly what it reserves. */
  async #roomOf(
    actor: Actor,
    part: {
      readonly upload: UploadRecord;
      readonly bucket: BucketRecord;
      readonly partNumber: number;
      readonly length: number | undefined;
    },
  ): Promise<number> {
    const { metadata, maxObjectBytes } = this.#options;
    const { upload, bucket, partNumber, length = 0 } = part;
    const limits = writeLimits(actor, bucket, maxObjectBytes, upload.grant);
    if (length > partBytesMax) throw partTooLarge(partBytesMax);
    let others = upload.offset;
    const mayPass = others + (part.length ?? partBytesMax) > limits.bytesMax;
    // What was declared has been reserved.
    const quotaBytes = upload.length === null ? bucket.quotaBytes : null;
    if (mayPass || quotaBytes !== null) {
      const [same] = await metadata.listUploadParts(upload.id, { after: partNumber - 1, limit: 1 });
      if (same?.number === partNumber) others -= same.length;
    }
    assertNotOver(others + length, limits);
    if (quotaBytes !== null && length > upload.offset - others) {
      const { bytes, reservedBytes } = await metadata.bucketUsage(bucket.name);
      const more = length - (upload.offset - others);
      if (bytes + reservedBytes + more > quotaBytes) {
        throw new OperationalError(
          "quota_exceeded",
          `${length} bytes do not fit into the bucket's quota of ${quotaBytes} bytes`,
          { context: { bucket: bucket.name, quotaBytes, usedBytes: bytes, reservedBytes } },
        );
      }
    }
    return Math.min(partBytesMax, Math.min(limits.bytesMax, objectBytesMax) - others);
  }

  /** A blob that no row names; where the store's answer was lost it is left to the sweeper, which asks. */
  async #drop({ storageId, blobKey }: BlobAddress, error: unknown): Promise<void> {
    const isUncertain =
      isOperationalError(error, "unavailable") || isOperationalError(error, "internal");
    if (isUncertain) return;
    try {
      const signal = AbortSignal.timeout(deleteMs);
      await this.#options.storages.get(storageId).delete(blobKey, { signal });
    } catch (cause) {
      this.#options.log.warn({ err: cause, blobKey, storageId }, "blob left for the sweeper");
    }
  }

  async #requireReceiving(actor: Actor, address: MultipartAddress): Promise<UploadRecord> {
    const upload = await this.#require(actor, address, "write");
    if (upload.phase !== "receiving") throw uploadNotFound();
    return upload;
  }

  /** Who may neither write the object nor do this to uploads is refused before it is known what exists. */
  async #require(
    actor: Actor,
    { bucket, key, uploadId, protocol = multipartProtocol }: MultipartAddress,
    access: UploadAccess,
  ): Promise<UploadRecord> {
    const mayOtherwise = access !== "write" && isAllowed(actor, access, { bucket, key });
    if (!mayOtherwise) authorize(actor, "object:write", { bucket, key });
    await this.#options.buckets.require(bucket);
    const upload = isUploadId(uploadId)
      ? await this.#options.metadata.getUpload(uploadId)
      : undefined;
    const isThis = upload?.bucket === bucket && upload.key === key;
    if (!isThis || upload.protocol !== protocol) throw uploadNotFound();
    if (upload.phase === "cancelling") throw uploadNotFound();
    // By the time of the request, not by when somebody looks.
    const isOver = upload.expiresAt.getTime() <= this.#options.steady.now().getTime();
    if (isOver && upload.holder === null) throw uploadNotFound();
    return upload;
  }

  #view(record: UploadRecord): MultipartView {
    const { key, owner, attributes } = record;
    assert(key !== null, "an upload in parts has a key");
    const checksum = checksumOf(attributes);
    return {
      ...viewOf(record, this.#options.steady),
      key,
      owner,
      attributes: frontEndAttributes(attributes),
      ...(checksum && { checksum }),
    };
  }

  #garbageDueAt(): Date {
    return new Date(this.#options.clock.now().getTime() + this.#options.blobGraceMs);
  }
}

function viewOfPart(part: UploadPartBlob): PartView {
  const { number, length, digests, createdAt } = part;
  return { partNumber: number, length, etag: etagOfPart(part), digests, createdAt };
}

function assertPartNumber(partNumber: number): void {
  if (Number.isSafeInteger(partNumber) && partNumber >= 1 && partNumber <= partsMax) return;
  throw invalid(`part number ${partNumber} is not 1 to ${partsMax}`, "partNumber");
}

/** Stops at the byte that crosses the limit; `onBytes` is told how many have come so far. */
async function* boundedBody(body: Body, bytesMax: number, onBytes: (bytes: number) => void): Body {
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > bytesMax) throw partTooLarge(bytesMax);
    onBytes(length);
    yield chunk;
  }
}

/** A driver uses the memory of a chunk again, and who takes it may keep it for a while. */
async function* ownChunks(body: ObjectBody): Body {
  await using reading = body;
  for await (const chunk of reading) yield Uint8Array.from(chunk);
}

function partTooLarge(maxBytes: number): OperationalError {
  return new OperationalError("too_large", `the part is larger than ${maxBytes} bytes`, {
    context: { maxBytes },
  });
}

function invalid(message: string, field: string): OperationalError {
  return new OperationalError("invalid_request", message, { context: { field } });
}
