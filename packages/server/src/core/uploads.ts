/**
 * Uploads: the one way by which bytes become an object. Drives the pure state machine of `upload.ts`
 * against the ports, in the order that every promise rests on:
 *
 *   checks that need no body → first bytes, content type → storage.put (bytes, digests, sync, publish)
 *   → metadata.commitObject (the pointer swap) → answer
 *
 * Until the commit nothing is visible; a failure on the way leaves no blob, or one that the sweeper
 * knows to be nobody's.
 */
import { abortableBody } from "./abortable-body.ts";
import { type Actor, authorize, isAllowed } from "./access.ts";
import type { Buckets } from "./buckets.ts";
import { type BodyChecks, CheckedBody } from "./checked-body.ts";
import { commitUpload, dropUncommitted } from "./commit-upload.ts";
import { OperationalError } from "./errors.ts";
import { failedCondition, hasEarlyCondition } from "./failed-condition.ts";
import { assertUsesLeft, grantConditions } from "./grant-writes.ts";
import { newBlobKey, newVersion, versionMadeAt, versionOfBlobKey } from "./ids.ts";
import type { ObjectKey } from "./object-key.ts";
import { peekBytes } from "./peek.ts";
import { assertSomePlace, choosePlace } from "./place.ts";
import type { Clock } from "./ports/clock.ts";
import type { Log } from "./ports/log.ts";
import type {
  BucketRecord,
  MetadataStore,
  ObjectAttributes,
  WriteConditions,
  WriteResult,
} from "./ports/metadata-store.ts";
import type { Meter } from "./ports/meter.ts";
import { type Json, noSiblings, type Siblings } from "./ports/siblings.ts";
import type { Body, DigestName, Digests } from "./ports/storage-driver.ts";
import type { DeclaredWrite, Storages } from "./ports/storages.ts";
import type { TypeDetector } from "./ports/type-detector.ts";
import { type CancelReason, newUploadState, nextUploadState, type UploadState } from "./upload.ts";
import {
  assertLengthAllowed,
  assertNotOver,
  assertTypeAllowed,
  assertUserMetadata,
  type WriteLimits,
  writeLimits,
} from "./write-limits.ts";

export interface PutRequest {
  readonly bucket: string;
  readonly key: ObjectKey;
  readonly body: Body;
  /** Declared; absent when the client did not say. */
  readonly length?: number;
  /** Declared; judged against the bytes. */
  readonly contentType?: string;
  readonly userMetadata?: Readonly<Record<string, string>>;
  readonly attributes?: ObjectAttributes;
  /** What the client says the bytes are; a mismatch stores nothing. */
  readonly digests?: Digests;
  /** The same, told after the body; compared before anything is published. */
  readonly checks?: BodyChecks;
  /** Computed and kept beside CRC-64/NVME, and those in `digests`. */
  readonly digestsWanted?: readonly DigestName[];
  readonly conditions?: WriteConditions;
  readonly signal: AbortSignal;
}

/** An upload that runs in a worker of this server. */
export interface RunningUpload {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly createdAt: Date;
  readonly state: UploadState;
}

export interface UploadsOptions {
  readonly metadata: MetadataStore;
  readonly storages: Storages;
  readonly buckets: Buckets;
  readonly detector: TypeDetector;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** Whose blobs these are: stands in their keys (`newInstallation`). */
  readonly installation: string;
  /** How long a replaced blob stays readable for those who already opened its row. */
  readonly blobGraceMs: number;
  /** The server's own limit, under every bucket's. */
  readonly maxObjectBytes?: number;
  readonly siblings?: Siblings;
}

/** What the workers ask each other. */
const topics = {
  list: "uploads.running",
  get: "uploads.running.get",
  cancel: "uploads.running.cancel",
} as const;
const askMsMax = 5_000;
/** No request lasts longer. */
const runningMsMax = 30 * 24 * 60 * 60 * 1000;

interface Entry {
  readonly upload: Omit<RunningUpload, "state">;
  readonly blobKey: string;
  readonly cancel: (reason: OperationalError) => void;
  state: UploadState;
}

