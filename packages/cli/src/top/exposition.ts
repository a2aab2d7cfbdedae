/** Prometheus' text format, read: what `GET /metrics` answers. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const line = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** Lines that are no samples are left out. */
export function readExposition(text: string): Exposition {
  const samples: Sample[] = [];
  for (const one of text.split("\n")) {
    const [, name, labels = "", value = ""] = line.exec(one) ?? [];
    if (name === undefined) continue;
    samples.push({
      name,
      labels: labelsOf(labels),
      value: Number(value.replace("Inf", "Infinity")),
    });
  }
  return new Exposition(samples);
}

function labelsOf(text: string): Readonly<Record<string, string>> {
  const pairs = [...text.matchAll(label)].map(([, name = "", value = ""]) => {
    const plain = value.replaceAll(/\\(.)/g, (_whole, character: string) =>
      character === "n" ? "\n" : character,
    );
    return [name, plain];
  });
  return Object.fromEntries(pairs);
}

type Wanted = Readonly<Record<string, string | readonly string[]>>;

export class Exposition {
  readonly #byName: ReadonlyMap<string, readonly Sample[]>;

  constructor(samples: readonly Sample[]) {
    this.#byName = Map.groupBy(samples, ({ name }) => name);
  }

  select(name: string, wanted: Wanted = {}): readonly Sample[] {
    return (this.#byName.get(name) ?? []).filter(({ labels }) =>
      Object.entries(wanted).every(([key, value]) => [value].flat().includes(labels[key] ?? "")),
    );
  }

  /** Undefined where there is no such sample. */
  sum(name: string, wanted: Wanted = {}): number | undefined {
    const found = this.select(name, wanted);
    return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
  }

  values(name: string, key: string): readonly string[] {
    return [...new Set(this.select(name).flatMap(({ labels }) => labels[key] ?? []))];
  }
}

/** A quantile of what was observed between two looks, as Prometheus estimates it; null: nothing was. */
export function quantileBetween(
  looks: { readonly before: Exposition; readonly after: Exposition },
  {
    name,
    wanted,
    share,
  }: { readonly name: string; readonly wanted: Wanted; readonly share: number },
): number | null {
  const bounds = looks.after.values(`${name}_bucket`, "le");
  const buckets = bounds
    .map((le) => {
      const of = (look: Exposition) => look.sum(`${name}_bucket`, { ...wanted, le }) ?? 0;
      return {
        bound: Number(le.replace("+Inf", "Infinity")),
        count: of(looks.after) - of(looks.before),
      };
    })
    .sort((one, other) => one.bound - other.bound);
  const total = buckets.at(-1)?.count ?? 0;
  if (total <= 0) return null;
  const rank = share * total;
  let lowest = { bound: 0, count: 0 };
  for (const bucket of buckets) {
    if (bucket.count >= rank) {
      if (bucket.bound === Number.POSITIVE_INFINITY) return lowest.bound;
      const within = (rank - lowest.count) / Math.max(1e-9, bucket.count - lowest.count);
      return lowest.bound + (bucket.bound - lowest.bound) * within;
    }
    lowest = bucket;
  }
  return lowest.bound;
}
