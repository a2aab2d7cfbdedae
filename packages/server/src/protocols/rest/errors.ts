/** The REST protocol's answer to each error code: complete by type, so no code lacks one. */
import type { ErrorCode } from "@roma/contract";
import type { FastifyRequest } from "fastify";
import type { OperationalError } from "../../core/errors.ts";
import {
  contentRangeUnsatisfiable,
  problemDocument,
  type Rendered,
  renderProblem,
} from "../../http/index.ts";

/** What 401 answers ask for. */
export const challenge = 'Basic realm="roma", charset="UTF-8", Bearer realm="roma"';

export const errorTable: Readonly<
  Record<ErrorCode, { readonly status: number; readonly title: string }>
> = {
  invalid_request: { status: 400, title: "The request is malformed" },
  invalid_key: { status: 400, title: "The key breaks a rule of keys" },
  unauthenticated: { status: 401, title: "A good credential is needed" },
  access_denied: { status: 403, title: "The credential does not permit this" },
  bucket_not_found: { status: 404, title: "There is no such bucket" },
  object_not_found: { status: 404, title: "There is no such object" },
  upload_not_found: { status: 404, title: "There is no such upload" },
  key_not_found: { status: 404, title: "There is no such access key" },
  storage_not_found: { status: 404, title: "There is no such storage" },
  already_exists: { status: 409, title: "The name is taken" },
  not_empty: { status: 409, title: "It still holds objects" },
  invalid_part: { status: 400, title: "A part is not as announced" },
  offset_mismatch: { status: 409, title: "The offset is not where the upload is" },
  too_large: { status: 413, title: "Larger than a limit allows" },
  too_small: { status: 400, title: "Smaller than the grant asks for" },
  content_type_refused: { status: 415, title: "The content type is not allowed here" },
  precondition_failed: { status: 412, title: "A condition of the request did not hold" },
  checksum_mismatch: { status: 400, title: "The bytes differ from the declared digest" },
  incomplete_body: { status: 400, title: "Fewer or more bytes than declared" },
  data_damaged: { status: 500, title: "The stored bytes are damaged" },
  range_unsatisfiable: { status: 416, title: "The range lies outside the object" },
  locked: { status: 423, title: "Another request holds it" },
  expired: { status: 403, title: "Its time is over" },
  request_timeout: { status: 408, title: "The client was too slow" },
  rate_limited: { status: 429, title: "Too many requests" },
  overloaded: { status: 503, title: "The server is at a limit of its own" },
  storage_full: { status: 507, title: "The storage is full" },
  quota_exceeded: { status: 507, title: "The quota is used up" },
  object_retained: { status: 403, title: "It is retained or under legal hold" },
  delete_cap_reached: { status: 403, title: "Too many objects were deleted within an hour" },
  plan_changed: { status: 409, title: "Other objects are there than were planned" },
  environment_mismatch: { status: 409, title: "Another environment than the request means" },
  read_only: { status: 503, title: "The server takes no changes" },
  unsupported: { status: 501, title: "Not offered" },
  unavailable: { status: 503, title: "A part of the server does not answer" },
  internal: { status: 500, title: "A defect of the server" },
};

/** What is known beyond the error itself. */
export interface RefusalDetails {
  readonly members?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of the table's, where the code alone does not say it all. */
  readonly status?: number;
  readonly title?: string;
  /** A registered problem type. */
  readonly type?: string;
}

/** A problem document (RFC 9457) by the table, with the headers that its status asks for. */
export function renderRestError(
  error: OperationalError,
  request: FastifyRequest,
  details: RefusalDetails = {},
): Rendered {
  const { status, title } = { ...errorTable[error.code], ...details };
  const standing = { status, title, requestId: request.id };
  const { size } = error.context;
  return {
    status,
    headers: {
      ...renderProblem(error, standing).headers,
      ...(status === 401 ? { "www-authenticate": challenge } : {}),
      ...(status === 416 && typeof size === "number"
        ? { "content-range": contentRangeUnsatisfiable(size) }
        : {}),
      "x-content-type-options": "nosniff",
      ...details.headers,
    },
    body: JSON.stringify({
      ...details.members,
      ...problemDocument(error, standing),
      ...(details.type === undefined ? {} : { type: details.type }),
    }),
  };
}
