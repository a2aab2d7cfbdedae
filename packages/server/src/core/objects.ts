/** Objects: reading, listing, deleting, copying and moving what uploads have made. */
import { batchDeleteKeysMax, listLimitMax } from "@roma/contract";
import { type Actor, authorize, authorizeRead, isAllowed } from "./access.ts";
import type { RefusalSink } from "./audit/index.ts";
import { authorOf } from "./author.ts";
import { openBlob } from "./blob-body.ts";
import type { Buckets } from "./buckets.ts";
import { DeleteCaps } from "./delete-caps.ts";
import { isOperationalError, OperationalError } from "./errors.ts";
import {
  contextAttribute,
  contextOf,
  grantConditions,
  grantUse,
  withContext,
} from "./grant-writes.ts";
import { etagOfVersion, newVersion } from "./ids.ts";
import { leasedBody } from "./leased-body.ts";
import { partSizesOf } from "./multipart/object-attributes.ts";
import { type KeyPrefix, type ObjectKey, parseKey } from "./object-key.ts";
import { pieceNumbersFrom } from "./pieces.ts";
import type { Alerts } from "./ports/alerts.ts";
import type { Clock } from "./ports/clock.ts";
import type { Log } from "./ports/log.ts";
import type {
  BucketRecord,
  DeleteOptions,
  ListPage,
  MetadataStore,
  ObjectAttributes,
  ObjectChanges,
  ObjectRecord,
  ObjectWithBlob,
  WriteConditions,
  WriteResult,
} from "./ports/metadata-store.ts";
import type { Meter } from "./ports/meter.ts";
import type { Digests, ObjectBody } from "./ports/storage-driver.ts";
import type { Storages } from "./ports/storages.ts";
import { refusalFacts } from "./refusal-facts.ts";
import {
  assertLengthAllowed,
  assertTypeAllowed,
  assertUserMetadata,
  writeLimits,
} from "./write-limits.ts";

/** How often a copy that names no version looks for a source that others keep replacing. */
const copyTriesMax = 32;

export interface ObjectAddress {
  readonly bucket: string;
  readonly key: ObjectKey;
}

/** An object at one version, and the way to its bytes: always those of that version. */
export interface OpenObject {
  readonly object: ObjectRecord;
  /**
   * Verified as they pass: damage throws `data_damaged` before the last chunk. Both bounds are
   * inclusive and within the object.
   */
  read(options: {
    readonly signal: AbortSignal;
    readonly firstByte?: number;
    readonly lastByte?: number;
  }): Promise<ObjectBody>;
  /**
   * Digests of the parts that the object came in, by their places, from 1: those greater than `after`, `limit`
   * at most. Without those that are not known: of empty parts, and of what was put together again.
   */
  partDigests(query: {
    readonly after: number;
    readonly limit: number;
  }): Promise<ReadonlyMap<number, Digests>>;
}

export interface CopyRequest {
  readonly from: ObjectAddress & { readonly version?: string };
  readonly to: ObjectAddress;
  /** Left out: the source's. */
  readonly contentType?: string;
  readonly userMetadata?: Readonly<Record<string, string>>;
  /** Left out: the source's. */
  readonly attributes?: ObjectAttributes;
  readonly conditions?: WriteConditions;
}

export interface BatchDeleteResult {
  /** Asked for and not there any more, whether it had been there or not. */
  readonly deleted: readonly string[];
  readonly failed: readonly { readonly key: string; readonly error: OperationalError }[];
}

export interface ObjectsOptions {
  readonly metadata: MetadataStore;
  readonly storages: Storages;
  readonly buckets: Buckets;
  readonly clock: Clock;
  /** How long a deleted blob stays readable for those who already opened its row. */
  readonly blobGraceMs: number;
  readonly log: Log;
  readonly meter: Meter;
  readonly alerts?: Alerts;
  /** The server's label. */
  readonly environment?: string | null;
  /** As in `DeleteCaps`. */
  readonly productionDeletesPerHour?: number;
  /** Told of keys that a batch refuses. */
  readonly refusals?: RefusalSink;
}

