// How fast do 100 MB go in and come out over S3, beside MinIO, by bare signed requests, which cost the
// client little, and by the AWS SDK as it is?

import { runClient } from "../client/run.ts";
import type { PutTask, S3SdkTask, TaskResult } from "../client/tasks.ts";
import { type Bench, ceiling, type Question, type Row, row, takeTurns } from "../comparison.ts";
import { forgetCached } from "../machine.ts";
import { deleteObject, type Subject, s3Of, s3Path } from "../servers.ts";

const MB = 1_000_000;
const bytes = 100 * MB;
/** In one turn, one after the other: a single one is soon over. */
const count = 3;
const aim = { text: "ratio ≥ 0.9", met: (_: number, ratio: number) => ratio >= 0.9 };

export const s3LargePut: Question = { name: "s3-large-put", peer: "MinIO", ask: askPut };
export const s3LargeGet: Question = { name: "s3-large-get", peer: "MinIO", ask: askGet };

async function askPut(bench: Bench): Promise<readonly Row[]> {
  const after = async (subject: Subject, round: number): Promise<void> => {
    forgetCached(bench.folder);
    for (let index = 0; index < count; index += 1) {
      await deleteObject(s3Of(subject), `large-${round}-${index}`);
    }
  };
  const key = (round: number): string => `large-${round}`;
  const bare = await takeTurns(bench, (subject, round) => barePut(subject, key(round)), after);
  const sdk = await takeTurns(bench, (subject, round) => bySdk("put", subject, key(round)), after);
  return [
    row("S3, 100 MB PUT, MB/s", bare, rate, aim),
    row("… CPU of 100 MB, s", bare, perObject),
    row("… by the AWS SDK, MB/s", sdk, rate, aim),
    row("… CPU of 100 MB by the AWS SDK, s", sdk, perObject),
    row("… CPU of the AWS SDK's own process, s", sdk, ownCpu),
    await ceiling(
      bench,
      "S3, 100 MB PUT into nothing, MB/s",
      { kind: "put", target: bench.sink, path: "/", bytes, count },
      rate,
    ),
  ];
}

async function askGet(bench: Bench): Promise<readonly Row[]> {
  for (const subject of [bench.roma, bench.peer]) {
    if (subject === undefined) continue;
    // With a checksum, which the SDK then verifies: of a bare PUT MinIO would have none.
    const { count: _count, ...once } = bySdk("put", subject, "large");
    await runClient(once, { prefix: bench.clientPrefix });
  }
  const bare = await takeTurns(bench, (subject) => {
    const s3 = s3Of(subject);
    return { kind: "get", target: s3.target, path: s3Path(s3, "large"), bytes, count };
  });
  const sdk = await takeTurns(bench, (subject) => bySdk("get", subject, "large"));
  return [
    row("S3, 100 MB GET, MB/s", bare, rate, aim),
    row("… CPU of 100 MB, s", bare, perObject),
    row("… by the AWS SDK, MB/s", sdk, rate, aim),
    row("… CPU of 100 MB by the AWS SDK, s", sdk, perObject),
    row("… CPU of the AWS SDK's own process, s", sdk, ownCpu),
    await ceiling(
      bench,
      "S3, 100 MB GET from nothing, MB/s",
      { kind: "get", target: bench.sink, path: `/${bytes}`, bytes, count },
      rate,
    ),
  ];
}

function barePut(subject: Subject, key: string): PutTask {
  const s3 = s3Of(subject);
  return { kind: "put", target: s3.target, path: s3Path(s3, key), bytes, count };
}

function bySdk(way: "put" | "get", subject: Subject, key: string): S3SdkTask {
  return { kind: "s3-sdk", way, ...s3Of(subject), key, bytes, count };
}

function rate({ seconds }: { readonly seconds: number }): number {
  return (count * bytes) / MB / seconds;
}

function perObject({ cpuSeconds }: { readonly cpuSeconds: number }): number {
  return cpuSeconds / count;
}

function ownCpu({ clientCpuSeconds = Number.NaN }: TaskResult): number {
  return clientCpuSeconds / count;
}
