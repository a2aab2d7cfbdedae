/**
 * Work that may take longer than clients and proxies wait for an answer: they are told to ask again while
 * it goes on.
 */
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../core/errors.ts";
import { requestScope } from "./deadline.ts";

/** Less than the minute after which most proxies give up. */
const waitMsDefault = 50_000;

/**
 * What the work resolves to, if that is in time; else `locked`, with the seconds after which to ask again. The
 * signal is the request's, and aborted then: the work must go on without it, and be found by who asks again.
 * The time for work stands still meanwhile.
 */
export async function withinPatience<T>(
  request: FastifyRequest,
  work: (signal: AbortSignal) => Promise<T>,
  { waitMs = waitMsDefault }: { readonly waitMs?: number } = {},
): Promise<T> {
  const scope = requestScope(request);
  const late = new AbortController();
  // A little before the request's own time is over: then its work could not go on.
  const ms = Math.min(waitMs, scope.wallLeftMs * 0.9);
  const timer = setTimeout(() => late.abort(stillRunning()), ms);
  scope.beginTransfer();
  try {
    return await work(AbortSignal.any([scope.signal, late.signal]));
  } finally {
    scope.endTransfer();
    clearTimeout(timer);
  }
}

function stillRunning(): OperationalError {
  return new OperationalError("locked", "this takes longer, and goes on: ask again", {
    retryable: true,
    context: { retryAfterSeconds: 1 },
  });
}
