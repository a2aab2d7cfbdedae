/**
 * What a request of the resumable-upload dialects says: its offset, whether its content is the last,
 * and how long the upload is. All indications of the length must agree.
 */
import type { FastifyRequest } from "fastify";
import { type Caller, withSignedBody } from "../../authentication/index.ts";
import { essenceOf } from "../../core/content-type.ts";
import { OperationalError } from "../../core/errors.ts";
import type { Body, DigestName } from "../../core/ports/storage-driver.ts";
import type { AppendRequest, BodyChecks } from "../../core/resumable/index.ts";
import { declaredLength, receiveBody, requestDigests } from "../../http/index.ts";
import { completeness, type Spoken } from "./resumable-dialects.ts";
import { parseCountField } from "./resumable-fields.ts";
import type { Exchange } from "./services.ts";

export interface ContentPlan {
  readonly offset: number;
  /** `at-length`: the request does not say, and ends the upload if that is as long as it shall be. */
  readonly complete: AppendRequest["complete"];
  /** Of this request's content; absent when it is chunked. */
  readonly contentLength?: number;
  /** Of the whole upload, as far as this request tells. */
  readonly length?: number;
}

/** `invalid_request` when the indications of the length contradict each other. */
function contentPlan(
  request: FastifyRequest,
  at: { readonly offset: number; readonly complete: AppendRequest["complete"] },
): ContentPlan {
  const announced = parseCountField(request.headers["upload-length"]);
  const contentLength = declaredLength(request.raw);
  const end = contentLength === undefined ? undefined : at.offset + contentLength;
  const implied = at.complete === "yes" ? end : undefined;
  const contradicted =
    announced !== undefined &&
    ((implied !== undefined && implied !== announced) || (end ?? at.offset) > announced);
  if (contradicted) {
    throw new OperationalError(
      "invalid_request",
      `the content ends at ${end ?? at.offset}, and Upload-Length is ${announced}`,
      { context: { header: "Upload-Length", length: announced } },
    );
  }
  const length = announced ?? implied;
  return {
    ...at,
    ...(contentLength === undefined ? {} : { contentLength }),
    ...(length === undefined ? {} : { length }),
  };
}

/** Of the content of a request that creates an upload. Without the field it is the last. */
export function parseCreation(request: FastifyRequest, spoken: Spoken): ContentPlan {
  const isLast = completeness(request.headers, spoken) ?? true;
  return contentPlan(request, { offset: 0, complete: isLast ? "yes" : "no" });
}

/** `invalid_request`, `content_type_refused`. */
export function parseAppend(request: FastifyRequest, spoken: Spoken): ContentPlan {
  const { headers } = request;
  const { appendType, unsaid } = spoken.dialect;
  if (appendType !== "any" && essenceOf(headers["content-type"] ?? "") !== appendType) {
    throw new OperationalError("content_type_refused", `an append is of type ${appendType}`, {
      context: { header: "Content-Type" },
    });
  }
  const offset = parseCountField(headers["upload-offset"]);
  if (offset === undefined) {
    throw new OperationalError("invalid_request", "Upload-Offset is missing or not an integer", {
      context: { header: "Upload-Offset" },
    });
  }
  const isLast = completeness(headers, spoken);
  const complete = isLast === undefined ? unsaid : isLast ? "yes" : "no";
  return contentPlan(request, { offset, complete });
}

/**
 * What the client says of this request's content alone: compared before any of it counts. Where the
 * content is the whole upload it is said of the whole instead, so that it may come in pieces.
 */
export function contentChecks(request: FastifyRequest, caller: Caller): BodyChecks | undefined {
  const { "content-md5": md5, "content-digest": content } = request.headers;
  const declared = requestDigests({ "content-md5": md5, "content-digest": content });
  const expected = withSignedBody(declared, caller);
  const names = Object.keys(expected) as DigestName[];
  return names.length === 0 ? undefined : { names, expected: () => expected };
}

export interface ReceivedContent {
  readonly body: Body;
  readonly bodyLength?: number;
}

/**
 * A content coding is refused where it would be one of the object. An append that names it says nothing:
 * clients repeat the fields of the creation.
 */
export function receiveContent(
  { request, reply }: Exchange,
  of: "creation" | "append",
): ReceivedContent {
  const contentEncodings = of === "append" ? "any" : [];
  const { body, length } = receiveBody(request, reply, { contentEncodings });
  return length === undefined ? { body } : { body, bodyLength: length };
}