export class Uploads {
  readonly #options: UploadsOptions;
  readonly #running = new Map<string, Entry>();
  readonly #siblings: Siblings;

  constructor(options: UploadsOptions) {
    this.#options = options;
    this.#siblings = options.siblings ?? noSiblings();
    this.#siblings.on(topics.list, () => [...this.#running.values()].map(toJson));
    this.#siblings.on(topics.get, (id) => {
      const entry = this.#running.get(String(id));
      return entry === undefined ? null : toJson(entry);
    });
    this.#siblings.on(topics.cancel, (id) => {
      const entry = this.#running.get(String(id));
      if (entry?.state.phase === "receiving") entry.cancel(cancelled());
      return entry?.state.phase ?? null;
    });
  }

  /**
   * Stores a whole body as an object. Resolves once the bytes are durable and the row points at
   * them. `bucket_not_found`, `too_large`, `too_small`, `content_type_refused`,
   * `checksum_mismatch`, `incomplete_body`, `precondition_failed`, `storage_full`; `access_denied` once a
   * grant with a count is used up.
   */
  async put(actor: Actor, given: PutRequest): Promise<WriteResult> {
    const { clock, metadata } = this.#options;
    authorize(actor, "object:write", { bucket: given.bucket, key: given.key });
    const bucket = await this.#options.buckets.require(given.bucket);
    const request = { ...given, conditions: grantConditions(actor, given.conditions) };
    await assertUsesLeft(actor, metadata);
    assertUserMetadata(request.userMetadata ?? {});
    const limits = writeLimits(actor, bucket, this.#options.maxObjectBytes);
    if (request.length !== undefined) assertLengthAllowed(request.length, limits);
    await this.#precheck(request);
    await this.#assertRoom(bucket, request);
    await assertSomePlace({ ...request, bucket, bytes: request.length }, this.#options);

    const now = clock.now();
    const version = newVersion(now);
    using entry = this.#begin(request, { version, now });
    const signal = AbortSignal.any([request.signal, entry.signal]);
    let release: (() => Promise<void>) | undefined;
    try {
      const source = abortableBody(request.body, signal);
      const peeked = await peekBytes(source, this.#options.detector.bytesWanted);
      release = peeked.release;
      const contentType = await this.#options.detector.detect(
        peeked.firstBytes,
        request.contentType,
      );
      assertTypeAllowed(contentType, limits);
      const { body } = peeked;
      const running = entry.entry;
      return await this.#store(actor, request, {
        bucket,
        contentType,
        limits,
        version,
        now,
        signal,
        entry: running,
        body,
      });
    } catch (error) {
      await release?.();
      const reason: CancelReason =
        request.signal.aborted || entry.signal.aborted ? "client" : "failed";
      entry.next({ event: "cancelled", reason });
      throw error;
    }
  }

  /** Uploads that run and that the actor may see. `unavailable` if a worker does not say what runs there. */
  async list(actor: Actor, bucket?: string): Promise<readonly RunningUpload[]> {
    if (actor.kind === "anonymous") authorize(actor, "upload:read", {});
    const elsewhere = await this.#ask(topics.list, null);
    const all = [
      ...[...this.#running.values()].map(view),
      ...elsewhere.flatMap((answer) => (Array.isArray(answer) ? answer.map(fromJson) : [])),
    ];
    return all
      .filter((upload) => bucket === undefined || upload.bucket === bucket)
      .filter((upload) => mayAct(actor, "upload:read", upload));
  }

  /** `upload_not_found`. */
  async get(actor: Actor, id: string): Promise<RunningUpload> {
    return await this.#require(actor, "upload:read", id);
  }

  /** Stops it; nothing of it is stored. `upload_not_found`; `locked` once it is completing. */
  async cancel(actor: Actor, id: string): Promise<void> {
    const { state } = await this.#require(actor, "upload:cancel", id);
    const entry = this.#running.get(id);
    let phase: string = entry?.state.phase ?? state.phase;
    if (entry === undefined) {
      const answers = await this.#ask(topics.cancel, id);
      phase = answers.map(String).find((answer) => answer !== "null") ?? "complete";
    }
    if (phase !== "receiving") {
      throw new OperationalError("locked", `the upload is already ${phase}`);
    }
    entry?.cancel(cancelled());
  }

  /** Whether a running upload is about to need this blob; the sweeper leaves it alone. */
  isWriting(blobKey: string): boolean {
    return this.#running.has(versionOfBlobKey(blobKey));
  }

  /** When the oldest running upload began; `undefined` when none runs. */
  oldestRunningAt(): Date | undefined {
    // A Map keeps the order of insertion, which is the order of beginning.
    return this.#running.values().next().value?.upload.createdAt;
  }

  async #store(
    actor: Actor,
    request: PutRequest,
    plan: {
      readonly bucket: BucketRecord;
      readonly contentType: string;
      readonly limits: WriteLimits;
      readonly version: string;
      readonly now: Date;
      readonly signal: AbortSignal;
      readonly entry: Entry;
      readonly body: Body;
    },
  ): Promise<WriteResult> {
    const { storages, meter, log } = this.#options;
    const { entry, contentType, signal, version, now } = plan;
    const storageId = await choosePlace(
      { ...plan, ...request, bucket: plan.bucket, bytes: request.length },
      this.#options,
    );
    const write = request.length === undefined ? undefined : declaredWrite(entry, request.length);
    // Until the row is committed: a storage is not closed, or found empty, under a running upload.
    using lease = storages.lease(storageId, "create", write);
    const storage = lease.driver;
    const checked = new CheckedBody(counted(plan.body, entry, plan.limits), request.checks);
    const head = await storage.put(entry.blobKey, checked.body, {
      signal,
      digestsWanted: [
        ...checked.unknownOf(request.digestsWanted ?? []),
        ...digestNames(request.digests),
      ],
      ...(request.length === undefined ? {} : { length: request.length }),
      ...(request.digests === undefined ? {} : { digests: request.digests }),
    });
    const digests: Digests = { ...checked.digests, ...head.digests };
    const { crc64nvme } = digests;
    try {
      if (crc64nvme === undefined) throw new Error("the storage stack computed no CRC-64/NVME");
      // The last moment to give up: after this the work is finished and its result recorded.
      signal.throwIfAborted();
      entry.state = nextUploadState(entry.state, { event: "finished" });
      const blob = {
        storageId,
        blobKey: entry.blobKey,
        length: head.length,
        digests: { ...digests, crc64nvme },
        ...(head.blocks === undefined ? {} : { blocks: head.blocks }),
      };
      const made = { ...request, version, createdAt: now, contentType };
      const result = await commitUpload(actor, made, blob, this.#options);
      entry.state = nextUploadState(entry.state, { event: "committed", version });
      meter.count("upload_completed_total");
      return result;
    } catch (error) {
      await dropUncommitted(storage, head.key, { log, error });
      throw error;
    }
  }

  /** Early answers for what is bound to fail; the commit judges again, in its transaction. */
  async #precheck(request: PutRequest): Promise<void> {
    const { bucket, key, conditions = {} } = request;
    if (!hasEarlyCondition(conditions)) return;
    const current = await this.#options.metadata.headObject(bucket, key);
    const failed = failedCondition(current, conditions);
    if (failed === "ifAbsent") {
      throw new OperationalError("precondition_failed", "If-None-Match: the object exists");
    }
    if (failed === "ifMatch") {
      throw new OperationalError("precondition_failed", "If-Match: the object is not that one");
    }
  }

  /** What no longer fits into the quota is refused before it is sent; the commit counts exactly. */
  async #assertRoom(
    { name, quotaBytes }: BucketRecord,
    { length, key }: PutRequest,
  ): Promise<void> {
    if (quotaBytes === null || length === undefined) return;
    const { metadata } = this.#options;
    const [usage, replaced] = await Promise.all([
      metadata.bucketUsage(name),
      metadata.headObject(name, key),
    ]);
    const { bytes: usedBytes, reservedBytes } = usage;
    const more = length - (replaced?.length ?? 0);
    if (more <= 0 || usedBytes + reservedBytes + more <= quotaBytes) return;
    throw new OperationalError(
      "quota_exceeded",
      `${length} bytes do not fit into the bucket's quota of ${quotaBytes} bytes`,
      { context: { bucket: name, quotaBytes, usedBytes, reservedBytes, bytes: length } },
    );
  }

  #begin(request: PutRequest, made: { readonly version: string; readonly now: Date }) {
    const { meter } = this.#options;
    const controller = new AbortController();
    const entry: Entry = {
      upload: {
        id: made.version,
        bucket: request.bucket,
        key: request.key,
        createdAt: made.now,
      },
      blobKey: newBlobKey(this.#options.installation, made.now, made.version),
      cancel: (reason) => controller.abort(reason),
      state: newUploadState(request.length ?? "unknown"),
    };
    this.#running.set(made.version, entry);
    meter.gauge("uploads_running", 1);
    return {
      entry,
      signal: controller.signal,
      next: (event: Parameters<typeof nextUploadState>[1]) => {
        entry.state = nextUploadState(entry.state, event);
      },
      [Symbol.dispose]: () => {
        this.#running.delete(made.version);
        meter.gauge("uploads_running", -1);
      },
    };
  }

  async #require(
    actor: Actor,
    action: "upload:read" | "upload:cancel",
    id: string,
  ): Promise<RunningUpload> {
    const entry = this.#running.get(id);
    const upload = entry === undefined ? await this.#elsewhere(id) : view(entry);
    // Who may not see it is told the same as for one that is not there.
    if (upload === undefined || !mayAct(actor, action, upload)) {
      if (actor.kind === "anonymous") authorize(actor, action, {});
      throw new OperationalError("upload_not_found", "there is no such upload");
    }
    return upload;
  }

  async #elsewhere(id: string): Promise<RunningUpload | undefined> {
    const madeAt = versionMadeAt(id);
    const now = this.#options.clock.now().getTime();
    // Those of other protocols have ids of the same form, and are not worth asking everyone for.
    if (madeAt === undefined || Math.abs(now - madeAt.getTime()) > runningMsMax) return undefined;
    const answers = await this.#ask(topics.get, id);
    const found = answers.find((answer) => answer !== null);
    return found === undefined ? undefined : fromJson(found);
  }

  async #ask(topic: string, question: Json): Promise<readonly Json[]> {
    const answers = await this.#siblings.ask(topic, question, { msMax: askMsMax });
    return answers.map(({ answer }) => answer);
  }
}

