/** One deadline that is started and stopped many times without making a timer each time. */

export class Watch {
  #timer: NodeJS.Timeout | undefined;
  #ms = 0;
  #onExpired: (() => void) | undefined;

  /** Calls `onExpired` after `ms`, unless stopped or started again before. */
  start(ms: number, onExpired: () => void): void {
    this.#onExpired = onExpired;
    if (this.#timer !== undefined && this.#ms === ms) {
      this.#timer.refresh();
      return;
    }
    clearTimeout(this.#timer);
    this.#ms = ms;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const expired = this.#onExpired;
      this.#onExpired = undefined;
      expired?.();
    }, ms);
    this.#timer.unref();
  }

  /** Nothing is waited for now. The timer itself is kept, to be refreshed by the next start. */
  stop(): void {
    this.#onExpired = undefined;
  }

  /** Stops for good. */
  end(): void {
    this.stop();
    clearTimeout(this.#timer);
  }
}
