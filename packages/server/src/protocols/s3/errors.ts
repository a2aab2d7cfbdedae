/**
 * The protocol's answer to each error code: complete by type. What S3 tells apart and core does not is
 * said with `refusal`, which names the S3 code itself; clients decide by that code, and by the status
 * alone on `HEAD`.
 */
import type { ErrorCode } from "@roma/contract";
import type { FastifyRequest } from "fastify";
import { S3Refusal } from "../../authentication/index.ts";
import type { OperationalError } from "../../core/errors.ts";
import { contentRangeUnsatisfiable, type Rendered } from "../../http/index.ts";
import { knownAddress } from "./address.ts";
import { type S3Code, s3Codes } from "./s3-codes.ts";
import { renderXml, xmlType } from "./xml.ts";

export { type RefusalOptions, refusal, type S3Code } from "./s3-codes.ts";

export const errorTable: Readonly<Record<ErrorCode, S3Code>> = {
  invalid_request: "InvalidRequest",
  invalid_key: "InvalidArgument",
  // Of nobody; a credential that is wrong names its own code.
  unauthenticated: "AccessDenied",
  access_denied: "AccessDenied",
  bucket_not_found: "NoSuchBucket",
  object_not_found: "NoSuchKey",
  upload_not_found: "NoSuchUpload",
  key_not_found: "InvalidAccessKeyId",
  storage_not_found: "InvalidRequest",
  already_exists: "BucketAlreadyOwnedByYou",
  not_empty: "BucketNotEmpty",
  invalid_part: "InvalidPart",
  offset_mismatch: "OperationAborted",
  too_large: "EntityTooLarge",
  too_small: "EntityTooSmall",
  content_type_refused: "ContentTypeRefused",
  precondition_failed: "PreconditionFailed",
  checksum_mismatch: "BadDigest",
  incomplete_body: "IncompleteBody",
  data_damaged: "DataDamaged",
  range_unsatisfiable: "InvalidRange",
  locked: "OperationAborted",
  expired: "NoSuchUpload",
  request_timeout: "RequestTimeout",
  rate_limited: "SlowDown",
  overloaded: "SlowDown",
  storage_full: "InsufficientStorage",
  quota_exceeded: "QuotaExceeded",
  object_retained: "AccessDenied",
  delete_cap_reached: "AccessDenied",
  plan_changed: "OperationAborted",
  environment_mismatch: "EnvironmentMismatch",
  read_only: "ReadOnly",
  unsupported: "NotImplemented",
  unavailable: "ServiceUnavailable",
  internal: "InternalError",
};

/** Names of context values that become elements of the answer. */
const fieldPattern = /^[A-Z][A-Za-z0-9]*$/;

interface Answer {
  readonly code: string;
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;
}

/** The S3 code of an error, with its status and fields: what it says itself, or by the table. */
export function answerOf(error: OperationalError): Answer {
  if (error instanceof S3Refusal) {
    return { code: error.reason, status: error.status, fields: error.fields };
  }
  const { s3Code } = error.context;
  const named = Object.entries(error.context).filter(([name]) => fieldPattern.test(name));
  const fields = Object.fromEntries(named.map(([name, value]) => [name, String(value)]));
  if (typeof s3Code === "string" && isS3Code(s3Code)) {
    return { code: s3Code, status: s3Codes[s3Code].status, fields };
  }
  const code = codeByTable(error);
  return { code, status: s3Codes[code].status, fields };
}

function codeByTable({ code, context }: OperationalError): S3Code {
  if (code === "invalid_key" && context.keyBytesMax !== undefined) return "KeyTooLongError";
  if (code === "invalid_request" && context.malformed === "path") return "InvalidURI";
  return errorTable[code];
}

export function s3CodeOf(error: OperationalError): string {
  return answerOf(error).code;
}

const isS3Code = (text: string): text is S3Code => Object.hasOwn(s3Codes, text);

/**
 * The error as an XML document, without a namespace: boto3 finds no code in one.
 */
export function errorXml(error: OperationalError, request: FastifyRequest): string {
  return renderXml("Error", errorFields(error, request), { namespace: false });
}

/** The members of an `Error` document, for answers that carry one beside others. */
export function errorFields(
  error: OperationalError,
  request: FastifyRequest,
): Readonly<Record<string, string>> {
  const { code, fields } = answerOf(error);
  const address = knownAddress(request);
  const named = {
    ...(code === "NoSuchBucket" && address !== undefined && address.on !== "service"
      ? { BucketName: address.bucket }
      : {}),
    ...(code === "NoSuchKey" && address?.on === "object" ? { Key: address.key } : {}),
  };
  return {
    Code: code,
    Message: error.message,
    ...named,
    ...fields,
    Resource: (request.raw.url ?? "").split("?", 1)[0] ?? "",
    RequestId: request.id,
    HostId: request.id,
  };
}

/** Headers of every answer, refusals included. */
export function standingHeaders(request: FastifyRequest): Readonly<Record<string, string>> {
  return { "x-amz-request-id": request.id, "x-amz-id-2": request.id };
}

export function renderS3Error(error: OperationalError, request: FastifyRequest): Rendered {
  const { status, fields } = answerOf(error);
  const { size } = error.context;
  const { Region: region, Allow: allow } = fields;
  return {
    status,
    headers: {
      ...standingHeaders(request),
      "content-type": xmlType,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(status === 416 && typeof size === "number"
        ? { "content-range": contentRangeUnsatisfiable(size) }
        : {}),
      ...(allow === undefined ? {} : { allow }),
      ...(region === undefined ? {} : { "x-amz-bucket-region": region }),
    },
    body: errorXml(error, request),
  };
}
