// How long does 1 GiB take in parts of 16 MiB, eight at a time, from the first request to the answer of
// the last, beside MinIO?

import { runClient } from "../client/run.ts";
import { type Bench, type Question, type Row, row, type Sample, takeTurns } from "../comparison.ts";
import { forgetCached, settleDisk } from "../machine.ts";
import { cpuSeconds } from "../process-figures.ts";
import { deleteObject, type Subject, s3Of, s3Path } from "../servers.ts";

const MiB = 1024 * 1024;
const bytes = 1024 * MiB;
const partBytes = 16 * MiB;
const count = bytes / partBytes;
const connections = 8;

export const s3Multipart: Question = { name: "s3-multipart", peer: "MinIO", ask };

interface Whole extends Sample {
  readonly partsSeconds: number;
  readonly completeSeconds: number;
}

async function ask(bench: Bench): Promise<readonly Row[]> {
  const samples = { roma: [] as Whole[], peer: [] as Whole[] };
  const subjects = bench.peer === undefined ? [bench.roma] : [bench.roma, bench.peer];
  for (let round = 0; round <= bench.rounds; round += 1) {
    subjects.reverse();
    for (const subject of subjects) {
      settleDisk(bench.folder);
      const sample = await upload(bench, subject, `whole-${round}`);
      if (round > 0) samples[subject === bench.roma ? "roma" : "peer"].push(sample);
      forgetCached(bench.folder);
    }
  }
  const sdk = await takeTurns(
    bench,
    (subject, round) => ({
      ...{ kind: "s3-sdk", way: "upload", ...s3Of(subject) },
      ...{ key: `sdk-${round}`, bytes, partBytes, connections },
    }),
    async (subject, round) => {
      await deleteObject(s3Of(subject), `sdk-${round}`);
      forgetCached(bench.folder);
    },
  );
  const rate = (seconds: number): number => bytes / MiB / seconds;
  const aim = { text: "ratio ≥ 0.9", met: (_: number, ratio: number) => ratio >= 0.9 };
  const figure = (of: (sample: Whole) => number) => (sample: Sample) => of(sample as Whole);
  return [
    row("S3, 1 GiB in parts of 16 MiB, 8 at a time, MiB/s", samples, (s) => rate(s.seconds), aim),
    row(
      "… the parts alone, MiB/s",
      samples,
      figure((s) => rate(s.partsSeconds)),
    ),
    row(
      `… Complete of ${count} parts, ms`,
      samples,
      figure((s) => s.completeSeconds * 1000),
    ),
    row("… CPU, s", samples, (s) => s.cpuSeconds),
    row("… by the AWS SDK's Upload, MiB/s", sdk, (s) => rate(s.seconds), aim),
    row("… CPU by the AWS SDK's Upload, s", sdk, (s) => s.cpuSeconds),
    row("… CPU of the AWS SDK's own process, s", sdk, (s) => s.clientCpuSeconds ?? Number.NaN),
  ];
}

async function upload(bench: Bench, subject: Subject, key: string): Promise<Whole> {
  const s3 = s3Of(subject);
  const place = { target: s3.target, path: s3Path(s3, key) };
  const how = { prefix: bench.clientPrefix };
  const before = cpuSeconds(subject.pids);
  const parts = await runClient(
    { kind: "s3-parts", ...place, firstNumber: 1, count, partBytes, connections },
    how,
  );
  if (parts.upload === undefined) throw new Error("the client told no upload");
  const whole = await runClient({ kind: "s3-complete", ...place, ...parts.upload, count }, how);
  const used = cpuSeconds(subject.pids) - before;
  await deleteObject(s3, key);
  return {
    seconds: parts.seconds + whole.seconds,
    latencies: parts.latencies,
    partsSeconds: parts.seconds,
    completeSeconds: whole.seconds,
    cpuSeconds: used,
  };
}
