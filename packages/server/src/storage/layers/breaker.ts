// Leaves a storage alone that does not answer: after too many failures calls are refused at once for
// a while, so that its requests neither pile up nor wait for a deadline each. Then one call at a time
// may try, and the first answer lets all through again.
//
// Writes are judged by themselves as well, for a mount may be read-only and a quorum lost: where only
// writes fail, only writes are refused. A read that fails speaks of the whole storage, and refuses
// both; a write that is answered speaks for it. A write takes part in both judgements, but its failure
// counts for writes alone.
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
import { Breaker, type BreakerLimits, type Outcome, type Settle } from "./breaker-state.ts";
import { forward, forwardParts } from "./forward.ts";
import { layeredBody } from "./layered-body.ts";

/** Limits are of each judgement. */
export interface BreakerOptions extends Partial<BreakerLimits> {
  readonly clock?: Clock;
  readonly meter?: Meter;
  readonly log?: Log;
}

const limitsDefault: BreakerLimits = {
  failuresMax: 5,
  failureShareMax: 0.5,
  callsMin: 20,
  windowMs: 10_000,
  openMsMin: 5_000,
  openMsMax: 60_000,
  trialMsMax: 30_000,
};

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

/** The layer. What it refuses is `unavailable` with `breaker: "open"` in its context. */
export const breaker =
  (options: BreakerOptions = {}): StorageLayer =>
  (inner) => {
    const guard = new Guard(inner.id, options);
    return forward(inner, {
      breaker: () => guard.state,
      put: (key, body, given) =>
        guard.write(body, given.signal, (passing) => inner.put(key, passing, given)),
      get: (key, given) => guard.get(given.signal, () => inner.get(key, given)),
      head: (key, call) => guard.run(call.signal, () => inner.head(key, call)),
      delete: (key, call) => guard.change(call.signal, () => inner.delete(key, call)),
      deleteMany: (deleteMany) => (keys, call) =>
        guard.change(call.signal, () => deleteMany(keys, call)),
      probe: (call) => guard.run(call.signal, () => inner.probe(call)),
      list: (prefix, given) => guard.list(given.signal, () => inner.list(prefix, given)),
      space: (space) => (call) => guard.run(call.signal, () => space(call)),
      concat: (concat) => (from, to, given) =>
        guard.change(given.signal, () => concat(from, to, given)),
      copy: (copy) => (from, to, given) => guard.change(given.signal, () => copy(from, to, given)),
      leftOvers: (leftOvers) => ({
        list: (call) => guard.list(call.signal, () => leftOvers.list(call)),
        remove: (token, call) => guard.change(call.signal, () => leftOvers.remove(token, call)),
        isRunning: (token) => leftOvers.isRunning(token),
      }),
      parts: (parts) => {
        const { append, copyPart } = parts;
        return forwardParts(parts, {
          create: (key, given) => guard.change(given.signal, () => parts.create(key, given)),
          writePart: (upload, partNumber, bytes, given) =>
            guard.change(given.signal, () => parts.writePart(upload, partNumber, bytes, given)),
          ...(copyPart && {
            copyPart: (upload, partNumber, source, given) =>
              guard.change(given.signal, () => copyPart(upload, partNumber, source, given)),
          }),
          complete: (upload, list, given) =>
            guard.change(given.signal, () => parts.complete(upload, list, given)),
          cancel: (upload, call) => guard.change(call.signal, () => parts.cancel(upload, call)),
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

class Guard {
  readonly #storageId: string;
  readonly #meter: Meter;
  readonly #all: Breaker;
  readonly #writes: Breaker;
  #openCount = 0;

  constructor(storageId: string, options: BreakerOptions) {
    const { clock = systemClock, meter = silentMeter, log = silentLog, ...given } = options;
    this.#storageId = storageId;
    this.#meter = meter;
    const limits = { ...limitsDefault, ...given };
    const breaker = (leftAlone: string, back: string): Breaker =>
      new Breaker(limits, clock, {
        opened: (ms, { message }) => {
          this.#countOpen(1);
          meter.count("storage_breaker_opened_total", 1, { storage: storageId });
          log.warn({ storageId, ms, failure: message }, leftAlone);
        },
        closed: (why) => {
          this.#countOpen(-1);
          if (why === "answered") log.info({ storageId }, back);
        },
      });
    this.#all = breaker("a storage does not answer: left alone", "a storage answers again");
    this.#writes = breaker(
      "a storage does not take writes: it gets none for a while",
      "a storage takes writes again",
    );
  }

  /** Of the judgement that refuses more: one that takes no writes is not "closed". */
  get state(): BreakerState {
    const states = [this.#all.state, this.#writes.state];
    return states.find((state) => state === "open") ?? states.find(isNotClosed) ?? "closed";
  }

  /** For a call that changes nothing. */
  async run<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    return await this.#judged(this.#enter(), signal, call);
  }

  async change<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    return await this.#judged(this.#enterToWrite(), signal, call);
  }

  /** For a call that changes something, with a body. */
  async write<T>(body: Body, signal: AbortSignal, call: (body: Body) => Promise<T>): Promise<T> {
    const settle = this.#enterToWrite();
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

  stop(): void {
    this.#all.stop();
    this.#writes.stop();
  }

  async #judged<T>(settle: Settle, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    try {
      const result = await call();
      settle("answered");
      return result;
    } catch (error) {
      settle(judge(error, signal));
      throw error;
    }
  }

  #enter(): Settle {
    const settle = this.#all.enter();
    if (settle !== undefined) return settle;
    throw this.#refusal(
      "the storage did not answer lately and is left alone for a while",
      this.#all,
    );
  }

  #enterToWrite(): Settle {
    const settleAll = this.#enter();
    const settleWrites = this.#writes.enter();
    if (settleWrites === undefined) {
      settleAll("unknown");
      const message = "the storage took no writes lately and gets none for a while";
      throw this.#refusal(message, this.#writes);
    }
    return (outcome) => {
      settleAll(outcome === "answered" ? outcome : "unknown");
      settleWrites(outcome);
    };
  }

  #countOpen(change: 1 | -1): void {
    const before = Math.min(1, this.#openCount);
    this.#openCount += change;
    const moved = Math.min(1, this.#openCount) - before;
    if (moved !== 0) this.#meter.gauge("storage_breaker_open", moved, { storage: this.#storageId });
  }

  #refusal(message: string, { failure }: Breaker): OperationalError {
    this.#meter.count("storage_breaker_refused_total", 1, { storage: this.#storageId });
    const reason = failure === undefined ? "" : ` (${failure.message})`;
    return new OperationalError("unavailable", message + reason, {
      context: { storageId: this.#storageId, breaker: "open" },
    });
  }
}

function isNotClosed(state: BreakerState): boolean {
  return state !== "closed";
}

function judge(error: unknown, signal: AbortSignal): Outcome {
  if (signal.aborted || !isOperationalError(error)) return "unknown";
  if (error.code === "unavailable") return error;
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
