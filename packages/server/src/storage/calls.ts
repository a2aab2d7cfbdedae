// Counts the running calls of a driver, so that disposing it drains them before it closes.

import { OperationalError } from "../core/errors.ts";

/** Runs and counts calls; once it is closed, none begins. */
export class Calls {
  #running = 0;
  #closed = false;
  #drained: (() => void) | undefined;

  async run<T>(call: () => Promise<T>): Promise<T> {
    this.throwIfClosed();
    this.#running += 1;
    try {
      return await call();
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#drained?.();
    }
  }

  throwIfClosed(): void {
    if (this.#closed) throw new OperationalError("unavailable", "the storage was closed");
  }

  /** Resolves when the last running call has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }
}
