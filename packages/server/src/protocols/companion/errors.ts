/**
 * The protocol's answer to each error code: complete by type. Beside the problem document there are the members
 * that Uppy shows to people, `message` and `error`.
 */
import type { ErrorCode } from "@roma/contract";
import type { FastifyRequest } from "fastify";
import type { OperationalError } from "../../core/errors.ts";
import { problemContentType, problemDocument, type Rendered } from "../../http/index.ts";

export const errorTable: Readonly<Record<ErrorCode, number>> = {
  invalid_request: 400,
  invalid_key: 400,
  unauthenticated: 401,
  access_denied: 403,
  bucket_not_found: 404,
  object_not_found: 404,
  upload_not_found: 404,
  key_not_found: 404,
  storage_not_found: 404,
  already_exists: 409,
  not_empty: 409,
  invalid_part: 400,
  offset_mismatch: 409,
  too_large: 413,
  too_small: 400,
  content_type_refused: 415,
  precondition_failed: 412,
  checksum_mismatch: 400,
  incomplete_body: 400,
  data_damaged: 500,
  range_unsatisfiable: 416,
  // Uppy 5 tries 409 and 5xx again, and no other refusal.
  locked: 409,
  expired: 403,
  request_timeout: 503,
  rate_limited: 429,
  overloaded: 503,
  storage_full: 507,
  quota_exceeded: 413,
  object_retained: 403,
  delete_cap_reached: 403,
  plan_changed: 400,
  environment_mismatch: 400,
  read_only: 403,
  unsupported: 404,
  unavailable: 503,
  internal: 500,
};

export function renderCompanionError(error: OperationalError, request: FastifyRequest): Rendered {
  const status = errorTable[error.code];
  const title = error.code.replaceAll("_", " ");
  const document = problemDocument(error, { status, title, requestId: request.id });
  return {
    status,
    headers: {
      "content-type": problemContentType,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(status === 401 ? { "www-authenticate": 'Bearer realm="roma"' } : {}),
    },
    body: JSON.stringify({ ...document, error: error.code, message: error.message }),
  };
}
