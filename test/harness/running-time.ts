/**
 * Time in which this process runs. A machine that is busy takes a process off its CPU for seconds, and then all of
 * its timers are late at once: an answer that came late on the clock on the wall may have come at once. What must happen
 * "within 300 ms" in this same process is compared with this time instead.
 */
import { setTimeout as delay } from "node:timers/promises";

const stepMs = 10;
/** So much of a pause counts: it may have been this process's own work. */
const pauseMsMax = 50;

export class RunningTime implements Disposable {
  #ms = 0;
  #lookedAt = performance.now();
  readonly #timer = setInterval(() => this.#look(), stepMs).unref();

  /** Since it was made; at most what the clock on the wall says. */
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

/** Resolves after so much of it. */
export async function runningMs(ms: number): Promise<void> {
  using running = new RunningTime();
  while (running.ms < ms) await delay(stepMs);
}

/** How much of it an act takes. */
export async function runningMsOf(act: () => Promise<unknown>): Promise<number> {
  using running = new RunningTime();
  await act();
  return running.ms;
}
