/**
 * Facts about bytes: buckets, objects, blobs, access keys. The interface of every metadata store.
 *
 * Each method is one transaction: it happened whole and is durable when the promise resolves, or
 * it did not happen. What takes an author is written down with it. Reads see every write that resolved before they began. Keys are ordered by
 * their UTF-8 bytes.
 */
import type {
  BucketVisibility,
  ErrorCode,
  PlacementJson,
  PolicyStatementJson,
} from "@roma/contract";
import type { AuditStore } from "./audit-store.ts";
import type { Authored } from "./author.ts";
import type { BulkDeleteStore } from "./bulk-delete-store.ts";
import type { CorsRule } from "./cors-rule.ts";
import type { IdempotencyStore } from "./idempotency-store.ts";
import type {
  BlobRecord,
  GrantUse,
  NewObject,
  ObjectChanges,
  ObjectRecord,
  ObjectWithBlob,
  WriteConditions,
  WriteResult,
} from "./object-records.ts";
import type { TrashStore } from "./trash-store.ts";
import type { UploadStore } from "./upload-store.ts";

export type * from "./audit-store.ts";
export type * from "./author.ts";
export type * from "./bulk-delete-store.ts";
export type { CorsRule } from "./cors-rule.ts";
export type * from "./object-records.ts";
export type * from "./trash-store.ts";

/** The setting in which the steady clock is remembered, in milliseconds: trash is due by it. */
export const steadyClockSetting = "steady-clock";

/** Who, when, and how many requests may. */
export interface DeleteOptions extends Authored {
  /** Of the system's clock. */
  readonly deletedAt: Date;
  /** For the blobs of what does not go into the trash. */
  readonly garbageDueAt: Date;
  /** Of the bucket, in any hour; left out or null: any number. */
  readonly deletesPerHour?: number | null;
}

export interface DeleteResult {
  /** Those that existed. */
  readonly deleted: readonly ObjectRecord[];
  /** Those that stayed, and why: `object_retained`, `delete_cap_reached`. */
  readonly refused: readonly {
    readonly key: string;
    readonly code: ErrorCode;
    readonly message: string;
  }[];
}

export interface BucketRecord {
  readonly name: string;
  readonly visibility: BucketVisibility;
  readonly maxObjectBytes: number | null;
  readonly contentTypes: readonly string[] | null;
  readonly uploadExpiryMs: number;
  readonly quotaBytes: number | null;
  readonly placement: PlacementJson;
  /** In the order in which they are tried; null: the server's own. */
  readonly cors: readonly CorsRule[] | null;
  /** How long what is deleted or replaced stays in the trash; null: it does not go there. */
  readonly trashMs: number | null;
  /** Label; null: the server's own. */
  readonly environment: string | null;
  /** Objects that requests may delete in any hour; null: as its environment says. */
  readonly deletesPerHour: number | null;
  /** How long a new object may be neither deleted nor replaced; null: not at all. */
  readonly retentionMs: number | null;
  /** Keys that must confirm a bulk delete. */
  readonly bulkDeleteApprovals: BulkDeleteApprovals;
  readonly createdAt: Date;
}

export type BulkDeleteApprovals = 1 | 2;

export type BucketChanges = Partial<Omit<BucketRecord, "name" | "createdAt">>;

export interface ListQuery {
  readonly bucket: string;
  readonly prefix: string;
  /** Empty: no grouping. */
  readonly delimiter: string;
  /** Only keys, and grouped prefixes, greater than this; a grouped prefix itself skips its group. */
  readonly after?: string;
  /** Objects and prefixes together. */
  readonly limit: number;
}

export interface ListPage {
  readonly objects: readonly ObjectRecord[];
  readonly prefixes: readonly string[];
  /** Give it as `after` for the next page; absent on the last. */
  readonly next?: string;
}

export interface AccessKeyRecord {
  readonly id: string;
  readonly name: string;
  /** Encrypted with a key that is kept outside the store. */
  readonly sealedSecret: Uint8Array;
  readonly policy: readonly PolicyStatementJson[];
  readonly createdAt: Date;
  readonly enabled: boolean;
}

