// Turns what a storage or its connection fails with into the codes that callers can act on; the only
// place that knows vendors' error codes. Messages name the code and the vendor, and never a host,
// a key, a signature or the vendor's own words, which may hold any of them.

import { type ErrorCode, OperationalError } from "../../core/errors.ts";
import type { Dialect } from "./providers.ts";
import type { ErrorDocument } from "./wire.ts";

export type Operation =
  | "put"
  | "get"
  | "head"
  | "list"
  | "delete"
  | "copy"
  | "probe"
  | "create"
  | "writePart"
  | "listParts"
  | "complete"
  | "cancel"
  | "listPending"
  | "presign"
  | "cors";

export interface StorageAnswer {
  readonly operation: Operation;
  readonly status: number;
  readonly document: ErrorDocument;
  readonly dialect: Dialect;
  readonly createOnly: boolean;
}

/** What the vendor said, kept as `cause` for the log. */
class VendorError extends Error {
  constructor({ operation, status, document }: StorageAnswer) {
    super(`${operation}: ${status} ${document.code ?? "without a code"}`);
    this.name = "VendorError";
  }
}

const codes: Readonly<Record<string, ErrorCode>> = {
  NoSuchKey: "object_not_found",
  NoSuchUpload: "upload_not_found",
  InvalidRange: "range_unsatisfiable",
  BadDigest: "checksum_mismatch",
  InvalidDigest: "checksum_mismatch",
  InvalidPart: "invalid_part",
  InvalidPartOrder: "invalid_part",
  InvalidPartNumber: "invalid_part",
  EntityTooSmall: "invalid_part",
  EntityTooLarge: "too_large",
  MaxMessageLengthExceeded: "too_large",
  KeyTooLongError: "invalid_key",
  KeyTooLong: "invalid_key",
  InvalidObjectName: "invalid_key",
  XMinioInvalidObjectName: "invalid_key",
  XMinioInvalidResourceName: "invalid_key",
  InvalidURI: "invalid_key",
  SlowDown: "rate_limited",
  SlowDownRead: "rate_limited",
  SlowDownWrite: "rate_limited",
  TooManyRequests: "rate_limited",
  RequestLimitExceeded: "rate_limited",
  QpsLimitExceeded: "rate_limited",
  BandwidthLimitExceeded: "rate_limited",
  DownloadTrafficRateLimitExceeded: "rate_limited",
  UploadTrafficRateLimitExceeded: "rate_limited",
  QuotaExceeded: "storage_full",
  InsufficientCapacity: "storage_full",
  InsufficientStorageSpace: "storage_full",
  XMinioStorageFull: "storage_full",
  XMinioAdminBucketQuotaExceeded: "storage_full",
  PreconditionFailed: "precondition_failed",
  FileAlreadyExists: "already_exists",
  ObjectAlreadyExists: "already_exists",
};

const byStatus: Readonly<Record<number, ErrorCode>> = {
  404: "object_not_found",
  412: "precondition_failed",
  416: "range_unsatisfiable",
  429: "rate_limited",
  507: "storage_full",
};

const refusals: ReadonlySet<string> = new Set([
  "AccessDenied",
  "AllAccessDisabled",
  "AccountProblem",
  "ExpiredToken",
  "InvalidAccessKeyId",
  "InvalidSecurity",
  "InvalidToken",
  "SignatureDoesNotMatch",
  "SecurityTokenExpired",
  "Forbidden",
]);

/** They tell that the vendor, the address style or the region of the settings is wrong. */
const wrongSettings: ReadonlySet<string> = new Set([
  "SecondLevelDomainForbidden",
  "PathStyleDomainForbidden",
  "XAmzContentSHA256Mismatch",
  "MissingArgument",
  "MissingContentMD5",
  "NotImplemented",
  "ExcessHeaderValues",
  "AuthorizationHeaderMalformed",
  "PermanentRedirect",
  "TemporaryRedirect",
  "IllegalLocationConstraintException",
  "InvalidBucketName",
  "MethodNotAllowed",
]);

