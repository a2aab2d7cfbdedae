/**
 * The protocol's answer to each error code: complete by type. Clients decide by the status whether the
 * file was lost, so a condition that passes is never 401, 408, 425 or 429: it is 503 with `Retry-After`,
 * and on `HEAD`, where common clients take everything but 423 for the end of the upload, 423.
 */
import type { ErrorCode } from "@roma/contract";
import type { FastifyReply, FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import {
  contentRangeUnsatisfiable,
  errorHandler,
  type Rendered,
  renderProblem,
} from "../../http/index.ts";
import { tusVersion } from "./fields.ts";
import { effectiveMethod } from "./method.ts";

/** What 401 answers ask for. */
const challenge = 'Basic realm="roma", charset="UTF-8", Bearer realm="roma"';

export const errorTable: Readonly<
  Record<ErrorCode, { readonly status: number; readonly title: string }>
> = {
  invalid_request: { status: 400, title: "The request is malformed" },
  invalid_key: { status: 400, title: "The key breaks a rule of keys" },
  unauthenticated: { status: 401, title: "A good credential is needed" },
  access_denied: { status: 403, title: "This is not permitted" },
  bucket_not_found: { status: 404, title: "There is no such bucket" },
  object_not_found: { status: 404, title: "There is no such object" },
  upload_not_found: { status: 404, title: "There is no such upload" },
  key_not_found: { status: 404, title: "There is no such access key" },
  storage_not_found: { status: 404, title: "There is no such storage" },
  // 409 would be tried again; 412 says that the version of tus is not spoken.
  already_exists: { status: 403, title: "The name is taken" },
  not_empty: { status: 403, title: "It still holds objects" },
  invalid_part: { status: 400, title: "A part is not as announced" },
  offset_mismatch: { status: 409, title: "The offset is not where the upload is" },
  too_large: { status: 413, title: "Larger than a limit allows" },
  too_small: { status: 400, title: "Smaller than the grant asks for" },
  content_type_refused: { status: 415, title: "The content type is not allowed here" },
  // Of a GET alone.
  precondition_failed: { status: 412, title: "A condition of the request did not hold" },
  checksum_mismatch: { status: 460, title: "Checksum Mismatch" },
  // What came is stored, and the client may go on from there.
  incomplete_body: { status: 503, title: "The body did not come whole" },
  data_damaged: { status: 500, title: "The stored bytes are damaged" },
  range_unsatisfiable: { status: 416, title: "The range lies outside the object" },
  locked: { status: 423, title: "Another request holds the upload" },
  expired: { status: 410, title: "The upload has expired" },
  request_timeout: { status: 503, title: "The client was too slow" },
  rate_limited: { status: 503, title: "Too many requests" },
  overloaded: { status: 503, title: "The server is at a limit of its own" },
  storage_full: { status: 507, title: "The storage is full" },
  // Does not pass by itself, and 5xx would be tried again.
  quota_exceeded: { status: 413, title: "The quota is used up" },
  object_retained: { status: 403, title: "What it would replace is retained" },
  delete_cap_reached: { status: 403, title: "Too many objects were deleted within an hour" },
  plan_changed: { status: 400, title: "Other objects are there than were planned" },
  // 409 and 5xx would be tried again, and neither passes by itself.
  environment_mismatch: { status: 400, title: "Another environment than the request means" },
  read_only: { status: 403, title: "The server takes no changes" },
  unsupported: { status: 400, title: "Not offered" },
  unavailable: { status: 503, title: "A part of the server does not answer" },
  internal: { status: 500, title: "A defect of the server" },
};

/** Set once the upload of this request is there: what fails later does not lose it. */
export const locationDecorator = "tusLocation";

export interface RefusalDetails {
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of the table's, where the code alone does not say it all. */
  readonly status?: number;
  readonly title?: string;
}

/** A problem document by the table, with the fields that its status asks for. */
export function renderTusError(
  error: OperationalError,
  request: FastifyRequest,
  details: RefusalDetails = {},
): Rendered {
  const found = { ...errorTable[error.code], ...details };
  const isHead = effectiveMethod(request) === "HEAD";
  const status = isHead && found.status >= 500 ? 423 : found.status;
  const { headers, body } = renderProblem(error, {
    status,
    title: found.title,
    requestId: request.id,
  });
  const { offset, size, retryAfterSeconds } = error.context;
  const location = request.getDecorator<string | undefined>(locationDecorator);
  const passes = status === 423 || status === 503;
  return {
    status,
    headers: {
      ...headers,
      "tus-resumable": tusVersion,
      "x-content-type-options": "nosniff",
      ...(location === undefined ? {} : { location }),
      ...(passes ? { "retry-after": String(retryAfterSeconds ?? (status === 423 ? 1 : 2)) } : {}),
      ...(status === 401 ? { "www-authenticate": challenge } : {}),
      ...(status === 409 && typeof offset === "number" ? { "upload-offset": `${offset}` } : {}),
      ...(status === 416 && typeof size === "number"
        ? { "content-range": contentRangeUnsatisfiable(size) }
        : {}),
      ...details.headers,
    },
    ...(body === undefined ? {} : { body }),
  };
}

interface Refused {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** §Protocol Versioning: 412 means this and nothing else. */
export function refuseVersion(refused: Refused): FastifyReply {
  const error = new OperationalError("unsupported", `Tus-Resumable is not ${tusVersion}`, {
    context: { header: "Tus-Resumable" },
  });
  const title = "The version of tus is not spoken";
  const headers = { "tus-version": tusVersion };
  return refuse(error, refused, { status: 412, title, headers });
}

/** 405 with what the path offers; 404 where there is nothing. */
export function refuseRoute(allowed: readonly string[], refused: Refused): FastifyReply {
  if (allowed.length === 0) {
    const error = new OperationalError("unsupported", "the path is not one of this protocol");
    return refuse(error, refused, { status: 404, title: "There is nothing at this path" });
  }
  const allow = allowed.join(", ");
  const error = new OperationalError("unsupported", `the path offers ${allow}`);
  const title = "Not for this method";
  return refuse(error, refused, { status: 405, title, headers: { allow } });
}

function refuse(
  error: OperationalError,
  { request, reply }: Refused,
  details: RefusalDetails,
): FastifyReply {
  errorHandler((operational) => renderTusError(operational, request, details))(
    error,
    request,
    reply,
  );
  return reply;
}
