/**
 * Uploads that survive their connection and their process: the one core of tus and IETF resumable
 * uploads. What is told as the offset is durable in the storage and recorded; the bytes of a request
 * are stored as far as they came, whatever ended it.
 *
 * A request is: permission → lease → offset → bytes into the storage, recorded as they become durable →
 * lease back, or completion. No transaction is open while bytes flow.
 */

import { randomBytes, randomUUID } from "node:crypto";
import { objectBytesMax } from "@roma/contract";
import { type Actor, authorize, mayWriteSomewhere } from "../access.ts";
import type { Buckets } from "../buckets.ts";
import { firstDifference } from "../digests/digest-set.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import { newBlobKey, newVersion } from "../ids.ts";
import { choosePlace } from "../place.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { BucketRecord, MetadataStore, WriteResult } from "../ports/metadata-store.ts";
import type { Meter } from "../ports/meter.ts";
import type { PartBufferPool } from "../ports/part-buffers.ts";
import type { Body } from "../ports/storage-driver.ts";
import type { Storages } from "../ports/storages.ts";
import type { TypeDetector } from "../ports/type-detector.ts";
import type { UploadPlace, UploadRecord, UploadTaken } from "../ports/upload-store.ts";
import {
  assertLengthAllowed,
  assertNotOver,
  assertUserMetadata,
  type WriteLimits,
  writeLimits,
} from "../write-limits.ts";
import { AppendStrategy } from "./append-strategy.ts";
import { type Completed, complete, isFinalVerdict } from "./completion.ts";
import { bodyOfPartials, partialsOf } from "./concatenation.ts";
import { CreateRate } from "./create-rate.ts";
import { Incoming } from "./incoming.ts";
import { PartStrategy } from "./part-strategy.ts";
import type {
  AppendRequest,
  AppendResult,
  ConcatenateRequest,
  CreateRequest,
  UploadLimits,
  UploadView,
} from "./requests.ts";
import { Session, type Strategy } from "./session.ts";
import { brieflyMs, SmallStrategy, smallBytesMax } from "./small-strategy.ts";
import type { SteadyClock } from "./steady-clock.ts";
import { assertMayUse, mayUse, type UploadAccess, uploadNotFound, viewOf } from "./view.ts";
import { WriterLeases, type Writing } from "./writer-leases.ts";

export interface ResumableUploadsOptions {
  readonly metadata: MetadataStore;
  readonly storages: Storages;
  readonly buckets: Buckets;
  readonly detector: TypeDetector;
  readonly clock: Clock;
  readonly steady: SteadyClock;
  readonly log: Log;
  readonly meter: Meter;
  readonly buffers: PartBufferPool;
  /** Bytes of the parts that a storage of numbered parts is sent, or more; left out: 8 MiB. */
  readonly partBytesLeast?: number;
  readonly installation: string;
  readonly blobGraceMs: number;
  /** The server's own limit, under every bucket's. */
  readonly maxObjectBytes?: number;
  /** Unfinished uploads of one access key. */
  readonly openMax?: number;
  /** Uploads that one access key may begin in a second. */
  readonly createsPerSecondMax?: number;
  readonly leaseMs?: number;
  readonly renewMs?: number;
}

const openMaxDefault = 10_000;
const createsPerSecondDefault = 1_000;
/** How long the storage has to store what came, after the client went. */
const graceMs = 30_000;
/** How long what a client sent before it went may take to be handed out. */
const leftoverMs = 5_000;
const idPattern = /^[0-9a-f]{32}$/;

export class ResumableUploads {
  readonly #options: ResumableUploadsOptions;
  readonly #leases: WriterLeases;
  readonly #rate: CreateRate;
  /** Blobs that are about to be published without a row that names them yet. */
  readonly #writing = new Set<string>();

