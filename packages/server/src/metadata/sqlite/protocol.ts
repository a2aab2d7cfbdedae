/** What the store and its worker threads say to each other; both sides are of one version. */
import type { ErrorCode, ErrorContext } from "../../core/errors.ts";
import type { IdempotencyMark } from "../../core/ports/idempotency-store.ts";

export type Role = "writer" | "reader";

export interface WorkerData {
  readonly role: Role;
  readonly path: string;
  /** No other process has the store open: its schema may be changed. */
  readonly isAlone: boolean;
  /** Other processes may have it open, now or later. */
  readonly isShared: boolean;
  /** Of `CallPlaces`. */
  readonly places: SharedArrayBuffer;
}

/** An array, not an object: the thread boundary copies it for each call. */
export type Call = readonly [
  id: number,
  method: string,
  args: readonly unknown[],
  /** Of a call that may be given up (`call-places.ts`). */
  place?: number | undefined,
  /** Recorded with what the call changes. */
  mark?: IdempotencyMark,
];

/** `error` is `null` for a success. */
export type CallAnswer = readonly [id: number, error: ErrorMessage | null, value: unknown];

/** An operational error's fields; the cause only as text, for the log. */
export interface ErrorMessage {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly context: ErrorContext;
  readonly cause?: string;
}

export type ToWorker =
  /** Open the connection; before it the thread has only loaded its code. */
  | { readonly kind: "open" }
  | { readonly kind: "calls"; readonly calls: readonly Call[] }
  /** After it come no more calls. The worker does what it has, closes and exits. */
  | { readonly kind: "close" };

export type FromWorker =
  | { readonly kind: "open" }
  | { readonly kind: "refused"; readonly error: ErrorMessage }
  /** On closing, the write-ahead log could not be moved into the database. */
  | { readonly kind: "log-kept"; readonly error: ErrorMessage }
  /** A whole group, after its commit; `seconds` from its begin to its commit. */
  | { readonly kind: "answers"; readonly answers: readonly CallAnswer[]; readonly seconds: number };
