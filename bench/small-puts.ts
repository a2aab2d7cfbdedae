// How many 16 KiB objects a second go in over 64 connections, each durable before it is answered by
// Roma, and each in the page cache when nginx answers?

import { type Bench, ceiling, type Question, type Row, row, takeTurns } from "./comparison.ts";
import { quantile } from "./statistics.ts";

const bytes = 16 * 1024;
const connections = 64;

export const smallPuts: Question = { name: "small-puts", peer: "nginx", ask };

async function ask(bench: Bench): Promise<readonly Row[]> {
  const count = bench.quick ? 4_000 : 12_000;
  const shape = { kind: "small-puts", connections, count, bytes } as const;
  const samples = await takeTurns(bench, (subject, round) => ({
    ...shape,
    target: subject.target,
    pathStart: subject.pathOf(`small/${round}`),
  }));
  const rate = ({ seconds }: { readonly seconds: number }) => count / seconds;
  return [
    row("16 KiB PUT over 64 connections, a second", samples, rate, {
      text: "Roma ≥ 2,000",
      met: (roma) => roma >= 2_000,
    }),
    row("… median answer, ms", samples, ({ latencies }) => quantile(latencies, 0.5)),
    row("… 99 % answered within, ms", samples, ({ latencies }) => quantile(latencies, 0.99)),
    row("… CPU of 1,000 PUTs, s", samples, (sample) => (sample.cpuSeconds / count) * 1000),
    await ceiling(
      bench,
      "16 KiB PUT into nothing, a second",
      { ...shape, target: bench.sink, pathStart: "/small" },
      rate,
    ),
  ];
}