  constructor(options: ResumableUploadsOptions) {
    this.#options = options;
    const { metadata, steady, clock, log, leaseMs, renewMs } = options;
    this.#leases = new WriterLeases({
      store: metadata,
      steady,
      clock,
      log,
      holder: randomUUID(),
      ...(leaseMs === undefined ? {} : { leaseMs }),
      ...(renewMs === undefined ? {} : { renewMs }),
    });
    const perSecond = options.createsPerSecondMax ?? createsPerSecondDefault;
    this.#rate = new CreateRate({ perSecond, clock });
  }

  /**
   * A new upload without bytes. Of length 0 it is complete at once (`written`). `bucket_not_found`,
   * `too_large`, `too_small`, `quota_exceeded`, `rate_limited`, `precondition_failed`, `invalid_request`.
   */
  async create(actor: Actor, request: CreateRequest): Promise<AppendResult> {
    const upload = await this.#create(actor, request);
    if (upload.length !== 0) return { upload: this.#view(upload) };
    return await this.append(actor, upload.id, {
      offset: 0,
      body: nothing(),
      bodyLength: 0,
      complete: "yes",
      signal: request.signal,
    });
  }

  /**
   * Adds a body at the offset. A writer whose client is silent is asked to stop and has stored what it
   * got before this one begins. When the client goes in the middle, what came is stored, and this throws.
   * `upload_not_found`, `offset_mismatch` (context: `offset`), `too_large`, `checksum_mismatch`,
   * `incomplete_body`, `locked`, `unavailable`, and what the storage says.
   */
  async append(actor: Actor, id: string, request: AppendRequest): Promise<AppendResult> {
    const known = await this.#require(actor, id, "write");
    if (known.phase === "complete") return await this.#appendToComplete(known, request);
    const bucket = await this.#options.buckets.require(known.bucket);
    const limits = writeLimits(actor, bucket, this.#options.maxObjectBytes);
    // What cannot be right is refused before another's request is disturbed.
    if (known.holder === null) assertOffset(known, request);
    assertAppendFits(known, request, limits);
    await using writing = await this.#leases.take(id, {
      mode: "append",
      signal: request.signal,
      known: isBrief(known, request) ? known : undefined,
    });
    return await this.#appendHolding(writing, { request, bucket, limits });
  }

  /**
   * `create` and the first `append` in one. Who learns of the upload from `onCreated` finds it being
   * written already, and gets an offset that holds.
   */
  async begin(
    actor: Actor,
    request: CreateRequest,
    first: AppendRequest & { readonly onCreated: (upload: UploadView) => Promise<void> },
  ): Promise<AppendResult> {
    const made = await this.#create(actor, request);
    const bucket = await this.#options.buckets.require(made.bucket);
    const limits = writeLimits(actor, bucket, this.#options.maxObjectBytes);
    await using writing = await this.#leases.take(made.id, {
      mode: "append",
      signal: request.signal,
      known: isBrief(made, first) ? made : undefined,
    });
    await first.onCreated(this.#view(made));
    return await this.#appendHolding(writing, { request: first, bucket, limits });
  }

  async #appendHolding(
    writing: Writing,
    given: {
      readonly request: AppendRequest;
      readonly bucket: BucketRecord;
      readonly limits: WriteLimits;
    },
  ): Promise<AppendResult> {
    const { request, bucket, limits } = given;
    let { upload } = writing.taken;
    if (upload.phase === "complete") return await this.#appendToComplete(upload, request);
    this.#assertNotExpired(upload);
    if (upload.phase === "completing") {
      await this.#finishStored(writing, { bucket, limits });
      const now = await this.#options.metadata.getUpload(upload.id);
      return await this.#appendToComplete(now ?? upload, request);
    }
    assertOffset(upload, request);
    assertAppendFits(upload, request, limits);
    upload = await this.#declareLength(writing, upload, request);
    return await this.#receive(writing, { ...given, upload });
  }

  /**
   * As it is; a running writer is first asked to stop, so that the offset told is the one that the next
   * append must have. `upload_not_found`, `locked`, `unavailable`.
   */
  async settle(
    actor: Actor,
    id: string,
    options: { readonly signal: AbortSignal },
  ): Promise<UploadView> {
    const known = await this.#require(actor, id, "upload:read");
    const isWritten = known.holder !== null || this.#leases.isWriting(id);
    const isQuiet = !isWritten && known.phase !== "completing";
    if (isQuiet || known.phase === "complete") return this.#view(known);
    await using writing = await this.#leases.take(id, { mode: "settle", ...options });
    const { upload } = writing.taken;
    if (upload.phase !== "completing") return this.#view(upload);
    const bucket = await this.#options.buckets.require(upload.bucket);
    const limits = writeLimits(actor, bucket, this.#options.maxObjectBytes);
    await this.#finishStored(writing, { bucket, limits });
    return this.#view((await this.#options.metadata.getUpload(id)) ?? upload);
  }

  /** As it is known at this moment; disturbs nobody. `upload_not_found`. */
  async get(actor: Actor, id: string): Promise<UploadView> {
    return this.#view(await this.#require(actor, id, "upload:read"));
  }

  /** Those that the actor may see, in order of ids. Fewer than `limit` are all there are. */
  async list(
    actor: Actor,
    query: { readonly bucket?: string; readonly after?: string; readonly limit: number },
  ): Promise<readonly UploadView[]> {
    if (actor.kind === "anonymous") authorize(actor, "upload:read", {});
    const seen: UploadView[] = [];
    let { after } = query;
    for (;;) {
      const page = { ...query, ...(after === undefined ? {} : { after }) };
      const records = await this.#options.metadata.listUploads(page);
      for (const record of records) {
        if (mayUse(actor, "upload:read", record)) seen.push(this.#view(record));
        if (seen.length === query.limit) return seen;
      }
      after = records.at(-1)?.id;
      if (records.length < query.limit) return seen;
    }
  }

  /**
   * Stops it and forgets it, with all its bytes. A complete one is only forgotten: its object stays.
   * `upload_not_found`.
   */
  async cancel(
    actor: Actor,
    id: string,
    _options: { readonly signal: AbortSignal },
  ): Promise<UploadView> {
    const known = await this.#require(actor, id, "upload:cancel");
    await this.#cancel(id, new OperationalError("upload_not_found", "the upload was cancelled"));
    return this.#view({ ...known, phase: known.phase === "complete" ? "complete" : "cancelling" });
  }

  /**
   * One object of complete partials, in their order. `upload_not_found` for one that is not there;
   * `invalid_request` for one that is no partial, of another bucket, or not complete.
   */
  async concatenate(actor: Actor, request: ConcatenateRequest): Promise<AppendResult> {
    const { metadata, storages } = this.#options;
    const parts = await partialsOf(request, {
      metadata,
      require: (id) => this.#require(actor, id, "write"),
    });
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const upload = await this.#create(actor, { ...request, kind: "object", length });
    try {
      return await this.append(actor, upload.id, {
        offset: 0,
        body: bodyOfPartials(parts, { storages, signal: request.signal }),
        bodyLength: length,
        complete: "yes",
        signal: request.signal,
      });
    } catch (error) {
      await this.#cancel(upload.id, new OperationalError("upload_not_found", "not made")).catch(
        (cause: unknown) => this.#logLeft(upload.id, cause),
      );
      throw error;
    }
  }

  /** What an upload to this bucket may be. `bucket_not_found`. */
  async limits(actor: Actor, name: string): Promise<UploadLimits> {
    const bucket = await this.#options.buckets.require(name);
    const { bytesMax } = writeLimits(actor, bucket, this.#options.maxObjectBytes);
    return { maxBytes: Math.min(bytesMax, objectBytesMax), expiryMs: bucket.uploadExpiryMs };
  }

  /** What a complete upload made; `undefined` if the object was replaced or deleted since. */
  async result(actor: Actor, id: string): Promise<WriteResult | undefined> {
    return await this.#resultOf(await this.#require(actor, id, "upload:read"));
  }

  /** Whether a request that runs here is about to need the blob. */
  isWriting(blobKey: string): boolean {
    return this.#writing.has(blobKey);
  }

  /** Lets running requests store what they have, and ends them. */
  async close(): Promise<void> {
    await this.#leases.close();
  }

  /** One that has expired, was left cancelling, or was left completing: for background work. */
  async tidy(record: UploadRecord): Promise<void> {
    const { metadata, steady, buckets, maxObjectBytes } = this.#options;
    if (record.phase === "completing") {
      const signal = AbortSignal.timeout(graceMs);
      await using writing = await this.#leases.take(record.id, { mode: "append", signal });
      if (writing.taken.upload.phase !== "completing") return;
      const bucket = await buckets.require(record.bucket);
      const nobody: Actor = { kind: "anonymous" };
      await this.#finishStored(writing, {
        bucket,
        limits: writeLimits(nobody, bucket, maxObjectBytes),
      });
      return;
    }
    const expiredBefore = steady.now();
    const options = record.phase === "cancelling" ? {} : { expiredBefore };
    const left = await metadata.cancelUpload(record.id, options);
    if (left === undefined) return;
    this.#options.meter.count("uploads_expired_total");
    await this.#clean(left);
  }

  async #create(actor: Actor, request: CreateRequest): Promise<UploadRecord> {
    const { metadata, buckets, clock, steady } = this.#options;
    const { key = null } = request;
    if (key !== null) authorize(actor, "object:write", { bucket: request.bucket, key });
    else if (!mayWriteSomewhere(actor, request.bucket)) {
      authorize(actor, "object:write", { bucket: request.bucket });
    }
    if (actor.kind === "anonymous") throw uploadNotFound();
    const bucket = await buckets.require(request.bucket);
    assertUserMetadata(request.userMetadata ?? {});
    const limits = writeLimits(actor, bucket, this.#options.maxObjectBytes);
    if (request.length !== undefined) {
      // Of a partial the sum counts, which is judged when it is known.
      if (key === null) assertNotOver(request.length, limits);
      else assertLengthAllowed(request.length, limits);
    }
    if (key !== null) await this.#precheck(request.bucket, key, request);
    this.#rate.take(actor.keyId);
    const upload: UploadRecord = {
      id: randomBytes(16).toString("hex"),
      bucket: request.bucket,
      key,
      kind: request.kind,
      protocol: request.protocol,
      owner: actor.keyId,
      phase: "receiving",
      offset: 0,
      length: request.length ?? null,
      contentType: request.contentType ?? null,
      userMetadata: request.userMetadata ?? {},
      attributes: request.attributes ?? {},
      digests: request.digests ?? {},
      conditions: request.conditions ?? {},
      place: null,
      checks: null,
      reservedBytes: request.length ?? 0,
      createdAt: clock.now(),
      expiresAt: steady.in(bucket.uploadExpiryMs),
      version: null,
      fence: 0,
      holder: null,
      leaseUntil: null,
    };
    await metadata.createUpload(upload, { openMax: this.#options.openMax ?? openMaxDefault });
    this.#options.meter.count("uploads_created_total", 1, { protocol: request.protocol });
    return upload;
  }

  /** Early answers for what is bound to fail; the commit judges again. */
  async #precheck(bucket: string, key: string, request: CreateRequest): Promise<void> {
    const { conditions } = request;
    if (conditions?.ifAbsent !== true && conditions?.ifMatch === undefined) return;
    const current = await this.#options.metadata.headObject(bucket, key);
    const matches =
      conditions.ifMatch === undefined ||
      (current !== undefined &&
        (conditions.ifMatch === "*" || conditions.ifMatch.includes(current.etag)));
    if (matches && !(conditions.ifAbsent === true && current !== undefined)) return;
    throw new OperationalError("precondition_failed", "the object is not as the condition asks");
  }

  async #receive(
    writing: Writing,
    given: {
      readonly upload: UploadRecord;
      readonly request: AppendRequest;
      readonly bucket: BucketRecord;
      readonly limits: WriteLimits;
    },
  ): Promise<AppendResult> {
    const { upload, request, limits } = given;
    const total = upload.length ?? limits.bytesMax;
    // A body whose client has gone gives what had come, and then fails by itself.
    using late = lateEnd([request.signal], { graceMs: leftoverMs });
    const incoming = new Incoming(request.body, {
      stop: AbortSignal.any([writing.stop, late.signal]),
      bytesMax: total - upload.offset,
      tooLarge: () => tooLong(total),
      clock: this.#options.clock,
    });
    writing.isStalled = (ms) => incoming.isStalled(ms);
    using ending = lateEnd([writing.stop, request.signal], { graceMs, now: writing.lost });
    try {
      const firstBytes = upload.offset === 0 ? await this.#peek(incoming, writing) : undefined;
      if (incoming.outcome === "cut" && firstBytes?.length === 0) throw incoming.failure;
      const place = upload.place ?? (await this.#place(given, firstBytes ?? new Uint8Array()));
      using storageLease = this.#options.storages.lease(
        place.storageId,
        upload.place === null ? "create" : "continue",
      );
      const session = new Session({
        ...this.#sessionOptions(given.bucket),
        writing,
        upload,
        incoming,
        place,
        storage: storageLease.driver,
        checked: request.checks?.names,
        onProgress: request.onProgress,
        signal: ending.signal,
      });
      this.#writing.add(place.blobKey);
      const strategy = strategyFor(session, expectedLength(upload, request));
      if (!(strategy instanceof SmallStrategy)) await writing.record();
      try {
        await strategy.receive();
        this.#judgeBody(session, request);
        if (!isEnd(session, request)) {
          await strategy.settle();
          await session.commit(session.sums.state(), { release: true });
          this.#throwIfCut(incoming);
          return { upload: this.#view(session.upload) };
        }
        const completed = await this.#complete(session, strategy, {
          ...given,
          writing,
          firstBytes,
        });
        return this.#answer(completed);
      } finally {
        await strategy.close();
        this.#writing.delete(place.blobKey);
      }
    } finally {
      incoming.end();
    }
  }

  /** A body with checks is compared before any of it counts. */
  #judgeBody(session: Session, { checks }: AppendRequest): void {
    if (checks === undefined) return;
    this.#throwIfCut(session.incoming);
    const different = firstDifference(checks.expected(), session.bodyDigests());
    if (different !== undefined) {
      throw new OperationalError("checksum_mismatch", `the ${different} of the body differs`, {
        context: { digest: different },
      });
    }
    session.verified();
  }

  #throwIfCut(incoming: Incoming): void {
    if (incoming.outcome === "cut") throw incoming.failure;
  }

  async #complete(
    session: Session,
    strategy: Strategy,
    given: {
      readonly bucket: BucketRecord;
      readonly limits: WriteLimits;
      readonly writing: Writing;
      readonly firstBytes: Uint8Array | undefined;
    },
  ): Promise<Completed> {
    const { metadata, detector, clock, steady, meter } = this.#options;
    try {
      const completed = await complete(session, strategy, {
        store: metadata,
        detector,
        now: () => clock.now(),
        garbageDueAt: () => this.#garbageDueAt(),
        expiresAt: () => steady.in(given.bucket.uploadExpiryMs),
        limits: given.limits,
        writer: given.writing,
        isFirst: !given.writing.isRecorded,
        firstBytes: given.firstBytes,
      });
      given.writing.released();
      meter.count("upload_completed_total");
      return completed;
    } catch (error) {
      await this.#dropUnnamed(session, error);
      if (isFinalVerdict(error)) await this.#giveUp(given.writing);
      throw error;
    }
  }

  /**
   * A blob that was put in one go, and that no row names. Where the commit may have happened all the same
   * it stays: the sweeper asks the store.
   */
  async #dropUnnamed(session: Session, error: unknown): Promise<void> {
    const { place, storage, upload } = session;
    const isUncertain = !isOperationalError(error) || error.code === "unavailable";
    if (upload.place !== null || isUncertain || error.code === "internal") return;
    try {
      await storage.delete(place.blobKey, { signal: AbortSignal.timeout(graceMs) });
    } catch (cause) {
      this.#logLeft(upload.id, cause);
    }
  }

  /** Nothing of it can become an object any more. */
  async #giveUp(writing: Writing): Promise<void> {
    try {
      // Not for another process that has begun to write it.
      await writing.record();
      const left = await this.#options.metadata.cancelUpload(writing.id);
      writing.released();
      if (left !== undefined) await this.#clean(left);
    } catch (cause) {
      this.#logLeft(writing.id, cause);
    }
  }

  /** All bytes are recorded and something came between them and the commit: goes on from there. */
  async #finishStored(
    writing: Writing,
    given: { readonly bucket: BucketRecord; readonly limits: WriteLimits },
  ): Promise<void> {
    const { upload } = writing.taken;
    const { place } = upload;
    if (place === null) throw new Error(`upload ${upload.id} is completing and has no place`);
    using storageLease = this.#options.storages.lease(place.storageId, "continue");
    using ending = lateEnd([], { graceMs, now: writing.lost });
    const incoming = new Incoming(nothing(), {
      stop: writing.stop,
      bytesMax: 0,
      tooLarge: () => tooLong(0),
      clock: this.#options.clock,
    });
    const session = new Session({
      ...this.#sessionOptions(given.bucket),
      writing,
      upload,
      incoming,
      place,
      storage: storageLease.driver,
      checked: undefined,
      onProgress: undefined,
      signal: ending.signal,
    });
    const strategy = strategyFor(session, undefined);
    try {
      await this.#complete(session, strategy, { ...given, writing, firstBytes: undefined });
    } finally {
      await strategy.close();
      incoming.end();
    }
  }

  #sessionOptions(bucket: BucketRecord) {
    const { metadata, buffers, partBytesLeast, clock, steady, installation } = this.#options;
    return {
      store: metadata,
      buffers,
      partBytesLeast,
      clock,
      newBlobKey: () => {
        const now = clock.now();
        return newBlobKey(installation, now, newVersion(now));
      },
      expiresAt: () => steady.in(bucket.uploadExpiryMs),
      garbageDueAt: () => this.#garbageDueAt(),
    };
  }

  #garbageDueAt(): Date {
    const { clock, blobGraceMs } = this.#options;
    return new Date(clock.now().getTime() + blobGraceMs);
  }

  async #peek(incoming: Incoming, writing: Writing): Promise<Uint8Array> {
    const wanted = this.#options.detector.bytesWanted;
    const next = async (): Promise<Uint8Array | undefined> => {
      if (!(await incoming.isReady(brieflyMs))) await writing.record();
      return await incoming.next();
    };
    const first = await next();
    if (first === undefined) return new Uint8Array();
    const chunks = [first];
    let length = first.length;
    while (length < wanted) {
      const chunk = await next();
      if (chunk === undefined) break;
      chunks.push(chunk);
      length += chunk.length;
    }
    const bytes = chunks.length === 1 ? first : Buffer.concat(chunks);
    incoming.unread(bytes);
    // Its own memory: the storage may free what it was given.
    return Uint8Array.from(bytes.subarray(0, wanted));
  }

  async #place(
    given: {
      readonly upload: UploadRecord;
      readonly request: AppendRequest;
      readonly bucket: BucketRecord;
    },
    firstBytes: Uint8Array,
  ): Promise<UploadPlace> {
    const { detector, clock, installation } = this.#options;
    const { upload, request, bucket } = given;
    const contentType = await detector.detect(firstBytes, upload.contentType ?? undefined);
    const storageId = await choosePlace(
      {
        bucket,
        key: upload.key ?? "",
        contentType,
        length: upload.length ?? expectedLength(upload, request),
      },
      this.#options,
    );
    const now = clock.now();
    const blobKey = newBlobKey(installation, now, newVersion(now));
    return { storageId, blobKey, token: null, partBytes: null };
  }

  async #declareLength(
    writing: Writing,
    upload: UploadRecord,
    { length }: AppendRequest,
  ): Promise<UploadRecord> {
    if (length === undefined || upload.length !== null) return upload;
    const change = { length, reservedBytes: length };
    return await this.#options.metadata.checkpointUpload(writing, change);
  }

  async #appendToComplete(upload: UploadRecord, request: AppendRequest): Promise<AppendResult> {
    assertOffset(upload, request);
    if (request.bodyLength !== 0) {
      // Chunked: perhaps there is nothing in it.
      const body = request.body[Symbol.asyncIterator]();
      const first = request.bodyLength === undefined ? await body.next() : { done: false };
      void Promise.resolve(body.return?.()).catch(() => undefined);
      if (first.done !== true) throw tooLong(upload.offset);
    }
    const written = await this.#resultOf(upload);
    return { upload: this.#view(upload), ...(written === undefined ? {} : { written }) };
  }

  async #resultOf(upload: UploadRecord): Promise<WriteResult | undefined> {
    if (upload.key === null || upload.version === null) return undefined;
    const object = await this.#options.metadata.headObject(upload.bucket, upload.key);
    return object?.version === upload.version ? { object } : undefined;
  }

  #answer({ upload, written }: Completed): AppendResult {
    return { upload: this.#view(upload), ...(written === undefined ? {} : { written }) };
  }

  async #cancel(id: string, reason: OperationalError): Promise<void> {
    const { metadata } = this.#options;
    const left = await metadata.cancelUpload(id);
    // The fence is raised: what it still does can be committed no more.
    await this.#leases.stop(id, reason);
    if (left !== undefined) await this.#clean(left);
  }

  /** Removes what the storage holds of it, and its rows. */
  async #clean({ upload }: UploadTaken): Promise<void> {
    const { metadata, storages } = this.#options;
    const { place } = upload;
    if (upload.phase === "cancelling" && place !== null && place.token !== null) {
      const address = { key: place.blobKey, token: place.token };
      using storageLease = storages.lease(place.storageId, "delete");
      const signal = AbortSignal.timeout(graceMs);
      await storageLease.driver.parts?.cancel(address, { signal });
    }
    await metadata.forgetUpload(upload.id, { garbageDueAt: this.#garbageDueAt() });
  }

  async #require(actor: Actor, id: string, access: UploadAccess): Promise<UploadRecord> {
    const record = idPattern.test(id) ? await this.#options.metadata.getUpload(id) : undefined;
    assertMayUse(actor, access, record);
    if (record.phase === "cancelling") throw uploadNotFound();
    this.#assertNotExpired(record);
    return record;
  }

  /** By the time of the request, not by when somebody looks. */
  #assertNotExpired(upload: UploadRecord): void {
    const isOver = upload.expiresAt.getTime() <= this.#options.steady.now().getTime();
    if (isOver && upload.holder === null) throw uploadNotFound();
  }

  #view(record: UploadRecord): UploadView {
    return viewOf(record, this.#options.steady);
  }

  #logLeft(uploadId: string, err: unknown): void {
    this.#options.log.warn({ err, uploadId }, "an upload was left for the background to clean");
  }
}