/**
 * `active` takes new uploads; `draining` only finishes those that run; `read-only` reads and deletes;
 * `retired` holds no blob and is kept so that its id is not given to another storage.
 */
export type StorageState = "active" | "draining" | "read-only" | "retired";

/** A configured place for bytes. Its id stands on every blob's row and never changes its meaning. */
export interface StorageRecord {
  readonly id: string;
  /** The kind of driver: `posix`. */
  readonly driver: string;
  /** The driver's own, without secrets. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The secret settings, encrypted with a key that is kept outside the store. */
  readonly sealedSecrets: Uint8Array | null;
  readonly state: StorageState;
  /** Of the mark that the storage itself carries: this id means that storage and no other. */
  readonly markerUuid: string;
  /** 1 at first, one more with each change. */
  readonly revision: number;
  readonly createdAt: Date;
  readonly changedAt: Date;
}

export interface StorageBlobCount {
  /** That an object points at, or that are complete partial uploads. */
  readonly referenced: number;
  /** That wait to be removed. */
  readonly garbage: number;
}

/** A blob that no object points at any more, and when it may be removed from its storage. */
export interface GarbageRecord {
  readonly storageId: string;
  readonly blobKey: string;
  readonly length: number;
  /** There are no bytes under its key: its pieces are released first. */
  readonly inPieces: boolean;
}

/** The blob's address in its storage. */
export interface BlobAddress {
  readonly storageId: string;
  readonly blobKey: string;
}

