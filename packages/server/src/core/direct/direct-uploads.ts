/**
 * Direct uploads: the client sends the bytes by requests that need no credential, straight to the storage
 * where that can check them, else to this server, and does the same in both cases. What it sent is no
 * object until it asks for that and all of it was judged: `storage-completions.ts`, and `core/multipart`.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { type Actor, authorize, isAllowed } from "../access.ts";
import { firstDifference } from "../digests/digest-set.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import { failedCondition, hasEarlyCondition } from "../failed-condition.ts";
import { assertUsesLeft, grantConditions, grantTerms, keyForUpload } from "../grant-writes.ts";
import { newBlobKey, newVersion } from "../ids.ts";
import { partBytesMax, partsMax } from "../multipart/index.ts";
import type { ObjectKey } from "../object-key.ts";
import { choosePlace } from "../place.ts";
import type { RequestOrigin } from "../ports/author.ts";
import type { BucketRecord, WriteConditions } from "../ports/metadata-store.ts";
import type { UploadRecord } from "../ports/upload-store.ts";
import { CreateRate } from "../resumable/create-rate.ts";
import { LeaseHolder } from "../resumable/lease-holder.ts";
import { assertMayUse, uploadNotFound } from "../resumable/view.ts";
import { WriterLeases } from "../resumable/writer-leases.ts";
import {
  assertLengthAllowed,
  assertTypeAllowed,
  assertUserMetadata,
  writeLimits,
} from "../write-limits.ts";
import { cannotCallBack, UploadCallbacks } from "./callbacks.ts";
import { InstantUploads } from "./instant.ts";
import type { DirectUploadsOptions } from "./options.ts";
import { type PartBounds, type PartPlan, partLength, planParts } from "./part-plan.ts";
import { PartSignatures } from "./part-signatures.ts";
import {
  type DirectRecord,
  directProtocol,
  isCalledBack,
  isDirect,
  isFormUpload,
  planOfRecord,
  wayAttributes,
  wayOf,
} from "./record.ts";
import { replay } from "./replay.ts";
import type {
  BeginDirectRequest,
  CompleteDirectRequest,
  CompletedDirect,
  DirectPart,
  DirectView,
  ProofRequest,
  PutDirectPartRequest,
  SignedDirect,
} from "./requests.ts";
import { addressOf, ServerWay } from "./server-way.ts";
import { formBytesMax, stagedPartBytes } from "./staged-form.ts";
import { cannotSign, canSign, StorageWay } from "./storage-way.ts";
import { partsOf, type StoredPart, type Way } from "./way.ts";

const openMaxDefault = 10_000;
const createsPerSecondDefault = 1_000;
const partBytesMinDefault = 5 * 1024 ** 2;
const requestMsDefault = 60 * 60 * 1000;
/** Requests that are signed without being asked for. */
const requestsFirst = 20;
/** Numbers in one call. */
export const signedMax = 100;
const idPattern = /^[0-9a-f]{32}$/;
const contentTypeDefault = "application/octet-stream";

export class DirectUploads {
  readonly #options: DirectUploadsOptions;
  readonly #leases: WriterLeases;
  readonly #instant: InstantUploads;
  readonly #rate: CreateRate;
  readonly #signatures: PartSignatures;
  readonly #callbacks: UploadCallbacks;
  readonly #storageWay: StorageWay;
  readonly #serverWay: ServerWay;

