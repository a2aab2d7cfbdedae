/**
 * One bandwidth for all workers: each second they tell each other how much they wanted, and each takes its
 * share by that. A worker that says nothing is taken to want as much as the others may have: then nobody
 * takes more than an equal part.
 */
import type { Json, Siblings } from "../../core/ports/siblings.ts";
import type { Bandwidth } from "./bandwidth.ts";

const topic = "http.bandwidth";
const tickMs = 1000;
const silentMsMax = 3000;
/** Of an equal part, what a worker that wanted nothing keeps, so that it can begin. */
const leastShare = 0.2;

interface Heard {
  readonly wanted: readonly number[];
  readonly atMs: number;
}

export class BandwidthShare implements Disposable {
  readonly #siblings: Siblings;
  readonly #directions: readonly { readonly bandwidth: Bandwidth; readonly total: number }[];
  readonly #now: () => number;
  readonly #heard = new Map<string, Heard>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: {
    readonly siblings: Siblings;
    readonly bandwidths: readonly Bandwidth[];
    readonly now: () => number;
  }) {
    const { siblings, bandwidths, now } = options;
    this.#siblings = siblings;
    this.#now = now;
    this.#directions = bandwidths.map((bandwidth) => {
      const total = bandwidth.bytesPerSecond;
      // Until the others were heard.
      bandwidth.bytesPerSecond = total / siblings.count;
      return { bandwidth, total };
    });
    siblings.on(topic, (message, from) => this.#hear(message, from));
    this.#timer = setInterval(() => this.tick(), tickMs);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Once a second: tells, and takes the share of what was heard. */
  tick(): void {
    const own = this.#directions.map(({ bandwidth }) => bandwidth.demand());
    this.#siblings.tell(topic, own);
    const now = this.#now();
    for (const [from, { atMs }] of this.#heard) {
      if (now - atMs > silentMsMax) this.#heard.delete(from);
    }
    const others = [...this.#heard.values()];
    const { count } = this.#siblings;
    this.#directions.forEach(({ bandwidth, total }, index) => {
      const wanted = others.map((heard) => heard.wanted[index] ?? 0);
      bandwidth.bytesPerSecond = shareOf(total, own[index] ?? 0, { wanted, count });
    });
  }

  #hear(message: Json, from: string): null {
    const items: readonly unknown[] = Array.isArray(message) ? message : [];
    const wanted = items.map((item) => (typeof item === "number" && item >= 0 ? item : 0));
    this.#heard.set(from, { wanted, atMs: this.#now() });
    return null;
  }
}

/** By what each wanted, the least for each kept apart. All shares together are the total at most. */
export function shareOf(
  total: number,
  own: number,
  { wanted, count }: { readonly wanted: readonly number[]; readonly count: number },
): number {
  const equal = total / count;
  if (wanted.length < count - 1) return equal;
  const all = wanted.reduce((sum, one) => sum + one, own);
  if (all === 0) return total / (wanted.length + 1);
  const members = wanted.length + 1;
  const least = (total / members) * leastShare;
  return least + (total - least * members) * (own / all);
}
