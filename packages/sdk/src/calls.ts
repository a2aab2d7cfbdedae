/** Calls: as many attempts as the policy and the request allow. */
import type { Caller, JsonRequest } from "./caller.ts";
import type { RomaError } from "./errors.ts";
import { withRetry } from "./retry.ts";
import type { TransportRequest, TransportResponse } from "./transport.ts";

export interface Repeatable {
  /** False when doing it twice differs from doing it once: then a lost answer is not retried. */
  readonly idempotent?: boolean;
}

export function call(
  caller: Caller,
  request: TransportRequest & Repeatable,
): Promise<TransportResponse> {
  return repeat(caller, request, (sent) => caller.once(sent));
}

/** A call with JSON both ways. */
export function callJson<T>(caller: Caller, request: JsonRequest<T> & Repeatable): Promise<T> {
  return repeat(caller, request, async (sent) => (await caller.json(sent)).value);
}

/** A call whose answer's body does not matter. */
export async function callNone(
  caller: Caller,
  request: Omit<TransportRequest, "headers"> & Repeatable,
): Promise<void> {
  const response = await call(caller, { ...request, headers: {} });
  response.discard();
}

function repeat<R extends { readonly signal?: AbortSignal | undefined } & Repeatable, T>(
  caller: Caller,
  { idempotent = true, ...request }: R,
  attempt: (request: Omit<R, "idempotent"> & { readonly freshConnection: boolean }) => Promise<T>,
): Promise<T> {
  const mayRepeat = (error: RomaError) => idempotent || !error.mayHaveHappened;
  const { signal } = request;
  const sent = { ...request, freshConnection: !idempotent };
  return withRetry({ policy: caller.retry, signal, mayRepeat }, () => attempt(sent));
}
