/**
 * What was acknowledged. Each key has one client, which makes one change at a time, so after an answer it
 * is known what the key holds. After a connection that broke it is one of two, and the key is left alone,
 * unless it is seen to hold the new one: that was committed, and stays.
 */
import { createHash } from "node:crypto";

/** `absent`, or the SHA-256 of the bytes. */
export type State = string;

export const absent: State = "absent";

export function stateOf(bytes: Uint8Array): State {
  return createHash("sha256").update(bytes).digest("hex");
}

/** `undefined`: the connection broke or nothing came in time. */
export type Outcome = { readonly status: number; readonly body: Uint8Array } | undefined;

interface Entry {
  readonly state: State;
  /** What it may have become instead. */
  readonly doubted?: State;
}

export class Ledger {
  readonly #entries = new Map<string, Entry>();
  /** What must never happen, in the order in which it was seen. */
  readonly violations: string[] = [];
  acknowledged = 0;
  refused = 0;
  unknown = 0;

  possible(key: string): readonly State[] {
    const { state, doubted } = this.#entry(key);
    return doubted === undefined ? [state] : [state, doubted];
  }

  /** Only such a key is changed again. */
  isSettled(key: string): boolean {
    return this.#entry(key).doubted === undefined;
  }

  /** It holds an object for sure. */
  isPresent(key: string): boolean {
    return this.isSettled(key) && this.#entry(key).state !== absent;
  }

  /** What came of a change to this state. */
  settle(key: string, state: State, outcome: Outcome): "acknowledged" | "refused" | "unknown" {
    if (outcome === undefined || isUnknown(outcome)) {
      this.doubt(key, state);
      return "unknown";
    }
    if (outcome.status < 300) {
      this.acknowledge(key, state);
      return "acknowledged";
    }
    // A failure was answered: the change has not happened, and must not happen later.
    this.refused += 1;
    return "refused";
  }

  acknowledge(key: string, state: State): void {
    this.acknowledged += 1;
    this.#entries.set(key, { state });
  }

  /** Nobody told what became of it. */
  doubt(key: string, doubted: State): void {
    this.unknown += 1;
    const { state } = this.#entry(key);
    this.#entries.set(key, state === doubted ? { state } : { state, doubted });
  }

  /** What a whole answer showed. */
  see(key: string, state: State, how: string): void {
    const entry = this.#entry(key);
    if (state === entry.doubted) this.#entries.set(key, { state });
    else if (state !== entry.state) {
      const possible = this.possible(key).join(" or ");
      this.violate(`${how} ${key} showed ${state}, possible is ${possible}`);
    }
  }

  violate(what: string): void {
    this.violations.push(`${new Date().toISOString()} ${what}`);
  }

  #entry(key: string): Entry {
    return this.#entries.get(key) ?? { state: absent };
  }
}

/** No answer, or the one failure that does not promise that nothing happened, docs/deadlines.md. */
export function isUnknown(outcome: Outcome): boolean {
  if (outcome === undefined) return true;
  const isFailure = outcome.status >= 500;
  return isFailure && Buffer.from(outcome.body).includes("whether it took effect is not known");
}