export interface MetadataStore
  extends UploadStore,
    TrashStore,
    BulkDeleteStore,
    AuditStore,
    IdempotencyStore,
    AsyncDisposable {
  /** `already_exists` if the name is taken. */
  createBucket(bucket: BucketRecord, options: Authored): Promise<void>;
  getBucket(name: string): Promise<BucketRecord | undefined>;
  /** In order of names. */
  listBuckets(): Promise<readonly BucketRecord[]>;
  /** `bucket_not_found`; answers the bucket as changed. */
  changeBucket(name: string, changes: BucketChanges, options: Authored): Promise<BucketRecord>;
  /** `bucket_not_found`, `not_empty`. What of it is in the trash stays there. */
  deleteBucket(name: string, options: Authored): Promise<void>;

  /**
   * The pointer swap: adds the blob and makes the object point at it. A replaced object goes into the
   * bucket's trash; without one its blob loses a reference, and at none it becomes garbage, due at
   * `garbageDueAt`. The new one is retained as the bucket says.
   * `bucket_not_found`, `precondition_failed`; `object_retained` if what it replaces is; `quota_exceeded` if the bucket would then hold and have
   * reserved more than its quota; `access_denied` if the grant has no use left.
   */
  commitObject(
    object: NewObject,
    blob: BlobRecord,
    options: WriteConditions &
      Authored & { readonly garbageDueAt: Date; readonly grantUse?: GrantUse },
  ): Promise<WriteResult>;
  /**
   * Points another object at the source's blob. `object_not_found` if the source is gone,
   * `precondition_failed` if it is no longer `source.version`, or a condition on the target fails.
   * With `deleteSource` it is a move: both rows change in the one transaction, and nothing of the source goes
   * into the trash; `object_retained` for it as well. `access_denied` if the grant
   * has no use left.
   */
  copyObject(
    source: { readonly bucket: string; readonly key: string; readonly version: string },
    object: NewObject,
    options: WriteConditions &
      Authored & {
        readonly garbageDueAt: Date;
        readonly deleteSource?: boolean;
        readonly grantUse?: GrantUse;
      },
  ): Promise<WriteResult>;
  /** Answers the object as changed. `object_not_found`, `precondition_failed`. */
  changeObject(
    bucket: string,
    key: string,
    changes: ObjectChanges,
    options: WriteConditions & Authored,
  ): Promise<ObjectRecord>;
  /** With the blob's block checks. */
  getObject(bucket: string, key: string): Promise<ObjectWithBlob | undefined>;
  /** Without block checks: cheaper. */
  headObject(bucket: string, key: string): Promise<ObjectRecord | undefined>;
  /** Of the bucket, with these bytes as far as their SHA-256 is known; a few of them, in no order. */
  findObjects(bytes: {
    readonly bucket: string;
    readonly sha256: Uint8Array;
    readonly length: number;
  }): Promise<readonly ObjectRecord[]>;
  listObjects(query: ListQuery): Promise<ListPage>;
  /**
   * Answers what was deleted; `undefined` if there was nothing. `precondition_failed`, `object_retained`;
   * `delete_cap_reached` if as many as may be were deleted in the last hour.
   */
  deleteObject(
    bucket: string,
    key: string,
    options: WriteConditions & DeleteOptions,
  ): Promise<ObjectRecord | undefined>;
  /** One transaction for all, in the order given; each key is refused by itself. */
  deleteObjects(
    bucket: string,
    keys: readonly string[],
    options: DeleteOptions,
  ): Promise<DeleteResult>;

  /** Which of these blobs a row knows: referenced, waiting as garbage, or a tail or part of an upload. */
  knownBlobs(storageId: string, blobKeys: readonly string[]): Promise<ReadonlySet<string>>;
  /**
   * A blob that no object will ever point at, and that may be written until `garbageDueAt`. Again, the later
   * instant counts; a blob with references stays as it is.
   */
  recordGarbage(
    blob: BlobAddress & { readonly length: number },
    options: { readonly garbageDueAt: Date },
  ): Promise<void>;
  /** Blobs without references that are due, oldest first. */
  listGarbage(options: {
    readonly dueBefore: Date;
    readonly limit: number;
  }): Promise<readonly GarbageRecord[]>;
  /**
   * Of a blob in pieces that is garbage: so many of them at most become garbage of their own. With the last
   * the blob is forgotten. Answers how many there were; a blob that is referenced again keeps all of them.
   */
  releasePieces(
    blob: BlobAddress,
    options: { readonly garbageDueAt: Date; readonly limit: number },
  ): Promise<number>;
  /** After the bytes are gone. A blob that is referenced again is left alone. */
  forgetGarbage(blobs: readonly BlobAddress[]): Promise<void>;

  /** `already_exists`. */
  createAccessKey(key: AccessKeyRecord, options: Authored): Promise<void>;
  getAccessKey(id: string): Promise<AccessKeyRecord | undefined>;
  listAccessKeys(): Promise<readonly AccessKeyRecord[]>;
  /** `key_not_found`. */
  changeAccessKey(
    id: string,
    changes: Partial<Pick<AccessKeyRecord, "name" | "policy" | "enabled" | "sealedSecret">>,
    options: Authored,
  ): Promise<AccessKeyRecord>;
  /** `key_not_found`. */
  deleteAccessKey(id: string, options: Authored): Promise<void>;

  /** How many uses of the grant with this id (`GrantUse`) are taken. */
  getGrantUses(id: string): Promise<number>;
  /** Of grants that ended before this; answers how many were forgotten. */
  forgetGrantUses(options: {
    readonly expiredBefore: Date;
    readonly limit: number;
  }): Promise<number>;

  /** In order of ids. */
  listStorages(): Promise<readonly StorageRecord[]>;
  /**
   * Adds it at revision 1, or replaces the revision before its own. `precondition_failed` if another
   * was faster; `not_empty` if it is to be retired and holds blobs.
   */
  putStorage(storage: StorageRecord, options: Authored): Promise<void>;
  /** Forgets the id itself. `storage_not_found`; `not_empty` if it holds blobs. */
  deleteStorage(id: string, options: Authored): Promise<void>;
  /** Reads a row for each blob: not for a request's path. */
  countBlobsOfStorage(storageId: string): Promise<StorageBlobCount>;

  /** Small facts about the installation itself: the sweeper's place, the data's id. */
  getSetting(name: string): Promise<string | undefined>;
  /** With an author it is somebody's choice, without one the server's own note. */
  putSetting(name: string, value: string, options?: Authored): Promise<void>;

  /** Fails with `unavailable` if the store does not answer. */
  probe(): Promise<void>;
}
