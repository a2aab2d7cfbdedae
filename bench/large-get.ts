// How fast does 1 GiB come out of the page cache, verified by Roma and sent as it is by nginx, and at
// what CPU cost?

import { runClient } from "./client/run.ts";
import { type Bench, ceiling, type Question, type Row, row, takeTurns } from "./comparison.ts";
import type { Subject } from "./servers.ts";

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

export const largeGet: Question = { name: "large-get", peer: "nginx", ask };

async function ask(bench: Bench): Promise<readonly Row[]> {
  await putLarge(bench);
  const samples = await takeTurns(bench, (subject) => ({
    kind: "get",
    target: subject.target,
    path: subject.pathOf("large"),
    bytes: GiB,
  }));
  const rate = ({ seconds }: { readonly seconds: number }) => GiB / MiB / seconds;
  return [
    row("1 GiB GET, MiB/s", samples, rate, {
      text: "ratio ≥ 0.9",
      met: (_, ratio) => ratio >= 0.9,
    }),
    row("CPU of 1 GiB GET, s", samples, (sample) => sample.cpuSeconds),
    await ceiling(
      bench,
      "1 GiB GET from nothing, MiB/s",
      { kind: "get", target: bench.sink, path: `/${GiB}`, bytes: GiB },
      rate,
    ),
  ];
}

/** The object that is read: 1 GiB under the key `large`, in both. */
export async function putLarge(bench: Bench): Promise<void> {
  const subjects: readonly (Subject | undefined)[] = [bench.roma, bench.peer];
  for (const subject of subjects) {
    if (subject === undefined) continue;
    const path = subject.pathOf("large");
    const { target } = subject;
    await runClient({ kind: "put", target, path, bytes: GiB }, { prefix: bench.clientPrefix });
  }
}