function strategyFor(session: Session, expectedBytes: number | undefined): Strategy {
  const { parts } = session.storage;
  if (parts === undefined) {
    throw new OperationalError("unsupported", "this storage does not take resumable uploads");
  }
  const { append } = parts;
  const isNew = session.place.token === null && session.received === 0;
  if (append === undefined) return new PartStrategy(session, parts);
  const long = (): Strategy =>
    new AppendStrategy(session, { ...parts, append: append.bind(parts) });
  if (!isNew || expectedBytes === undefined || expectedBytes > smallBytesMax) return long();
  return new SmallStrategy(session, expectedBytes, long);
}

/** Of the whole upload, if this request is to bring all of it and to complete it. */
function expectedLength(upload: UploadRecord, request: AppendRequest): number | undefined {
  if (upload.offset !== 0 || request.complete === "no") return undefined;
  const length = upload.length ?? (request.complete === "yes" ? request.bodyLength : undefined);
  const isWhole = request.bodyLength === undefined || request.bodyLength === length;
  return isWhole ? length : undefined;
}

/** Whether one commit is likely to be all that it needs. */
function isBrief(upload: UploadRecord, request: AppendRequest): boolean {
  const { phase, holder, place } = upload;
  if (phase !== "receiving" || holder !== null || place !== null) return false;
  const bytes = upload.length === null ? undefined : expectedLength(upload, request);
  return bytes !== undefined && bytes <= smallBytesMax;
}