export class Objects {
  readonly #options: ObjectsOptions;
  readonly #caps: DeleteCaps;
  /** Blobs in pieces that are being read here, and how often. */
  readonly #reading = new Map<string, number>();

  constructor(options: ObjectsOptions) {
    this.#options = options;
    this.#caps = new DeleteCaps(options);
  }

  /**
   * `object_not_found`, `bucket_not_found`. Someone who may not read is refused before it is known
   * whether the object exists.
   */
  async open(actor: Actor, address: ObjectAddress): Promise<OpenObject> {
    await this.#authorizeRead(actor, address);
    const object = await this.#options.metadata.getObject(address.bucket, address.key);
    if (object === undefined) throw await this.#notFound(address);
    return {
      object,
      read: (options) => this.#read(object, options),
      partDigests: (query) => this.#partDigests(object, query),
    };
  }

  async head(actor: Actor, address: ObjectAddress): Promise<ObjectRecord> {
    await this.#authorizeRead(actor, address);
    const object = await this.#options.metadata.headObject(address.bucket, address.key);
    if (object === undefined) throw await this.#notFound(address);
    return object;
  }

  /** In order of the keys' UTF-8 bytes. `bucket_not_found`. */
  async list(
    actor: Actor,
    query: {
      readonly bucket: string;
      readonly prefix: KeyPrefix;
      readonly delimiter: string;
      readonly after?: string;
      readonly limit: number;
    },
  ): Promise<ListPage> {
    authorize(actor, "object:list", { bucket: query.bucket, prefix: query.prefix });
    await this.#options.buckets.require(query.bucket);
    const limit = Math.min(query.limit, listLimitMax);
    return this.#options.metadata.listObjects({ ...query, limit });
  }

