/** What a front end asks of direct uploads, and what it is told. */
import type { ObjectKey } from "../object-key.ts";
import type { WriteResult } from "../ports/metadata-store.ts";
import type { Body, Digests } from "../ports/storage-driver.ts";

/** By which way the bytes come: straight to the storage, or by requests to this server. */
export type DirectWay = "storage" | "server";

export interface BeginDirectRequest {
  readonly bucket: string;
  /** Left out: what the grant says of it. */
  readonly key?: ObjectKey;
  /** Of the client's file, for a key that the grant makes of it. */
  readonly filename?: string;
  /** Exactly. */
  readonly length: number;
  /** Declared; judged against the first bytes when the upload is completed. */
  readonly contentType?: string;
  readonly userMetadata?: Readonly<Record<string, string>>;
  /** Of the whole: compared before the object is there. */
  readonly digests?: Digests;
  /** `precondition_failed` if there is an object by the end. */
  readonly createOnly?: boolean;
  /** `auto`, also left out: straight to the storage where it can sign for it. */
  readonly via?: DirectWay | "auto";
  /** A wish. */
  readonly partBytes?: number;
  /** Whether a challenge is wanted in place of requests, where the bytes are known by their SHA-256. */
  readonly instant?: boolean;
  /** By a form as browsers post it, in place of requests for parts. */
  readonly form?: boolean;
  /** The storage asks for the object itself, once it has the form. */
  readonly callback?: boolean;
  readonly signal: AbortSignal;
}

/** One request that a client may send without a credential, until `expiresAt`. */
export type PartRequest = {
  readonly number: number;
  readonly expiresAt: Date;
} & (
  | {
      readonly to: "storage";
      readonly url: string;
      /** To be sent exactly so. */
      readonly headers: Readonly<Record<string, string>>;
    }
  | { readonly to: "server"; readonly expiresSeconds: number; readonly signature: string }
);

/** A form that may be posted without a credential, until `expiresAt`: the fields, then the file. */
export type FormRequest = { readonly expiresAt: Date } & (
  | {
      readonly to: "storage";
      readonly url: string;
      readonly fields: Readonly<Record<string, string>>;
    }
  | { readonly to: "server"; readonly expiresSeconds: number; readonly signature: string }
);

export interface DirectPart {
  readonly number: number;
  readonly length: number;
  /** Without quotes. */
  readonly etag: string;
}

/** Digests of these ranges under the nonce prove that a client has the bytes. */
export interface Challenge {
  readonly nonce: Uint8Array;
  /** Both inclusive. */
  readonly ranges: readonly { readonly firstByte: number; readonly lastByte: number }[];
}

export interface ProofRequest {
  /** For each range SHA-256 of the nonce and the range's bytes. */
  readonly digests: readonly Uint8Array[];
  readonly signal: AbortSignal;
}

export interface DirectView {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly length: number;
  readonly via: DirectWay;
  readonly expiresAt: Date;
  readonly partBytes: number;
  readonly partCount: number;
  /** In order of numbers: the first that are missing. */
  readonly requests: readonly PartRequest[];
  /** Those that are there, in order of numbers. */
  readonly parts: readonly DirectPart[];
  /** Answered to a beginning that asks for it; there are no requests then. */
  readonly challenge?: Challenge;
  /** Of an upload that comes by a form; there are no requests then. */
  readonly form?: FormRequest;
}

export interface SignedDirect {
  readonly requests: readonly PartRequest[];
  readonly partCount: number;
  readonly form?: FormRequest;
}

/** What the server's own request says of itself. */
export interface PutDirectPartRequest {
  readonly uploadId: string;
  readonly number: number;
  /** `POST`: as the file of a form. */
  readonly method: "PUT" | "POST";
  readonly expiresSeconds: number;
  readonly signature: string;
  /** Called once it is known that the signature is good, with the length that the body must have. */
  readonly open: (length: number) => Body;
  /** What the client says the part is. */
  readonly digests?: Digests;
  readonly signal: AbortSignal;
}

export interface CompleteDirectRequest {
  readonly digests?: Digests;
  /** Left out: the parts as they are there. */
  readonly parts?: readonly Pick<DirectPart, "number" | "etag">[];
  readonly signal: AbortSignal;
}

export interface CompletedDirect extends WriteResult {
  /** Whether it had been completed before. */
  readonly replayed: boolean;
}
