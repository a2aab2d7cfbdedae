/**
 * Work of which one runs at a time for each name, to its end even if nobody waits any more. Who comes while
 * it runs waits, and then does its own, which finds what the other left.
 */
export class OneAtATime {
  readonly #running = new Map<string, Promise<unknown>>();

  /** Rejects with the signal's reason when it is aborted; the work goes on all the same. */
  async run<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    for (;;) {
      const running = this.#running.get(name);
      if (running === undefined) break;
      // What it leaves decides, not how it ended.
      await unlessAborted(running.catch(ignore), signal);
    }
    const done = work().finally(() => this.#running.delete(name));
    this.#running.set(name, done);
    // Its failure is for who waits; perhaps nobody does.
    done.catch(ignore);
    return await unlessAborted(done, signal);
  }
}

/** What is waited for goes on. */
async function unlessAborted<T>(done: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([done, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function ignore(): void {}
