// How fast does 1 GiB go through Roma to a real storage of the S3 family, beside the AWS SDK's Upload and
// a bare undici PUT straight to it, and at what cost in CPU and memory? Three ways in turns within one
// run, to one bucket.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { runClient } from "./client/run.ts";
import { settleDisk } from "./machine.ts";
import { cpuSeconds, forgetPeak, memory } from "./process-figures.ts";
import { type Subject, startRoma } from "./servers.ts";
import { digits, median, spread } from "./statistics.ts";
import type {
  StorageAnswer,
  StorageQuestion,
  StorageQuestionOptions,
} from "./storages/question.ts";
import { addStorage, startReal } from "./storages/servers.ts";
import type { UploadResult, UploadTask } from "./storages/upload.ts";

const MiB = 1024 * 1024;
const ratioMin = 0.85;

export const s3Put: StorageQuestion = { name: "s3-put", ask };

type Way = "roma" | "romaParts" | UploadTask["way"];
type Samples = Readonly<Record<Way, UploadResult[]>>;

async function ask(options: StorageQuestionOptions): Promise<StorageAnswer> {
  const { folder, quick, rounds, storage, profileFolder } = options;
  const bytes = (quick ? 256 : 1024) * MiB;
  await using real = await startReal(storage, join(folder, "services"));
  const { place } = real;
  const samples: Samples = { roma: [], romaParts: [], bare: [], sdk: [] };
  {
    await using roma = await startRoma({
      ...{ folder: join(folder, "roma"), prefix: [], cores: 1, profileFolder },
    });
    await addStorage(roma, "streamed", { place });
    await addStorage(roma, "parts", { place, settings: { streamBytesMax: "1 MiB" } });
    await pause(1000);
    const idleBytes = memory(roma.pids).residentBytes;
    const through = async (path: string): Promise<UploadResult> => ({
      ...(await throughRoma(roma, path, bytes)),
      idleBytes,
    });
    const runs: Readonly<Record<Way, (key: string) => Promise<UploadResult>>> = {
      roma: (key) => through(`/v1/objects/streamed/${key}`),
      romaParts: (key) => through(`/v1/objects/parts/${key}`),
      bare: (key) => straight({ way: "bare", place, key, bytes }),
      sdk: (key) => straight({ way: "sdk", place, key, bytes }),
    };
    const ways = ["roma", "bare", "romaParts", "sdk"] as const;
    for (let round = 0; round <= rounds; round += 1) {
      // Who begins changes each round; the first round warms up and does not count.
      for (const index of ways.keys()) {
        const way = ways[(index + round) % ways.length] ?? "roma";
        settleDisk(folder);
        const sample = await runs[way](`${way}-${round}`);
        if (round > 0) samples[way].push(sample);
      }
    }
  }
  const size = `${bytes / MiB} MiB`;
  const notes = [
    `s3-put: ${size} to ${storage} on this machine; Roma's figures are of its server, the others' of the process that uploads`,
  ];
  return { rows: rowsOf(samples, bytes), notes };
}

async function throughRoma(
  roma: Subject,
  path: string,
  bytes: number,
): Promise<Omit<UploadResult, "idleBytes">> {
  forgetPeak(roma.pids);
  const before = cpuSeconds(roma.pids);
  const { seconds } = await runClient(
    { kind: "put", target: roma.target, path, bytes },
    { prefix: [] },
  );
  const { peakBytes } = memory(roma.pids);
  return { seconds, cpuSeconds: cpuSeconds(roma.pids) - before, peakBytes };
}

async function straight(task: UploadTask): Promise<UploadResult> {
  const program = join(import.meta.dirname, "storages/upload.ts");
  const child = spawn(process.execPath, [program, JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const output = await text(child.stdout);
  if (output === "") throw new Error(`the upload by ${task.way} failed`);
  // Our own program printed it.
  return JSON.parse(output) as UploadResult;
}

function rowsOf(samples: Samples, bytes: number): StorageAnswer["rows"] {
  const mebibytes = bytes / MiB;
  const rate = ({ seconds }: UploadResult): number => mebibytes / seconds;
  const ratio = (way: Way): number =>
    median(
      samples[way].map((sample, round) => {
        const bare = samples.bare[round];
        return bare === undefined ? Number.NaN : rate(sample) / rate(bare);
      }),
    );
  const verdict = ratio("roma") >= ratioMin ? "met" : "missed";
  const order = ["roma", "romaParts", "bare", "sdk"] as const;
  const row = (what: string, aim: string, figure: (sample: UploadResult) => number) => [
    what,
    ...order.map((way) => spread(samples[way].map(figure))),
    aim,
  ];
  return [
    ["", "Roma", "Roma, in parts", "bare undici PUT", "AWS SDK Upload", "Aim"],
    row(`${mebibytes} MiB PUT, MiB/s`, "", rate),
    [
      "… as a ratio to the bare PUT",
      ...order.map((way) => digits(ratio(way))),
      `Roma ≥ ${ratioMin}: ${verdict}`,
    ],
    row("… CPU, s", "", (sample) => sample.cpuSeconds),
    row("… memory, idle after the start, MiB", "", ({ idleBytes }) => idleBytes / MiB),
    row("… memory, at its highest, MiB", "", ({ peakBytes }) => peakBytes / MiB),
  ];
}
