/** What a front end asks of resumable uploads, and what it is told: the same for every protocol. */
import type { BodyChecks } from "../checked-body.ts";
import type { ObjectKey } from "../object-key.ts";
import type { WriteConditions, WriteResult } from "../ports/metadata-store.ts";
import type { Body, Digests } from "../ports/storage-driver.ts";
import type { UploadKind, UploadPhase } from "../ports/upload-store.ts";

export type { BodyChecks } from "../checked-body.ts";

export interface CreateRequest {
  readonly bucket: string;
  /** Left out for a partial, and only then. */
  readonly key?: ObjectKey;
  readonly kind: UploadKind;
  /** `tus`, `ietf`: told to whoever lists uploads; a front end continues its own only. */
  readonly protocol: string;
  /** Left out: told later. */
  readonly length?: number;
  /** Declared; judged against the bytes. */
  readonly contentType?: string;
  readonly userMetadata?: Readonly<Record<string, string>>;
  /** The front end's own, given back verbatim. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** What the client says the whole is; a mismatch fails the upload. */
  readonly digests?: Digests;
  readonly conditions?: WriteConditions;
  readonly signal: AbortSignal;
}

export interface AppendRequest {
  /** Where the client believes to be. */
  readonly offset: number;
  readonly body: Body;
  /** Of the body, if declared: what would pass the upload's length is refused before it is read. */
  readonly bodyLength?: number;
  /** Of the whole upload, declared with this request. */
  readonly length?: number;
  /** A body with checks counts whole or not at all. */
  readonly checks?: BodyChecks;
  /**
   * `at-length`: as soon as the offset is the length. `yes`: the end of this body is the upload's, and if
   * it comes whole that completes it. `no`: never by this request.
   */
  readonly complete: "at-length" | "yes" | "no";
  /** Told each time more bytes are durable, with the new offset. Must not throw. */
  readonly onProgress?: (offset: number) => void;
  /** The client's request. Once aborted, what has come is still stored. */
  readonly signal: AbortSignal;
}

/** An upload as front ends see it. */
export interface UploadView {
  readonly id: string;
  readonly bucket: string;
  /** Null for a partial. */
  readonly key: string | null;
  readonly kind: UploadKind;
  readonly protocol: string;
  readonly phase: UploadPhase;
  /** Durable. */
  readonly offset: number;
  readonly length: number | null;
  readonly contentType: string | null;
  readonly userMetadata: Readonly<Record<string, string>>;
  readonly attributes: Readonly<Record<string, string>>;
  /** Of the grant that made it, as JSON. */
  readonly context?: string;
  readonly createdAt: Date;
  /** By the server's clock as it is now. Unfinished: abandoned then. Complete: its address is gone then. */
  readonly expiresAt: Date;
  /** Of the object, once complete. */
  readonly version: string | null;
}

export interface AppendResult {
  readonly upload: UploadView;
  /** Set when this request completed the upload, or found it complete (`replayed`). */
  readonly written?: WriteResult;
}

/** How much a client may do. */
export interface UploadLimits {
  readonly maxBytes: number;
  /** For an upload that is begun now and never continued. */
  readonly expiryMs: number;
}

export interface ConcatenateRequest extends Omit<CreateRequest, "length" | "kind" | "digests"> {
  readonly key: ObjectKey;
  /** Ids of partials, in order; one may come twice. */
  readonly parts: readonly string[];
}