/** Whether what came is all there is. */
function isEnd(session: Session, { complete: when }: AppendRequest): boolean {
  const { received, incoming } = session;
  const { length } = session.upload;
  if (when === "no") return false;
  // The last byte may have come just before the connection broke.
  if (when === "at-length") return received === length;
  if (incoming.outcome !== "whole") return received === length;
  if (length === null || received === length) return true;
  throw inconsistentLength(length, received);
}

/** What the headers alone show to be wrong. */
function assertAppendFits(upload: UploadRecord, request: AppendRequest, limits: WriteLimits): void {
  const { bodyLength, offset, complete: when } = request;
  const declared = request.length;
  if (declared !== undefined) {
    if (upload.length !== null && upload.length !== declared) {
      throw inconsistentLength(upload.length, declared);
    }
    if (declared < upload.offset) throw inconsistentLength(upload.offset, declared);
    assertNotOver(declared, limits);
  }
  const total = upload.length ?? declared;
  if (bodyLength === undefined) return;
  const end = offset + bodyLength;
  if (total === undefined) assertNotOver(end, limits);
  else if (end > total) throw tooLong(total);
  else if (when === "yes" && end !== total) throw inconsistentLength(total, end);
}

function assertOffset({ offset }: UploadRecord, { offset: asked }: AppendRequest): void {
  if (asked === offset) return;
  throw new OperationalError("offset_mismatch", `offset ${asked} does not match ${offset}`, {
    context: { offset, askedOffset: asked },
  });
}

