/**
 * Where bytes live: the interface of every driver and of every stack of layers over one.
 *
 * A driver stores immutable blobs under opaque keys. It classifies its failures once, as
 * `OperationalError`: a missing key is `object_not_found`, a full disk `storage_full`, wrong bytes
 * `checksum_mismatch`, a storage that does not answer `unavailable`. It never retries by itself: what it
 * holds of a body it sends again by `PutOptions.repeat` alone.
 */

import type { OperationalError } from "../errors.ts";
import type { CorsRule } from "./cors-rule.ts";

/**
 * Pulled once; a pull is backpressure. A failing source throws here. A chunk may still be written
 * after the next one was pulled, so its memory is not used again for others; a chunk that was given
 * away (`given-chunks.ts`) may be freed by the driver once it is written.
 */
export type Body = AsyncIterable<Uint8Array>;

/**
 * Consume it or dispose it; both free what it holds. A chunk is valid only until the next one is
 * pulled: its buffer is used again.
 */
export type ObjectBody = AsyncIterable<Uint8Array> & AsyncDisposable;

export type DigestName = "md5" | "crc32" | "crc32c" | "crc64nvme" | "sha1" | "sha256";

/** Raw digest bytes, big-endian for CRCs. */
export type Digests = Readonly<Partial<Record<DigestName, Uint8Array>>>;

/**
 * CRC-64/NVME of each block of a blob (8 bytes big-endian per block; the last block may be short),
 * so that a range can be verified without reading the whole.
 */
export interface BlockChecks {
  readonly blockBytes: number;
  readonly sums: Uint8Array;
}

/** Every call has an end: what waits takes the request's signal. */
export interface Call {
  readonly signal: AbortSignal;
}

export interface BlobMetadata {
  readonly contentType?: string;
  readonly cacheControl?: string;
  readonly contentDisposition?: string;
  readonly user?: Readonly<Record<string, string>>;
}

export interface BlobHead {
  readonly key: string;
  readonly length: number;
  /** The storage's own tag, opaque unless `etagIsMd5`. */
  readonly etag: string;
  readonly modifiedAt: Date;
  /** What the storage knows by itself; the checksum layer adds what it computed. */
  readonly digests: Digests;
  readonly metadata: BlobMetadata;
  /** Set by the checksum layer on the answer to a put. */
  readonly blocks?: BlockChecks;
}

/**
 * Sends what can be sent again, and again while its failure may pass and the storage's budget of
 * repetitions lasts. Errors are those of the last sending.
 */
export type Repeat = <T>(signal: AbortSignal, send: () => Promise<T>) => Promise<T>;

export interface PutOptions extends Call {
  /** Declared: a shorter or longer body fails with `incomplete_body` and stores nothing. */
  readonly length?: number;
  readonly metadata?: BlobMetadata;
  /** Expected: a mismatch fails with `checksum_mismatch` and stores nothing. */
  readonly digests?: Digests;
  /** Computed as the bytes pass, beside CRC-64/NVME, and answered in the head. */
  readonly digestsWanted?: readonly DigestName[];
  /** `already_exists` if the key is taken. */
  readonly createOnly?: boolean;
  /** Called by a copy after each piece of it, so that a long one is not taken for a hung one. */
  readonly onProgress?: () => void;
  /** For a driver that gathers bytes before it sends them; the retry layer sets it. Absent: once. */
  readonly repeat?: Repeat;
}

export interface GetOptions extends Call {
  /** Both inclusive, both within the blob (else `range_unsatisfiable`). */
  readonly firstByte?: number;
  readonly lastByte?: number;
  readonly ifMatch?: string;
  /** What the blob was when it was acknowledged; the checksum layer compares with it. */
  readonly expected?: {
    readonly length: number;
    readonly crc64nvme: Uint8Array;
    readonly blocks?: BlockChecks;
  };
}

