// How fast does 1 GiB go in by one tus PATCH, durable and verified in Roma, and in the page cache of
// @tus/server, and at what CPU cost?

import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Bench, type Question, type Row, row, takeTurns } from "./comparison.ts";
import { forgetCached } from "./machine.ts";
import { tusPathOf } from "./servers.ts";

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

export const tusLarge: Question = {
  ...{ name: "tus-large", peer: "@tus/server", riseRatioMax: 1 / 3, ask },
};

async function ask(bench: Bench): Promise<readonly Row[]> {
  const fsyncSeconds: number[] = [];
  const samples = await takeTurns(
    bench,
    (subject) => ({
      ...{ kind: "tus", target: subject.target, path: tusPathOf(subject) },
      ...{ connections: 1, count: 1, bytes: GiB, way: "post-then-patch" },
    }),
    async (subject, round) => {
      if (subject === bench.peer) {
        const seconds = await syncLarge(subject.folder);
        if (round > 0) fsyncSeconds.push(seconds);
      }
      forgetCached(bench.folder);
    },
  );
  const rate = ({ seconds }: { readonly seconds: number }) => GiB / MiB / seconds;
  const durable = {
    roma: samples.roma,
    peer: samples.peer.map((sample, round) => ({
      ...sample,
      seconds: sample.seconds + (fsyncSeconds[round] ?? 0),
    })),
  };
  return [
    row("tus, 1 GiB in one PATCH, MiB/s", samples, rate, {
      text: "ratio ≥ 1",
      met: (_, ratio) => ratio >= 1,
    }),
    row("… @tus/server with an fsync after it, MiB/s", durable, rate),
    row("… CPU, s", samples, (sample) => sample.cpuSeconds),
  ];
}

/** Those of earlier rounds are synced already. */
async function syncLarge(folder: string): Promise<number> {
  let seconds = 0;
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if ((await stat(path)).size < GiB) continue;
    await using file = await open(path, "r");
    const startedAt = performance.now();
    await file.sync();
    seconds += (performance.now() - startedAt) / 1000;
  }
  return seconds;
}
