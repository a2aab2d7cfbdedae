/**
 * How many requests of a class are worked on at once. It falls by a third when both are true of a window: requests that
 * succeeded took longer than the target, and the process itself was late. A storage that is slow does not make
 * the process late: that is bounded by its own limit and breaker, and hurts only its own objects. It
 * grows by a tenth while it is used up and neither is true.
 */

export interface WorkLimitOptions {
  readonly min: number;
  readonly max: number;
  /** For the median of the work of requests that succeeded. */
  readonly targetMs: number;
}

/** Of fewer a median says little. */
const samplesMin = 16;
const samplesMax = 512;

/** Later than this by the median, the event loop has more to do than it can. */
export const lateLoopMs = 20;

export class WorkLimit {
  readonly #options: WorkLimitOptions;
  #samples: number[] = [];
  #usedMost = 0;
  value: number;

  constructor(options: WorkLimitOptions) {
    this.#options = options;
    this.value = options.max;
  }

  /** The work of a request that succeeded, the transfer of its bodies left out. */
  sample(workMs: number): void {
    if (this.#samples.length < samplesMax) this.#samples.push(workMs);
  }

  used(count: number): void {
    if (count > this.#usedMost) this.#usedMost = count;
  }

  /** At the end of a window; `loopLateMs` is how late the event loop was, by the median. */
  adapt(loopLateMs: number): void {
    const { min, max, targetMs } = this.#options;
    if (this.#samples.length >= samplesMin) {
      const sorted = this.#samples.toSorted((one, other) => one - other);
      const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
      const isLate = loopLateMs > lateLoopMs;
      if (isLate && median > targetMs) {
        // What is used counts: from far above it nothing would change for long.
        const used = Math.min(this.value, Math.max(min, this.#usedMost));
        this.value = Math.max(min, Math.floor(used * 0.67));
      } else if (!isLate && this.#usedMost >= this.value * 0.9) {
        this.value = Math.min(max, Math.ceil(this.value * 1.1));
      }
      this.#samples = [];
    } else if (loopLateMs <= lateLoopMs && this.value < max) {
      // Nothing happens: what was learned of the worst is forgotten.
      this.value = Math.min(max, Math.ceil(this.value * 1.05));
    }
    this.#usedMost = 0;
  }
}
