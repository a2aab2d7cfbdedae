// Repeats calls that failed for a passing reason and can be repeated: those without a body of the
// client's, and a get until its body begins. Waits grow and are drawn at random between nothing and
// the limit, so that callers who failed together do not come back together.

import { setTimeout as wait } from "node:timers/promises";
import type { ErrorCode } from "../../core/errors.ts";
import { OperationalError } from "../../core/errors.ts";
import { type Meter, silentMeter } from "../../core/ports/meter.ts";
import type { Call, StorageLayer } from "../../core/ports/storage-driver.ts";
import { isRefusedByBreaker } from "./breaker.ts";
import { forward, forwardParts } from "./forward.ts";

export interface RetryOptions {
  /** The first one included. */
  readonly attemptsMax?: number;
  readonly backoffMsMin?: number;
  readonly backoffMsMax?: number;
  /**
   * Retries that may be made at once, ahead of the successes that earn them: ten earn one. So in the
   * long run retries add a tenth to the load, and to a storage that answers nothing, nothing.
   */
  readonly budgetMax?: number;
  readonly meter?: Meter;
  /** From 0 to 1. */
  readonly random?: () => number;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** A full storage is not emptied by asking again, and a queue that overflowed grows by it. */
const hopeless: ReadonlySet<ErrorCode> = new Set(["storage_full", "overloaded"]);

/** The layer. A put is never repeated: its body was read. Errors are those of the last attempt. */
export const retry =
  (options: RetryOptions = {}): StorageLayer =>
  (inner) => {
    const policy = new RetryPolicy(inner.id, options);
    const again = <T>(call: Call, run: () => Promise<T>): Promise<T> =>
      policy.run(call.signal, run);
    return forward(inner, {
      get: (key, given) => again(given, () => inner.get(key, given)),
      head: (key, call) => again(call, () => inner.head(key, call)),
      delete: (key, call) => again(call, () => inner.delete(key, call)),
      probe: (call) => again(call, () => inner.probe(call)),
      list: (prefix, given) => policy.list(given.signal, () => inner.list(prefix, given)),
      space: (space) => (call) => again(call, () => space(call)),
      leftOvers: (leftOvers) => ({
        list: (call) => policy.list(call.signal, () => leftOvers.list(call)),
        remove: (token, call) => again(call, () => leftOvers.remove(token, call)),
      }),
      parts: (parts) =>
        forwardParts(parts, {
          cancel: (upload, call) => again(call, () => parts.cancel(upload, call)),
          listParts: (upload, call) =>
            policy.list(call.signal, () => parts.listParts(upload, call)),
          listPending: (prefix, call) =>
            policy.list(call.signal, () => parts.listPending(prefix, call)),
        }),
    });
  };

class RetryPolicy {
  readonly #labels: { readonly storage: string };
  readonly #meter: Meter;
  readonly #attemptsMax: number;
  readonly #backoffMsMin: number;
  readonly #backoffMsMax: number;
  readonly #budgetMax: number;
  readonly #random: () => number;
  readonly #sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  #budget: number;

  constructor(storage: string, options: RetryOptions) {
    this.#labels = { storage };
    this.#meter = options.meter ?? silentMeter;
    this.#attemptsMax = options.attemptsMax ?? 3;
    this.#backoffMsMin = options.backoffMsMin ?? 50;
    this.#backoffMsMax = options.backoffMsMax ?? 2_000;
    this.#budgetMax = options.budgetMax ?? 10;
    this.#budget = this.#budgetMax;
    this.#random = options.random ?? Math.random;
    this.#sleep = options.sleep ?? ((ms, signal) => wait(ms, undefined, { signal }));
  }

  async run<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    for (let number = 1; ; number += 1) {
      signal.throwIfAborted();
      try {
        const result = await attempt();
        this.#budget = Math.min(this.#budgetMax, this.#budget + 0.1);
        return result;
      } catch (error) {
        if (number >= this.#attemptsMax || !passing(error) || signal.aborted) throw error;
        if (this.#budget < 1) {
          this.#meter.count("storage_retries_refused_total", 1, this.#labels);
          throw error;
        }
      }
      this.#budget -= 1;
      this.#meter.count("storage_retries_total", 1, this.#labels);
      await this.#backoff(number, signal);
    }
  }

  /** Until the first item: after it, the consumer has seen a part of the answer. */
  async *list<T>(signal: AbortSignal, begin: () => AsyncIterable<T>): AsyncGenerator<T> {
    const { items, first } = await this.run(signal, async () => {
      const started = begin()[Symbol.asyncIterator]();
      return { items: started, first: await started.next() };
    });
    try {
      for (let item = first; item.done !== true; item = await items.next()) yield item.value;
    } finally {
      await items.return?.();
    }
  }

  async #backoff(number: number, signal: AbortSignal): Promise<void> {
    const limit = Math.min(this.#backoffMsMax, this.#backoffMsMin * 2 ** (number - 1));
    try {
      await this.#sleep(this.#random() * limit, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }
}

function passing(error: unknown): boolean {
  if (!(error instanceof OperationalError) || isRefusedByBreaker(error)) return false;
  return error.retryable && !hopeless.has(error.code);
}
