/**
 * Requests that come again with one `X-Parse-Request-Id` are done once: a repetition waits for the first, and
 * gets its answer. Kept in memory for five minutes, as parse-server keeps them, and 10,000 at most, the oldest
 * forgotten first; a restart forgets all. What failed is not kept, so that it can be tried again.
 *
 * A repetition may come to another worker: whoever is the first for an id asks the others before he begins. Of
 * two that ask each other the one whose name comes first begins, and the other asks again.
 */
import { OperationalError } from "../../core/errors.ts";
import type { Clock } from "../../core/ports/clock.ts";
import { type Json, noSiblings, type Siblings } from "../../core/ports/siblings.ts";

const keptMs = 5 * 60 * 1000;
const keptMax = 10_000;
export const requestIdCharactersMax = 256;
const topic = "parse.replays";
const askMsMax = 5_000;
/** Between two looks whether another worker is done. */
const lookMs = 100;
/** As long as any request lasts. */
const waitMsMax = 24 * 60 * 60 * 1000;

interface Entry {
  answer: Promise<string>;
  readonly untilMs: number;
  state: "asking" | "working" | { readonly answer: string };
  /** Another worker was let through while this one asked. */
  isLate: boolean;
}

export class Replays {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #siblings: Siblings;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Pick<Clock, "monotonicMs">, siblings = noSiblings()) {
    this.#clock = clock;
    this.#siblings = siblings;
    siblings.on(topic, (id, from) => this.#said(String(id), from));
  }

  /** `id` says who asks for what: `undefined` for a request without an id, which is always done. */
  async once(id: string | undefined, work: () => Promise<string>): Promise<string> {
    if (id === undefined) return await work();
    for (;;) {
      const known = this.#known(id);
      if (known === undefined) break;
      try {
        return await known.answer;
      } catch {
        // It failed for the first; whoever comes now does it himself, one after the other.
        if (this.#entries.get(id) === known) this.#entries.delete(id);
      }
    }
    return await this.#first(id, work);
  }

  #known(id: string): Entry | undefined {
    const known = this.#entries.get(id);
    return known !== undefined && known.untilMs > this.#clock.monotonicMs() ? known : undefined;
  }

  async #first(id: string, work: () => Promise<string>): Promise<string> {
    this.#entries.delete(id);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= keptMax && oldest !== undefined) this.#entries.delete(oldest);
    const entry: Entry = {
      answer: Promise.resolve(""),
      untilMs: this.#clock.monotonicMs() + keptMs,
      state: "asking",
      isLate: false,
    };
    entry.answer = this.#do(id, entry, work);
    this.#entries.set(id, entry);
    try {
      const answer = await entry.answer;
      entry.state = { answer };
      return answer;
    } catch (error) {
      if (this.#entries.get(id) === entry) this.#entries.delete(id);
      throw error;
    }
  }

  async #do(id: string, entry: Entry, work: () => Promise<string>): Promise<string> {
    // So that the entry is found by those who ask meanwhile.
    await Promise.resolve();
    const answer = await this.#elsewhere(id, entry);
    if (answer !== undefined) return answer;
    entry.state = "working";
    return await work();
  }

  /** What another worker has answered, once it has; `undefined` if none does it. `unavailable` if one is silent. */
  async #elsewhere(id: string, entry: Entry): Promise<string | undefined> {
    const until = this.#clock.monotonicMs() + waitMsMax;
    for (;;) {
      entry.isLate = false;
      const answers = await this.#siblings.ask(topic, id, { msMax: askMsMax });
      const said = answers.map(({ answer }) => answer).filter((answer) => answer !== null);
      const [done] = said.flatMap((answer) => (Array.isArray(answer) ? answer : []));
      if (typeof done === "string") return done;
      if (said.length === 0 && !entry.isLate) return undefined;
      if (this.#clock.monotonicMs() > until) {
        throw new OperationalError("unavailable", "another request with this id does not end");
      }
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  }

  /** `null`: not done here; `"wait"`; or the answer, in an array. */
  #said(id: string, from: string): Json {
    const entry = this.#known(id);
    if (entry === undefined) return null;
    if (typeof entry.state === "object") return [entry.state.answer];
    if (entry.state === "asking" && from < this.#siblings.self) {
      entry.isLate = true;
      return null;
    }
    return "wait";
  }
}
