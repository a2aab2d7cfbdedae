// How are two servers compared fairly? In turns within one run, the first to begin changing each
// round, with the disk settled before each turn; a first round warms both up and is not counted.
// Ratios are taken round by round, so that a drift of the machine falls out of them.

import { runClient } from "./client/run.ts";
import type { Target, Task, TaskResult } from "./client/tasks.ts";
import { settleDisk } from "./machine.ts";
import { cpuSeconds } from "./process-figures.ts";
import type { PeerName, Subject } from "./servers.ts";
import { digits, median, spread } from "./statistics.ts";

export interface Bench {
  readonly roma: Subject;
  /** Absent where there is nothing to compare with. */
  readonly peer: Subject | undefined;
  readonly sink: Target;
  /** Where the servers keep their data. */
  readonly folder: string;
  readonly rounds: number;
  readonly quick: boolean;
  /** Of each upload of `tus-many`. */
  readonly manyBytes: number;
  /** Of the upload of `s3-complete`. */
  readonly parts: number;
  readonly clientPrefix: readonly string[];
}

export interface Row {
  readonly what: string;
  readonly roma: string;
  readonly peer: string;
  readonly ratio: string;
  readonly aim: string;
}

export interface Question {
  readonly name: string;
  /** What Roma is compared with. */
  readonly peer: PeerName | undefined;
  /** How much more memory than when idle Roma may take, as a share of what the peer takes more. */
  readonly riseRatioMax?: number;
  /** Fills Roma's data folder before the start; answers a note for the report. */
  prepare?(folder: string, options: { readonly quick: boolean }): Promise<string>;
  ask(bench: Bench): Promise<readonly Row[]>;
}

export interface Sample extends TaskResult {
  readonly cpuSeconds: number;
}

export interface Samples {
  readonly roma: readonly Sample[];
  readonly peer: readonly Sample[];
}

/** `after` runs behind each turn, outside of what is timed. */
export async function takeTurns(
  bench: Bench,
  taskFor: (subject: Subject, round: number) => Task,
  after?: (subject: Subject, round: number) => Promise<void>,
): Promise<Samples> {
  const samples = { roma: [] as Sample[], peer: [] as Sample[] };
  const subjects = bench.peer === undefined ? [bench.roma] : [bench.roma, bench.peer];
  for (let round = 0; round <= bench.rounds; round += 1) {
    subjects.reverse();
    for (const subject of subjects) {
      settleDisk(bench.folder);
      const before = cpuSeconds(subject.pids);
      const result = await runClient(taskFor(subject, round), { prefix: bench.clientPrefix });
      const sample = { ...result, cpuSeconds: cpuSeconds(subject.pids) - before };
      if (round > 0) samples[subject === bench.roma ? "roma" : "peer"].push(sample);
      await after?.(subject, round);
    }
  }
  return samples;
}

/** A line of the table from one figure of each sample. */
export function row(
  what: string,
  samples: Samples,
  figure: (sample: Sample) => number,
  aim:
    | { readonly text: string; readonly met: (roma: number, ratio: number) => boolean }
    | undefined = undefined,
): Row {
  const roma = samples.roma.map(figure);
  const peer = samples.peer.map(figure);
  const ratios = roma.map((value, round) => value / (peer[round] ?? Number.NaN));
  const ratio = peer.length === 0 ? Number.NaN : median(ratios);
  const verdict = aim && (aim.met(median(roma), ratio) ? "met" : "missed");
  return {
    what,
    roma: spread(roma),
    peer: peer.length === 0 ? "–" : spread(peer),
    ratio: peer.length === 0 ? "–" : digits(ratio),
    aim: aim === undefined ? "" : `${aim.text}: ${verdict}`,
  };
}

/** What the client reaches against a server that keeps nothing: the ceiling of the measurement. */
export async function ceiling(
  bench: Bench,
  what: string,
  task: Task,
  figure: (result: TaskResult) => number,
): Promise<Row> {
  const values: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    values.push(figure(await runClient(task, { prefix: bench.clientPrefix })));
  }
  return {
    what,
    roma: "–",
    peer: "–",
    ratio: "–",
    aim: `ceiling of the client: ${spread(values)}`,
  };
}

export function table(rows: readonly Row[], peer: PeerName): string {
  const lines = rows.map(
    ({ what, roma, peer: other, ratio, aim }) =>
      `| ${what} | ${roma} | ${other} | ${ratio} | ${aim} |`,
  );
  return [`| | Roma | ${peer} | Roma / ${peer} | Aim |`, "|---|---|---|---|---|", ...lines].join(
    "\n",
  );
}
