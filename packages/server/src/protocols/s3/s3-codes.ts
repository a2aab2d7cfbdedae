/**
 * The S3 error codes that are answered, each with its status and the code of ours that it refines, and
 * the way to say one.
 */
import type { ErrorCode } from "@roma/contract";
import { type ErrorContext, OperationalError } from "../../core/errors.ts";

interface S3CodeRow {
  readonly status: number;
  readonly code: ErrorCode;
}

export const s3Codes = {
  AccessControlListNotSupported: { status: 400, code: "unsupported" },
  AccessDenied: { status: 403, code: "access_denied" },
  AccessForbidden: { status: 403, code: "access_denied" },
  AuthorizationHeaderMalformed: { status: 400, code: "unauthenticated" },
  AuthorizationQueryParametersError: { status: 400, code: "unauthenticated" },
  BadDigest: { status: 400, code: "checksum_mismatch" },
  BadRequest: { status: 400, code: "invalid_request" },
  BucketAlreadyExists: { status: 409, code: "already_exists" },
  BucketAlreadyOwnedByYou: { status: 409, code: "already_exists" },
  BucketNotEmpty: { status: 409, code: "not_empty" },
  ConditionalRequestConflict: { status: 409, code: "precondition_failed" },
  ContentTypeRefused: { status: 415, code: "content_type_refused" },
  DataDamaged: { status: 500, code: "data_damaged" },
  EntityTooLarge: { status: 400, code: "too_large" },
  EntityTooSmall: { status: 400, code: "too_small" },
  EnvironmentMismatch: { status: 409, code: "environment_mismatch" },
  IllegalLocationConstraintException: { status: 400, code: "invalid_request" },
  IncompleteBody: { status: 400, code: "incomplete_body" },
  InsufficientStorage: { status: 507, code: "storage_full" },
  InternalError: { status: 500, code: "internal" },
  InvalidAccessKeyId: { status: 403, code: "unauthenticated" },
  InvalidArgument: { status: 400, code: "invalid_request" },
  InvalidBucketName: { status: 400, code: "invalid_request" },
  InvalidDigest: { status: 400, code: "invalid_request" },
  InvalidPart: { status: 400, code: "invalid_part" },
  InvalidPartNumber: { status: 416, code: "range_unsatisfiable" },
  InvalidPartOrder: { status: 400, code: "invalid_part" },
  InvalidPolicyDocument: { status: 400, code: "invalid_request" },
  InvalidRange: { status: 416, code: "range_unsatisfiable" },
  InvalidRequest: { status: 400, code: "invalid_request" },
  InvalidStorageClass: { status: 400, code: "unsupported" },
  InvalidTag: { status: 400, code: "invalid_request" },
  InvalidToken: { status: 403, code: "unauthenticated" },
  InvalidURI: { status: 400, code: "invalid_request" },
  KeyTooLongError: { status: 400, code: "invalid_key" },
  MalformedPOSTRequest: { status: 400, code: "invalid_request" },
  MalformedTrailerError: { status: 400, code: "invalid_request" },
  MalformedXML: { status: 400, code: "invalid_request" },
  MaxMessageLengthExceeded: { status: 400, code: "too_large" },
  MaxPostPreDataLengthExceeded: { status: 400, code: "too_large" },
  MetadataTooLarge: { status: 400, code: "too_large" },
  MethodNotAllowed: { status: 405, code: "unsupported" },
  MissingContentLength: { status: 411, code: "invalid_request" },
  MissingRequestBodyError: { status: 400, code: "invalid_request" },
  NoSuchBucket: { status: 404, code: "bucket_not_found" },
  NoSuchBucketPolicy: { status: 404, code: "object_not_found" },
  NoSuchCORSConfiguration: { status: 404, code: "object_not_found" },
  NoSuchKey: { status: 404, code: "object_not_found" },
  NoSuchLifecycleConfiguration: { status: 404, code: "object_not_found" },
  NoSuchPublicAccessBlockConfiguration: { status: 404, code: "object_not_found" },
  NoSuchTagSet: { status: 404, code: "object_not_found" },
  NoSuchUpload: { status: 404, code: "upload_not_found" },
  NoSuchVersion: { status: 404, code: "object_not_found" },
  NoSuchWebsiteConfiguration: { status: 404, code: "object_not_found" },
  NotImplemented: { status: 501, code: "unsupported" },
  ObjectLockConfigurationNotFoundError: { status: 404, code: "object_not_found" },
  OperationAborted: { status: 409, code: "locked" },
  OwnershipControlsNotFoundError: { status: 404, code: "object_not_found" },
  PreconditionFailed: { status: 412, code: "precondition_failed" },
  QuotaExceeded: { status: 507, code: "quota_exceeded" },
  ReadOnly: { status: 503, code: "read_only" },
  ReplicationConfigurationNotFoundError: { status: 404, code: "object_not_found" },
  RequestTimeout: { status: 400, code: "request_timeout" },
  RequestTimeTooSkewed: { status: 403, code: "unauthenticated" },
  ServerSideEncryptionConfigurationNotFoundError: { status: 404, code: "object_not_found" },
  ServiceUnavailable: { status: 503, code: "unavailable" },
  SignatureDoesNotMatch: { status: 403, code: "unauthenticated" },
  SlowDown: { status: 503, code: "overloaded" },
  XAmzContentSHA256Mismatch: { status: 400, code: "checksum_mismatch" },
} as const satisfies Readonly<Record<string, S3CodeRow>>;

export type S3Code = keyof typeof s3Codes;

export interface RefusalOptions {
  /** Elements of the answer beside the standing ones: `BucketName`, `Header`, `Region` … */
  readonly fields?: Readonly<Record<string, string | number>>;
  readonly cause?: unknown;
}

/** An error with the code that S3 clients know; thrown like any other. */
export function refusal(
  s3Code: S3Code,
  message: string,
  { fields = {}, cause }: RefusalOptions = {},
): OperationalError {
  const context: ErrorContext = { s3Code, ...fields };
  return new OperationalError(s3Codes[s3Code].code, message, { context, cause });
}
