/**
 * How long a request may still have effects. Whoever puts off an effect (a queue, another thread) asks
 * before it begins: after a failure was answered nothing of the request may become visible.
 */
import type { OperationalError } from "../errors.ts";
import type { IdempotencyMark } from "./idempotency-store.ts";

/** What waits to begin. */
export interface Cancellable {
  /** Called at most once, when the budget is used up. Must not throw. */
  cancel(reason: OperationalError): void;
}

export interface Budget {
  /** Why nothing more of it may take effect; `undefined` while it may, and for good once it was answered. */
  readonly failure: OperationalError | undefined;
  /** Recorded with each change that the request makes from now on. */
  readonly idempotency: IdempotencyMark | undefined;
  /** To be told when it ends; whoever was added is deleted as soon as it has begun, or is done. */
  addCancellable(waiting: Cancellable): void;
  deleteCancellable(waiting: Cancellable): void;
}

/** The budget that the running code spends; `undefined` outside of requests. */
export type CurrentBudget = () => Budget | undefined;
