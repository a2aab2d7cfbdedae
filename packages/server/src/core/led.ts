/**
 * Background work that one worker of a server does for all: started when this worker comes to lead, stopped when
 * it begins to stop, or when it is disposed. Another leads once everything here has ended.
 */
import type { Log } from "./ports/log.ts";
import type { Siblings } from "./ports/siblings.ts";

export interface LedOptions {
  readonly siblings: Siblings;
  readonly log: Log;
  /** Starts it; what is answered is disposed, in the opposite order, and has ended then. */
  readonly start: () => readonly AsyncDisposable[] | Promise<readonly AsyncDisposable[]>;
}

export class Led implements AsyncDisposable {
  readonly #options: LedOptions;
  readonly #closing = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: LedOptions) {
    this.#options = options;
    options.siblings.lead((signal) => {
      this.#running = this.#lead(AbortSignal.any([signal, this.#closing.signal]));
      return this.#running;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #lead(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { log, start } = this.#options;
    try {
      await using stack = new AsyncDisposableStack();
      for (const task of await start()) stack.use(task);
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve(), { once: true });
      });
    } catch (error) {
      log.error({ err: error }, "background work did not start, or did not end well");
    }
  }
}
