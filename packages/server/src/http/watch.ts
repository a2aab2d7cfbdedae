/**
 * One coarse interval that looks after all requests, instead of timers for each. What is watched
 * is asked now and then whether its time is up; what has ended must be deleted.
 */

/** As much of a clock as durations need. */
export interface MonotonicClock {
  /** Milliseconds that never go backwards. */
  monotonicMs(): number;
}

export interface Watched {
  /** Called about every tick; must not throw. */
  check(nowMs: number): void;
}

/** Holds a timer from the first `add` until `dispose`; the timer keeps no process alive. */
export class Watch implements Disposable {
  readonly clock: MonotonicClock;
  readonly #tickMs: number;
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;
  #disposed = false;

  constructor({ clock, tickMs }: { readonly clock: MonotonicClock; readonly tickMs: number }) {
    this.clock = clock;
    this.#tickMs = tickMs;
  }

  get size(): number {
    return this.#watched.size;
  }

  add(watched: Watched): void {
    this.#watched.add(watched);
    if (this.#timer !== undefined || this.#disposed) return;
    // Judged by the time before the sockets are looked at once more, and after that look: where this process stood
    // still, what came meanwhile is read first, and nobody is ended for a wait that was not his.
    this.#timer = setInterval(() => {
      const nowMs = this.clock.monotonicMs();
      setImmediate(() => this.tick(nowMs));
    }, this.#tickMs);
    this.#timer.unref();
  }

  delete(watched: Watched): void {
    this.#watched.delete(watched);
  }

  /** Asks everything that is watched. The interval calls it; a test with its own clock may too. */
  tick(nowMs = this.clock.monotonicMs()): void {
    for (const watched of this.#watched) watched.check(nowMs);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#watched.clear();
  }
}
