// What do 100 tus uploads at once cost, which come at 32 MB/s together? `--many-mb` says how long each is:
// with 100 a turn lasts five minutes, with the default half a minute.

import { type Bench, type Question, type Row, row, takeTurns } from "./comparison.ts";
import { forgetCached } from "./machine.ts";
import { tusPathOf } from "./servers.ts";
import { digits, quantile } from "./statistics.ts";

const uploads = 100;
const bytesPerSecond = 32_000_000;

export const tusMany: Question = {
  ...{ name: "tus-many", peer: "@tus/server", riseRatioMax: 1 / 3, ask },
};

async function ask(bench: Bench): Promise<readonly Row[]> {
  const bytes = bench.manyBytes;
  const samples = await takeTurns(
    bench,
    (subject) => ({
      ...{ kind: "tus", target: subject.target, path: tusPathOf(subject), bytes },
      ...{ connections: uploads, count: uploads, way: "post-then-patch" },
      bytesPerSecond: bytesPerSecond / uploads,
    }),
    async () => forgetCached(bench.folder),
  );
  const size = digits(bytes / 1e6);
  const rate = ({ seconds }: { readonly seconds: number }) => (uploads * bytes) / 1e6 / seconds;
  return [
    row(`tus, 100 × ${size} MB at 32 MB/s together, MB/s`, samples, rate, {
      text: "ratio ≥ 1",
      // Both can only be as fast as the clients send.
      met: (_, ratio) => ratio >= 0.99,
    }),
    row("… slowest upload, s", samples, ({ latencies }) => quantile(latencies, 1) / 1000),
    row(
      "… CPU of 1 GB, s",
      samples,
      (sample) => (sample.cpuSeconds / (uploads * bytes)) * 1_000_000_000,
    ),
  ];
}
