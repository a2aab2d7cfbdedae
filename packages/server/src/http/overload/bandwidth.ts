/**
 * Bytes in each second, of all that flows one way. Whoever has bytes asks before it moves them and is told how
 * long to wait: so chunks of all bodies take turns in the order in which they asked.
 */
import { setTimeout as delay } from "node:timers/promises";

/** A body up to this never waits. */
const smallBytesMax = 64 * 1024;

/** What may pass at once after a pause. */
const burstMs = 50;

export class Bandwidth {
  readonly #now: () => number;
  readonly #waited: (ms: number) => void;
  #bytesPerMs: number;
  /** When all that was promised has passed. */
  #freeAtMs = 0;
  /** Since it was read last. */
  #bytes = 0;

  constructor(options: {
    readonly bytesPerSecond: number;
    readonly now: () => number;
    readonly waited?: (ms: number) => void;
  }) {
    this.#bytesPerMs = options.bytesPerSecond / 1000;
    this.#now = options.now;
    this.#waited = options.waited ?? (() => {});
  }

  get bytesPerSecond(): number {
    return this.#bytesPerMs * 1000;
  }

  /** From the next chunk on. */
  set bytesPerSecond(bytes: number) {
    this.#bytesPerMs = bytes / 1000;
  }

  /** Bytes that were asked for since the last time. */
  demand(): number {
    const bytes = this.#bytes;
    this.#bytes = 0;
    return bytes;
  }

  /** Milliseconds after which these bytes may pass; 0 for at once. */
  take(bytes: number): number {
    const now = this.#now();
    this.#bytes += bytes;
    this.#freeAtMs = Math.max(this.#freeAtMs, now - burstMs) + bytes / this.#bytesPerMs;
    const waitMs = this.#freeAtMs - now;
    return waitMs < 1 ? 0 : waitMs;
  }

  /**
   * Waits until these bytes of a body may pass; a small body counts and does not wait. Rejects with the
   * signal's reason.
   */
  async pass(
    bytes: number,
    {
      signal,
      bodyBytes,
    }: { readonly signal: AbortSignal; readonly bodyBytes?: number | undefined },
  ): Promise<void> {
    const waitMs = this.take(bytes);
    if (waitMs === 0 || (bodyBytes !== undefined && bodyBytes <= smallBytesMax)) return;
    this.#waited(waitMs);
    await delay(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
