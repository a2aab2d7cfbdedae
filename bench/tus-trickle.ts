// What do 500 tus PATCHes that trickle at 1 KB/s cost: memory, and time of everybody else's uploads?

import { type Bench, type Question, type Row, row, takeTurns } from "./comparison.ts";
import { tusPathOf } from "./servers.ts";
import { median } from "./statistics.ts";

const slow = 500;

export const tusTrickle: Question = { name: "tus-trickle", peer: "@tus/server", ask };

async function ask(bench: Bench): Promise<readonly Row[]> {
  const seconds = bench.quick ? 10 : 20;
  const samples = await takeTurns(bench, (subject) => ({
    ...{ kind: "tus-trickle", target: subject.target, path: tusPathOf(subject) },
    ...{ slow, bytesPerSecond: 1_000, seconds, bytes: 64 * 1024 },
  }));
  return [
    row("tus, 64 KiB alone, one after the other, median, ms", samples, (sample) =>
      median(sample.latenciesAlone ?? []),
    ),
    row("… beside 500 PATCHes at 1 KB/s, median, ms", samples, ({ latencies }) =>
      median(latencies),
    ),
  ];
}
