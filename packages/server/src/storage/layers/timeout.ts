// Every call on a storage ends. A call has a deadline for its first answer, a get for its first byte; a
// body is judged by progress: while the storage has the bytes and does nothing, time runs, and while the
// client has the word (the source does not yield, the consumer does not pull) it does not. A call that
// hangs is abandoned: its caller gets `unavailable` in time, its late result is disposed.

import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type { Clock } from "../../core/ports/clock.ts";
import { systemClock } from "../../core/ports/clock.ts";
import type {
  BlobHead,
  Body,
  Call,
  GetOptions,
  ObjectBody,
  PutOptions,
  StorageLayer,
} from "../../core/ports/storage-driver.ts";
import { forward, forwardParts } from "./forward.ts";
import { layeredBody } from "./layered-body.ts";

export interface TimeoutOptions {
  /** For a call without a body, and for the first answer of one with a body. */
  readonly answerMs?: number;
  /** Without progress of a body by the storage; also from the body's end to the put's answer. */
  readonly progressMs?: number;
  readonly clock?: Clock;
}

interface Limits {
  readonly answerMs: number;
  readonly progressMs: number;
  readonly clock: Clock;
}

/** The layer. Abandoned calls see their signal abort with the same error. */
export const timeout =
  (options: TimeoutOptions = {}): StorageLayer =>
  (inner) => {
    const { answerMs = 30_000, progressMs = 30_000, clock = systemClock } = options;
    const limits = { answerMs, progressMs, clock };
    const simple = <T>(call: Call, run: (call: Call) => Promise<T>): Promise<T> =>
      new Watch(call.signal, limits).end((signal) => run({ signal }));
    return forward(inner, {
      put: (key, body, given) =>
        withBody(limits, body, given, (passing, signal) =>
          inner.put(key, passing, { ...given, signal }),
        ),
      get: (key, given) => watchedGet(limits, given, (call) => inner.get(key, call)),
      head: (key, call) => simple(call, (watched) => inner.head(key, watched)),
      delete: (key, call) => simple(call, (watched) => inner.delete(key, watched)),
      deleteMany: (deleteMany) => (keys, call) =>
        simple(call, (watched) => deleteMany(keys, watched)),
      probe: (call) => simple(call, (watched) => inner.probe(watched)),
      list: (prefix, given) =>
        watchedList(limits, given, (signal) => inner.list(prefix, { ...given, signal })),
      space: (space) => (call) => simple(call, space),
      copy: (copy) => (from, to, given) => {
        const watch = new Watch(given.signal, limits);
        const onProgress = (): void => watch.start(progressMs);
        return watch.end((signal) => copy(from, to, { ...given, signal, onProgress }));
      },
      concat: (concat) => (from, to, given) => {
        const watch = new Watch(given.signal, limits);
        const onProgress = (): void => watch.start(progressMs);
        return watch.end((signal) => concat(from, to, { ...given, signal, onProgress }));
      },
      leftOvers: (leftOvers) => ({
        list: (call) => watchedList(limits, call, (signal) => leftOvers.list({ signal })),
        remove: (token, call) => simple(call, (watched) => leftOvers.remove(token, watched)),
        isRunning: (token) => leftOvers.isRunning(token),
      }),
      bucketCors: (cors) => ({
        ...cors,
        read: (call) => simple(call, (watched) => cors.read(watched)),
        change: (edit, call) => simple(call, (watched) => cors.change(edit, watched)),
        tryOrigin: (origin, call) => simple(call, (watched) => cors.tryOrigin(origin, watched)),
      }),
      parts: (parts) => {
        const { append, copyPart } = parts;
        const watched = <T, O extends Call>(given: O, run: (given: O) => Promise<T>): Promise<T> =>
          new Watch(given.signal, limits).end((signal) => run({ ...given, signal }));
        return forwardParts(parts, {
          create: (key, given) => watched(given, (call) => parts.create(key, call)),
          writePart: (upload, partNumber, bytes, given) =>
            watched(given, (call) => parts.writePart(upload, partNumber, bytes, call)),
          ...(copyPart && {
            copyPart: (upload, partNumber, source, given) =>
              watched(given, (call) => copyPart(upload, partNumber, source, call)),
          }),
          complete: (upload, list, given) =>
            watched(given, (call) => parts.complete(upload, list, call)),
          cancel: (upload, given) => watched(given, (call) => parts.cancel(upload, call)),
          listParts: (upload, given) =>
            watchedList(limits, given, (signal) => parts.listParts(upload, { signal })),
          listPending: (prefix, given) =>
            watchedList(limits, given, (signal) => parts.listPending(prefix, { signal })),
          ...(append && {
            append: (upload, offset, body, given) =>
              withBody(limits, body, given, (passing, signal) =>
                append.call(parts, upload, offset, passing, { signal }),
              ),
          }),
        });
      },
    });
  };

