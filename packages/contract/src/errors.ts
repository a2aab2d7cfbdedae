/** The closed set of error codes: what a client can act on, the same in every protocol. */

/**
 * Each code says what the caller can do about it. A protocol maps every one of them to its own
 * status and name in a table that is complete by type, so a new code does not compile until each
 * protocol has an answer for it.
 */
export const errorCodes = [
  /** The request is malformed: a header, query parameter, field or body cannot be understood. */
  "invalid_request",
  /** The key breaks a rule of keys (docs/keys.md): too long, NUL, dot segment, empty segment. */
  "invalid_key",
  /** No credential, or one that is wrong, expired or malformed. */
  "unauthenticated",
  /** The credential is good, and does not permit this. */
  "access_denied",
  "bucket_not_found",
  "object_not_found",
  "upload_not_found",
  "key_not_found",
  "storage_not_found",
  /** The name is taken, and the request asked to create it. */
  "already_exists",
  /** The bucket still holds objects, or the storage blobs. */
  "not_empty",
  "invalid_part",
  "offset_mismatch",
  /** Larger than a named limit allows. */
  "too_large",
  /** Smaller than a grant asks for. */
  "too_small",
  /** The content type, declared or detected, is not among those the bucket or grant allows. */
  "content_type_refused",
  /** `If-Match`, `If-None-Match` or their kin did not hold. */
  "precondition_failed",
  /** The bytes differ from the digest that the client declared; nothing was stored. */
  "checksum_mismatch",
  /** Fewer or more bytes arrived than were declared; nothing was stored. */
  "incomplete_body",
  /** Stored bytes differ from what was acknowledged: damage at rest, found on reading. */
  "data_damaged",
  "range_unsatisfiable",
  "locked",
  /** The upload or grant ran out of time. */
  "expired",
  /** The client sent too slowly, or stopped sending. */
  "request_timeout",
  "rate_limited",
  /** The server is at a limit of its own; the same request may succeed a little later. */
  "overloaded",
  "storage_full",
  "quota_exceeded",
  /** Of a bulk delete: other objects are there than were planned. */
  "plan_changed",
  /** The request says that it means another environment than the bucket, storage or server is of. */
  "environment_mismatch",
  /** The server started read-only: its configuration or a storage is of another environment than its data. */
  "read_only",
  /** Not offered by this protocol, storage or version. */
  "unsupported",
  /** Under retention or legal hold: nobody deletes, moves or replaces it. */
  "object_retained",
  /** As many objects of the bucket were deleted within an hour as may be. */
  "delete_cap_reached",
  /** A storage or store does not answer; the same request may succeed later. */
  "unavailable",
  /** A defect of ours; the log has it under the request id. */
  "internal",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** An RFC 9457 problem document, as every REST refusal is answered (`application/problem+json`). */
export interface Problem {
  /** A URI reference that names the code: `urn:roma:error:too_large`. */
  readonly type: string;
  /** The code's standing title, the same for each occurrence. */
  readonly title: string;
  /** The HTTP status. */
  readonly status: number;
  /** What happened this time, with the field or limit named. */
  readonly detail: string;
  readonly code: ErrorCode;
  /** Finds the request in the server's log. */
  readonly requestId: string;
  /** Whether the same request may succeed later, unchanged. */
  readonly retryable: boolean;
  /** The values behind `detail`: limits, fields, offsets. */
  readonly [extension: string]: unknown;
}