  constructor(options: DirectUploadsOptions) {
    this.#options = options;
    const holder = options.holder ?? LeaseHolder.alone(randomUUID());
    this.#leases = new WriterLeases({ ...options, holder, store: options.metadata });
    const leases = this.#leases;
    this.#instant = new InstantUploads({ ...options, leases });
    const perSecond = options.createsPerSecondMax ?? createsPerSecondDefault;
    this.#rate = new CreateRate({
      perSecond,
      clock: options.clock,
      workers: options.siblings?.count,
    });
    this.#signatures = new PartSignatures(options.signingKey);
    this.#callbacks = new UploadCallbacks(this.#signatures, options.callbackUrl);
    const callbacks = this.#callbacks;
    this.#storageWay = new StorageWay({ ...options, callbacks, holder: holder.name, leases });
    this.#serverWay = new ServerWay(options.multipart, this.#signatures);
  }

  /**
   * `access_denied`, `bucket_not_found`, `too_large`, `too_small`, `content_type_refused` (of what is
   * declared), `quota_exceeded`, `rate_limited`, `access_denied` also for a grant that is used up,
   * `precondition_failed`, `invalid_request`; `unsupported` where
   * the storage is asked for and cannot sign, or to call back and cannot.
   */
  async begin(actor: Actor, request: BeginDirectRequest): Promise<DirectView> {
    const { buckets, storages, maxObjectBytes } = this.#options;
    const key = resolveKey(actor, request, this.#options.clock.now());
    authorize(actor, "object:write", { bucket: request.bucket, key });
    if (actor.kind === "anonymous") throw uploadNotFound();
    const bucket = await buckets.require(request.bucket);
    assertUserMetadata(request.userMetadata ?? {});
    const limits = writeLimits(actor, bucket, maxObjectBytes);
    assertLengthAllowed(request.length, limits);
    if (request.contentType !== undefined) assertTypeAllowed(request.contentType, limits);
    const conditions = grantConditions(actor, { ifAbsent: request.createOnly === true });
    await this.#precheck(request.bucket, key, conditions);
    await assertUsesLeft(actor, this.#options.metadata);
    this.#rate.take(actor.keyId);
    const { contentType = contentTypeDefault, length, signal, via = "auto" } = request;
    const storageId = await choosePlace(
      { bucket, key, contentType, length, bytes: length },
      this.#options,
    );
    using lease = storages.lease(storageId, "create");
    const { clock } = this.#options;
    const expiresAt = this.#requestsUntil();
    const isForm = request.form === true;
    const callback = this.#callbacks.wanted(request);
    const asked = { key, signal, expiresAt, ...(isForm ? { form: { length, callback } } : {}) };
    const signing = via === "server" ? undefined : await canSign(lease.driver, asked);
    if (signing === undefined) {
      if (callback !== undefined) throw cannotCallBack(storageId);
      if (via === "storage") throw cannotSign(storageId);
    }
    const { partBytes } = this.#plan(request, signing?.parts);
    const grant = grantTerms(actor);
    const draft = this.#draft(request, { key, bucket, owner: actor.keyId, conditions, grant });
    const openMax = this.#options.openMax ?? openMaxDefault;
    let upload: UploadRecord;
    if (signing === undefined) {
      upload = { ...draft, attributes: wayAttributes("server", { partBytes, isForm }) };
      await this.#options.metadata.createUpload(upload, { openMax });
    } else {
      const now = clock.now();
      const blobKey = newBlobKey(this.#options.installation, now, newVersion(now));
      const place = { storageId, blobKey, token: null, partBytes };
      const words = { partBytes, isForm, isCalledBack: callback !== undefined };
      const attributes = wayAttributes("storage", words);
      const given = { driver: signing, place, openMax, signal };
      upload = await this.#storageWay.begin({ ...draft, attributes }, given);
    }
    this.#options.meter.count("uploads_created_total", 1, { protocol: directProtocol });
    const challenge =
      request.instant === true && isDirect(upload)
        ? await this.#instant.offer(actor, bucket, upload)
        : undefined;
    if (challenge === undefined) return await this.#view(upload, new Map(), { signal });
    return { ...(await this.#view(upload, new Map(), { signal, isQuiet: true })), challenge };
  }

  /**
   * With requests for the first parts that are missing. `upload_not_found`, of a complete one with
   * `phase` "complete" in its context; `locked` while it is being completed.
   */
  async get(
    actor: Actor,
    id: string,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<DirectView> {
    const upload = await this.#requireRunning(actor, id);
    const stored = await this.#wayOf(upload).stored(actor, upload, signal);
    return await this.#view(upload, stored, { signal });
  }

  /**
   * In the order of the numbers, which only an upload of one part need not name. Renews the upload's expiry.
   * `upload_not_found`, `invalid_part`, `invalid_request`.
   */
  async sign(
    actor: Actor,
    id: string,
    options: { readonly partNumbers?: readonly number[]; readonly signal: AbortSignal },
  ): Promise<SignedDirect> {
    const upload = await this.#requireRunning(actor, id);
    const plan = planOfRecord(upload);
    const { partCount } = plan;
    const expiresAt = this.#requestsUntil();
    if (isFormUpload(upload)) {
      const { signal } = options;
      const form = await this.#wayOf(upload).signForm(upload, { expiresAt, signal });
      await this.#renew(upload);
      return { requests: [], partCount, form };
    }
    const { signal, partNumbers = partCount === 1 ? [1] : undefined } = options;
    if (partNumbers === undefined) {
      throw new OperationalError("invalid_request", "partNumbers is missing", {
        context: { field: "partNumbers" },
      });
    }
    for (const number of partNumbers) assertPart(plan, number);
    const requests = await this.#wayOf(upload).sign(upload, partNumbers, { expiresAt, signal });
    await this.#renew(upload);
    return { requests, partCount };
  }

  /**
   * A part that comes by a request which this server has signed. `access_denied`: the signature is not of this
   * part, or whoever began the upload may not write there any more. `expired`, `upload_not_found`,
   * `checksum_mismatch`, `incomplete_body`, `storage_full`; `locked` while it is being completed.
   */
  async putPart(request: PutDirectPartRequest): Promise<DirectPart> {
    const { uploadId, number, method, expiresSeconds, signature, digests, signal } = request;
    const upload = await this.#find(uploadId);
    if (upload === undefined || wayOf(upload) !== "server") throw uploadNotFound();
    const length = partLength(planOfRecord(upload), number) ?? -1;
    const signed = { method, uploadId, number, length, expiresSeconds };
    if (!this.#signatures.isGood(signed, signature)) {
      throw new OperationalError("access_denied", "the signature is not good for this request");
    }
    if (expiresSeconds * 1000 <= this.#options.clock.now().getTime()) {
      throw new OperationalError("expired", "the signed request has expired");
    }
    const actor = await this.#ownerOf(upload);
    const part = await this.#options.multipart.putPart(actor, addressOf(upload), {
      partNumber: number,
      body: request.open(length),
      length,
      ...(digests === undefined ? {} : { digests }),
      signal,
    });
    return { number, length: part.length, etag: part.etag };
  }

  /**
   * Makes the object of what came. The same again, also while the first still runs, answers the same; it goes
   * on when the client has gone. `upload_not_found`, `invalid_part`, `checksum_mismatch`,
   * `content_type_refused`, `too_large`, `too_small`, `precondition_failed`; `object_not_found`: it was
   * complete, and the object was replaced or deleted since.
   */
  async complete(
    actor: Actor,
    id: string,
    request: CompleteDirectRequest,
  ): Promise<CompletedDirect> {
    const upload = await this.#require(actor, id);
    if (upload.phase === "complete") return await replay(upload, request, this.#options);
    const contradiction = firstDifference(upload.digests, request.digests ?? {});
    if (contradiction !== undefined) {
      const message = `the ${contradiction} is another than at the beginning`;
      throw new OperationalError("checksum_mismatch", message, {
        context: { digest: contradiction },
      });
    }
    try {
      return await this.#wayOf(upload).complete(actor, upload, request);
    } catch (error) {
      if (!isOperationalError(error, "upload_not_found")) throw error;
      // Another was faster.
      const now = await this.#find(id);
      if (now?.phase !== "complete") throw error;
      return await replay(now, request, this.#options);
    }
  }

  /**
   * Makes the object of bytes that are known, for who proves to have them. `access_denied`: it is no proof, or the
   * challenge was used or has expired; the upload goes on. What `complete` throws of limits.
   */
  async prove(actor: Actor, id: string, request: ProofRequest): Promise<CompletedDirect> {
    const upload = await this.#require(actor, id);
    if (upload.phase === "complete") return await replay(upload, {}, this.#options);
    return await this.#instant.prove(actor, upload, request);
  }

  /** Whether it is the address that a storage was given to call back for this upload, if there is one. */
  isCallback(id: string, signature: string): boolean {
    return this.#callbacks.isGood(id, signature);
  }

  /**
   * As `complete`, because the storage says that it has the form's file: in the name of the access key that
   * began the upload (or signed the grant that did), if that may write there now.
   */
  async completeCalledBack(
    id: string,
    {
      signal,
      origin,
    }: { readonly signal: AbortSignal; readonly origin: RequestOrigin | undefined },
  ): Promise<CompletedDirect> {
    const upload = await this.#find(id);
    if (upload === undefined || !isCalledBack(upload)) throw uploadNotFound();
    const owner = await this.#ownerOf(upload);
    return await this.complete(origin === undefined ? owner : { ...owner, origin }, id, { signal });
  }

  /** For what is decided before anybody has shown a credential; `undefined` if there is no such upload. */
  async bucketOf(id: string): Promise<string | undefined> {
    return (await this.#find(id))?.bucket;
  }

  /** Waits for completions that run, within bounds. */
  async close(): Promise<void> {
    await this.#leases.close();
  }

  async #view(
    record: UploadRecord,
    stored: ReadonlyMap<number, StoredPart>,
    { signal, isQuiet = false }: { readonly signal: AbortSignal; readonly isQuiet?: boolean },
  ): Promise<DirectView> {
    if (!isDirect(record)) throw uploadNotFound();
    const { id, bucket, key, length } = record;
    const { partBytes, partCount } = planOfRecord(record);
    const missing: number[] = [];
    const signedMost = isQuiet || isFormUpload(record) ? 0 : requestsFirst;
    for (let number = 1; number <= partCount && missing.length < signedMost; number += 1) {
      // One request is all there is to a whole in one piece: it may be sent again.
      if (partCount === 1 || !stored.has(number)) missing.push(number);
    }
    const expiresAt = this.#requestsUntil();
    const way = wayOf(record);
    const isForm = isFormUpload(record) && !isQuiet;
    return {
      ...(isForm && { form: await this.#wayOf(record).signForm(record, { expiresAt, signal }) }),
      id,
      bucket,
      key,
      length,
      via: way,
      expiresAt: this.#options.steady.toWall(record.expiresAt),
      partBytes,
      partCount,
      requests: await this.#wayOf(record).sign(record, missing, { expiresAt, signal }),
      parts: partsOf(stored),
    };
  }

  /** `too_large`. A form is one request, whatever the storage makes of it. */
  #plan(
    { length, partBytes, form }: BeginDirectRequest,
    storage: PartBounds | undefined,
  ): PartPlan {
    const { partBytesMin = partBytesMinDefault } = this.#options;
    const bounds = storage ?? { partBytesMin, partBytesMax, partsMax };
    if (form !== true) return planParts(length, bounds, partBytes);
    if (length > formBytesMax) {
      throw new OperationalError("too_large", `a form has at most ${formBytesMax} bytes`, {
        context: { maxBytes: formBytesMax },
      });
    }
    // What a storage has from a form it copies part by part; here it comes as one.
    const wish = storage === undefined ? length : (partBytes ?? stagedPartBytes);
    return planParts(length, bounds, wish);
  }

  #draft(
    request: BeginDirectRequest,
    made: {
      readonly key: ObjectKey;
      readonly bucket: BucketRecord;
      readonly conditions: WriteConditions;
    } & Pick<UploadRecord, "owner" | "grant">,
  ): UploadRecord {
    const { clock, steady } = this.#options;
    return {
      id: randomBytes(16).toString("hex"),
      bucket: request.bucket,
      key: made.key,
      kind: "object",
      protocol: directProtocol,
      owner: made.owner,
      phase: "receiving",
      offset: 0,
      length: request.length,
      contentType: request.contentType ?? null,
      userMetadata: request.userMetadata ?? {},
      attributes: {},
      digests: request.digests ?? {},
      conditions: made.conditions.ifAbsent === true ? { ifAbsent: true } : {},
      grant: made.grant,
      place: null,
      checks: null,
      reservedBytes: request.length,
      createdAt: clock.now(),
      expiresAt: steady.in(made.bucket.uploadExpiryMs),
      version: null,
      fence: 0,
      holder: null,
      leaseUntil: null,
    };
  }

  /** Early answers for what is bound to fail; the commit judges again. */
  async #precheck(bucket: string, key: ObjectKey, conditions: WriteConditions): Promise<void> {
    if (!hasEarlyCondition(conditions)) return;
    const current = await this.#options.metadata.headObject(bucket, key);
    if (failedCondition(current, conditions) === undefined) return;
    throw new OperationalError(
      "precondition_failed",
      "the object exists, and is not to be replaced",
    );
  }

  #wayOf(record: UploadRecord): Way {
    return wayOf(record) === "storage" ? this.#storageWay : this.#serverWay;
  }

  /** As whoever began the upload may act now: the key may have been disabled or changed since. */
  async #ownerOf({ owner, bucket, key }: DirectRecord): Promise<Actor> {
    const opened = await this.#options.accessKeys.open(owner);
    if (opened !== undefined) {
      const actor: Actor = { kind: "key", keyId: owner, policy: opened.record.policy };
      if (isAllowed(actor, "object:write", { bucket, key })) return actor;
    }
    const message = "the access key that began the upload may not write there any more";
    throw new OperationalError("access_denied", message);
  }

  async #requireRunning(actor: Actor, id: string): Promise<DirectRecord> {
    const upload = await this.#require(actor, id);
    if (upload.phase !== "complete") return upload;
    throw new OperationalError("upload_not_found", "the upload is complete", {
      context: { phase: "complete" },
    });
  }

  async #require(actor: Actor, id: string): Promise<DirectRecord> {
    const upload = await this.#find(id);
    assertMayUse(actor, "write", upload);
    return upload;
  }

  /** By the time of the request, not by when somebody looks. */
  async #find(id: string): Promise<DirectRecord | undefined> {
    const { metadata, steady } = this.#options;
    const upload = idPattern.test(id) ? await metadata.getUpload(id) : undefined;
    if (upload === undefined || !isDirect(upload) || upload.phase === "cancelling")
      return undefined;
    const isOver = upload.expiresAt.getTime() <= steady.now().getTime();
    return isOver && upload.holder === null ? undefined : upload;
  }

  /** Somebody goes on with it. */
  async #renew(upload: DirectRecord): Promise<void> {
    const { metadata, steady, buckets } = this.#options;
    const { uploadExpiryMs } = await buckets.require(upload.bucket);
    try {
      await metadata.checkpointUpload(upload, { expiresAt: steady.in(uploadExpiryMs) });
    } catch (error) {
      // It is being completed, or has ended.
      if (!isOperationalError(error, "locked") && !isOperationalError(error, "upload_not_found")) {
        throw error;
      }
    }
  }

  #requestsUntil(): Date {
    const { clock, requestMs = requestMsDefault } = this.#options;
    return new Date(clock.now().getTime() + requestMs);
  }
}

/**
 * The key of the object that it will be: what the client asks for, else what its grant says of it.
 * `invalid_request`: there is neither.
 */
function resolveKey(
  actor: Actor,
  { key, filename }: Pick<BeginDirectRequest, "key" | "filename">,
  now: Date,
): ObjectKey {
  if (key !== undefined) return key;
  if (actor.kind === "grant") return keyForUpload(actor, { filename, now });
  throw new OperationalError("invalid_request", "key is missing, and no grant names one", {
    context: { field: "key" },
  });
}

function assertPart(plan: PartPlan, number: number): void {
  if (partLength(plan, number) !== undefined) return;
  throw new OperationalError(
    "invalid_part",
    `part number ${number} is not 1 to ${plan.partCount}`,
    {
      context: { partNumber: number, reason: "unknown" },
    },
  );
}
