// Leaves a storage alone that does not answer: after too many failures calls are refused at once for
// a while, so that its requests neither pile up nor wait for a deadline each. Then one call at a time
// may try, and the first answer lets all through again.
//
//   closed --too many failures--> open --time--> half-open --answer--> closed
//                                   ^------------ failure -----'      (each time twice as long)
//
// Only silence counts: `unavailable`, which is also what a timeout becomes. An answer that nobody
// likes (not found, full, wrong bytes) is an answer; a client that leaves or sends nonsense says
// nothing about the storage at all.

import { type ErrorCode, isOperationalError, OperationalError } from "../../core/errors.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import { type Log, silentLog } from "../../core/ports/log.ts";
import { type Meter, silentMeter } from "../../core/ports/meter.ts";
import type {
  BlobHead,
  Body,
  BreakerState,
  ObjectBody,
  StorageLayer,
} from "../../core/ports/storage-driver.ts";
import { forward, forwardParts } from "./forward.ts";
import { layeredBody } from "./layered-body.ts";

export interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly failuresMax?: number;
  /** Or this share of failures … */
  readonly failureShareMax?: number;
  /** … of at least so many calls … */
  readonly callsMin?: number;
  /** … in one to two times this long. */
  readonly windowMs?: number;
  /** The first wait; each failed trial doubles it. */
  readonly openMsMin?: number;
  readonly openMsMax?: number;
  /** A trial without an outcome for so long no longer keeps others from trying. */
  readonly trialMsMax?: number;
  readonly clock?: Clock;
  readonly meter?: Meter;
  readonly log?: Log;
}

/** Codes by which a storage shows that it is there. */
const answers: ReadonlySet<ErrorCode> = new Set([
  "object_not_found",
  "upload_not_found",
  "bucket_not_found",
  "already_exists",
  "precondition_failed",
  "range_unsatisfiable",
  "invalid_part",
  "offset_mismatch",
  "access_denied",
  "data_damaged",
  "storage_full",
  "quota_exceeded",
  "unsupported",
]);

/** Neither for nor against the storage: the caller left, or its body failed. */
type Outcome = "answered" | "failed" | "unknown";
type Settle = (outcome: Outcome) => void;

/** The layer. What it refuses is `unavailable` with `breaker: "open"` in its context. */
export const breaker =
  (options: BreakerOptions = {}): StorageLayer =>
  (inner) => {
    const guard = new Breaker(inner.id, options);
    return forward(inner, {
      breaker: () => guard.state,
      put: (key, body, given) =>
        guard.write(body, given.signal, (passing) => inner.put(key, passing, given)),
      get: (key, given) => guard.get(given.signal, () => inner.get(key, given)),
      head: (key, call) => guard.run(call.signal, () => inner.head(key, call)),
      delete: (key, call) => guard.run(call.signal, () => inner.delete(key, call)),
      probe: (call) => guard.run(call.signal, () => inner.probe(call)),
      list: (prefix, given) => guard.list(given.signal, () => inner.list(prefix, given)),
      space: (space) => (call) => guard.run(call.signal, () => space(call)),
      copy: (copy) => (from, to, given) => guard.run(given.signal, () => copy(from, to, given)),
      leftOvers: (leftOvers) => ({
        list: (call) => guard.list(call.signal, () => leftOvers.list(call)),
        remove: (token, call) => guard.run(call.signal, () => leftOvers.remove(token, call)),
      }),
      parts: (parts) => {
        const { append } = parts;
        return forwardParts(parts, {
          create: (key, given) => guard.run(given.signal, () => parts.create(key, given)),
          writePart: (upload, partNumber, bytes, given) =>
            guard.run(given.signal, () => parts.writePart(upload, partNumber, bytes, given)),
          complete: (upload, list, given) =>
            guard.run(given.signal, () => parts.complete(upload, list, given)),
          cancel: (upload, call) => guard.run(call.signal, () => parts.cancel(upload, call)),
          listParts: (upload, call) => guard.list(call.signal, () => parts.listParts(upload, call)),
          listPending: (prefix, call) =>
            guard.list(call.signal, () => parts.listPending(prefix, call)),
          ...(append && {
            append: (upload, offset, body, given) =>
              guard.write(body, given.signal, (passing) =>
                append.call(parts, upload, offset, passing, given),
              ),
          }),
        });
      },
      [Symbol.asyncDispose]: async () => {
        guard.stop();
        await inner[Symbol.asyncDispose]();
      },
    });
  };

