// Does a page of 1,000 keys cost the same out of 10,000, 100,000 and 1,000,000 objects?

import { mkdirSync } from "node:fs";
import { type Bench, type Question, type Row, takeTurns } from "./comparison.ts";
import { loadObjects } from "./load-objects.ts";
import { digits, median, quantile, spread } from "./statistics.ts";

const limit = 1000;

interface Listed {
  readonly bucket: string;
  readonly count: number;
}

const buckets: readonly Listed[] = [
  { bucket: "list-10-000", count: 10_000 },
  { bucket: "list-100-000", count: 100_000 },
  { bucket: "list-1-000-000", count: 1_000_000 },
];

export const list: Question = { name: "list", peer: undefined, prepare, ask };

function chosen({ quick }: { readonly quick: boolean }): readonly Listed[] {
  return quick ? buckets.slice(0, 2) : buckets;
}

async function prepare(folder: string, options: { readonly quick: boolean }): Promise<string> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const startedAt = performance.now();
  let rows = 0;
  for (const { bucket, count } of chosen(options)) {
    await loadObjects(`${folder}/metadata.sqlite`, { bucket, count });
    rows += count;
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return (
    `list: ${rows} objects with a blob each were committed before the start by the store's own ` +
    `migrations and its commitObject, 10,000 to a transaction, in ${digits(seconds)} s; ` +
    "no bytes stand behind them"
  );
}

async function ask(bench: Bench): Promise<readonly Row[]> {
  const listed = chosen(bench);
  const medians: { readonly listed: Listed; readonly values: number[]; readonly slow: number[] }[] =
    listed.map((one) => ({ listed: one, values: [], slow: [] }));
  // In turns over the sizes, so that a drift of the machine meets all of them.
  for (let round = 0; round <= bench.rounds; round += 1) {
    for (const { listed: one, values, slow } of medians) {
      // The smallest is walked to its end several times, the largest over a fifth of its pages.
      const pages = bench.quick ? 50 : 200;
      const { roma } = await takeTurns({ ...bench, rounds: 1 }, (subject) => ({
        kind: "pages",
        target: subject.target,
        path: `/v1/objects/${one.bucket}`,
        limit,
        count: pages,
      }));
      const [sample] = roma;
      if (sample?.objects !== pages * limit) throw new Error(`${sample?.objects} objects listed`);
      if (round === 0) continue;
      values.push(quantile(sample.latencies, 0.5));
      slow.push(quantile(sample.latencies, 0.99));
    }
  }
  const smallest = median(medians[0]?.values ?? []);
  return medians.flatMap(({ listed: one, values, slow }) => {
    const factor = median(values) / smallest;
    const verdict = factor <= 1.15 ? "met" : "missed";
    const what = `page of 1,000 out of ${one.count.toLocaleString("en")}`;
    const none = { peer: "–", ratio: "–" };
    const aim = `${digits(factor)} × the smallest (same cost: ≤ 1.15): ${verdict}`;
    return [
      { what: `${what}, median, ms`, roma: spread(values), ...none, aim },
      { what: "… 99 % within, ms", roma: spread(slow), ...none, aim: "" },
    ];
  });
}
