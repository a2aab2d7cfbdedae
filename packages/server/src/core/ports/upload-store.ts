/**
 * Facts about uploads that survive their connection, and the process that receives them: part of every
 * metadata store. Each method is one transaction, as in `metadata-store.ts`.
 *
 * An upload has at most one writer. `takeUpload` gives the lease and with it a fence, a number that
 * only grows; whatever a writer commits carries its fence and is refused with `locked` once another
 * has taken the upload. A lease says until when its holder is believed to be alive, and nothing else:
 * no transaction and no connection is held while bytes flow.
 *
 * Instants of leases and expiry are of the steady clock (`core/resumable/steady-clock.ts`), which no
 * change of the system's time moves.
 */
import type { BlockSumsState } from "../digests/block-sums.ts";
import type { Authored } from "./author.ts";
import type {
  BlobRecord,
  GrantTerms,
  NewObject,
  WriteConditions,
  WriteResult,
} from "./object-records.ts";
import type { BlockChecks, Digests } from "./storage-driver.ts";

/** An `object` becomes one when it is complete; a `partial` only ever becomes a piece of others. */
export type UploadKind = "object" | "partial";

/**
 * `receiving`: bytes come. `completing`: all bytes are durable, the storage or the store has not said
 * the last word; to be completed again after a crash. `complete`: the object's row points at the blob (of
 * a partial: the blob is whole). `cancelling`: nobody can write any more, the storage is being cleaned.
 */
export type UploadPhase = "receiving" | "completing" | "complete" | "cancelling";

/** Where the bytes go; decided when the first of them come. */
export interface UploadPlace {
  readonly storageId: string;
  readonly blobKey: string;
  /** Of the storage's own upload; null while there is none: no byte is in it yet. */
  readonly token: string | null;
  /** Of every part but the last, where the storage asks for that. */
  readonly partBytes: number | null;
}

export interface UploadRecord {
  /** Opaque and unguessable; never a path. */
  readonly id: string;
  readonly bucket: string;
  /** Null exactly for a partial. */
  readonly key: string | null;
  readonly kind: UploadKind;
  /** The front end that made it. */
  readonly protocol: string;
  /** The access key that made it, or that signed the grant which did. */
  readonly owner: string;
  readonly phase: UploadPhase;
  /** Bytes that are durable in the storage, and in these records. Never goes back. */
  readonly offset: number;
  /** Null while the client has not said. */
  readonly length: number | null;
  /** As declared; null if it was not. */
  readonly contentType: string | null;
  readonly userMetadata: Readonly<Record<string, string>>;
  /** The front end's own, verbatim: what it must give back as it came. */
  readonly attributes: Readonly<Record<string, string>>;
  /** What the client says the whole is. */
  readonly digests: Digests;
  readonly conditions: WriteConditions;
  /** Of the grant that made it; null: a key did. */
  readonly grant: GrantTerms | null;
  readonly place: UploadPlace | null;
  /** Of the bytes up to `offset`; null while there are none, of complete uploads, and in lists. */
  readonly checks: BlockSumsState | null;
  /** Counted against the bucket's quota until the upload ends in any way. */
  readonly reservedBytes: number;
  readonly createdAt: Date;
  /** Steady. Unfinished: abandoned after it. Complete: forgotten after it, the object stays. */
  readonly expiresAt: Date;
  /** Set when complete; of a partial it is the name of its blob. */
  readonly version: string | null;
  /** One more with each writer. */
  readonly fence: number;
  /** The process that writes; null when none does. */
  readonly holder: string | null;
  /** Steady. */
  readonly leaseUntil: Date | null;
}

/** A numbered part of the storage's own upload. */
export interface UploadPart {
  readonly kind: "part";
  /** From 1, in the order of bytes. */
  readonly number: number;
  /** Where it begins in the upload. */
  readonly offset: number;
  readonly length: number;
  /** As the storage answered. */
  readonly etag: string;
  readonly digests: Digests;
}

/** Bytes at the end, fewer than a part: a blob of their own until there are enough. */
export interface UploadTail {
  readonly kind: "tail";
  /** From 1, in the order of bytes; numbered apart from parts. */
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  readonly blobKey: string;
  readonly digests: Digests & { readonly crc64nvme: Uint8Array };
}

export type UploadSegment = UploadPart | UploadTail;

/**
 * A numbered part of an upload whose parts come in any order and from several writers: a blob of its own.
 * The upload's offset is what all its parts together hold.
 */