  /**
   * Whether or not it was there; into the bucket's trash, if it has one. `bucket_not_found`,
   * `precondition_failed`, `object_retained`, `delete_cap_reached`.
   */
  async delete(
    actor: Actor,
    address: ObjectAddress,
    conditions: WriteConditions = {},
  ): Promise<ObjectRecord | undefined> {
    authorize(actor, "object:delete", address);
    const bucket = await this.#options.buckets.require(address.bucket);
    const options = { ...conditions, ...this.#deleting(actor, bucket) };
    try {
      return await this.#options.metadata.deleteObject(address.bucket, address.key, options);
    } catch (error) {
      if (isOperationalError(error, "delete_cap_reached")) this.#caps.alarm(bucket, actor);
      throw error;
    }
  }

  /** Each key is judged by itself; what may be deleted is, in one transaction. */
  async deleteMany(
    actor: Actor,
    bucket: string,
    keys: readonly string[],
  ): Promise<BatchDeleteResult> {
    if (keys.length > batchDeleteKeysMax) {
      throw new OperationalError("too_large", `keys has more than ${batchDeleteKeysMax} entries`, {
        context: { batchDeleteKeysMax },
      });
    }
    if (actor.kind === "anonymous") authorize(actor, "object:delete", { bucket });
    const good: ObjectKey[] = [];
    const failed: { key: string; error: OperationalError }[] = [];
    for (const raw of keys) {
      try {
        const key = parseKey(raw);
        authorize(actor, "object:delete", { bucket, key });
        good.push(key);
      } catch (error) {
        if (!isOperationalError(error)) throw error;
        failed.push({ key: raw.toWellFormed(), error });
        const { code } = error;
        this.#options.refusals?.note({ ...refusalFacts(error), author: authorOf(actor), code });
      }
    }
    // Only who may delete something in it is told whether the bucket exists.
    if (good.length === 0) return { deleted: [], failed };
    const record = await this.#options.buckets.require(bucket);
    const { metadata } = this.#options;
    const { refused } = await metadata.deleteObjects(bucket, good, this.#deleting(actor, record));
    for (const { key, code, message } of refused) {
      failed.push({
        key,
        error: new OperationalError(code, message, { context: { bucket, key } }),
      });
      this.#options.refusals?.note({ bucket, key, author: authorOf(actor), code });
    }
    if (refused.some(({ code }) => code === "delete_cap_reached")) this.#caps.alarm(record, actor);
    const stayed = new Set(refused.map(({ key }) => key));
    return { deleted: good.filter((key) => !stayed.has(key)), failed };
  }

  /**
   * Sets and removes what front ends keep of it; bytes, version and instant stay. `object_not_found`,
   * `precondition_failed`; `access_denied` for a grant that never replaces anything.
   */
  async change(
    actor: Actor,
    address: ObjectAddress,
    changes: Pick<ObjectChanges, "attributes">,
    conditions: WriteConditions = {},
  ): Promise<ObjectRecord> {
    authorize(actor, "object:write", address);
    if (grantConditions(actor).ifAbsent === true) {
      throw new OperationalError("access_denied", "the grant's template permits new objects alone");
    }
    await this.#options.buckets.require(address.bucket);
    const { metadata } = this.#options;
    const options = { ...conditions, author: authorOf(actor) };
    return await metadata.changeObject(address.bucket, address.key, changes, options);
  }

  /**
   * Retains it, or puts it under legal hold, or takes that off. `object_not_found`; `object_retained` for a
   * retention that would end earlier than it does.
   */
  async hold(
    actor: Actor,
    address: ObjectAddress,
    hold: Pick<ObjectChanges, "retainUntil" | "legalHold">,
  ): Promise<ObjectRecord> {
    authorize(actor, "object:hold", address);
    await this.#options.buckets.require(address.bucket);
    const options = { author: authorOf(actor) };
    return await this.#options.metadata.changeObject(address.bucket, address.key, hold, options);
  }

  /** Copies no bytes: blobs are immutable, so both objects point at one. */
  async copy(actor: Actor, request: CopyRequest): Promise<WriteResult> {
    return this.#copy(actor, request, false);
  }

  /** A copy and a delete in one transaction: every reader finds one of the two, never none or both. */
  async move(actor: Actor, request: CopyRequest): Promise<WriteResult> {
    authorize(actor, "object:delete", request.from);
    return this.#copy(actor, request, true);
  }

  /**
   * Whether somebody reads pieces of this blob, all of which were never open at once: its pieces stay until
   * they are read, however long the grace is.
   */
  isReading(blobKey: string): boolean {
    return this.#reading.has(blobKey);
  }

  async #copy(actor: Actor, request: CopyRequest, deleteSource: boolean): Promise<WriteResult> {
    for (let tries = 1; ; tries += 1) {
      const source = await this.#copySource(actor, request);
      try {
        return await this.#copyVersion(actor, request, { source, deleteSource });
      } catch (error) {
        if (tries >= copyTriesMax || !isSourceReplaced(error, request)) throw error;
      }
    }
  }

  async #copySource(actor: Actor, { from, to }: CopyRequest): Promise<ObjectRecord> {
    authorize(actor, "object:write", to);
    const source = await this.head(actor, from);
    if (from.version !== undefined && from.version !== source.version) {
      throw new OperationalError("precondition_failed", "from.version is not the object's version");
    }
    return source;
  }

