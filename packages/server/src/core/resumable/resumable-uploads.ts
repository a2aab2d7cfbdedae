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
import { authorOf } from "../author.ts";
import { OperationalError } from "../errors.ts";
import { failedCondition, hasEarlyCondition } from "../failed-condition.ts";
import { assertUsesLeft, grantConditions, grantTerms } from "../grant-writes.ts";
import { assertSomePlace } from "../place.ts";
import { serverAuthor } from "../ports/author.ts";
import type {
  Author,
  BucketRecord,
  WriteConditions,
  WriteResult,
} from "../ports/metadata-store.ts";
import type { Body } from "../ports/storage-driver.ts";
import type { UploadRecord } from "../ports/upload-store.ts";
import {
  assertLengthAllowed,
  assertNotOver,
  assertUserMetadata,
  type WriteLimits,
  writeLimits,
} from "../write-limits.ts";
import { assertAppendFits, assertOffset, isBrief, tooLong } from "./append-rules.ts";
import type { Completed } from "./completion.ts";
import { partialsOf } from "./concatenation.ts";
import { CreateRate } from "./create-rate.ts";
import { LeaseHolder } from "./lease-holder.ts";
import type { ResumableUploadsOptions } from "./options.ts";
import { Receiver } from "./receiver.ts";
import type {
  AppendRequest,
  AppendResult,
  ConcatenateRequest,
  CreateRequest,
  UploadLimits,
  UploadView,
} from "./requests.ts";
import { assertMayUse, mayUse, type UploadAccess, uploadNotFound, viewOf } from "./view.ts";
import { WriterLeases, type Writing } from "./writer-leases.ts";

const openMaxDefault = 10_000;
const createsPerSecondDefault = 1_000;
/** For work that nobody waits for. */
const backgroundMsMax = 30_000;
const idPattern = /^[0-9a-f]{32}$/;

export class ResumableUploads {
  readonly #options: ResumableUploadsOptions;
  readonly #holder: LeaseHolder;
  readonly #leases: WriterLeases;
  readonly #rate: CreateRate;
  readonly #receiver: Receiver;

