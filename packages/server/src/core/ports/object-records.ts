/** Objects and the blobs that they point at, as the metadata store keeps them. */
import type { BlockChecks, Digests } from "./storage-driver.ts";

/** Immutable bytes in one storage. Several objects may point at one blob (a copy copies no bytes). */
export interface BlobRecord {
  readonly storageId: string;
  readonly blobKey: string;
  readonly length: number;
  /** CRC-64/NVME always, others where they were computed. */
  readonly digests: Digests & { readonly crc64nvme: Uint8Array };
  /** Absent where parts came in an order that gave no blocks, and of a blob in pieces. */
  readonly blocks?: BlockChecks;
  /** Set where the storage has nothing under `blobKey` itself, but the blob's pieces. */
  readonly pieces?: BlobPieces;
}

/**
 * A blob that is the parts of an upload, one after the other: each a blob of its own in the same storage,
 * with its own digests and blocks (`listUploadParts`), also once the upload is forgotten.
 */
export interface BlobPieces {
  readonly uploadId: string;
  /** In the order of bytes. */
  readonly runs: readonly PieceRun[];
}

/** Parts with consecutive numbers, from `number` on, that have `length` bytes each. */
export interface PieceRun {
  readonly number: number;
  readonly count: number;
  readonly length: number;
}

/**
 * What front ends keep of an object beside its user metadata, by names that they agree on: headers to be
 * given back, tags, facts about its parts. Nobody else reads them.
 */
export type ObjectAttributes = Readonly<Record<string, string>>;

/** One state of an object: a row that points at a blob. */
export interface ObjectRecord {
  readonly bucket: string;
  readonly key: string;
  readonly version: string;
  /** Without quotes. */
  readonly etag: string;
  readonly contentType: string;
  readonly userMetadata: Readonly<Record<string, string>>;
  readonly attributes: ObjectAttributes;
  readonly createdAt: Date;
  readonly length: number;
  readonly storageId: string;
  readonly blobKey: string;
  readonly digests: Digests & { readonly crc64nvme: Uint8Array };
  /** Until then it is neither deleted nor replaced nor moved away; absent: it is free. */
  readonly retainUntil?: Date;
  /** The same, until it is taken off. */
  readonly legalHold?: true;
}

export interface ObjectWithBlob extends ObjectRecord {
  readonly blocks?: BlockChecks;
  readonly pieces?: BlobPieces;
}

/** Judged inside the transaction that writes, so that of racing writers one wins. */
export interface WriteConditions {
  /** `If-None-Match: *`: the key must not exist. */
  readonly ifAbsent?: boolean;
  /** `If-Match`: the object's etag must be one of these; `"*"` asks only that it exists. */
  readonly ifMatch?: readonly string[] | "*";
  /** The version must be this one: what a caller read must not have changed since. */
  readonly ifVersion?: string;
}

/** One of the writes that a grant with a count permits. */
export interface GrantUse {
  /** Of the grant: the id of the key that signed it, and its own. */
  readonly id: string;
  readonly usesMax: number;
  /** The end of the grant. */
  readonly expiresAt: Date;
}

/** What a grant says of the upload that it makes: it holds to the upload's end, whoever completes it. */
export interface GrantTerms {
  /** Taken when the upload is made, and given back if it is cancelled; left out: they are not counted. */
  readonly use?: GrantUse;
  readonly minBytes?: number;
  readonly maxBytes?: number;
  readonly contentTypes?: readonly string[];
  /** JSON, to be kept with the object. */
  readonly context?: string;
}

export interface NewObject {
  readonly bucket: string;
  readonly key: string;
  readonly version: string;
  readonly etag: string;
  readonly contentType: string;
  readonly userMetadata: Readonly<Record<string, string>>;
  /** Left out: none. */
  readonly attributes?: ObjectAttributes;
  readonly createdAt: Date;
}

/** To an object as it is: its bytes, version and instant stay. */
export interface ObjectChanges {
  /** Those that are named: set, or with `null` removed. The others stay. */
  readonly attributes?: Readonly<Record<string, string | null>>;
  /** Never earlier than it is: `object_retained`. */
  readonly retainUntil?: Date;
  readonly legalHold?: boolean;
}

export interface WriteResult {
  readonly object: ObjectRecord;
  /** What was there before; absent when the object is new. */
  readonly replaced?: ObjectRecord;
}
