/**
 * A short queue that is fair to whoever asks: each flow (a client) has its turn, however many of its requests
 * wait. Full, it gives up the newest of the longest flow for one of a shorter. While the queue stands the newest
 * of a flow goes first: the oldest are about to be given up by their clients.
 */

export interface Waiting {
  readonly flow: string;
  /** In milliseconds of a monotonic clock. */
  readonly sinceMs: number;
}

export class FairQueue<Item extends Waiting> {
  readonly #max: number;
  /** The next flow first. */
  readonly #flows = new Map<string, Item[]>();
  #size = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#size;
  }

  /** Answers who has to go for it: another, the item itself, or nobody. */
  push(item: Item): Item | undefined {
    if (this.#max === 0) return item;
    let refused: Item | undefined;
    if (this.#size >= this.#max) {
      const longest = this.#longest();
      if (longest.length <= (this.#flows.get(item.flow)?.length ?? 0) + 1) return item;
      refused = longest.at(-1);
      if (refused !== undefined) this.delete(refused);
    }
    const flow = this.#flows.get(item.flow);
    if (flow === undefined) this.#flows.set(item.flow, [item]);
    else flow.push(item);
    this.#size += 1;
    return refused;
  }

  /** The next, of the flow whose turn it is. */
  shift({ newestFirst }: { readonly newestFirst: boolean }): Item | undefined {
    for (const [name, items] of this.#flows) {
      const item = newestFirst ? items.pop() : items.shift();
      this.#flows.delete(name);
      if (items.length > 0) this.#flows.set(name, items);
      if (item === undefined) continue;
      this.#size -= 1;
      return item;
    }
    return undefined;
  }

  delete(item: Item): boolean {
    const items = this.#flows.get(item.flow);
    const at = items?.indexOf(item) ?? -1;
    if (items === undefined || at === -1) return false;
    items.splice(at, 1);
    if (items.length === 0) this.#flows.delete(item.flow);
    this.#size -= 1;
    return true;
  }

  /** Those that have waited since before, oldest first within a flow; they are out. */
  takeOlderThan(sinceMs: number): readonly Item[] {
    const old: Item[] = [];
    for (const items of this.#flows.values()) {
      for (const item of items) {
        if (item.sinceMs >= sinceMs) break;
        old.push(item);
      }
    }
    for (const item of old) this.delete(item);
    return old;
  }

  #longest(): readonly Item[] {
    let longest: readonly Item[] = [];
    for (const items of this.#flows.values()) if (items.length > longest.length) longest = items;
    return longest;
  }
}
