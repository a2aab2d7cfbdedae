// How fast is Roma beside nginx, @tus/server and MinIO, and before a storage that is not its own disk, on this machine, in one
// run? Asks all questions of this folder, or those that are named, and prints the answers as Markdown.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Bench, type Question, type Row, table } from "./comparison.ts";
import { summariseProfiles } from "./cpu-profile.ts";
import { largeGet } from "./large-get.ts";
import { largePut } from "./large-put.ts";
import { list } from "./list.ts";
import { describeMachine } from "./machine.ts";
import { oneByte } from "./one-byte.ts";
import { forgetPeak, memory } from "./process-figures.ts";
import { s3Complete } from "./s3/complete.ts";
import { s3LargeGet, s3LargePut } from "./s3/large.ts";
import { s3List } from "./s3/list.ts";
import { s3Multipart } from "./s3/multipart.ts";
import { s3SmallGets, s3SmallPuts } from "./s3/small.ts";
import { s3Put } from "./s3-put.ts";
import { s3Silent } from "./s3-silent.ts";
import { s3Slow } from "./s3-slow.ts";
import {
  type PeerName,
  startMinio,
  startNginx,
  startRoma,
  startSink,
  startTusServer,
} from "./servers.ts";
import { smallPuts } from "./small-puts.ts";
import { digits } from "./statistics.ts";
import {
  type RealStorage,
  realStorages,
  type StorageQuestion,
  storageTable,
} from "./storages/question.ts";
import { trash } from "./trash.ts";
import { tusLarge } from "./tus-large.ts";
import { tusMany } from "./tus-many.ts";
import { tusSmall } from "./tus-small.ts";
import { tusTrickle } from "./tus-trickle.ts";

const questions: readonly Question[] = [
  ...[largePut, largeGet, smallPuts, oneByte, list, trash],
  ...[tusLarge, tusSmall, tusMany, tusTrickle],
  ...[s3SmallPuts, s3SmallGets, s3LargePut, s3LargeGet, s3Multipart, s3Complete, s3List],
];
const peers = { nginx: startNginx, "@tus/server": startTusServer, MinIO: startMinio } as const;
const storageQuestions: readonly StorageQuestion[] = [s3Put, s3Slow, s3Silent];
const names = [...questions, ...storageQuestions].map(({ name }) => name);

const help = `npm run bench [-- [options] [${names.join("|")}]…]

  --quick          fewer rounds and smaller lists: a look, not a figure to quote
  --rounds N       rounds that count (7; 3 with --quick)
  --folder DIR     where both servers keep their data (the system's folder for temporary files)
  --split          server on core 0, client on core 1, for both servers alike
  --profile        runs Roma under node's CPU profiler, and prints where its time went
  --many-mb N      MB of each of the 100 uploads of tus-many (10)
  --parts N        parts of the upload of s3-complete (10000; 1000 with --quick)
  --storage NAME   of s3-put: ${realStorages.join(" or ")}, as test/services starts it (ceph)
`;

