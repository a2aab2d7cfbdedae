// Pulls a body to its end. The pull ends at once when the signal aborts, even while the source hangs;
// the source is told to stop, and what it still delivers is ignored.

import { OperationalError } from "../core/errors.ts";

export interface ReceiveOptions {
  readonly signal: AbortSignal;
  /** Declared: more or fewer bytes are `incomplete_body`. */
  readonly length?: number | undefined;
  /** Takes a chunk; a promise holds back the next pull. */
  readonly take: (chunk: Uint8Array) => Promise<void> | undefined;
}

/** Resolves to the count of bytes. A failing source's own error passes through. */
export function receive(body: AsyncIterable<Uint8Array>, options: ReceiveOptions): Promise<number> {
  const { signal, length = Number.POSITIVE_INFINITY, take } = options;
  if (signal.aborted) return Promise.reject(signal.reason);
  const iterator = body[Symbol.asyncIterator]();
  let stopped = false;
  const stopSource = (): void => {
    stopped = true;
    // A source that hangs answers this late or never, so it is not waited for.
    void Promise.resolve(iterator.return?.()).catch(() => undefined);
  };

  const pump = async (): Promise<number> => {
    let received = 0;
    for (;;) {
      const { done, value } = await iterator.next();
      if (stopped) return received;
      if (done === true) break;
      received += value.length;
      try {
        if (received > length) throw wrongLength("more", length);
        const room = take(value);
        if (room !== undefined) await room;
      } catch (error) {
        stopSource();
        throw error;
      }
      if (stopped) return received;
    }
    if (received < length && length !== Number.POSITIVE_INFINITY)
      throw wrongLength("fewer", length);
    return received;
  };

  return new Promise((resolve, reject) => {
    const abort = (): void => {
      stopSource();
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    pump()
      .finally(() => signal.removeEventListener("abort", abort))
      .then(resolve, reject);
  });
}

function wrongLength(which: "more" | "fewer", length: number): OperationalError {
  return new OperationalError("incomplete_body", `the body has ${which} bytes than ${length}`, {
    context: { length },
  });
}
