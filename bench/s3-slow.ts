// How much memory do 16 uploads of 100 MB at once take while the storage needs 6 s for each part? Once
// with the server's defaults, where a body of known length streams through, and once in parts.

import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { runClient } from "./client/run.ts";
import type { SmallPutsTask } from "./client/tasks.ts";
import { forgetPeak, memory } from "./process-figures.ts";
import { startRoma } from "./servers.ts";
import { digits } from "./statistics.ts";
import type {
  StorageAnswer,
  StorageQuestion,
  StorageQuestionOptions,
} from "./storages/question.ts";
import { addStorage, startStub } from "./storages/servers.ts";

const MiB = 1024 * 1024;
const uploads = 16;
const bytes = 100_000_000;
const riseMaxMiB = 100;

export const s3Slow: StorageQuestion = { name: "s3-slow", ask };

const shapes = [
  { name: "streamed", settings: {} },
  { name: "in parts of 8 MiB", settings: { streamBytesMax: "1 MiB" } },
] as const;

async function ask(options: StorageQuestionOptions): Promise<StorageAnswer> {
  const waitMs = options.quick ? 1000 : 6000;
  const rows: string[][] = [];
  for (const [index, shape] of shapes.entries()) {
    const measured = await measure(options, { ...shape, waitMs, folder: `roma-${index}` });
    const { idleBytes, peakBytes, seconds, slowestMs, failure } = measured;
    const rise = (peakBytes - idleBytes) / MiB;
    rows.push([
      shape.name,
      digits(idleBytes / MiB),
      digits(peakBytes / MiB),
      `${digits(rise)} (≤ ${riseMaxMiB}: ${rise <= riseMaxMiB ? "met" : "missed"})`,
      failure ?? digits(seconds),
      failure === undefined ? digits(slowestMs / 1000) : "–",
    ]);
  }
  const heads = [
    "",
    "idle, MiB",
    "at its highest, MiB",
    "rise, MiB",
    "all done after, s",
    "slowest upload, s",
  ];
  const notes = [
    `s3-slow: ${uploads} uploads of ${bytes / 1e6} MB at once to a storage that waits ${waitMs / 1000} s before it takes each part, or the body where it is streamed; memory is the server's resident one`,
  ];
  return { rows: [heads, ...rows], notes };
}

interface Measured {
  readonly idleBytes: number;
  readonly peakBytes: number;
  readonly seconds: number;
  readonly slowestMs: number;
  readonly failure: string | undefined;
}

async function measure(
  { folder, profileFolder }: StorageQuestionOptions,
  shape: { readonly folder: string; readonly waitMs: number; readonly settings: object },
): Promise<Measured> {
  await using stub = await startStub(shape);
  await using roma = await startRoma({
    ...{ folder: join(folder, shape.folder), prefix: [], cores: 1, profileFolder },
  });
  await addStorage(roma, "slow", { place: stub.place, settings: shape.settings });
  await pause(1000);
  const idleBytes = memory(roma.pids).residentBytes;
  forgetPeak(roma.pids);
  const task: SmallPutsTask = {
    ...{ kind: "small-puts", target: roma.target, pathStart: "/v1/objects/slow/upload" },
    ...{ connections: uploads, count: uploads, bytes },
  };
  const ended = await runClient(task, { prefix: [] }).catch((error: unknown) => String(error));
  const { peakBytes } = memory(roma.pids);
  const failed = typeof ended === "string";
  return {
    ...{ idleBytes, peakBytes },
    seconds: failed ? Number.NaN : ended.seconds,
    slowestMs: failed ? Number.NaN : Math.max(...ended.latencies),
    failure: failed ? ended : undefined,
  };
}
