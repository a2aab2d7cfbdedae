/** What the ways of uploading share: options, surroundings and results. */
import type { ChecksumsJson, DirectChecksumsJson, ObjectJson } from "@roma/contract";
import type { Caller } from "../caller.ts";
import { RomaError } from "../errors.ts";
import { metadataFields } from "../metadata-fields.ts";
import type { RetryPolicy } from "../retry.ts";
import type { Control, UploadState } from "./control.ts";
import type { ProgressMeter, UploadProgress } from "./progress.ts";
import type { ResumeStore } from "./resume-store.ts";
import type { Source } from "./source.ts";

/** How and where to upload. */
export interface UploadOptions {
  readonly bucket: string;
  /** Left out, the grant's template makes it. */
  readonly key?: string;
  /** Of the file, for that template; known of a `File` and of a path. */
  readonly filename?: string;
  /** Left out: a `Blob`'s own, else what the server finds in the bytes. */
  readonly contentType?: string;
  /** User metadata, 2 KiB in all. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Refuse with `precondition_failed` when there is an object of that key. Default false. */
  readonly createOnly?: boolean;
  /** Bytes of a stream, when known. A stream of another length fails. */
  readonly length?: number;
  /** What is known of the bytes; the server refuses others. Lower-case hex. */
  readonly checksums?: DirectChecksumsJson;
  /**
   * `auto` (default): as the server says, straight to the storage where that is possible, and through
   * the server if that fails. `storage` and `server` insist on one way.
   */
  readonly via?: "auto" | "storage" | "server";
  /** Reads the source first and asks whether the server has such bytes already. Default false. */
  readonly instant?: boolean;
  /** False: do not go on with an earlier upload of the same file, and do not remember this one. */
  readonly resume?: boolean;
  /** Parts at once at most, 1 to 6; the count adapts itself below it. Default 6. */
  readonly parallel?: number;
  /** Cancels the upload. */
  readonly signal?: AbortSignal;
  /** At most 20 times a second, and at the end. */
  readonly onProgress?: (progress: UploadProgress) => void;
  readonly onState?: (state: UploadState) => void;
  /** Things worth knowing that are no failure. */
  readonly onNotice?: (notice: UploadNotice) => void;
}

/** Something worth knowing that is no failure. */
export interface UploadNotice {
  readonly code: /** The storage could not be reached or refused: all goes through the server now. */
    | "direct_failed"
    /** Goes on with what an earlier page or process had sent. */
    | "resumed"
    /** What was sent is lost, and it begins with the first byte again. */
    | "began_again"
    /** The server had the bytes already. */
    | "instant";
  readonly message: string;
  /** Of `resumed`: how many are there already. */
  readonly bytes?: number;
  readonly cause?: unknown;
}

/** The object that an upload became. */
export interface UploadResult extends ObjectJson {
  readonly checksums: ChecksumsJson;
  /** Absolute. Reading a private object there needs a credential: see `signUrl`. */
  readonly url: string;
  /** False when it replaced an object. */
  readonly created: boolean;
}

/** What the server answered at the end. */
export interface Stored {
  readonly object: ObjectJson;
  readonly created: boolean;
}

/** One upload, as the ways of uploading see it. */
export interface Job {
  readonly caller: Caller;
  readonly control: Control;
  readonly meter: ProgressMeter;
  readonly options: UploadOptions;
  readonly source: Source;
  readonly store: ResumeStore | undefined;
  readonly notify: (notice: UploadNotice) => void;
}

/** Uploads wait longer than other calls: what they have sent so far is worth more. */
export function uploadPolicy({ caller }: Job): RetryPolicy {
  return { ...caller.retry, attemptsMax: caller.retry.attemptsMax + 3 };
}

/** Type, metadata and condition as header fields. */
export function objectFields({ options, source }: Job): Record<string, string> {
  const contentType = options.contentType ?? source.contentType;
  return {
    accept: "application/json",
    ...metadataFields(options.metadata ?? {}),
    ...(contentType === undefined ? {} : { "content-type": contentType }),
    ...(options.createOnly === true ? { "if-none-match": "*" } : {}),
  };
}

/** Throws `checksum_mismatch` unless the server holds the bytes that were read here. */
export function verifyStored({ object }: Stored, length: number, crc64nvme: string): void {
  const stored = object.checksums.crc64nvme;
  if (object.size === length && stored === crc64nvme) return;
  throw new RomaError(
    "checksum_mismatch",
    `the server stored ${object.size} bytes with CRC ${stored}, but ${length} bytes with CRC ` +
      `${crc64nvme} were sent; the object is still there: upload it again or delete it`,
  );
}
