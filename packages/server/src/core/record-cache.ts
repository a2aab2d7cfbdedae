/**
 * Records that every request asks for, kept for a moment. A change is over when no worker answers with what was
 * before: each is told and says that it has forgotten; for one that does not say so, the time is waited after
 * which it has forgotten by itself.
 */
import type { Clock } from "./ports/clock.ts";
import type { Siblings } from "./ports/siblings.ts";

export interface RecordCacheOptions {
  readonly clock: Clock;
  readonly siblings: Siblings;
  /** What the records are; another for each cache. */
  readonly name: string;
  /** How long one is kept. */
  readonly msMax: number;
  /** More than these, and all are forgotten. */
  readonly recordsMax: number;
}

/** Most answer within a few milliseconds. */
const askMsMax = 1_000;

export class RecordCache<Value> {
  readonly #options: RecordCacheOptions;
  readonly #topic: string;
  readonly #kept = new Map<string, { readonly value: Value; readonly until: number }>();
  /** Raised by whatever is forgotten: what was read before may be of before, and is not kept. */
  #generation = 0;

  constructor(options: RecordCacheOptions) {
    this.#options = options;
    this.#topic = `${options.name}.changed`;
    options.siblings.on(this.#topic, (key) => {
      if (typeof key === "string") this.forget(key);
      return true;
    });
  }

  /** Kept, or read now; what is not there is never kept. */
  async get(key: string, read: () => Promise<Value | undefined>): Promise<Value | undefined> {
    const { clock, msMax, recordsMax } = this.#options;
    // Before it is read: from when it may be that another has changed it.
    const now = clock.monotonicMs();
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.until > now) return kept.value;
    const generation = this.#generation;
    const value = await read();
    if (generation !== this.#generation) return value;
    if (value === undefined) {
      this.#kept.delete(key);
      return undefined;
    }
    if (this.#kept.size >= recordsMax) this.#kept.clear();
    this.#kept.set(key, { value, until: now + msMax });
    return value;
  }

  /** Here alone. */
  forget(key: string): void {
    this.#generation += 1;
    this.#kept.delete(key);
  }

  /** Settles as the change does, when it holds in every worker. */
  async changing<T>(key: string, change: () => Promise<T>): Promise<T> {
    try {
      return await change();
    } finally {
      // Failed or not: perhaps it was made, and its answer is lost.
      this.forget(key);
      await this.#forgetElsewhere(key);
    }
  }

  async #forgetElsewhere(key: string): Promise<void> {
    const { siblings, msMax } = this.#options;
    const since = performance.now();
    try {
      await siblings.ask(this.#topic, key, { msMax: Math.min(askMsMax, msMax) });
    } catch {
      const left = Math.max(0, msMax - (performance.now() - since));
      await new Promise((resolve) => setTimeout(resolve, left));
    }
  }
}