export interface UploadPartBlob {
  readonly number: number;
  readonly length: number;
  readonly storageId: string;
  readonly blobKey: string;
  readonly digests: Digests & { readonly crc64nvme: Uint8Array; readonly md5: Uint8Array };
  readonly blocks?: BlockChecks;
  readonly createdAt: Date;
}

export interface UploadPartsQuery {
  /** Numbers greater than this. */
  readonly after: number;
  readonly limit: number;
}

export interface MultipartQuery {
  readonly bucket: string;
  readonly prefix: string;
  /** Empty: no grouping. */
  readonly delimiter: string;
  /**
   * Greater keys only, and of this key, if there is an `id`, those with greater ids. A grouped prefix itself
   * skips its group.
   */
  readonly after?: { readonly key: string; readonly id?: string };
  /** Uploads and prefixes together. */
  readonly limit: number;
}

export interface MultipartPage {
  readonly uploads: readonly UploadRecord[];
  readonly prefixes: readonly string[];
  /** Give it as `after` for the next page; absent on the last. */
  readonly next?: { readonly key: string; readonly id?: string };
}

/** Of the protocol whose uploads have parts in any order; only they are listed by key. */
export const multipartProtocol = "s3";

export interface UploadTaken {
  readonly upload: UploadRecord;
  /** In order of kind (parts before tails) and number. */
  readonly segments: readonly UploadSegment[];
}

/** What a writer learned. What is left out stays. */
export interface UploadCheckpoint {
  readonly offset?: number;
  readonly length?: number;
  readonly place?: UploadPlace;
  readonly checks?: BlockSumsState;
  readonly phase?: "completing";
  readonly expiresAt?: Date;
  readonly reservedBytes?: number;
  readonly add?: readonly UploadSegment[];
  /** Every tail becomes garbage, in the same transaction that adds the part made of them. */
  readonly dropTails?: boolean;
  /** When those tails may be removed, as for any garbage. Left out: at once. */
  readonly garbageDueAt?: Date;
  /** Gives the lease back as well. */
  readonly release?: boolean;
}

export interface UploadWriter {
  readonly id: string;
  readonly fence: number;
}

/** A lease of which its holder said that nothing writes with it any more, or whose holder is dead. */
export interface EndedLease {
  readonly holder: string;
  readonly fence: number;
}

export interface UploadQuery {
  readonly bucket?: string;
  /** Ids greater than this. */
  readonly after?: string;
  readonly limit: number;
}

export interface BucketUsage {
  /** Lengths of all its objects. */
  readonly bytes: number;
  /** Of uploads that run. */
  readonly reservedBytes: number;
  readonly objects: number;
  /** In the trash: counted against no quota. */
  readonly trashBytes: number;
  readonly trashObjects: number;
}

export interface UploadStore {
  /**
   * `bucket_not_found`; `quota_exceeded` if what is stored and reserved and `reservedBytes` together pass
   * the bucket's quota; `rate_limited` if the owner has `openMax` unfinished uploads already; `access_denied`
   * if its grant has no use left.
   */
  createUpload(upload: UploadRecord, limits: { readonly openMax: number }): Promise<void>;
  getUpload(id: string): Promise<UploadRecord | undefined>;
  /** In order of ids: those of the bucket, or all. */
  listUploads(query: UploadQuery): Promise<readonly UploadRecord[]>;

  /**
   * The lease, if nobody has it, it ran out, or `holder` has it already (who sees to it that one of its own
   * requests writes). With `ended` no time counts, nor who asks: only a lease that nobody has is free, or the
   * one that is named there. Otherwise `undefined`, and the holder is asked to yield: `renewUploads` tells it.
   * `upload_not_found` if there is no such upload or it is being cancelled. A complete one is answered as
   * it is, without a lease: nothing is left to write.
   */
  takeUpload(
    id: string,
    lease: {
      readonly holder: string;
      readonly now: Date;
      readonly until: Date;
      readonly ended?: EndedLease | null;
    },
  ): Promise<UploadTaken | undefined>;
  /** Answers the ids of those that are still the holder's with that fence, and those asked to yield. */
  renewUploads(
    writers: readonly UploadWriter[],
    lease: { readonly holder: string; readonly until: Date },
  ): Promise<{ readonly kept: readonly string[]; readonly yield: readonly string[] }>;
  /**
   * `locked` if the fence is not the newest, or the upload is complete; `upload_not_found` also while it is
   * being cancelled; `quota_exceeded` for `reservedBytes`.
   */
  checkpointUpload(writer: UploadWriter, checkpoint: UploadCheckpoint): Promise<UploadRecord>;
  /** Does nothing if another has taken it. */
  releaseUpload(writer: UploadWriter): Promise<void>;