/** Whether a call on the storage had all its time, and ended by that. */
export function isTimedOut(error: unknown): boolean {
  return isOperationalError(error, "unavailable") && error.context.timedOut === true;
}

/**
 * Watches one call. `start` gives the storage the word, `pause` takes it; one timer looks now and then
 * how long the storage has had it, so that a chunk costs no timer.
 */
class Watch {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #clock: Clock;
  readonly #answerMs: number;
  #limitMs: number;
  #since: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lookAt = Number.POSITIVE_INFINITY;
  #fail: ((error: unknown) => void) | undefined;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;

  constructor(outer: AbortSignal, { answerMs, clock }: Limits) {
    this.#outer = outer;
    this.#clock = clock;
    this.#answerMs = answerMs;
    this.#limitMs = answerMs;
    if (outer.aborted) this.#end({ error: outer.reason });
    else outer.addEventListener("abort", this.#abort, { once: true });
  }

  /** Of the call below. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  start(limitMs = this.#answerMs): void {
    if (this.#ended) return;
    const now = this.#clock.monotonicMs();
    this.#limitMs = limitMs;
    this.#since = now;
    if (now + limitMs < this.#lookAt) this.#lookIn(limitMs, now);
  }

  #lookIn(ms: number, now: number): void {
    clearTimeout(this.#timer);
    this.#lookAt = now + ms;
    this.#timer = setTimeout(this.#look, ms);
  }

  /** Answers how long the storage has had the word. */
  pause(): number {
    const ms = this.#since === undefined ? 0 : this.#clock.monotonicMs() - this.#since;
    this.#since = undefined;
    return ms;
  }

  /** Nothing is watched any more. */
  stop(): void {
    this.#ended = true;
    this.#since = undefined;
    clearTimeout(this.#timer);
    this.#outer.removeEventListener("abort", this.#abort);
  }

  /** The promise's result, or the failure of the watch if that comes first. */
  guard<T>(running: Promise<T>, late?: (value: T) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const failure = this.#failure;
      if (failure === undefined) this.#fail = reject;
      else reject(failure.error);
      running.then(
        (value) => {
          if (this.#failure === undefined) resolve(value);
          else late?.(value);
        },
        (error: unknown) => reject(error),
      );
    });
  }

  /** Runs a call to its end. */
  async end<T>(run: (signal: AbortSignal) => Promise<T>, late?: (value: T) => void): Promise<T> {
    try {
      if (this.#failure !== undefined) throw this.#failure.error;
      this.start();
      return await this.guard(run(this.signal), late);
    } finally {
      this.stop();
    }
  }

  readonly #look = (): void => {
    this.#lookAt = Number.POSITIVE_INFINITY;
    // With the client's word nothing is timed; the next `start` sets a timer again.
    if (this.#since === undefined || this.#ended) return;
    const now = this.#clock.monotonicMs();
    const left = this.#since + this.#limitMs - now;
    if (left > 0) {
      this.#lookIn(left, now);
      return;
    }
    const message = `the storage did nothing for ${Math.ceil(this.#limitMs)} ms`;
    this.#end({
      error: new OperationalError("unavailable", message, { context: { timedOut: true } }),
    });
  };

