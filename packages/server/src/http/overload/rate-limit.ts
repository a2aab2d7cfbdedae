/** How often each of many may ask: a bucket of tokens for each, which holds those of one second, and one at least. */

/** Names that are remembered; those that asked least recently are forgotten, which costs them nothing. */
const namesMax = 20_000;

interface Bucket {
  tokens: number;
  atMs: number;
}

export class RateLimit {
  readonly perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(perSecond: number) {
    this.perSecond = perSecond;
    this.#burst = Math.max(1, perSecond);
  }

  /** 0 when it may; else the milliseconds until it might. */
  take(name: string, nowMs: number): number {
    const bucket = this.#buckets.get(name) ?? { tokens: this.#burst, atMs: nowMs };
    // Last in the order of the map: asked most recently.
    this.#buckets.delete(name);
    if (this.#buckets.size >= namesMax) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    this.#buckets.set(name, bucket);
    const elapsedMs = Math.max(0, nowMs - bucket.atMs);
    bucket.tokens = Math.min(this.#burst, bucket.tokens + (elapsedMs / 1000) * this.perSecond);
    bucket.atMs = nowMs;
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return 0;
    }
    return ((1 - bucket.tokens) / this.perSecond) * 1000;
  }
}
