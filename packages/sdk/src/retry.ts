/** Repeating failed calls: exponential back-off with jitter, and never sooner than the server asks. */
import { isRomaError, RomaError } from "./errors.ts";

export interface RetryPolicy {
  /** Attempts in all; 1 means no retry. */
  readonly attemptsMax: number;
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** A server that asks for a longer pause than this is not waited for. */
  readonly retryAfterMsMax: number;
  /** From 0 up to 1. */
  readonly random: () => number;
}

export const defaultRetryPolicy: RetryPolicy = {
  attemptsMax: 5,
  delayMsMin: 200,
  delayMsMax: 10_000,
  retryAfterMsMax: 60_000,
  random: Math.random,
};

export interface RetryOptions {
  readonly policy: RetryPolicy;
  readonly signal?: AbortSignal | undefined;
  /** Whether this failure may be followed by another attempt, beyond being retryable at all. */
  readonly mayRepeat?: (error: RomaError) => boolean;
}

/** Runs `attempt` until it succeeds, fails for good, or the attempts are used up. */
export async function withRetry<T>(
  { policy, signal, mayRepeat }: RetryOptions,
  attempt: (attemptNumber: number) => Promise<T>,
): Promise<T> {
  for (let attemptNumber = 1; ; attemptNumber++) {
    try {
      return await attempt(attemptNumber);
    } catch (error) {
      if (!isRomaError(error) || !error.retryable) throw error;
      if (attemptNumber >= policy.attemptsMax || mayRepeat?.(error) === false) throw error;
      if ((error.retryAfterMs ?? 0) > policy.retryAfterMsMax) throw error;
      await pause(retryDelayMs(policy, attemptNumber, error), signal);
    }
  }
}

/** The pause before the attempt after `attemptNumber`. */
export function retryDelayMs(policy: RetryPolicy, attemptNumber: number, error: RomaError): number {
  const full = Math.min(policy.delayMsMax, policy.delayMsMin * 2 ** (attemptNumber - 1));
  // Half fixed, half random: spread, yet never at once.
  return Math.round((error.retryAfterMs ?? 0) + full / 2 + (full / 2) * policy.random());
}

/** Waits; rejects with `aborted` as soon as the signal does. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(new RomaError("aborted", "the call was ended", { cause: signal?.reason }));
    };
    if (signal?.aborted === true) {
      reject(new RomaError("aborted", "the call was ended", { cause: signal.reason }));
      return;
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
