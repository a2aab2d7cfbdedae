/**
 * How fast one access key may begin uploads: a bucket of tokens for each, refilled with time. Each worker of a
 * server has its share of the rate, so that together they stay within it.
 */
import { OperationalError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";

/** More keys than these at a time, and the ones that rested are forgotten. */
const ownersMax = 10_000;

export class CreateRate {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #clock: Clock;
  readonly #owners = new Map<string, { tokens: number; atMs: number }>();

  constructor(options: {
    readonly perSecond: number;
    readonly clock: Clock;
    /** Workers of the server, which share it; left out: 1. */
    readonly workers?: number | undefined;
  }) {
    this.#perSecond = options.perSecond / (options.workers ?? 1);
    this.#burst = Math.max(1, this.#perSecond * 2);
    this.#clock = options.clock;
  }

  /** `rate_limited`, with the seconds after which one more may be begun. */
  take(owner: string): void {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#owners.get(owner) ?? { tokens: this.#burst, atMs: nowMs };
    const refilled = before.tokens + ((nowMs - before.atMs) / 1000) * this.#perSecond;
    const tokens = Math.min(this.#burst, refilled);
    if (tokens < 1) {
      const seconds = Math.ceil((1 - tokens) / this.#perSecond);
      const message = `more than ${this.#perSecond} uploads a second were begun with this key`;
      throw new OperationalError("rate_limited", message, {
        context: { uploadsPerSecondMax: this.#perSecond, retryAfterSeconds: seconds },
      });
    }
    if (this.#owners.size >= ownersMax) this.#forgetRested(nowMs);
    this.#owners.set(owner, { tokens: tokens - 1, atMs: nowMs });
  }

  #forgetRested(nowMs: number): void {
    const restMs = (this.#burst / this.#perSecond) * 1000;
    for (const [owner, { atMs }] of this.#owners) {
      if (nowMs - atMs >= restMs) this.#owners.delete(owner);
    }
  }
}
