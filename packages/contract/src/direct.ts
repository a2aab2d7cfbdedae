/**
 * Uploads whose bytes go by requests that the server signs: straight to the storage where it can sign, else
 * to the server itself, and the client does the same in both cases. `docs/protocols/direct.md`.
 */
import type { ObjectJson } from "./rest.ts";

/** `POST /v1/uploads`: begins one. */
export interface DirectUploadRequestJson {
  readonly bucket: string;
  /** Left out, the grant's template makes it. */
  readonly key?: string;
  /** Of the file on the client's side: for the template and nothing else. */
  readonly filename?: string;
  /** Bytes of the whole, exactly. */
  readonly length: number;
  readonly contentType?: string;
  /** User metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Lower-case hex of the whole; what is given is compared before the object is there. */
  readonly checksums?: DirectChecksumsJson;
  /** Refuse if there is an object by then. */
  readonly createOnly?: boolean;
  /** `auto` (default): straight to the storage where that is possible. */
  readonly via?: "auto" | "storage" | "server";
  /** A wish; the server keeps to what the storage takes. */
  readonly partBytes?: number;
  /**
   * Ask whether the bytes are known already (needs `checksums.sha256`): the answer may then be a challenge in
   * place of requests.
   */
  readonly instant?: boolean;
  /** Ask for a form as browsers post it, in place of requests (`transfer.kind` "form"); up to 5 GiB. */
  readonly form?: boolean;
  /**
   * Have the storage itself ask for the object once the form is posted. Needs `form`, an Alibaba OSS with `signature`
   * `native` and the server's `publicUrl`; else `unsupported`.
   */
  readonly callback?: boolean;
}

export interface DirectChecksumsJson {
  readonly crc64nvme?: string;
  readonly md5?: string;
  readonly sha256?: string;
}

/**
 * An upload as it stands: answered to its beginning (201) and to `GET /v1/uploads/{id}?parts`, which is
 * `upload_not_found` once it is complete (member `phase`: "complete"): completing it again tells the object.
 */
export interface DirectUploadJson {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly length: number;
  readonly via: "storage" | "server";
  /** Given up after it unless something happens. */
  readonly expiresAt: string;
  /**
   * `put`: one request for all bytes. `parts`: each part but the last has `partBytes`, numbered from 1.
   * `proof`: the server knows such bytes and asks for digests of some of them; who cannot or will not give
   * them asks for requests instead.
   */
  readonly transfer:
    | { readonly kind: "put"; readonly request: SignedRequestJson }
    | {
        readonly kind: "parts";
        readonly partBytes: number;
        readonly partCount: number;
        /** By part number: the first ones that are missing; more by `POST /v1/uploads/{id}/requests`. */
        readonly requests: Readonly<Record<string, SignedRequestJson>>;
        /** Those that are there already. */
        readonly parts: readonly DirectPartJson[];
      }
    | {
        readonly kind: "form";
        readonly form: SignedFormJson;
        /** What was posted last, as far as it is known. */
        readonly received: Omit<DirectPartJson, "number"> | null;
      }
    | { readonly kind: "proof"; readonly challenge: ChallengeJson };
}

/**
 * `multipart/form-data`: the fields exactly so, and after them one file named `file`, with exactly the upload's
 * length. Answered 201.
 */
export interface SignedFormJson {
  readonly method: "POST";
  /** Absolute. */
  readonly url: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly expiresAt: string;
}

/** To be sent exactly so, before it expires, with the bytes as body. The answer's `ETag` names a part. */
export interface SignedRequestJson {
  readonly method: "PUT";
  /** Absolute. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly expiresAt: string;
}

export interface DirectPartJson {
  readonly number: number;
  readonly length: number;
  /** Without quotes. */
  readonly etag: string;
}

/** `POST /v1/uploads/{id}/requests`: signs again, or for further parts. */
export interface SignRequestsJson {
  /** At most 100; left out for a `put` or a form. */
  readonly partNumbers?: readonly number[];
}

export interface SignedRequestsJson {
  /** By part number; `put` for the one request of a put. */
  readonly requests: Readonly<Record<string, SignedRequestJson>>;
  /** Of an upload that comes by a form. */
  readonly form?: SignedFormJson;
}

/**
 * `POST /v1/uploads/{id}/complete`: the answer is the object, 201 if it is new, else 200; again the same.
 * `locked` with `Retry-After` while it takes longer than a connection should wait: it goes on, ask again.
 */
export interface CompleteDirectUploadJson {
  /** Of the whole, as in the beginning; for who knows them only at the end. */
  readonly checksums?: DirectChecksumsJson;
  /** Left out: the parts as the storage has them. */
  readonly parts?: readonly Pick<DirectPartJson, "number" | "etag">[];
}

export type CompletedDirectUploadJson = ObjectJson;

/** What OSS is answered that has called back, and hands on to who posted the form. */
export interface OssCallbackJson {
  readonly id: string;
  /** `completing`: it takes longer than OSS waits, and goes on. `POST /v1/uploads/{id}/complete` tells the end. */
  readonly status: "complete" | "completing";
}

/** Digests of these ranges prove that the client has the bytes. */
export interface ChallengeJson {
  /** Lower-case hex. */
  readonly nonce: string;
  /** Both inclusive. */
  readonly ranges: readonly { readonly firstByte: number; readonly lastByte: number }[];
}

/** `POST /v1/uploads/{id}/proof`: the answer is the object; `access_denied` for a wrong one, and the upload goes on. */
export interface ProofJson {
  /** For each range, SHA-256 in lower-case hex of the nonce's bytes followed by the range's. */
  readonly digests: readonly string[];
}
