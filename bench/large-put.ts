// How fast does 1 GiB go in, durable in Roma and in the page cache in nginx, and at what CPU cost?

import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Task } from "./client/tasks.ts";
import { type Bench, ceiling, type Question, type Row, row, takeTurns } from "./comparison.ts";
import { forgetCached } from "./machine.ts";
import type { Subject } from "./servers.ts";
import { spread } from "./statistics.ts";

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

export const largePut: Question = { name: "large-put", peer: "nginx", ask };

async function ask(bench: Bench): Promise<readonly Row[]> {
  const fsyncSeconds: number[] = [];
  // A new object each time, for both.
  const task = (subject: Subject, round: number): Task => ({
    kind: "put",
    target: subject.target,
    path: subject.pathOf(`large-${round}`),
    bytes: GiB,
  });
  const samples = await takeTurns(bench, task, async (subject, round) => {
    if (subject === bench.peer) {
      const seconds = await syncFile(join(subject.folder, "root", `large-${round}`));
      if (round > 0) fsyncSeconds.push(seconds);
    }
    forgetCached(bench.folder);
  });
  const rate = ({ seconds }: { readonly seconds: number }) => GiB / MiB / seconds;
  const durable = {
    roma: samples.roma,
    peer: samples.peer.map((sample, round) => ({
      ...sample,
      seconds: sample.seconds + (fsyncSeconds[round] ?? 0),
    })),
  };
  const disk: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    disk.push(await diskRate(bench.folder));
    forgetCached(bench.folder);
  }
  return [
    row("1 GiB PUT, MiB/s", samples, rate, {
      text: "ratio ≥ 0.9",
      met: (_, ratio) => ratio >= 0.9,
    }),
    row("1 GiB PUT, nginx with an fsync after it, MiB/s", durable, rate),
    row("CPU of 1 GiB PUT, s", samples, (sample) => sample.cpuSeconds),
    {
      what: "the disk alone: write of 1 GiB and fdatasync, MiB/s",
      ...{ roma: "–", peer: "–", ratio: "–", aim: `ceiling of the disk: ${spread(disk)}` },
    },
    await ceiling(
      bench,
      "1 GiB PUT into nothing, MiB/s",
      { kind: "put", target: bench.sink, path: "/", bytes: GiB },
      rate,
    ),
  ];
}

async function syncFile(path: string): Promise<number> {
  await using file = await open(path, "r");
  const startedAt = performance.now();
  await file.sync();
  return (performance.now() - startedAt) / 1000;
}

async function diskRate(folder: string): Promise<number> {
  const piece = Buffer.alloc(MiB, "roma");
  await using file = await open(join(folder, "disk"), "w");
  const startedAt = performance.now();
  for (let at = 0; at < GiB; at += MiB) await file.write(piece, 0, MiB, at);
  await file.datasync();
  const seconds = (performance.now() - startedAt) / 1000;
  return GiB / MiB / seconds;
}
