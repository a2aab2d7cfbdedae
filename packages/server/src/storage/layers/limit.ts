// Bounds what one storage has to do at once, so that a slow one holds neither all threads nor all
// memory. Short calls, writes and open bodies are bounded apart: two hundred slow readers do not
// hold up a writer. Who comes over the bound waits in order; over the queue's bound it is refused.
//
// A place is held until the driver's call really ended, also when nobody waits for it any more: calls
// that hang use up their bound, and no more than that.

import { OperationalError } from "../../core/errors.ts";
import type { BlobHead, Call, ObjectBody, StorageLayer } from "../../core/ports/storage-driver.ts";
import { forward, forwardParts } from "./forward.ts";
import { layeredBody } from "./layered-body.ts";

export interface LimitOptions {
  /** Calls without a body. */
  readonly callsMax?: number;
  /** Puts and appends, slow clients' among them. */
  readonly writesMax?: number;
  /** Bodies given out and neither consumed nor disposed. */
  readonly bodiesMax?: number;
  /** Waiters of each kind. */
  readonly queueMax?: number;
}

/** The layer; past a queue's bound a call is `overloaded`. */
export const limit =
  (options: LimitOptions = {}): StorageLayer =>
  (inner) => {
    const { callsMax = 64, writesMax = 1024, bodiesMax = 1024, queueMax = 1024 } = options;
    const calls = new Places(callsMax, queueMax);
    const writes = new Places(writesMax, queueMax);
    const bodies = new Places(bodiesMax, queueMax);
    const within = <T>(places: Places, { signal }: Call, run: () => Promise<T>): Promise<T> =>
      places.within(signal, run);
    return forward(inner, {
      put: (key, body, given) => within(writes, given, () => inner.put(key, body, given)),
      get: (key, given) => limitedGet(bodies, given, () => inner.get(key, given)),
      head: (key, call) => within(calls, call, () => inner.head(key, call)),
      delete: (key, call) => within(calls, call, () => inner.delete(key, call)),
      deleteMany: (deleteMany) => (keys, call) => within(calls, call, () => deleteMany(keys, call)),
      probe: (call) => within(calls, call, () => inner.probe(call)),
      list: (prefix, given) => calls.steps(given.signal, () => inner.list(prefix, given)),
      space: (space) => (call) => within(calls, call, () => space(call)),
      concat: (concat) => (from, to, given) => within(writes, given, () => concat(from, to, given)),
      copy: (copy) => (from, to, given) => within(writes, given, () => copy(from, to, given)),
      leftOvers: (leftOvers) => ({
        list: (call) => calls.steps(call.signal, () => leftOvers.list(call)),
        remove: (token, call) => within(calls, call, () => leftOvers.remove(token, call)),
        isRunning: (token) => leftOvers.isRunning(token),
      }),
      parts: (parts) => {
        const { append, copyPart } = parts;
        return forwardParts(parts, {
          create: (key, given) => within(calls, given, () => parts.create(key, given)),
          writePart: (upload, partNumber, bytes, given) =>
            within(writes, given, () => parts.writePart(upload, partNumber, bytes, given)),
          ...(copyPart && {
            copyPart: (upload, partNumber, source, given) =>
              within(writes, given, () => copyPart(upload, partNumber, source, given)),
          }),
          complete: (upload, list, given) =>
            within(calls, given, () => parts.complete(upload, list, given)),
          cancel: (upload, call) => within(calls, call, () => parts.cancel(upload, call)),
          listParts: (upload, call) =>
            calls.steps(call.signal, () => parts.listParts(upload, call)),
          listPending: (prefix, call) =>
            calls.steps(call.signal, () => parts.listPending(prefix, call)),
          ...(append && {
            append: (upload, offset, body, given) =>
              within(writes, given, () => append.call(parts, upload, offset, body, given)),
          }),
        });
      },
    });
  };

interface Waiter {
  readonly enter: () => void;
}

/** A bound and its queue, first come first served. */
class Places {
  readonly #max: number;
  readonly #queueMax: number;
  readonly #queue = new Set<Waiter>();
  #taken = 0;

  constructor(max: number, queueMax: number) {
    this.#max = max;
    this.#queueMax = queueMax;
  }

  /** Resolves with the place; give it back with `leave`. */
  enter(signal: AbortSignal): Promise<void> | undefined {
    signal.throwIfAborted();
    if (this.#taken < this.#max) {
      this.#taken += 1;
      return undefined;
    }
    if (this.#queue.size >= this.#queueMax) {
      const message = `${this.#queueMax} calls wait for the storage already`;
      throw new OperationalError("overloaded", message);
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#queue.delete(waiter);
        reject(signal.reason);
      };
      const waiter = {
        enter: () => {
          signal.removeEventListener("abort", abort);
          resolve();
        },
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#queue.add(waiter);
    });
  }

  /** The next waiter gets the place, or it becomes free. */
  leave(): void {
    for (const waiter of this.#queue) {
      this.#queue.delete(waiter);
      waiter.enter();
      return;
    }
    this.#taken -= 1;
  }

  async within<T>(signal: AbortSignal, run: () => Promise<T>): Promise<T> {
    const waiting = this.enter(signal);
    if (waiting !== undefined) await waiting;
    try {
      return await run();
    } finally {
      this.leave();
    }
  }

  /** A place for each step of a list, none while its consumer works. */
  async *steps<T>(signal: AbortSignal, begin: () => AsyncIterable<T>): AsyncGenerator<T> {
    const items = begin()[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { done, value } = await this.within(signal, async () => await items.next());
        if (done === true) return;
        yield value;
      }
    } finally {
      await items.return?.();
    }
  }
}

async function limitedGet(
  bodies: Places,
  { signal }: Call,
  get: () => Promise<{ head: BlobHead; body: ObjectBody }>,
): Promise<{ head: BlobHead; body: ObjectBody }> {
  const waiting = bodies.enter(signal);
  if (waiting !== undefined) await waiting;
  let left = false;
  const leave = (): void => {
    if (!left) bodies.leave();
    left = true;
  };
  try {
    const { head, body } = await get();
    const leaving: ObjectBody = {
      [Symbol.asyncIterator]: () => body[Symbol.asyncIterator](),
      [Symbol.asyncDispose]: async () => {
        try {
          await body[Symbol.asyncDispose]();
        } finally {
          leave();
        }
      },
    };
    return { head, body: layeredBody(leaving, chunksOf(body, leave)) };
  } catch (error) {
    leave();
    throw error;
  }
}

async function* chunksOf(body: ObjectBody, leave: () => void): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } finally {
    leave();
  }
}
