// How many 16 KiB objects a second go in and come out over S3 with 64 connections, beside MinIO, every
// request signed?

import { runClient } from "../client/run.ts";
import { type Bench, ceiling, type Question, type Row, row, takeTurns } from "../comparison.ts";
import { s3Of, s3Path } from "../servers.ts";
import { quantile } from "../statistics.ts";

const bytes = 16 * 1024;
const connections = 64;
const ratioMin = 0.5;

export const s3SmallPuts: Question = { name: "s3-small-puts", peer: "MinIO", ask: askPuts };
export const s3SmallGets: Question = { name: "s3-small-gets", peer: "MinIO", ask: askGets };

async function askPuts(bench: Bench): Promise<readonly Row[]> {
  const count = bench.quick ? 4_000 : 12_000;
  const shape = { kind: "small-puts", connections, count, bytes } as const;
  const samples = await takeTurns(bench, (subject, round) => {
    const s3 = s3Of(subject);
    return { ...shape, target: s3.target, pathStart: s3Path(s3, `small/${round}`) };
  });
  return [
    ...rowsOf("PUT", count, samples),
    await ceiling(
      bench,
      "S3, 16 KiB PUT into nothing, a second",
      { ...shape, target: bench.sink, pathStart: "/small" },
      ({ seconds }) => count / seconds,
    ),
  ];
}

async function askGets(bench: Bench): Promise<readonly Row[]> {
  const count = bench.quick ? 4_000 : 12_000;
  const shape = { connections, count, bytes };
  for (const subject of [bench.roma, bench.peer]) {
    if (subject === undefined) continue;
    const s3 = s3Of(subject);
    await runClient(
      { kind: "small-puts", ...shape, target: s3.target, pathStart: s3Path(s3, "small") },
      { prefix: bench.clientPrefix },
    );
  }
  const samples = await takeTurns(bench, (subject) => {
    const s3 = s3Of(subject);
    return { kind: "small-gets", ...shape, target: s3.target, pathStart: s3Path(s3, "small") };
  });
  return [
    ...rowsOf("GET", count, samples),
    await ceiling(
      bench,
      "S3, 16 KiB GET from nothing, a second",
      { kind: "small-gets", ...shape, target: bench.sink, pathStart: `/${bytes}` },
      ({ seconds }) => count / seconds,
    ),
  ];
}

function rowsOf(
  method: string,
  count: number,
  samples: Awaited<ReturnType<typeof takeTurns>>,
): readonly Row[] {
  return [
    row(
      `S3, 16 KiB ${method} over ${connections} connections, a second`,
      samples,
      ({ seconds }) => count / seconds,
      { text: `ratio ≥ ${ratioMin}`, met: (_, ratio) => ratio >= ratioMin },
    ),
    row("… median answer, ms", samples, ({ latencies }) => quantile(latencies, 0.5)),
    row("… 99 % answered within, ms", samples, ({ latencies }) => quantile(latencies, 0.99)),
    row(`… CPU of 1,000 ${method}s, s`, samples, (sample) => (sample.cpuSeconds / count) * 1000),
  ];
}
