// How many tus uploads of 64 KiB a second go in, 32 at a time, each durable and verified in Roma before it
// is answered, and each in the page cache of @tus/server?

import type { TusTask } from "./client/tasks.ts";
import { type Bench, type Question, type Row, row, takeTurns } from "./comparison.ts";
import { tusPathOf } from "./servers.ts";
import { quantile } from "./statistics.ts";

const bytes = 64 * 1024;
const connections = 32;
const count = 1_000;
const ratioMin = 1.5;

export const tusSmall: Question = {
  ...{ name: "tus-small", peer: "@tus/server", riseRatioMax: 1 / 3, ask },
};

const ways = [
  { way: "post-then-patch", what: "a POST and a PATCH each" },
  { way: "post-with-bytes", what: "one POST each" },
] as const;

async function ask(bench: Bench): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const { way, what } of ways) rows.push(...(await askOne(bench, way, what)));
  return rows;
}

async function askOne(bench: Bench, way: TusTask["way"], what: string): Promise<readonly Row[]> {
  const samples = await takeTurns(bench, (subject) => ({
    ...{ kind: "tus", target: subject.target, path: tusPathOf(subject) },
    ...{ connections, count, bytes, way },
  }));
  const rate = ({ seconds }: { readonly seconds: number }) => count / seconds;
  return [
    row(`tus, 64 KiB in ${what}, 32 at a time, uploads a second`, samples, rate, {
      text: `ratio ≥ ${ratioMin}`,
      met: (_, ratio) => ratio >= ratioMin,
    }),
    row("… median upload, ms", samples, ({ latencies }) => quantile(latencies, 0.5)),
    row("… 99 % within, ms", samples, ({ latencies }) => quantile(latencies, 0.99)),
    row("… CPU of 1,000 uploads, s", samples, (sample) => (sample.cpuSeconds / count) * 1000),
  ];
}
