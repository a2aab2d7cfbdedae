/** How many uploads of a client run at once; the others wait for their turn. */

export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves when it is one's turn. */
  take(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#free > 0) {
        this.#free -= 1;
        resolve();
      } else {
        this.#waiting.push(resolve);
      }
    });
  }

  /** Goes on without waiting: the next ones wait the longer. */
  force(): void {
    this.#free -= 1;
  }

  /** The turn is over. */
  give(): void {
    this.#free += 1;
    if (this.#free <= 0) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#free -= 1;
    next();
  }
}
