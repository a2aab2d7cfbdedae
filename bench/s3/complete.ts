// How long does the Complete of 10,000 parts take, beside MinIO? Of parts of 5 MiB, the least that both
// take: 50 GB, which no disk here has room for. So the parts are zeros, and as they come their files are
// made sparse, which changes no byte of them.

import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { promisify } from "node:util";
import { runClient } from "../client/run.ts";
import { type Bench, type Question, type Row, row, type Sample } from "../comparison.ts";
import { largeFiles, settleDisk } from "../machine.ts";
import { cpuSeconds } from "../process-figures.ts";
import { deleteObject, type Subject, s3Of, s3Path } from "../servers.ts";

const MiB = 1024 * 1024;
const partBytes = 5 * MiB;
/** Between two looks for files to be made sparse: 1 GB. */
const batch = 200;
const connections = 8;

export const s3Complete: Question = { name: "s3-complete", peer: "MinIO", ask };

async function ask(bench: Bench): Promise<readonly Row[]> {
  const count = bench.parts;
  const samples = { roma: [] as Sample[], peer: [] as Sample[] };
  const subjects = bench.peer === undefined ? [bench.roma] : [bench.roma, bench.peer];
  // Filling takes minutes: one round is enough for thousands of parts.
  const rounds = count > 1000 ? 1 : Math.min(3, bench.rounds);
  for (let round = 1; round <= rounds; round += 1) {
    subjects.reverse();
    for (const subject of subjects) {
      const sample = await complete(bench, subject, { key: `complete-${round}`, count });
      samples[subject === bench.roma ? "roma" : "peer"].push(sample);
    }
  }
  return [
    row(
      `S3, Complete of ${count.toLocaleString("en")} parts, ms`,
      samples,
      ({ seconds }) => seconds * 1000,
      { text: "Roma < 300 ms", met: (roma) => roma < 300 },
    ),
    row("… CPU, s", samples, (sample) => sample.cpuSeconds),
  ];
}

async function complete(
  bench: Bench,
  subject: Subject,
  { key, count }: { readonly key: string; readonly count: number },
): Promise<Sample> {
  const s3 = s3Of(subject);
  const place = { target: s3.target, path: s3Path(s3, key) };
  const how = { prefix: bench.clientPrefix };
  let upload: { readonly uploadId: string; readonly etag: string } | undefined;
  for (let done = 0; done < count; done += batch) {
    const result = await runClient(
      {
        ...{ kind: "s3-parts", ...place, partBytes, connections, zeros: true },
        ...{ firstNumber: done + 1, count: Math.min(batch, count - done) },
        ...(upload && { uploadId: upload.uploadId }),
      },
      how,
    );
    upload = result.upload;
    await makeSparse(subject.folder);
    process.stderr.write(`  ${subject.name}: ${Math.min(done + batch, count)} parts\n`);
  }
  if (upload === undefined) throw new Error("the client told no upload");
  settleDisk(bench.folder);
  const before = cpuSeconds(subject.pids);
  const result = await runClient({ kind: "s3-complete", ...place, ...upload, count }, how);
  const used = cpuSeconds(subject.pids) - before;
  await deleteObject(s3, key);
  return { ...result, cpuSeconds: used };
}

const execute = promisify(execFile);
const filesAtOnce = 64;

/** Gives the blocks of zeros back to the file system. */
async function makeSparse(folder: string): Promise<void> {
  const names = largeFiles(folder, partBytes).filter((path) => !isSparse(path));
  for (let start = 0; start < names.length; start += filesAtOnce) {
    await Promise.all(
      names
        .slice(start, start + filesAtOnce)
        .map((name) => execute("fallocate", ["--dig-holes", name])),
    );
  }
}

function isSparse(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined || stats.blocks * 512 < MiB;
}
