/**
 * Requests that come again with one `X-Parse-Request-Id` are done once: a repetition waits for the first, and
 * gets its answer. Kept in memory for five minutes, as parse-server keeps them, and 10,000 at most, the oldest
 * forgotten first; a restart forgets all. What failed is not kept, so that it can be tried again.
 */
import type { Clock } from "../../core/ports/clock.ts";

const keptMs = 5 * 60 * 1000;
const keptMax = 10_000;
export const requestIdCharactersMax = 256;

interface Entry<Answer> {
  readonly answer: Promise<Answer>;
  readonly untilMs: number;
}

export class Replays<Answer = string> {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #entries = new Map<string, Entry<Answer>>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** `id` says who asks for what: `undefined` for a request without an id, which is always done. */
  async once(id: string | undefined, work: () => Promise<Answer>): Promise<Answer> {
    if (id === undefined) return await work();
    for (;;) {
      const known = this.#entries.get(id);
      if (known === undefined || known.untilMs <= this.#clock.monotonicMs()) break;
      try {
        return await known.answer;
      } catch {
        // It failed for the first; whoever comes now does it himself, one after the other.
        if (this.#entries.get(id) === known) this.#entries.delete(id);
      }
    }
    return await this.#first(id, work);
  }

  async #first(id: string, work: () => Promise<Answer>): Promise<Answer> {
    this.#entries.delete(id);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= keptMax && oldest !== undefined) this.#entries.delete(oldest);
    const entry = { answer: work(), untilMs: this.#clock.monotonicMs() + keptMs };
    this.#entries.set(id, entry);
    try {
      return await entry.answer;
    } catch (error) {
      if (this.#entries.get(id) === entry) this.#entries.delete(id);
      throw error;
    }
  }
}