/** Whether the breaker refused the call, without asking the storage: trying again soon is in vain. */
export function isRefusedByBreaker(error: unknown): boolean {
  return isOperationalError(error, "unavailable") && error.context.breaker === "open";
}

class Breaker {
  readonly #storageId: string;
  readonly #options: Required<Omit<BreakerOptions, "clock" | "meter" | "log">>;
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #log: Log;
  /** Calls that began before the last change of state no longer count. */
  #generation = 0;
  #inARow = 0;
  readonly #window: Window;
  #open: { readonly until: number; readonly ms: number } | undefined;
  #trial: { readonly until: number } | undefined;

  constructor(storageId: string, options: BreakerOptions) {
    const { clock = systemClock, meter = silentMeter, log = silentLog, ...given } = options;
    this.#storageId = storageId;
    this.#clock = clock;
    this.#meter = meter;
    this.#log = log;
    this.#options = {
      failuresMax: 5,
      failureShareMax: 0.5,
      callsMin: 20,
      windowMs: 10_000,
      openMsMin: 5_000,
      openMsMax: 60_000,
      trialMsMax: 30_000,
      ...given,
    };
    this.#window = new Window(this.#options.windowMs);
  }

  get state(): BreakerState {
    if (this.#open === undefined) return "closed";
    return this.#clock.monotonicMs() < this.#open.until ? "open" : "half-open";
  }

  async run<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    const settle = this.#enter();
    try {
      const result = await call();
      settle("answered");
      return result;
    } catch (error) {
      settle(judge(error, signal));
      throw error;
    }
  }

  async write<T>(body: Body, signal: AbortSignal, call: (body: Body) => Promise<T>): Promise<T> {
    const settle = this.#enter();
    // The body may come from another storage: its silence is not this one's.
    let sourceFailed = false;
    const failed = (): void => {
      sourceFailed = true;
    };
    const passing: Body = {
      [Symbol.asyncIterator]() {
        const source = body[Symbol.asyncIterator]();
        return {
          next() {
            const item = source.next();
            item.then(undefined, failed);
            return item;
          },
          return: async () => (await source.return?.()) ?? { done: true, value: undefined },
        };
      },
    };
    try {
      const result = await call(passing);
      settle("answered");
      return result;
    } catch (error) {
      settle(sourceFailed ? "unknown" : judge(error, signal));
      throw error;
    }
  }

  /** Opening is not yet an answer: a mount that hangs opens files and reads nothing. */
  async get(
    signal: AbortSignal,
    call: () => Promise<{ head: BlobHead; body: ObjectBody }>,
  ): Promise<{ head: BlobHead; body: ObjectBody }> {
    const settle = this.#enter();
    try {
      const { head, body } = await call();
      return { head, body: watchedBody(body, { settle, signal }) };
    } catch (error) {
      settle(judge(error, signal));
      throw error;
    }
  }

  async *list<T>(signal: AbortSignal, begin: () => AsyncIterable<T>): AsyncGenerator<T> {
    const settle = this.#enter();
    let answered = false;
    try {
      for await (const item of begin()) {
        if (!answered) settle("answered");
        answered = true;
        yield item;
      }
      if (!answered) settle("answered");
    } catch (error) {
      settle(judge(error, signal));
      throw error;
    } finally {
      settle("unknown");
    }
  }

  /** The storage is closed: what is shown of it is not "open" for ever. */
  stop(): void {
    if (this.#open !== undefined) this.#gauge(-1);
    this.#open = undefined;
    this.#generation += 1;
  }

  #enter(): Settle {
    if (this.#open === undefined) {
      const generation = this.#generation;
      return (outcome) => this.#count(generation, outcome);
    }
    const now = this.#clock.monotonicMs();
    const tried = this.#trial !== undefined && now < this.#trial.until;
    if (now < this.#open.until || tried) throw this.#refusal();
    const trial = { until: now + this.#options.trialMsMax };
    this.#trial = trial;
    return (outcome) => this.#endTrial(trial, outcome);
  }

  #count(generation: number, outcome: Outcome): void {
    if (outcome === "unknown" || generation !== this.#generation) return;
    const failed = outcome === "failed";
    this.#inARow = failed ? this.#inARow + 1 : 0;
    const { calls, failures } = this.#window.add(failed, this.#clock.monotonicMs());
    if (!failed) return;
    const { failuresMax, failureShareMax, callsMin, openMsMin } = this.#options;
    const share = calls >= callsMin && failures >= calls * failureShareMax;
    if (this.#inARow >= failuresMax || share) this.#setOpen(openMsMin);
  }

  #endTrial(trial: { readonly until: number }, outcome: Outcome): void {
    if (this.#trial !== trial || this.#open === undefined) return;
    this.#trial = undefined;
    if (outcome === "answered") this.#setClosed();
    if (outcome === "failed") {
      this.#setOpen(Math.min(this.#options.openMsMax, this.#open.ms * 2));
    }
  }

  #setOpen(ms: number): void {
    if (this.#open === undefined) {
      this.#gauge(1);
      this.#meter.count("storage_breaker_opened_total", 1, { storage: this.#storageId });
      this.#log.warn({ storageId: this.#storageId, ms }, "a storage does not answer: left alone");
    }
    this.#open = { until: this.#clock.monotonicMs() + ms, ms };
    this.#generation += 1;
  }

  #setClosed(): void {
    this.#gauge(-1);
    this.#log.info({ storageId: this.#storageId }, "a storage answers again");
    this.#open = undefined;
    this.#generation += 1;
    this.#inARow = 0;
    this.#window.clear();
  }

  #gauge(change: 1 | -1): void {
    this.#meter.gauge("storage_breaker_open", change, { storage: this.#storageId });
  }

  #refusal(): OperationalError {
    this.#meter.count("storage_breaker_refused_total", 1, { storage: this.#storageId });
    return new OperationalError(
      "unavailable",
      "the storage did not answer lately and is left alone for a while",
      { context: { storageId: this.#storageId, breaker: "open" } },
    );
  }
}

