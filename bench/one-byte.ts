// How long does one byte out of a 1 GiB object take, over a connection that is open, when Roma
// verifies the block around it?

import { type Bench, type Question, type Row, row, takeTurns } from "./comparison.ts";
import { putLarge } from "./large-get.ts";
import { quantile } from "./statistics.ts";

const GiB = 1024 ** 3;

export const oneByte: Question = { name: "one-byte", peer: "nginx", ask };

async function ask(bench: Bench): Promise<readonly Row[]> {
  await putLarge(bench);
  const count = bench.quick ? 500 : 2_000;
  const samples = await takeTurns(bench, (subject) => ({
    kind: "ranges",
    target: subject.target,
    path: subject.pathOf("large"),
    objectBytes: GiB,
    count,
  }));
  const middle = ({ latencies }: { readonly latencies: readonly number[] }) =>
    quantile(latencies, 0.5);
  return [
    row("1 byte of 1 GiB, median, ms", samples, middle, {
      text: "Roma < 2 ms",
      met: (roma) => roma < 2,
    }),
    row("… 99 % within, ms", samples, ({ latencies }) => quantile(latencies, 0.99)),
    row("… CPU of 1,000 requests, s", samples, (sample) => (sample.cpuSeconds / count) * 1000),
  ];
}
