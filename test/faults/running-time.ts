/** How long something took, without what the machine had this process stand still: others run on it too. */

const tickMs = 20;
/** So much of a pause counts: it may have been this process's own work. */
const pauseMsMax = 200;

export class RunningTime implements Disposable {
  #ms = 0;
  #lookedAt = performance.now();
  readonly #timer = setInterval(() => this.#look(), tickMs).unref();

  /** Since it was made. */
  get ms(): number {
    this.#look();
    return this.#ms;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    this.#ms += Math.min(now - this.#lookedAt, pauseMsMax);
    this.#lookedAt = now;
  }
}
