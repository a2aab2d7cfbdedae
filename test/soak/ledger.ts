/**
 * What was acknowledged. Each key has one client, which makes one change at a time, so after an answer it
 * is known what the key holds; after a connection that broke it is one of two, and the key is left alone.
 */
import { createHash } from "node:crypto";

/** `absent`, or the SHA-256 of the bytes. */
export type State = string;

export const absent: State = "absent";

export function stateOf(bytes: Uint8Array): State {
  return createHash("sha256").update(bytes).digest("hex");
}

export class Ledger {
  readonly #states = new Map<string, Set<State>>();
  /** What must never happen, in the order in which it was seen. */
  readonly violations: string[] = [];
  acknowledged = 0;
  refused = 0;
  unknown = 0;

  /** Keys that were ever written. */
  get keys(): readonly string[] {
    return [...this.#states.keys()];
  }

  possible(key: string): ReadonlySet<State> {
    return this.#states.get(key) ?? new Set([absent]);
  }

  /** Only such a key is changed again. */
  isSettled(key: string): boolean {
    return this.possible(key).size === 1;
  }

  acknowledge(key: string, state: State): void {
    this.acknowledged += 1;
    this.#states.set(key, new Set([state]));
  }

  /** A failure was answered: the change has not happened, and must not happen later. */
  refuse(): void {
    this.refused += 1;
  }

  /** Nobody told what became of it. */
  doubt(key: string, state: State): void {
    this.unknown += 1;
    this.#states.set(key, new Set([...this.possible(key), state]));
  }

  /** What a whole answer showed. */
  see(key: string, state: State, how: string): void {
    const possible = this.possible(key);
    if (possible.has(state)) return;
    this.violate(`${how} ${key} showed ${state}, possible is ${[...possible].join(" or ")}`);
  }

  violate(what: string): void {
    this.violations.push(`${new Date().toISOString()} ${what}`);
  }
}
