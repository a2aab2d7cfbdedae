/**
 * `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that changes something takes effect once,
 * and each repeat gets its one answer. Failures without effect are not kept: a repeat tries again.
 */
import type { FastifyRequest } from "fastify";
import { type ErrorCode, isOperationalError, OperationalError } from "../../core/errors.ts";
import type { KeyedRequest } from "../../core/idempotency.ts";
import type { KeptAnswer } from "../../core/ports/idempotency-store.ts";
import type { WriteResult } from "../../core/ports/metadata-store.ts";
import { parseWantDigest, requestScope } from "../../http/index.ts";
import type { RefusalDetails } from "./errors.ts";
import { refuse } from "./refuse.ts";
import type { Exchange, Handler, RestServices } from "./services.ts";
import { renderWritten } from "./written.ts";

/** Longer answers are not kept: only that the request took effect. */
const answerCharactersMax = 1024 * 1024;

/** Printable ASCII, as a string of structured fields or as it is. */
const keyPattern = /^(?:"([\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x5b\x5d-\x7e]{1,255}))$/;

/** Requests of the IETF's resumable uploads have an identity of their own: the upload's URL. */
const resumableFields = ["upload-complete", "upload-incomplete", "upload-draft-interop-version"];

/** What makes a request this one, beside method and target. */
const fingerprintFields = [
  ...["content-length", "content-type", "content-md5", "content-digest", "repr-digest"],
  ...["x-amz-content-sha256", "if-match", "if-none-match"],
];

const keptHeaders = ["location", "etag", "repr-digest", "content-type", "accept-patch"];

/** The handler, run once for each key. Without the header it is the handler. */
export function idempotent(services: RestServices, handler: Handler): Handler {
  return async (exchange) => {
    const { request, reply } = exchange;
    const keyed = keyedRequest(exchange);
    if (keyed === undefined) return await handler(exchange);
    const found = await services.idempotency.take(keyed).catch((error: unknown) => {
      refuseKey(exchange, error);
      return undefined;
    });
    if (found === undefined) return reply;
    if (found.state === "answered") return repeated(exchange, found.answer);
    if (found.state === "effective") return rendered(exchange, found);
    const { attempt } = found;
    const scope = requestScope(request);
    scope.idempotency = attempt.mark;
    let json: unknown;
    try {
      json = await handler(exchange);
    } catch (error) {
      void attempt.failed();
      throw error;
    } finally {
      scope.idempotency = undefined;
    }
    const answer = reply.sent || reply.statusCode >= 400 ? undefined : answerOf(exchange, json);
    if (answer === undefined) void attempt.failed();
    else await attempt.answered(answer);
    return json;
  };
}

function keyedRequest({ request, caller }: Exchange): KeyedRequest | undefined {
  const given = request.headers["idempotency-key"];
  if (given === undefined || caller.actor.kind === "anonymous") return undefined;
  if (resumableFields.some((name) => request.headers[name] !== undefined)) return undefined;
  const [, quoted, plain] = keyPattern.exec(String(given)) ?? [];
  const key = quoted ?? plain;
  if (key === undefined) {
    throw new OperationalError(
      "invalid_request",
      "Idempotency-Key must be 1 to 255 printable characters, plain or as a quoted string",
      { context: { header: "Idempotency-Key" } },
    );
  }
  return {
    actor: caller.actor.keyId,
    grant: caller.grant,
    key,
    fingerprint: fingerprintOf(request),
  };
}

function fingerprintOf({ method, raw, headers }: FastifyRequest): readonly string[] {
  const fields = fingerprintFields.map((name) => String(headers[name] ?? ""));
  const metadata = Object.entries(headers).filter(([name]) => name.startsWith("roma-meta-"));
  return [method, raw.url ?? "", ...fields, ...metadata.flat().map(String)];
}

function answerOf({ reply }: Exchange, json: unknown): KeptAnswer | undefined {
  const body = json === null || json === undefined ? null : JSON.stringify(json);
  if (body !== null && body.length > answerCharactersMax) return undefined;
  const headers: Record<string, string> = {};
  for (const name of keptHeaders) {
    const value = reply.getHeader(name);
    if (value !== undefined) headers[name] = String(value);
  }
  return { status: reply.statusCode, headers, body };
}

function repeated({ reply }: Exchange, { status, headers, body }: KeptAnswer): unknown {
  reply.code(status).headers(headers).header("idempotent-replayed", "true");
  return body === null ? null : JSON.parse(body);
}

/** The server ended between the change and its answer: what the change resolved to is all that is known. */
function rendered(
  exchange: Exchange,
  { method, value }: { readonly method: string; readonly value: unknown },
): unknown {
  const { request, reply } = exchange;
  reply.header("idempotent-replayed", "true");
  if (method === "deleteObject") {
    reply.code(204);
    return null;
  }
  const isOneObject =
    method === "copyObject" || (method === "commitObject" && request.method === "PUT");
  if (isOneObject) {
    const wanted = parseWantDigest(request.headers["want-repr-digest"], "Want-Repr-Digest");
    // Written by this code from what the store's own call resolved to.
    return renderWritten(exchange, value as WriteResult, wanted);
  }
  const lost = new OperationalError(
    "already_exists",
    "the first request with this Idempotency-Key took effect; its answer is lost",
    { retryable: false, context: { header: "Idempotency-Key", outcome: "effective" } },
  );
  refuseKey(exchange, lost);
  return reply;
}

/** The draft's statuses (§2.7): 409 while the first runs, 422 for a key of another request. */
const keyRefusals: Partial<Record<ErrorCode, RefusalDetails>> = {
  already_exists: { status: 409, title: "The Idempotency-Key is in use" },
  precondition_failed: { status: 422, title: "The Idempotency-Key is of another request" },
};

function refuseKey(exchange: Exchange, error: unknown): void {
  const details = isOperationalError(error) ? keyRefusals[error.code] : undefined;
  if (details === undefined) throw error;
  refuse(error, exchange, details);
}