  /**
   * Adds a part that is durable, or puts it in the place of the one with its number, whose blob becomes
   * garbage; the last to come counts. Reserves its bytes, unless those of the whole are (its length is
   * known, which all parts together must not pass), and renews the expiry. Needs no lease, and is `locked`
   * while somebody has one: the upload is being completed. `upload_not_found` also if it is complete or being
   * cancelled, `quota_exceeded`. Answers what it replaced.
   */
  putUploadPart(
    id: string,
    part: UploadPartBlob,
    options: { readonly now: Date; readonly expiresAt: Date; readonly garbageDueAt: Date },
  ): Promise<UploadPartBlob | undefined>;
  /** In order of numbers; of an upload that has ended those that its object's blob consists of. */
  listUploadParts(id: string, query: UploadPartsQuery): Promise<readonly UploadPartBlob[]>;
  /** Unfinished ones of `multipartProtocol`, by key and then by id. */
  listMultipart(query: MultipartQuery): Promise<MultipartPage>;

  /**
   * The last word: what `commitObject` does, and the upload is `complete`, its tails are garbage, its parts
   * too and at once, but for one that is the object's blob and those that are its pieces, its reservation is
   * gone and its lease given back, all in one transaction. Done before by the same upload
   * (its version is set): answers the same again, if the object is still that version, and
   * `precondition_failed` if it is not. `locked`, `upload_not_found`, and all of `commitObject`.
   */
  completeUpload(
    writer: UploadWriter,
    object: NewObject,
    blob: BlobRecord,
    options: WriteConditions & Authored & { readonly garbageDueAt: Date; readonly expiresAt: Date },
  ): Promise<WriteResult>;
  /**
   * As `completeUpload`, and the object points at the blob of another of the same bytes: nothing that came for
   * the upload is needed, and what may be at its place is garbage. `object_not_found`, `precondition_failed` if
   * the other is not `source.version` any more.
   */
  completeByReference(
    writer: UploadWriter,
    source: { readonly bucket: string; readonly key: string; readonly version: string },
    object: NewObject,
    options: WriteConditions & Authored & { readonly garbageDueAt: Date; readonly expiresAt: Date },
  ): Promise<WriteResult>;
  /**
   * Of a partial: its blob is whole, and its reservation is gone. The blob is a row with one reference, which is the upload's own and is
   * taken back when the upload is forgotten.
   */
  completePartial(
    writer: UploadWriter,
    blob: BlobRecord,
    options: { readonly expiresAt: Date; readonly version: string; readonly garbageDueAt: Date },
  ): Promise<UploadRecord>;
  /** The blobs of complete partials, by upload id, with block checks. */
  partialBlobs(ids: readonly string[]): Promise<ReadonlyMap<string, BlobRecord>>;

  /**
   * From now on nobody can write: the fence is raised, the reservation gone, a grant's use given back. Answers the upload as it was
   * left (`cancelling`), or as it is if it is complete already; `undefined` if there is none. With
   * `expiredBefore` only if it has expired by then and no lease is running (else answers `undefined`); one
   * that is `cancelling` already is answered in any case.
   */
  cancelUpload(
    id: string,
    options?: { readonly expiredBefore?: Date },
  ): Promise<UploadTaken | undefined>;
  /**
   * Removes the rows of an upload that is `cancelling` or `complete`. Of a cancelled one the tails, the parts and the
   * blob that may be there become garbage, of a partial its reference goes.
   */
  forgetUpload(id: string, options: { readonly garbageDueAt: Date }): Promise<void>;
  /**
   * What background work has to look at, oldest first: expired ones without a running lease, those that are
   * `cancelling`, and those `completing` whose lease has run out.
   */
  listUploadsDue(options: {
    readonly now: Date;
    readonly limit: number;
  }): Promise<readonly UploadRecord[]>;
  /**
   * Which of these keys an upload's place names: their blobs, and the storage's own uploads, are in use.
   * Of complete uploads too, until they are forgotten, so that no key is free for a moment at their end.
   */
  uploadsOwning(storageId: string, blobKeys: readonly string[]): Promise<ReadonlySet<string>>;

  /** `bucket_not_found`. */
  bucketUsage(bucket: string): Promise<BucketUsage>;
}