/** Declared data: core decides once, before the first byte, by these. */
export interface StorageCapabilities {
  readonly conditionalPut: boolean;
  readonly conditionalComplete: boolean;
  /** What a resolved put means. */
  readonly durability: "server" | "fsync" | "none";
  /** Digests that the storage checks by itself. */
  readonly verifies: readonly DigestName[];
  readonly etagIsMd5: boolean;
  readonly listing: "strong" | "eventual";
  /** Whether metadata given to put comes back from head. Core keeps its own in any case. */
  readonly keepsMetadata: boolean;
  /**
   * False where the blob "a" hides the blob "a/b" from lists: the storage's keys must not nest so.
   * Absent: both can be.
   */
  readonly nestedKeys?: boolean;
  readonly keyBytesMax: number;
  readonly metadataBytesMax: number;
  readonly putBytesMax: number;
}

export interface StorageSpace {
  readonly bytesFree: number;
  readonly bytesTotal: number;
  /** Absent where the storage has no such notion. */
  readonly inodesFree?: number;
}

/** A temporary file that a crash or an abort left behind. */
export interface LeftOver {
  readonly token: string;
  readonly modifiedAt: Date;
  readonly length: number;
}

/** A blob that a call for many did not delete. */
export interface FailedDelete {
  readonly key: string;
  readonly error: OperationalError;
}

/** Closed: calls pass. Open: they are refused at once. Half-open: one at a time may try. */
export type BreakerState = "closed" | "open" | "half-open";

export interface StorageDriver extends AsyncDisposable {
  /** Kept on every row; never changes its meaning. */
  readonly id: string;
  readonly capabilities: StorageCapabilities;
  /** All or nothing: the old blob, if any, stays whole until the new one is durable. */
  put(key: string, body: Body, options: PutOptions): Promise<BlobHead>;
  get(key: string, options: GetOptions): Promise<{ head: BlobHead; body: ObjectBody }>;
  head(key: string, options: Call): Promise<BlobHead>;
  /** In byte order of keys, from the first after `after`; never shows temporaries. */
  list(prefix: string, options: Call & { readonly after?: string }): AsyncIterable<BlobHead>;
  /** A missing key is success. */
  delete(key: string, options: Call): Promise<void>;
  /**
   * Many in one call, at most `deleteManyMax` keys. A missing key is success; what could not be deleted
   * is answered, and only the failure of the whole call throws. Absent: one by one.
   */
  readonly deleteMany?: (
    keys: readonly string[],
    options: Call,
  ) => Promise<readonly FailedDelete[]>;
  /** The mount guard, or a signed request. Fails with `unavailable` and says why. */
  probe(options: Call): Promise<void>;
  readonly space?: (options: Call) => Promise<StorageSpace>;
  /** Set by the breaker layer; a bare driver has none. */
  readonly breaker?: () => BreakerState;
  /** Temporaries of writes that never ended; those of running writes are not among them. */
  readonly leftOvers?: {
    list(options: Call): AsyncIterable<LeftOver>;
    /** Idempotent. */
    remove(token: string, options: Call): Promise<void>;
    /** Whether a write of this process has it: to be asked by others, who see only that it lies there. */
    isRunning(token: string): boolean;
  };
  /** Absent: unsupported. */
  readonly parts?: PartWrites;
  readonly copy?: (from: string, to: string, options: PutOptions) => Promise<BlobHead>;
  /**
   * One blob of several, in their order, made within the storage. `unsupported` before anything is written
   * where their sizes or count do not allow it; `precondition_failed` if one is not what it is said to be.
   */
  readonly concat?: (
    from: readonly ConcatSource[],
    to: string,
    options: PutOptions,
  ) => Promise<BlobHead>;
  /** Lets somebody without credentials do one thing; what cannot be bound is `unsupported`. */
  readonly presign?: (grant: Grant, options: Call) => Promise<PresignedRequest>;
  /** Where signed requests of pages go to the storage itself. Absent: none does. */
  readonly bucketCors?: BucketCors;
}

/** The storage's own rules for pages of other origins; `unsupported` where it keeps none. */
export interface BucketCors {
  /** What else decides about pages, or where rules are set instead; for people. */
  readonly hint?: string;
  /** In the order in which the storage tries them. */
  read(options: Call): Promise<readonly CorsRule[]>;
  /** Reads all, writes what the edit makes of them, and leaves what is no rule as it was. */
  change(
    edit: (rules: readonly CorsRule[]) => readonly CorsRule[],
    options: Call,
  ): Promise<readonly CorsRule[]>;
  /**
   * Asks as a browser asks before and while a page of that origin sends a part, and stores nothing. Resolves with
   * what would stop the page, as a fragment for people; undefined if nothing would.
   */
  tryOrigin(origin: string, options: Call): Promise<string | undefined>;
}

