// Repeats calls that failed for a passing reason and can be repeated: those without a body of the
// client's, a part, and a get until its body begins. A put's body was read, so the driver repeats what
// it still holds of it, by the way it is given for that. Waits grow and are drawn at random between
// nothing and the limit, so that callers who failed together do not come back together.
//
// Two bounds hold for all of it: one deadline for a call with all its attempts, and one budget for
// whatever is sent again.

import { setTimeout as wait } from "node:timers/promises";
import type { ErrorCode } from "../../core/errors.ts";
import { OperationalError } from "../../core/errors.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
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
  /** For all attempts of a call together; one that is running then is told to stop. */
  readonly deadlineMs?: number;
  readonly clock?: Clock;
  readonly meter?: Meter;
  /** From 0 to 1. */
  readonly random?: () => number;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** A full storage is not emptied by asking again, and a queue that overflowed grows by it. */
const hopeless: ReadonlySet<ErrorCode> = new Set(["storage_full", "overloaded"]);

/**
 * The layer. A put is never repeated: its body was read. Errors are those of the last attempt. The first
 * attempt ends by the timeout below, whose bound is to be the same as `deadlineMs`.
 */
export const retry =
  (options: RetryOptions = {}): StorageLayer =>
  (inner) => {
    const policy = new RetryPolicy(inner.id, options);
    const again = <T>(given: Call, run: (call: Call) => Promise<T>): Promise<T> =>
      policy.call(given.signal, (signal) => run({ signal }));
    const { repeat } = policy;
    return forward(inner, {
      put: (key, body, given) => inner.put(key, body, { ...given, repeat }),
      get: (key, given) => again(given, (call) => inner.get(key, { ...given, ...call })),
      head: (key, given) => again(given, (call) => inner.head(key, call)),
      delete: (key, given) => again(given, (call) => inner.delete(key, call)),
      deleteMany: (deleteMany) => (keys, given) => again(given, (call) => deleteMany(keys, call)),
      probe: (given) => again(given, (call) => inner.probe(call)),
      // Pieces of a long copy are repeated by the driver, as parts of a put are.
      concat: (concat) => (from, to, given) => concat(from, to, { ...given, repeat }),
      copy: (copy) => (from, to, given) => copy(from, to, { ...given, repeat }),
      list: (prefix, given) =>
        policy.list(given.signal, (signal) => inner.list(prefix, { ...given, signal })),
      space: (space) => (given) => again(given, space),
      leftOvers: (leftOvers) => ({
        list: ({ signal }) => policy.list(signal, (within) => leftOvers.list({ signal: within })),
        remove: (token, given) => again(given, (call) => leftOvers.remove(token, call)),
        isRunning: (token) => leftOvers.isRunning(token),
      }),
      parts: (parts) => {
        const { copyPart } = parts;
        return forwardParts(parts, {
          writePart: (upload, partNumber, bytes, given) =>
            again(given, (call) =>
              parts.writePart(upload, partNumber, bytes, { ...given, ...call }),
            ),
          ...(copyPart && {
            copyPart: (upload, partNumber, source, given) =>
              again(given, (call) => copyPart(upload, partNumber, source, call)),
          }),
          cancel: (upload, given) => again(given, (call) => parts.cancel(upload, call)),
          listParts: (upload, { signal }) =>
            policy.list(signal, (within) => parts.listParts(upload, { signal: within })),
          listPending: (prefix, { signal }) =>
            policy.list(signal, (within) => parts.listPending(prefix, { signal: within })),
        });
      },
    });
  };

class RetryPolicy {
  readonly #labels: { readonly storage: string };
  readonly #meter: Meter;
  readonly #attemptsMax: number;
  readonly #backoffMsMin: number;
  readonly #backoffMsMax: number;
  readonly #budgetMax: number;
  readonly #deadlineMs: number;
  readonly #clock: Clock;
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
    this.#deadlineMs = options.deadlineMs ?? 30_000;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#sleep = options.sleep ?? ((ms, signal) => wait(ms, undefined, { signal }));
  }

  /** A call of the layer, within its deadline. */
  async call<T>(signal: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const endsAt = this.#clock.monotonicMs() + this.#deadlineMs;
    return await this.#attempts(signal, { endsAt, run });
  }

  /** A driver's own sending of what it holds; the deadline is that of its put. */
  readonly repeat = <T>(signal: AbortSignal, send: () => Promise<T>): Promise<T> =>
    this.#attempts(signal, { endsAt: Number.POSITIVE_INFINITY, run: send });

  async #attempts<T>(
    signal: AbortSignal,
    { endsAt, run }: { readonly endsAt: number; readonly run: (signal: AbortSignal) => Promise<T> },
  ): Promise<T> {
    for (let number = 1; ; number += 1) {
      signal.throwIfAborted();
      let waitMs: number;
      try {
        const result = await (number === 1 ? run(signal) : this.#within(endsAt, signal, run));
        this.#budget = Math.min(this.#budgetMax, this.#budget + 0.1);
        return result;
      } catch (error) {
        if (number >= this.#attemptsMax || !passing(error) || signal.aborted) throw error;
        waitMs =
          this.#random() * Math.min(this.#backoffMsMax, this.#backoffMsMin * 2 ** (number - 1));
        if (this.#clock.monotonicMs() + waitMs >= endsAt) throw error;
        if (this.#budget < 1) {
          this.#meter.count("storage_retries_refused_total", 1, this.#labels);
          throw error;
        }
      }
      this.#budget -= 1;
      this.#meter.count("storage_retries_total", 1, this.#labels);
      await this.#wait(waitMs, signal);
    }
  }

  /** An attempt that is told to stop at the deadline; what it answers in time outlives that. */
  async #within<T>(
    endsAt: number,
    signal: AbortSignal,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (endsAt === Number.POSITIVE_INFINITY) return await run(signal);
    const deadline = new AbortController();
    const message = `the storage did not answer within ${this.#deadlineMs} ms, repetitions included`;
    const end = (): void => deadline.abort(new OperationalError("unavailable", message));
    const timer = setTimeout(end, endsAt - this.#clock.monotonicMs());
    try {
      return await run(AbortSignal.any([signal, deadline.signal]));
    } catch (error) {
      // Out of time is the end of it, also where the driver says so in its own words.
      throw deadline.signal.aborted && !signal.aborted ? deadline.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Until the first item: after it, the consumer has seen a part of the answer. */
  async *list<T>(
    signal: AbortSignal,
    begin: (signal: AbortSignal) => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const { items, first } = await this.call(signal, async (within) => {
      const started = begin(within)[Symbol.asyncIterator]();
      return { items: started, first: await started.next() };
    });
    try {
      for (let item = first; item.done !== true; item = await items.next()) yield item.value;
    } finally {
      await items.return?.();
    }
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#sleep(ms, signal);
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
