/** What a front end asks of uploads in parts, and what it is told. */
import type { ObjectKey } from "../object-key.ts";
import type { ObjectAddress } from "../objects.ts";
import type { ObjectRecord, WriteConditions, WriteResult } from "../ports/metadata-store.ts";
import type { Body, Digests } from "../ports/storage-driver.ts";
import type { BodyChecks, UploadView } from "../resumable/requests.ts";
import type { MultipartChecksum } from "./object-attributes.ts";

/** All must be of one upload: another bucket, key or front end is `upload_not_found`. */
export interface MultipartAddress {
  readonly bucket: string;
  readonly key: ObjectKey;
  readonly uploadId: string;
  /** The front end that made it; left out: that of S3. */
  readonly protocol?: string;
}

export interface CreateMultipartRequest {
  readonly bucket: string;
  readonly key: ObjectKey;
  /** Declared; judged against the first bytes when the upload is completed. */
  readonly contentType?: string;
  readonly userMetadata?: Readonly<Record<string, string>>;
  /** Of the object that it will be. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Computed of each part, and of the whole. */
  readonly checksum?: MultipartChecksum;
}

export interface PutPartRequest {
  /** 1 to `partsMax`. */
  readonly partNumber: number;
  readonly body: Body;
  /** Declared; absent when the client did not say. */
  readonly length?: number;
  /** What the client says the part is; a mismatch stores nothing. */
  readonly digests?: Digests;
  /** The same, told after the body. */
  readonly checks?: BodyChecks;
  readonly signal: AbortSignal;
}

export interface CopyPartRequest {
  readonly partNumber: number;
  readonly from: ObjectAddress;
  /** Both inclusive; both or neither. Outside of the source: `range_unsatisfiable`. */
  readonly firstByte?: number;
  readonly lastByte?: number;
  /** Conditions on the source: what it throws is the answer. */
  readonly judge?: (source: ObjectRecord) => void;
  readonly signal: AbortSignal;
}

/** A part that is durable. */
export interface PartView {
  readonly partNumber: number;
  readonly length: number;
  /** Its MD5 in hex, without quotes. */
  readonly etag: string;
  /** MD5 and CRC-64/NVME always; those too that were declared, and the upload's checksum. */
  readonly digests: Digests;
  readonly createdAt: Date;
}

/** An upload in parts. Its `attributes` are those of the object that it will be. */
export interface MultipartView extends UploadView {
  /** Never null: an upload in parts is of an object. */
  readonly key: string;
  /** The access key that made it. */
  readonly owner: string;
  readonly checksum?: MultipartChecksum;
}

export interface ListPartsPage {
  readonly upload: MultipartView;
  readonly parts: readonly PartView[];
  /** Give it as `after` for the next page; absent on the last. */
  readonly next?: number;
}

export interface ListMultipartQuery {
  readonly bucket: string;
  readonly prefix: string;
  /** Empty: no grouping. */
  readonly delimiter: string;
  /** Uploads of greater keys, and with `id` also of this key those with greater ids. */
  readonly after?: { readonly key: string; readonly id?: string };
  readonly limit: number;
}

export interface ListMultipartPage {
  /** By the bytes of their keys, then as they were begun. */
  readonly uploads: readonly MultipartView[];
  readonly prefixes: readonly string[];
  /** Give it as `after` for the next page; absent on the last. Without `id` it is a prefix. */
  readonly next?: { readonly key: string; readonly id?: string };
}

/** A part as a client names it when it completes. */
export interface NamedPart {
  readonly partNumber: number;
  /** Without quotes. */
  readonly etag: string;
  readonly digests?: Digests;
}

export interface CompleteMultipartRequest {
  readonly parts: readonly NamedPart[];
  readonly conditions?: WriteConditions;
  /** What the client says of the whole; a mismatch is `invalid_request`. */
  readonly length?: number;
  /**
   * Of all bytes: what cannot be told from the parts is `invalid_request`, unless they may be read for it. A
   * mismatch is `checksum_mismatch`.
   */
  readonly digests?: Digests;
  readonly mayRead?: boolean;
  /** Of the parts' digests, without the `-N`. A mismatch is `checksum_mismatch`. */
  readonly composite?: Digests;
  /** As the client believes it to be; another than the upload's is `invalid_request`. */
  readonly checksum?: Partial<MultipartChecksum>;
  readonly signal: AbortSignal;
}

export interface CompletedMultipart extends WriteResult {
  /** Whether it had been completed before by the same request. */
  readonly replayed: boolean;
}