interface Options {
  readonly quick: boolean;
  readonly rounds: number;
  readonly folder: string;
  readonly split: boolean;
  readonly profile: boolean;
  readonly manyBytes: number;
  readonly parts: number;
  readonly storage: RealStorage;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: "boolean", short: "h" },
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    folder: { type: "string", default: tmpdir() },
    split: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
    "many-mb": { type: "string", default: "10" },
    parts: { type: "string" },
    storage: { type: "string", default: "ceph" },
  },
});
const storage = realStorages.find((name) => name === values.storage);
const unknown = positionals.find((name) => !names.includes(name));
if (values.help === true || unknown !== undefined || storage === undefined) {
  const what = unknown === undefined ? `storage ${values.storage}` : `question ${unknown}`;
  process.stdout.write(values.help === true ? help : `there is no ${what}\n\n${help}`);
  process.exitCode = values.help === true ? 0 : 2;
} else {
  const { quick, split, profile } = values;
  const manyBytes = Number(values["many-mb"]) * 1_000_000;
  const parts = Number(values.parts ?? (quick ? 1_000 : 10_000));
  const rounds = Number(values.rounds ?? (quick ? 3 : 7));
  const folder = mkdtempSync(join(values.folder, "roma-bench-"));
  try {
    await askAll({ quick, rounds, split, profile, manyBytes, parts, storage, folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function askAll(options: Options): Promise<void> {
  const notes = [...describeMachine(options.folder)];
  const split = "server on core 0, client on core 1, by taskset, both servers alike";
  notes.push(
    `- ${options.split ? split : "no process is pinned"}; medians (lowest … highest) of ${options.rounds} rounds`,
  );
  const rows = new Map<PeerName, Row[]>();
  const tables: string[] = [];
  const isAsked = ({ name }: { readonly name: string }) =>
    positionals.length === 0 || positionals.includes(name);
  for (const question of questions.filter(isAsked)) {
    process.stderr.write(`${question.name} …\n`);
    const asked = await askOne(question, options);
    const peer = question.peer ?? "nginx";
    rows.set(peer, [...(rows.get(peer) ?? []), ...asked.rows]);
    notes.push(...asked.notes.map((note) => `- ${note}`));
  }
  for (const [peer, its] of rows) tables.push(table(its, peer));
  for (const question of storageQuestions.filter(isAsked)) {
    process.stderr.write(`${question.name} …\n`);
    const asked = await askStorage(question, options);
    tables.push(asked.table);
    notes.push(...asked.notes.map((note) => `- ${note}`));
  }
  process.stdout.write(`${notes.join("\n")}\n\n${tables.join("\n\n")}\n`);
}

async function askOne(
  question: Question,
  options: Options,
): Promise<{ readonly rows: readonly Row[]; readonly notes: readonly string[] }> {
  const folder = join(options.folder, question.name);
  mkdirSync(folder);
  const profileFolder = options.profile ? join(folder, "profiles") : undefined;
  const note = await question.prepare?.(join(folder, "roma"), options);
  const [serverPrefix, clientPrefix] = options.split
    ? [
        ["taskset", "-c", "0"],
        ["taskset", "-c", "1"],
      ]
    : [[], []];
  const cores = options.split ? 1 : availableParallelism();
  const place = { prefix: serverPrefix, cores };
  let rows: readonly Row[];
  {
    await using parts = new AsyncDisposableStack();
    const sink = parts.use(await startSink(serverPrefix));
    const peer = question.peer && {
      start: peers[question.peer],
      folder: join(folder, question.peer.replace(/\W+/g, "-")),
    };
    const other = peer && parts.use(await peer.start({ ...place, folder: peer.folder }));
    const roma = parts.use(
      await startRoma({ ...place, folder: join(folder, "roma"), profileFolder }),
    );
    const bench: Bench = {
      ...{ roma, peer: other, sink, folder, clientPrefix },
      ...{ rounds: options.rounds, quick: options.quick },
      ...{ manyBytes: options.manyBytes, parts: options.parts },
    };
    rows = await withMemory(bench, question);
  }
  if (profileFolder !== undefined) {
    process.stderr.write(`${question.name}: ${summariseProfiles(profileFolder)}\n`);
  }
  rmSync(folder, { recursive: true, force: true });
  return { rows, notes: note === undefined ? [] : [note] };
}

async function askStorage(
  question: StorageQuestion,
  options: Options,
): Promise<{ readonly table: string; readonly notes: readonly string[] }> {
  const { rounds, quick, profile, storage } = options;
  const folder = join(options.folder, question.name);
  mkdirSync(folder);
  const profileFolder = profile ? join(folder, "profiles") : undefined;
  const { rows, notes } = await question.ask({ folder, rounds, quick, storage, profileFolder });
  if (profileFolder !== undefined) {
    process.stderr.write(`${question.name}: ${summariseProfiles(profileFolder)}\n`);
  }
  rmSync(folder, { recursive: true, force: true });
  return { table: storageTable(rows), notes };
}

/** Adds the lines about memory to those of the question. */
async function withMemory(bench: Bench, question: Question): Promise<readonly Row[]> {
  await pause(1000);
  const subjects = [bench.roma, bench.peer] as const;
  const idle = subjects.map((subject) => subject && memory(subject.pids).residentBytes);
  for (const subject of subjects) if (subject !== undefined) forgetPeak(subject.pids);
  const rows = await question.ask(bench);
  const peak = subjects.map((subject) => subject && memory(subject.pids).peakBytes);
  const risen = peak.map((bytes, at) => bytes && bytes - (idle[at] ?? 0));
  return [
    ...rows,
    memoryRow("… memory, idle after the start, MiB", idle),
    memoryRow("… memory, at its highest, MiB", peak),
    memoryRow("… memory, at its highest above idle, MiB", risen, question.riseRatioMax),
  ];
}

function memoryRow(
  what: string,
  [roma, peer]: readonly (number | undefined)[],
  ratioMax?: number,
): Row {
  const mebibytes = (bytes: number | undefined) =>
    bytes === undefined ? "–" : digits(bytes / 1024 ** 2);
  const ratio = roma === undefined || peer === undefined ? Number.NaN : roma / peer;
  const aim =
    ratioMax === undefined
      ? ""
      : `ratio ≤ ${digits(ratioMax)}: ${ratio <= ratioMax ? "met" : "missed"}`;
  return { what, roma: mebibytes(roma), peer: mebibytes(peer), ratio: digits(ratio), aim };
}