  readonly #abort = (): void => this.#end({ error: this.#outer.reason });

  #end(failure: { readonly error: unknown }): void {
    this.#failure ??= failure;
    this.stop();
    this.#fail?.(this.#failure.error);
    this.#controller.abort(this.#failure.error);
  }
}

function withBody<T extends BlobHead | number>(
  limits: Limits,
  body: Body,
  { signal }: Pick<PutOptions, "signal">,
  run: (body: Body, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const watch = new Watch(signal, limits);
  // The storage has the word but while the source is being pulled.
  const passing: Body = {
    [Symbol.asyncIterator]() {
      const source = body[Symbol.asyncIterator]();
      return {
        async next() {
          watch.pause();
          try {
            return await source.next();
          } finally {
            watch.start(limits.progressMs);
          }
        },
        return: async () => (await source.return?.()) ?? { done: true, value: undefined },
      };
    },
  };
  return watch.end((inner) => run(passing, inner));
}

async function watchedGet(
  limits: Limits,
  options: GetOptions,
  get: (options: GetOptions) => Promise<{ head: BlobHead; body: ObjectBody }>,
): Promise<{ head: BlobHead; body: ObjectBody }> {
  const watch = new Watch(options.signal, limits);
  let answer: { readonly head: BlobHead; readonly body: ObjectBody };
  let answeredMs: number;
  try {
    watch.signal.throwIfAborted();
    watch.start();
    const late = ({ body }: typeof answer): void => abandon(body);
    answer = await watch.guard(get({ ...options, signal: watch.signal }), late);
    answeredMs = watch.pause();
  } catch (error) {
    watch.stop();
    throw error;
  }
  const { head, body } = answer;
  const disposing: ObjectBody = {
    [Symbol.asyncIterator]: () => body[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: async () => {
      watch.stop();
      // Bounded as well: a hung read must not hold whoever lets go of the body.
      await new Watch(new AbortController().signal, limits).end(() =>
        Promise.resolve(body[Symbol.asyncDispose]()),
      );
    },
  };
  return {
    head,
    body: layeredBody(disposing, watchedChunks(watch, { ...limits, answeredMs }, body)),
  };
}

async function* watchedChunks(
  watch: Watch,
  { progressMs, answeredMs }: Limits & { readonly answeredMs: number },
  body: ObjectBody,
): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  // Headers are no progress: the first byte has what they left of its time.
  let limitMs = Math.max(1, progressMs - answeredMs);
  try {
    for (;;) {
      watch.start(limitMs);
      limitMs = progressMs;
      const { done, value } = await watch.guard(Promise.resolve(chunks.next()));
      watch.pause();
      if (done === true) return;
      yield value;
    }
  } catch (error) {
    abandon(body);
    throw error;
  } finally {
    watch.stop();
  }
}

async function* watchedList<T>(
  limits: Limits,
  { signal }: Call,
  list: (signal: AbortSignal) => AsyncIterable<T>,
): AsyncGenerator<T> {
  const watch = new Watch(signal, limits);
  watch.signal.throwIfAborted();
  const items = list(watch.signal)[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      watch.start();
      const { done, value } = await watch.guard(Promise.resolve(items.next()));
      watch.pause();
      if (done === true) {
        ended = true;
        return;
      }
      yield value;
    }
  } finally {
    watch.stop();
    // An iterator that hangs in a call would answer this only after it: nobody waits.
    if (!ended) Promise.resolve(items.return?.()).catch(() => undefined);
  }
}

/** Frees a body in its own time. */
function abandon(body: ObjectBody): void {
  Promise.resolve(body[Symbol.asyncDispose]()).catch(() => undefined);
}
