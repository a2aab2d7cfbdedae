// Lets many callers share one run of something that costs, such as the sync of a folder. A caller
// only ever gets a run that began after it asked: one that was already running may have missed it.

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export class SharedRun<T> {
  readonly #run: () => Promise<T>;
  #waiting: Waiter<T>[] = [];
  #running = false;

  constructor(run: () => Promise<T>) {
    this.#run = run;
  }

  /** The result of a run that begins now or later. */
  request(): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#running) void this.#work();
    });
  }

  /** Nobody waits and nothing runs. */
  get idle(): boolean {
    return !this.#running;
  }

  async #work(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        const value = await this.#run();
        for (const waiter of batch) waiter.resolve(value);
      } catch (error) {
        for (const waiter of batch) waiter.reject(error);
      }
    }
    this.#running = false;
  }
}
