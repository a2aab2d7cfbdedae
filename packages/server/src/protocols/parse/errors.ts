/**
 * The protocol's answer to each error code: complete by type. SDKs parse the body of every refusal as
 * `{"code", "error"}`, with the codes of `Parse.Error`, and send again what is answered with 5xx.
 */
import type { ErrorCode } from "@roma/contract";
import type { FastifyRequest } from "fastify";
import { type ErrorContext, OperationalError } from "../../core/errors.ts";
import { contentRangeUnsatisfiable, type Rendered } from "../../http/index.ts";

/** As `Parse.Error` names them. */
export const parseCodes = {
  internalServerError: 1,
  tooManyRequests: 100,
  objectNotFound: 101,
  invalidJson: 107,
  commandUnavailable: 108,
  operationForbidden: 119,
  invalidFileName: 122,
  fileSaveError: 130,
  fileDeleteError: 153,
  invalidSessionToken: 209,
  fileReadError: 601,
} as const;

interface Row {
  readonly status: number;
  /** Left out where parse-server's own answer has none. */
  readonly code?: number;
  /** In place of the message, which is then the member `detail`. */
  readonly error?: string;
}

const save = parseCodes.fileSaveError;
const server = parseCodes.internalServerError;

export const errorTable: Readonly<Record<ErrorCode, Row>> = {
  invalid_request: { status: 400, code: save },
  invalid_key: { status: 400, code: parseCodes.invalidFileName },
  unauthenticated: { status: 403, error: "unauthorized" },
  access_denied: { status: 403, code: parseCodes.operationForbidden },
  bucket_not_found: { status: 404, code: parseCodes.objectNotFound },
  object_not_found: { status: 404, code: parseCodes.objectNotFound, error: "File not found." },
  upload_not_found: { status: 404, code: parseCodes.objectNotFound },
  key_not_found: { status: 404, code: parseCodes.objectNotFound },
  storage_not_found: { status: 404, code: parseCodes.objectNotFound },
  already_exists: { status: 400, code: save },
  not_empty: { status: 400, code: save },
  invalid_part: { status: 400, code: save },
  offset_mismatch: { status: 400, code: save },
  too_large: { status: 413, error: "request entity too large" },
  too_small: { status: 400, code: save },
  content_type_refused: { status: 400, code: save },
  precondition_failed: { status: 412, code: parseCodes.fileReadError },
  checksum_mismatch: { status: 400, code: save },
  incomplete_body: { status: 400, code: save },
  data_damaged: { status: 500, code: parseCodes.fileReadError },
  range_unsatisfiable: { status: 416, code: parseCodes.fileReadError },
  locked: { status: 503, code: server },
  expired: { status: 403, code: parseCodes.operationForbidden },
  request_timeout: { status: 408, code: save },
  rate_limited: { status: 429, code: parseCodes.tooManyRequests },
  overloaded: { status: 503, code: server },
  storage_full: { status: 507, code: server },
  quota_exceeded: { status: 400, code: save },
  object_retained: { status: 403, code: parseCodes.operationForbidden },
  delete_cap_reached: { status: 403, code: parseCodes.operationForbidden },
  plan_changed: { status: 400, code: parseCodes.operationForbidden },
  environment_mismatch: { status: 400, code: parseCodes.operationForbidden },
  // SDKs would send it again if it were 503.
  read_only: { status: 403, code: parseCodes.operationForbidden },
  unsupported: { status: 400, code: parseCodes.commandUnavailable },
  unavailable: { status: 503, code: server },
  internal: { status: 500, code: server },
};

/** A refusal that Parse has a code for which the table does not give. */
export function refusal(
  code: ErrorCode,
  parseCode: number,
  message: string,
  options: { readonly status?: number; readonly context?: ErrorContext } = {},
): OperationalError {
  const { status, context } = options;
  return new OperationalError(code, message, {
    context: { ...context, parseCode, ...(status === undefined ? {} : { parseStatus: status }) },
  });
}

export function invalidName(message: string): OperationalError {
  return refusal("invalid_key", parseCodes.invalidFileName, message);
}

export function saveRefused(message: string): OperationalError {
  return refusal("invalid_request", save, message);
}

export function forbidden(message: string): OperationalError {
  return refusal("access_denied", parseCodes.operationForbidden, message);
}

/** What Parse says, in one way, of an unknown application and of a wrong key. */
export function unauthorized(message: string): OperationalError {
  return new OperationalError("unauthenticated", message);
}

export function renderParseError(error: OperationalError, request: FastifyRequest): Rendered {
  const { parseCode, parseStatus, said: own, size } = error.context;
  const row = rowOf(error, request);
  const status = typeof parseStatus === "number" ? parseStatus : row.status;
  const code = typeof parseCode === "number" ? parseCode : row.code;
  const rowSaid = typeof parseCode === "number" ? undefined : row.error;
  const said = typeof own === "string" ? own : rowSaid;
  return {
    status,
    headers: {
      "content-type": "application/json; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(status === 416 && typeof size === "number"
        ? { "content-range": contentRangeUnsatisfiable(size) }
        : {}),
    },
    body: JSON.stringify({
      ...(code === undefined ? {} : { code }),
      ...(said === undefined ? { error: error.message } : { error: said, detail: error.message }),
    }),
  };
}

/** A stream that is too large is refused as a file that cannot be saved; other bodies as Express does it. */
function rowOf(error: OperationalError, request: FastifyRequest): Row {
  const isStream = request.headers["x-parse-upload-mode"] === "stream";
  if (error.code === "too_large" && isStream) return { status: 400, code: save };
  return errorTable[error.code];
}
