/** The one error class of the SDK: what the server refused, and what happened on the way to it. */
import { type ErrorCode, environmentHeader, errorCodes, type Problem } from "@roma/contract";
import { present } from "./present.ts";

/** What can go wrong on the client's side of the wire. */
export type ClientErrorCode =
  /** No connection, or it broke before the answer was complete. */
  | "connection_failed"
  /** Nothing moved for longer than a limit of the client. */
  | "timeout"
  /** The caller's signal ended the request. */
  | "aborted"
  /** The source of an upload could not be read, or changed while it was read. */
  | "source_failed"
  /** The answer is not what the protocol says: a proxy's page, or another program. */
  | "bad_answer"
  /** The function that was given as `token` threw, or gave nothing. */
  | "token_failed";

export type RomaErrorCode = ErrorCode | ClientErrorCode;

export interface RomaErrorOptions {
  readonly status?: number;
  readonly retryable?: boolean;
  readonly mayHaveHappened?: boolean;
  readonly requestId?: string;
  readonly problem?: Problem;
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** Every failure of a call. `code` says what to do; the message is for people. */
export class RomaError extends Error {
  readonly code: RomaErrorCode;
  /** The HTTP status, or `null` when no answer came. */
  readonly status: number | null;
  /** Whether the same call may succeed later, unchanged. */
  readonly retryable: boolean;
  /** True when the answer was lost after the request went out: the server may have done it. */
  readonly mayHaveHappened: boolean;
  /** Finds the request in the server's log. */
  readonly requestId: string | null;
  /** The server's problem document, when it sent one. */
  readonly problem: Problem | null;
  /** How long the server asks to wait. */
  readonly retryAfterMs: number | null;

  constructor(code: RomaErrorCode, message: string, options: RomaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RomaError";
    this.code = code;
    this.status = options.status ?? null;
    this.retryable = options.retryable ?? false;
    this.mayHaveHappened = options.mayHaveHappened ?? false;
    this.requestId = options.requestId ?? null;
    this.problem = options.problem ?? null;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** Whether `error` is a `RomaError`, of that code if one is given. */
export function isRomaError(error: unknown, code?: RomaErrorCode): error is RomaError {
  return error instanceof RomaError && (code === undefined || error.code === code);
}

// What a status means when no code says it that we know: answers to HEAD, of proxies, and of newer servers.
const codesByStatus: Readonly<Record<number, ErrorCode>> = {
  400: "invalid_request",
  401: "unauthenticated",
  403: "access_denied",
  404: "object_not_found",
  408: "request_timeout",
  409: "already_exists",
  410: "expired",
  412: "precondition_failed",
  413: "too_large",
  415: "content_type_refused",
  416: "range_unsatisfiable",
  423: "locked",
  429: "rate_limited",
  500: "internal",
  501: "unsupported",
  502: "unavailable",
  503: "unavailable",
  504: "unavailable",
  507: "storage_full",
};
const retryableStatuses: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);

export interface Refusal {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** The environment that the request said. */
  readonly meant?: string | undefined;
}

/** The error for an answer that is no success. Never throws, whatever the body is. */
export function refusalError(refusal: Refusal): RomaError {
  const { method, path, status, headers, text } = refusal;
  const problem = parseProblem(text, status);
  const retryAfterMs = parseRetryAfter(headers["retry-after"]);
  const requestId = problem?.requestId || headers["roma-request-id"];
  const message =
    problem?.detail || problem?.title || `${method} ${path.split("?")[0]} was answered ${status}`;
  return new RomaError(problem?.code ?? codeOf(refusal), message, {
    ...present({ status, requestId, problem, retryAfterMs }),
    retryable: problem?.retryable ?? retryableStatuses.has(status),
  });
}

/** Of an answer without a problem document. */
function codeOf({ status, headers, meant }: Refusal): RomaErrorCode {
  const isOther = meant !== undefined && headers[environmentHeader] !== meant;
  if (status === 409 && isOther) return "environment_mismatch";
  return codesByStatus[status] ?? "bad_answer";
}

function parseProblem(text: string, status: number): Problem | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  if (typeof fields.code !== "string") return undefined;
  const code = errorCodes.find((known) => known === fields.code) ?? codesByStatus[status];
  if (code === undefined) return undefined;
  const string = (name: string) => (typeof fields[name] === "string" ? fields[name] : "");
  return {
    ...fields,
    type: string("type"),
    title: string("title"),
    detail: string("detail"),
    requestId: string("requestId"),
    status: typeof fields.status === "number" ? fields.status : 0,
    retryable: fields.retryable === true,
    code,
  };
}

function parseRetryAfter(field: string | undefined): number | undefined {
  if (field === undefined) return undefined;
  // RFC 9110 §10.2.3: seconds, or a date.
  if (/^\d+$/.test(field)) return Number(field) * 1000;
  const at = Date.parse(field);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

/** The error for a source that cannot be read. */
export function sourceError(name: string, cause: unknown): RomaError {
  if (cause instanceof RomaError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RomaError("source_failed", `${name} cannot be read: ${reason}`, { cause });
}
