/** Operational errors: what is expected to go wrong, with a code that the caller can act on. */
import type { ErrorCode } from "@roma/contract";

export type { ErrorCode } from "@roma/contract";

/** Flat and loggable; never a secret, a signature, a body byte or a path of the server. */
export type ErrorContext = Readonly<Record<string, string | number | boolean | null>>;

export interface OperationalErrorOptions {
  /** Whether the same call may succeed later. Defaults to the code's own answer. */
  readonly retryable?: boolean;
  readonly context?: ErrorContext;
  readonly cause?: unknown;
}

const retryableCodes: ReadonlySet<ErrorCode> = new Set([
  "locked",
  "request_timeout",
  "rate_limited",
  "overloaded",
  "storage_full",
  "unavailable",
]);

/**
 * The one class of expected errors. `message` is a fragment with the values in it:
 * `offset 4096 does not match 8192`. It reaches clients, so it names fields and limits only.
 */
export class OperationalError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly context: ErrorContext;

  constructor(code: ErrorCode, message: string, options: OperationalErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "OperationalError";
    this.code = code;
    this.retryable = options.retryable ?? retryableCodes.has(code);
    this.context = options.context ?? {};
  }
}

export function isOperationalError(error: unknown, code?: ErrorCode): error is OperationalError {
  return error instanceof OperationalError && (code === undefined || error.code === code);
}