/** Calls and failures of this window and the one before: old ones go without a timer. */
class Window {
  readonly #ms: number;
  #beganAt = Number.NEGATIVE_INFINITY;
  #now = { calls: 0, failures: 0 };
  #before = { calls: 0, failures: 0 };

  constructor(ms: number) {
    this.#ms = ms;
  }

  add(failed: boolean, at: number): { readonly calls: number; readonly failures: number } {
    const age = at - this.#beganAt;
    if (age >= this.#ms) {
      this.#before = age < 2 * this.#ms ? this.#now : { calls: 0, failures: 0 };
      this.#now = { calls: 0, failures: 0 };
      this.#beganAt = at;
    }
    this.#now.calls += 1;
    if (failed) this.#now.failures += 1;
    return {
      calls: this.#now.calls + this.#before.calls,
      failures: this.#now.failures + this.#before.failures,
    };
  }

  clear(): void {
    this.#beganAt = Number.NEGATIVE_INFINITY;
    this.#now = { calls: 0, failures: 0 };
  }
}

function judge(error: unknown, signal: AbortSignal): Outcome {
  if (signal.aborted || !isOperationalError(error)) return "unknown";
  if (error.code === "unavailable") return "failed";
  return answers.has(error.code) ? "answered" : "unknown";
}

/** The first chunk, or the end, is the answer; a failure after it counts by itself. */
function watchedBody(
  body: ObjectBody,
  { settle, signal }: { readonly settle: Settle; readonly signal: AbortSignal },
): ObjectBody {
  const chunks = body[Symbol.asyncIterator]();
  let answered = false;
  const onItem = (): void => {
    if (!answered) settle("answered");
    answered = true;
  };
  const onError = (error: unknown): void => settle(judge(error, signal));
  const next = (): Promise<IteratorResult<Uint8Array>> => {
    const item = chunks.next();
    item.then(onItem, onError);
    return item;
  };
  const watched: ObjectBody = {
    [Symbol.asyncIterator]: () => chunks,
    [Symbol.asyncDispose]: async () => {
      settle("unknown");
      await body[Symbol.asyncDispose]();
    },
  };
  return layeredBody(watched, { next });
}