  constructor(options: ResumableUploadsOptions) {
    this.#options = options;
    this.#receiver = new Receiver(options);
    const { metadata, steady, clock, log, leaseMs, renewMs } = options;
    this.#holder = options.holder ?? LeaseHolder.alone(randomUUID());
    this.#leases = new WriterLeases({
      store: metadata,
      steady,
      clock,
      log,
      holder: this.#holder,
      ...(leaseMs === undefined ? {} : { leaseMs }),
      ...(renewMs === undefined ? {} : { renewMs }),
    });
    const perSecond = options.createsPerSecondMax ?? createsPerSecondDefault;
    this.#rate = new CreateRate({ perSecond, clock, workers: options.siblings?.count });
  }

  /**
   * A new upload without bytes. Of length 0 it is complete at once (`written`). `bucket_not_found`,
   * `too_large`, `too_small`, `quota_exceeded`, `rate_limited`, `precondition_failed`, `invalid_request`;
   * `access_denied` also once a grant with a count is used up.
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
    const limits = this.#limitsOf(actor, bucket, known);
    // What cannot be right is refused before another's request is disturbed.
    if (known.holder === null) assertOffset(known, request);
    assertAppendFits(known, request, limits);
    await using writing = await this.#leases.take(id, {
      mode: "append",
      signal: request.signal,
      known: isBrief(known, request) ? known : undefined,
    });
    const author = authorOf(actor);
    return await this.#appendHolding(writing, { request, bucket, limits, author });
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
    const limits = this.#limitsOf(actor, bucket, made);
    await using writing = await this.#leases.take(made.id, {
      mode: "append",
      signal: request.signal,
      known: isBrief(made, first) ? made : undefined,
    });
    await first.onCreated(this.#view(made));
    const author = authorOf(actor);
    return await this.#appendHolding(writing, { request: first, bucket, limits, author });
  }

  async #appendHolding(
    writing: Writing,
    given: {
      readonly request: AppendRequest;
      readonly bucket: BucketRecord;
      readonly limits: WriteLimits;
      readonly author: Author;
    },
  ): Promise<AppendResult> {
    const { request, limits, ...finishing } = given;
    let { upload } = writing.taken;
    if (upload.phase === "complete") return await this.#appendToComplete(upload, request);
    this.#assertNotExpired(upload);
    if (upload.phase === "completing") {
      await this.#receiver.finishStored(writing, { ...finishing, limits });
      const now = await this.#options.metadata.getUpload(upload.id);
      return await this.#appendToComplete(now ?? upload, request);
    }
    assertOffset(upload, request);
    assertAppendFits(upload, request, limits);
    upload = await this.#declareLength(writing, upload, request);
    return this.#answer(await this.#receiver.receive(writing, { ...given, upload }));
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
    // Asked before the row is read as well: who writes now may have ended, and changed it, by the time it is here.
    const wasWritten = this.#leases.isWriting(id);
    const known = await this.#require(actor, id, "upload:read");
    const isWritten = wasWritten || known.holder !== null || this.#leases.isWriting(id);
    const isQuiet = !isWritten && known.phase !== "completing";
    if (isQuiet || known.phase === "complete") return this.#view(known);
    await using writing = await this.#leases.take(id, { mode: "settle", ...options });
    const { upload } = writing.taken;
    if (upload.phase !== "completing") return this.#view(upload);
    const bucket = await this.#options.buckets.require(upload.bucket);
    const limits = this.#limitsOf(actor, bucket, upload);
    await this.#receiver.finishStored(writing, { bucket, limits, author: authorOf(actor) });
    return this.#view((await this.#options.metadata.getUpload(id)) ?? upload);
  }

  /** As it is known at this moment; disturbs nobody. `upload_not_found`. */
  async get(actor: Actor, id: string): Promise<UploadView> {
    return this.#view(await this.#require(actor, id, "upload:read"));
  }

  /**
   * Those that the actor may see, in order of ids. Fewer than `limit` are all there are. None for a grant with a
   * template: others' uploads fit it as well, and who knows their ids may go on with them.
   */
  async list(
    actor: Actor,
    query: { readonly bucket?: string; readonly after?: string; readonly limit: number },
  ): Promise<readonly UploadView[]> {
    if (actor.kind === "anonymous") authorize(actor, "upload:read", {});
    if (actor.kind === "grant" && actor.scope.template !== undefined) return [];
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
    const { metadata } = this.#options;
    const parts = await partialsOf(request, {
      metadata,
      require: (id) => this.#require(actor, id, "write"),
    });
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const upload = await this.#create(actor, { ...request, kind: "object", length });
    const { signal } = request;
    try {
      const bucket = await this.#options.buckets.require(upload.bucket);
      const limits = this.#limitsOf(actor, bucket, upload);
      await using writing = await this.#leases.take(upload.id, { mode: "append", signal });
      const author = authorOf(actor);
      const given = { upload: writing.taken.upload, parts, bucket, limits, author, signal };
      return this.#answer(await this.#receiver.assemble(writing, given));
    } catch (error) {
      await this.#cancel(upload.id, new OperationalError("upload_not_found", "not made")).catch(
        (cause: unknown) => this.#receiver.logLeft(upload.id, cause),
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
    return this.#receiver.isWriting(blobKey);
  }

  /** Lets running requests store what they have, and ends them. */
  async close(): Promise<void> {
    await this.#leases.close();
  }

  /** One that has expired, was left cancelling, or was left completing: for background work. */
  async tidy(record: UploadRecord): Promise<void> {
    const { metadata, steady, buckets } = this.#options;
    if (record.phase === "completing") {
      const signal = AbortSignal.timeout(backgroundMsMax);
      await using writing = await this.#leases.take(record.id, { mode: "append", signal });
      if (writing.taken.upload.phase !== "completing") return;
      const bucket = await buckets.require(record.bucket);
      const nobody: Actor = { kind: "anonymous" };
      await this.#receiver.finishStored(writing, {
        bucket,
        limits: this.#limitsOf(nobody, bucket, writing.taken.upload),
        author: serverAuthor("upkeep"),
      });
      return;
    }
    const expiredBefore = steady.now();
    const options = record.phase === "cancelling" ? {} : { expiredBefore };
    const left = await metadata.cancelUpload(record.id, options);
    if (left === undefined) return;
    this.#options.meter.count("uploads_expired_total");
    await this.#receiver.clean(left);
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
    await assertUsesLeft(actor, metadata);
    const limits = writeLimits(actor, bucket, this.#options.maxObjectBytes);
    if (request.length !== undefined) {
      // Of a partial the sum counts, which is judged when it is known.
      if (key === null) assertNotOver(request.length, limits);
      else assertLengthAllowed(request.length, limits);
    }
    const conditions = key === null ? {} : grantConditions(actor, request.conditions);
    if (key !== null) await this.#precheck(request.bucket, key, conditions);
    if (request.length !== 0) {
      const { length } = request;
      await assertSomePlace({ bucket, key: key ?? "", length, bytes: length }, this.#options);
    }
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
      conditions,
      grant: grantTerms(actor, { isCounted: key !== null }),
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
  async #precheck(bucket: string, key: string, conditions: WriteConditions): Promise<void> {
    if (!hasEarlyCondition(conditions)) return;
    const current = await this.#options.metadata.headObject(bucket, key);
    if (failedCondition(current, conditions) === undefined) return;
    throw new OperationalError("precondition_failed", "the object is not as the condition asks");
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
    this.#holder.cancelled(id);
    await this.#leases.stop(id, reason);
    if (left !== undefined) await this.#receiver.clean(left);
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

  #limitsOf(actor: Actor, bucket: BucketRecord, { grant }: UploadRecord): WriteLimits {
    return writeLimits(actor, bucket, this.#options.maxObjectBytes, grant);
  }

  #view(record: UploadRecord): UploadView {
    return viewOf(record, this.#options.steady);
  }
}

async function* nothing(): Body {
  // No bytes.
}
