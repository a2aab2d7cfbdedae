/** How long a worker that died waits for its successor: longer each time, never the same for all. */

const firstMs = 200;
const mostMs = 30_000;
/** Who worked for so long was healthy: its death is the first again. */
export const healthyMs = 60_000;

export class BackOff {
  readonly #random: () => number;
  #deaths = 0;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Milliseconds to wait after a death; `workedMs` is how long it had been ready, 0 if never. */
  afterDeath(workedMs: number): number {
    if (workedMs >= healthyMs) this.#deaths = 0;
    const whole = Math.min(mostMs, firstMs * 2 ** this.#deaths);
    this.#deaths += 1;
    // At least half, so that it grows; the rest by chance, so that workers do not come all at once.
    return whole / 2 + (whole / 2) * this.#random();
  }
}
