/**
 * Refusals. Every error of a request passes here once: operational ones are rendered by the
 * protocol's own table, anything else is logged with its stack and answered as `internal` without a
 * word about its cause. A response that has begun is never finished as if it were whole.
 */
import type { Problem } from "@roma/contract";
import type { FastifyReply, FastifyRequest } from "fastify";
import { isOperationalError, OperationalError } from "../core/errors.ts";
import { requestScope } from "./deadline.ts";

/** A refusal as it goes on the wire. */
export interface Rendered {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** A protocol's way to say an error. Never throws. */
export type RenderError = (error: OperationalError, request: FastifyRequest) => Rendered;

export const problemContentType = "application/problem+json";

/** Seconds after which a client may try again, by status, when the error does not say. */
const retryAfterSeconds: Readonly<Record<number, number>> = { 429: 1, 503: 2, 507: 60 };

/** RFC 9457. Standing members win over the error's context of the same name. */
export function problemDocument(
  error: OperationalError,
  standing: { readonly status: number; readonly title: string; readonly requestId: string },
): Problem {
  return {
    ...error.context,
    type: `urn:roma:error:${error.code}`,
    title: standing.title,
    status: standing.status,
    detail: error.message,
    code: error.code,
    requestId: standing.requestId,
    retryable: error.retryable,
  };
}

/** The document as a refusal, for protocols whose errors are problem documents. */
export function renderProblem(
  error: OperationalError,
  standing: { readonly status: number; readonly title: string; readonly requestId: string },
): Rendered {
  return {
    status: standing.status,
    headers: { "content-type": problemContentType, "cache-control": "no-store" },
    body: JSON.stringify(problemDocument(error, standing)),
  };
}

/** Set before the handler ran, and true of the refusal as well. */
const headersKept = /^(?:roma-request-id|roma-environment|connection|vary|access-control-[a-z-]+)$/;

/**
 * A Fastify error handler for an instance: `app.setErrorHandler(errorHandler(render))`. Each
 * protocol sets its own; the server's covers what happens outside of them.
 */
export function errorHandler(render: RenderError) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const error = operational(thrown, request);
    const { raw } = reply;
    if (raw.headersSent) {
      raw.destroy();
      return;
    }
    for (const name of Object.keys(reply.getHeaders())) {
      if (!headersKept.test(name)) reply.removeHeader(name);
    }
    const rendered = render(error, request);
    reply.code(rendered.status);
    for (const [name, value] of Object.entries(rendered.headers ?? {})) reply.header(name, value);
    const wait = error.context.retryAfterSeconds ?? retryAfterSeconds[rendered.status];
    if (error.retryable && wait !== undefined && !reply.hasHeader("retry-after")) {
      reply.header("retry-after", String(wait));
    }
    for (const [name, value] of rateLimitHeaders(error)) reply.header(name, value);
    // As a Buffer: to a string Fastify would add a charset that problem documents do not have.
    reply.send(Buffer.from(rendered.body ?? ""));
  };
}

/** draft-ietf-httpapi-ratelimit-headers: which limit was met, and when there is room again. */
function rateLimitHeaders({ context }: OperationalError): readonly (readonly [string, string])[] {
  const { rateLimitOf, limitPerSecond, retryAfterSeconds } = context;
  if (typeof rateLimitOf !== "string" || typeof limitPerSecond !== "number") return [];
  // Whole numbers in a whole window: of a rate below one in a second, one in several.
  const windowSeconds = Math.max(1, Math.ceil(1 / limitPerSecond));
  const quota = Math.max(1, Math.floor(limitPerSecond * windowSeconds));
  return [
    ["ratelimit-policy", `"${rateLimitOf}";q=${quota};w=${windowSeconds}`],
    ["ratelimit", `"${rateLimitOf}";r=0;t=${retryAfterSeconds}`],
  ];
}

/** For who tells a client of a refusal after the answer has begun. */
export function noteRefusal(error: OperationalError, request: FastifyRequest): void {
  requestScope(request).runtime.onRefusal?.(error, request);
}

/** Fastify's own refusals of a request, in our words: its messages may quote what was sent. */
const frameworkRefusals: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: "the path has a malformed percent-encoding",
  FST_ERR_MAX_PARAM_LENGTH: "the path is too long",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "Content-Type is malformed",
  FST_ERR_ROUTE_MISSING_CONTENT_TYPE: "Content-Type is missing",
};

/** Of the path itself, which some protocols have a word of its own for. */
const pathRefusals: ReadonlySet<string> = new Set(["FST_ERR_BAD_URL", "FST_ERR_MAX_PARAM_LENGTH"]);

function operational(thrown: unknown, request: FastifyRequest): OperationalError {
  const { log } = requestScope(request).runtime;
  const fields = { requestId: request.id, method: request.method };
  if (isOperationalError(thrown)) {
    noteRefusal(thrown, request);
    if (thrown.code === "internal" || thrown.code === "data_damaged") {
      log.error({ ...fields, code: thrown.code, err: thrown }, "request failed");
    } else {
      const { code, message } = thrown;
      log.debug({ ...fields, code, detail: message }, "request refused");
    }
    return thrown;
  }
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  const refusal = Object.hasOwn(frameworkRefusals, code) ? frameworkRefusals[code] : undefined;
  if (refusal !== undefined) {
    const context = pathRefusals.has(code) ? { malformed: "path" } : {};
    return new OperationalError("invalid_request", refusal, { context });
  }
  log.error({ ...fields, err: thrown }, "request failed with a defect");
  const message = "an internal error; the server's log has it under the request id";
  return new OperationalError("internal", message, { cause: thrown });
}
