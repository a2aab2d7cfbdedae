/**
 * How far an upload is. What is shown never goes back because something is sent again: it waits until
 * the bytes catch up. Only an upload that begins anew shows 0 again.
 */

/** How far an upload is. */
export interface UploadProgress {
  /** Bytes of the source that have left for the server. */
  readonly bytes: number;
  /** `undefined` while a stream's length is not known. */
  readonly totalBytes: number | undefined;
  /** Smoothed over some seconds; `undefined` until it is known. */
  readonly bytesPerSecond: number | undefined;
  readonly secondsLeft: number | undefined;
}

/** The bytes of one request under way. */
export interface Lane {
  /** So many have left; fewer than before when it is sent again. */
  update(bytes: number): void;
  /** All have arrived. */
  keep(bytes: number): void;
}

const shownMsMin = 50;
const sampleMsMin = 250;
const smoothedMs = 3000;

export interface MeterOptions {
  readonly onProgress?: ((progress: UploadProgress) => void) | undefined;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

export class ProgressMeter {
  totalBytes: number | undefined;
  readonly #onProgress: ((progress: UploadProgress) => void) | undefined;
  readonly #now: () => number;
  #bytes = 0;
  #highest = 0;
  #rate: number | undefined;
  #sample: { readonly at: number; readonly bytes: number };
  #shownAt = Number.NEGATIVE_INFINITY;

  constructor({ onProgress, now = () => performance.now() }: MeterOptions = {}) {
    this.#onProgress = onProgress;
    this.#now = now;
    this.#sample = { at: now(), bytes: 0 };
  }

  /** Bytes that have left and were not lost, which a retry makes fewer. */
  get bytes(): number {
    return this.#bytes;
  }

  get progress(): UploadProgress {
    const { totalBytes } = this;
    const rate = this.#rate;
    const bytes = totalBytes === undefined ? this.#highest : Math.min(this.#highest, totalBytes);
    const left = totalBytes === undefined ? undefined : totalBytes - bytes;
    const secondsLeft = left === undefined || !rate ? undefined : left / rate;
    return { bytes, totalBytes, bytesPerSecond: rate, secondsLeft };
  }

  lane(): Lane {
    let counted = 0;
    const move = (bytes: number) => {
      this.#bytes += bytes - counted;
      counted = bytes;
      this.#moved();
    };
    return { update: move, keep: move };
  }

  /** These are there already. */
  add(bytes: number): void {
    this.#bytes += bytes;
    this.#sample = { at: this.#now(), bytes: this.#bytes };
    this.#highest = Math.max(this.#highest, this.#bytes);
    this.show();
  }

  /** Time passed in which nothing was meant to be sent. */
  rest(): void {
    this.#sample = { at: this.#now(), bytes: this.#bytes };
  }

  /** From the first byte again. Lanes of before must not be used any more. */
  restart(): void {
    this.#bytes = 0;
    this.#highest = 0;
    this.rest();
    this.show();
  }

  show(): void {
    this.#shownAt = this.#now();
    this.#onProgress?.(this.progress);
  }

  #moved(): void {
    const now = this.#now();
    const ms = now - this.#sample.at;
    if (ms >= sampleMsMin) {
      const rate = (Math.max(0, this.#bytes - this.#sample.bytes) / ms) * 1000;
      const weight = 1 - Math.exp(-ms / smoothedMs);
      this.#rate = this.#rate === undefined ? rate : this.#rate + (rate - this.#rate) * weight;
      this.#sample = { at: now, bytes: this.#bytes };
    }
    this.#highest = Math.max(this.#highest, this.#bytes);
    if (now - this.#shownAt >= shownMsMin) this.show();
  }
}
