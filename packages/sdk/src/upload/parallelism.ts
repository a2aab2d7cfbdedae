/**
 * How many parts go at once: climbs while more of them move more bytes, steps back when they do not,
 * halves when the network or the storage fails. Looks up again from time to time.
 */

const partsMax = 6;
const windowMsMin = 1000;
const better = 1.1;
const worse = 0.85;
// Windows at one level before it is tried whether more pays by now.
const restingWindows = 8;

export class Parallelism {
  #limit = 2;
  readonly #max: number;
  readonly #now: () => number;
  #window: { readonly at: number; readonly bytes: number } | undefined;
  #parts = 0;
  #rate: number | undefined;
  #resting = 0;

  constructor({ max = partsMax, now = () => performance.now() } = {}) {
    this.#max = Math.max(1, Math.min(max, partsMax));
    this.#limit = Math.min(this.#limit, this.#max);
    this.#now = now;
  }

  /** Parts that may be under way. */
  get limit(): number {
    return this.#limit;
  }

  /** A part is there; `bytes` is the count of all bytes that have left so far. */
  onPart(bytes: number): void {
    const at = this.#now();
    this.#parts += 1;
    this.#window ??= { at, bytes };
    const ms = at - this.#window.at;
    // Fewer parts than go at once say nothing about how they go together.
    if (ms < windowMsMin || this.#parts < this.#limit) return;
    const rate = (bytes - this.#window.bytes) / ms;
    this.#window = { at, bytes };
    this.#parts = 0;
    this.#judge(rate);
  }

  onFailure(): void {
    this.#limit = Math.max(1, Math.floor(this.#limit / 2));
    this.#window = undefined;
    this.#parts = 0;
    this.#rate = undefined;
    this.#resting = 0;
  }

  #judge(rate: number): void {
    const before = this.#rate;
    this.#rate = rate;
    if (before === undefined || rate > before * better) {
      this.#resting = 0;
      this.#limit = Math.min(this.#max, this.#limit + 1);
    } else if (rate < before * worse) {
      this.#resting = 0;
      this.#limit = Math.max(1, this.#limit - 1);
    } else if (++this.#resting >= restingWindows) {
      this.#resting = 0;
      this.#limit = Math.min(this.#max, this.#limit + 1);
    }
  }
}