/** A blob that is to be a piece of another, and what is known of it. */
export interface ConcatSource {
  readonly key: string;
  readonly length: number;
  readonly digests: Digests;
}

/** One thing that may be done to one key until an instant. */
export type Grant = { readonly key: string; readonly expiresAt: Date } & (
  | { readonly verb: "get"; readonly contentDisposition?: string }
  | {
      readonly verb: "put";
      readonly length: number;
      readonly contentType: string;
      readonly digests?: Digests;
    }
  | {
      readonly verb: "writePart";
      readonly token: string;
      readonly partNumber: number;
      readonly length: number;
      readonly digests?: Digests;
    }
  | {
      readonly verb: "post";
      readonly lengthMin?: number;
      readonly lengthMax: number;
      readonly contentType: string;
      /** Made by the storage once it has the file; `unsupported` where it makes none. */
      readonly callback?: StorageCallback;
    }
);

/** A POST of JSON: the fields, and `bucket`, `object`, `etag` and `size` as the storage has them. */
export interface StorageCallback {
  readonly url: string;
  /** Of letters, digits and what needs no escape: they stand in a template of the storage's. */
  readonly fields: Readonly<Record<string, string>>;
}

/** `headers` have to be sent exactly; `fields` come before the file in a form. */
export interface PresignedRequest {
  readonly method: "GET" | "PUT" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly fields?: Readonly<Record<string, string>>;
}

/** Opaque; survives restarts. */
export interface UploadAddress {
  readonly key: string;
  readonly token: string;
}

export interface Part {
  readonly partNumber: number;
  readonly length: number;
  readonly etag: string;
  readonly digests: Digests;
}

/** A range of a blob, both ends inclusive. */
export interface PartSource {
  readonly key: string;
  /** What the blob is expected to be: `precondition_failed` otherwise, where the storage compares. */
  readonly etag: string;
  readonly firstByte: number;
  readonly lastByte: number;
  /** The range is all of it. */
  readonly isWhole: boolean;
}

export interface PartWrites {
  readonly partBytesMin: number;
  readonly partBytesMax: number;
  readonly partsMax: number;
  /** Every part but the last has exactly the size given to `create`. */
  readonly equalParts: boolean;
  create(key: string, options: PutOptions & { readonly partBytes: number }): Promise<UploadAddress>;
  writePart(
    upload: UploadAddress,
    partNumber: number,
    bytes: Uint8Array,
    options: Call & { readonly digests: Digests },
  ): Promise<Part>;
  /**
   * A part that is a range of a blob of the same storage, made within it. `object_not_found`. Whether the blob
   * was the same for several ranges is the caller's to compare: not every storage does it when asked to.
   */
  readonly copyPart?: (
    upload: UploadAddress,
    partNumber: number,
    source: PartSource,
    options: Call,
  ) => Promise<Part>;
  /** Adds bytes without parts: cuts any tail past `offset`, resolves to the durable offset. */
  readonly append?: (
    upload: UploadAddress,
    offset: number,
    body: Body,
    options: Call,
  ) => Promise<number>;
  /**
   * Resolves once no call on the upload is under way in this process, those included that hang and that nobody
   * waits for any more. Of storages where a late call could change what a later one wrote.
   */
  readonly idle?: (upload: UploadAddress) => Promise<void>;
  listParts(upload: UploadAddress, options: Call): AsyncIterable<Part>;
  complete(upload: UploadAddress, parts: readonly Part[], options: PutOptions): Promise<BlobHead>;
  /** Idempotent. */
  cancel(upload: UploadAddress, options: Call): Promise<void>;
  listPending(
    prefix: string,
    options: Call,
  ): AsyncIterable<UploadAddress & { readonly createdAt: Date }>;
}

/** What every storage that deletes many takes at once. */
export const deleteManyMax = 1_000;

export type StorageLayer = (inner: StorageDriver) => StorageDriver;