  async #copyVersion(
    actor: Actor,
    request: CopyRequest,
    { source, deleteSource }: { readonly source: ObjectRecord; readonly deleteSource: boolean },
  ): Promise<WriteResult> {
    const { from, to } = request;
    const bucket = await this.#options.buckets.require(to.bucket);
    const contentType = request.contentType ?? source.contentType;
    if (request.userMetadata !== undefined) assertUserMetadata(request.userMetadata);
    const limits = writeLimits(actor, bucket);
    assertLengthAllowed(source.length, limits);
    assertTypeAllowed(contentType, limits);
    const now = this.#options.clock.now();
    const version = newVersion(now);
    // Who writes with a grant did not write what the source says.
    const isOwn = actor.kind === "grant";
    const context = isOwn ? contextOf(actor) : source.attributes[contextAttribute];
    return this.#options.metadata.copyObject(
      { bucket: from.bucket, key: from.key, version: source.version },
      {
        bucket: to.bucket,
        key: to.key,
        version,
        etag: source.digests.md5 === undefined ? etagOfVersion(version) : source.etag,
        contentType,
        userMetadata: request.userMetadata ?? source.userMetadata,
        attributes: withContext(request.attributes ?? source.attributes, context),
        createdAt: now,
      },
      {
        ...grantConditions(actor, request.conditions),
        ...grantUse(actor),
        author: authorOf(actor),
        garbageDueAt: this.#garbageDueAt(),
        deleteSource,
      },
    );
  }

  async #read(
    object: ObjectWithBlob,
    options: {
      readonly signal: AbortSignal;
      readonly firstByte?: number;
      readonly lastByte?: number;
    },
  ): Promise<ObjectBody> {
    const using = new DisposableStack();
    const lease = using.use(this.#options.storages.lease(object.storageId, "read"));
    if (object.pieces !== undefined) using.use(this.#beginReading(object.blobKey));
    try {
      const { metadata } = this.#options;
      const body = await openBlob(object, { ...options, metadata, driver: lease.driver });
      return leasedBody(body, using);
    } catch (error) {
      using.dispose();
      if (isOperationalError(error, "object_not_found")) throw await this.#blobGone(object, error);
      throw error;
    }
  }

  async #partDigests(
    { attributes, digests, pieces }: ObjectWithBlob,
    { after, limit }: { readonly after: number; readonly limit: number },
  ): Promise<ReadonlyMap<number, Digests>> {
    const found = new Map<number, Digests>();
    const sizes = partSizesOf(attributes) ?? [];
    if (sizes.length === 1 && after === 0 && limit > 0) found.set(1, digests);
    if (pieces === undefined) return found;
    const places = sizes.flatMap((size, index) => (size > 0 ? [index + 1] : []));
    const index = places.findIndex((place) => place > after);
    if (index < 0) return found;
    const wanted = places.slice(index, index + limit).filter((place) => place <= after + limit);
    const numbers = pieceNumbersFrom(pieces.runs, { index, limit: wanted.length });
    const rows = await this.#options.metadata.listUploadParts(pieces.uploadId, {
      after: (numbers[0] ?? 1) - 1,
      limit: numbers.length,
    });
    for (const [at, place] of wanted.entries()) {
      const row = rows[at];
      if (row !== undefined && row.number === numbers[at]) found.set(place, row.digests);
    }
    return found;
  }

  #beginReading(blobKey: string): Disposable {
    this.#reading.set(blobKey, (this.#reading.get(blobKey) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#reading.get(blobKey) ?? 1) - 1;
        if (left > 0) this.#reading.set(blobKey, left);
        else this.#reading.delete(blobKey);
      },
    };
  }

  /** The row was read, the blob is not there: either it was replaced long ago, or bytes are lost. */
  async #blobGone(object: ObjectRecord, cause: OperationalError): Promise<OperationalError> {
    const current = await this.#options.metadata.headObject(object.bucket, object.key);
    if (current?.version !== object.version) {
      return new OperationalError(
        "unavailable",
        "the object was replaced while it was being opened",
        {
          cause,
        },
      );
    }
    return new OperationalError("data_damaged", "the object's bytes are missing from its storage", {
      cause,
      context: { storageId: object.storageId, blobKey: object.blobKey },
    });
  }

  async #authorizeRead(actor: Actor, address: ObjectAddress): Promise<void> {
    if (isAllowed(actor, "object:read", address)) return;
    authorizeRead(actor, await this.#options.buckets.find(address.bucket), address);
  }

  async #notFound(address: ObjectAddress): Promise<OperationalError> {
    await this.#options.buckets.require(address.bucket);
    return new OperationalError("object_not_found", "there is no such object");
  }

  #deleting(actor: Actor, bucket: BucketRecord): DeleteOptions {
    return {
      author: authorOf(actor),
      deletedAt: this.#options.clock.now(),
      garbageDueAt: this.#garbageDueAt(),
      deletesPerHour: this.#caps.of(bucket),
    };
  }

  #garbageDueAt(): Date {
    return new Date(this.#options.clock.now().getTime() + this.#options.blobGraceMs);
  }
}

/** Who names no version takes what is there: a source that was replaced meanwhile is looked for again. */
function isSourceReplaced(error: unknown, { from }: CopyRequest): boolean {
  return (
    from.version === undefined &&
    isOperationalError(error, "precondition_failed") &&
    error.context.fromVersion !== undefined
  );
}