function inconsistentLength(known: number, told: number): OperationalError {
  return new OperationalError(
    "invalid_request",
    `the upload's length is ${known}, and this request says ${told}`,
    { context: { field: "length", length: known, toldLength: told } },
  );
}

function tooLong(total: number): OperationalError {
  return new OperationalError(
    "too_large",
    `the body passes the upload's length of ${total} bytes`,
    {
      context: { length: total },
    },
  );
}

/** A signal that comes some time after others, or at once with `now`. */
function lateEnd(
  soft: readonly AbortSignal[],
  options: { readonly graceMs: number; readonly now?: AbortSignal },
) {
  const { graceMs: ms, now } = options;
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const atOnce = (): void => controller.abort(now?.reason);
  const later = ({ reason }: AbortSignal) => {
    timer ??= setTimeout(() => controller.abort(reason), ms);
  };
  const onAbort = (event: Event): void => later(event.target as AbortSignal);
  for (const signal of soft) {
    if (signal.aborted) later(signal);
    else signal.addEventListener("abort", onAbort, { once: true });
  }
  now?.addEventListener("abort", atOnce, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      for (const signal of soft) signal.removeEventListener("abort", onAbort);
      now?.removeEventListener("abort", atOnce);
    },
  };
}

async function* nothing(): Body {
  // No bytes.
}