function declaredWrite(entry: Entry, bytes: number): DeclaredWrite {
  return {
    bytes,
    writtenBytes: () => ("offset" in entry.state ? entry.state.offset : entry.state.length),
  };
}

/** Keeps the upload's offset, and stops at the byte that crosses a limit. */
async function* counted(body: Body, entry: Entry, limits: WriteLimits): Body {
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    assertNotOver(length, limits);
    entry.state = nextUploadState(entry.state, { event: "received", bytes: chunk.length });
    yield chunk;
  }
  assertLengthAllowed(length, limits);
}

function digestNames(digests: Digests | undefined): readonly DigestName[] {
  return Object.keys(digests ?? {}) as DigestName[];
}

function mayAct(
  actor: Actor,
  action: "upload:read" | "upload:cancel",
  { bucket, key }: RunningUpload,
): boolean {
  return isAllowed(actor, action, { bucket, key });
}

function cancelled(): OperationalError {
  return new OperationalError("expired", "the upload was cancelled");
}

function toJson(entry: Entry): Json {
  const { createdAt, ...upload } = entry.upload;
  return { ...upload, createdAt: createdAt.getTime(), state: { ...entry.state } };
}

/** What `toJson` made in another worker of this server. */
function fromJson(value: Json): RunningUpload {
  const { createdAt, ...upload } = value as unknown as Omit<RunningUpload, "createdAt"> & {
    readonly createdAt: number;
  };
  return { ...upload, createdAt: new Date(createdAt) };
}

function view(entry: Entry): RunningUpload {
  return { ...entry.upload, state: entry.state };
}