const ofUploads: ReadonlySet<Operation> = new Set(["writePart", "listParts", "complete", "cancel"]);

/** The one classification of an answer that is no success. */
export function classifyAnswer(answer: StorageAnswer): OperationalError {
  const { status, document, operation, dialect, createOnly } = answer;
  const { code = "" } = document;
  const cause = new VendorError(answer);
  const context = {
    operation,
    status,
    ...(code !== "" && { vendorCode: code }),
    ...(document.requestId !== undefined && { vendorRequestId: document.requestId }),
  };
  const fail = (to: ErrorCode, message: string, retryable?: boolean): OperationalError =>
    new OperationalError(to, message, {
      cause,
      context,
      ...(retryable !== undefined && { retryable }),
    });
  const told = code === "" ? `status ${status}` : code;
  const missing =
    code === "NoSuchKey" || (status === 404 && code === "") || code === "XMinioInvalidResourceName";

  // Ceph RGW names the key where it is the upload that is gone; MinIO takes its id for a path.
  if (missing && ofUploads.has(operation)) return fail("upload_not_found", "no such upload");

  if (code === "NoSuchBucket") {
    return fail("unavailable", "the storage's bucket does not exist", false);
  }
  if (code === "XAmzContentSHA256Mismatch" && dialect.checksContentSha256) {
    return fail("checksum_mismatch", "the storage received other bytes");
  }
  if (operation === "cors" && (status === 501 || status === 405)) {
    return fail("unsupported", `${dialect.title} answered ${told} to CORS rules of a bucket`);
  }
  // OBS answers a put so where the bucket's name is missing in the host name.
  const misplaced = code === "NoSuchKey" && operation === "put";
  if (misplaced || wrongSettings.has(code) || (status >= 300 && status < 400)) {
    return fail(...wrongRow(dialect.title, told));
  }
  const known = Object.hasOwn(codes, code) ? codes[code] : undefined;
  const meant = known ?? (code === "" ? byStatus[status] : undefined);
  if (meant === "precondition_failed" && createOnly)
    return fail("already_exists", "the key is taken");
  if (meant === "already_exists") return fail(meant, "the key is taken");
  if (meant !== undefined) return fail(meant, `the storage answered ${told}`);
  if (refusals.has(code) || status === 401 || status === 403) {
    const mayPass = dialect.foldersRace === true && code === "AccessDenied" && operation === "put";
    return fail("unavailable", `the storage refuses access (${told})`, mayPass);
  }
  if (status === 412) return fail(createOnly ? "already_exists" : "precondition_failed", told);
  if (status === 429) return fail("rate_limited", `the storage answered ${told}`);
  if (status === 507) return fail("storage_full", `the storage answered ${told}`);
  // A conflict with another request, a time that ran out, or a fault of the storage's own.
  const passing = status >= 500 || status === 409 || status === 408 || code === "RequestTimeout";
  return fail("unavailable", `the storage answered ${told}`, passing && status !== 501);
}

function wrongRow(title: string, told: string): [ErrorCode, string, boolean] {
  const message = `the storage answered ${told}: check vendor (${title}), region, endpoint and addressStyle`;
  return ["unavailable", message, false];
}

/** A connection that failed: `unavailable`. Our own errors and programmer's errors pass. */
export function classifyConnection(error: unknown, operation: Operation): unknown {
  if (error instanceof OperationalError) return error;
  const code = codeOf(error);
  if (error instanceof SyntaxError) {
    const message = "the storage's answer cannot be understood";
    return new OperationalError("unavailable", message, { cause: error, context: { operation } });
  }
  if (code === "") return error;
  const context = { operation, connection: code };
  return new OperationalError("unavailable", `no answer from the storage (${code})`, {
    cause: error,
    context,
  });
}

/** Node's, OpenSSL's or undici's code of an error, or of what it was caused by. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  if ("code" in error && typeof error.code === "string") return error.code;
  return codeOf(error.cause);
}
