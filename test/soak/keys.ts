/** The keys of one client of the soak, and the bytes that it puts there. */
import type { Random } from "../harness/random.ts";
import type { Ledger } from "./ledger.ts";

const slots = 40;
const sizes = [0, 1, 1_000, 16_384, 70_000, 300_000, 2_000_000];

export class Keys {
  readonly prefix: string;
  readonly #ledger: Ledger;
  readonly #random: Random;
  /** All that were given out. */
  readonly #all = new Set<string>();
  readonly #generations: number[] = Array(slots).fill(0);

  constructor(name: string, ledger: Ledger, random: Random) {
    this.prefix = `${name}/`;
    this.#ledger = ledger;
    this.#random = random;
  }

  get all(): ReadonlySet<string> {
    return this.#all;
  }

  /** To be changed. A key that is in doubt is left alone, and its slot gets another. */
  pick(): string {
    const slot = this.#random.below(slots);
    let generation = this.#generations[slot] ?? 0;
    while (!this.#ledger.isSettled(this.#key(slot, generation))) generation += 1;
    this.#generations[slot] = generation;
    const key = this.#key(slot, generation);
    this.#all.add(key);
    return key;
  }

  /** To be read: those in doubt too. */
  pickAny(): string {
    return this.#all.size === 0 ? this.pick() : this.#random.pick([...this.#all]);
  }

  /** One that holds an object for sure, if there is any. */
  pickPresent(): string | undefined {
    const present = [...this.#all].filter((key) => this.#ledger.isPresent(key));
    return present.length === 0 ? undefined : this.#random.pick(present);
  }

  #key(slot: number, generation: number): string {
    return `${this.prefix}${slot}${generation === 0 ? "" : `.${generation}`}`;
  }
}

/** Of some size, or of a given one. */
export function makeBytes(random: Random, length = random.pick(sizes)): Buffer {
  const bytes = Buffer.alloc(length, `${random.below(2 ** 32).toString(36)} `);
  // Somewhere in it something that no other body has.
  if (bytes.length > 8) bytes.writeDoubleLE(random.next(), random.below(bytes.length - 8));
  else if (bytes.length > 0) bytes[0] = random.below(256);
  return bytes;
}
