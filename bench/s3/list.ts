// What does a page of 1,000 keys out of a million cost by ListObjectsV2, beside MinIO?

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Connection } from "../client/connection.ts";
import { head } from "../client/head.ts";
import { type Bench, type Question, type Row, row, takeTurns } from "../comparison.ts";
import { loadedKey, loadObjects } from "../load-objects.ts";
import { type Subject, s3Of, s3Path } from "../servers.ts";
import { digits, quantile } from "../statistics.ts";

const limit = 1000;
const bucket = "listed";

export const s3List: Question = { name: "s3-list", peer: "MinIO", prepare, ask };

function countOf({ quick }: { readonly quick: boolean }): number {
  return quick ? 100_000 : 1_000_000;
}

async function prepare(folder: string, options: { readonly quick: boolean }): Promise<string> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const startedAt = performance.now();
  const count = countOf(options);
  await loadObjects(join(folder, "metadata.sqlite"), { bucket, count });
  const seconds = (performance.now() - startedAt) / 1000;
  return (
    `s3-list: ${count} rows were committed by Roma's own store before the start, in ` +
    `${digits(seconds)} s, with no bytes behind them; MinIO has an empty object put by a request, ` +
    "whose file is written again under the same keys"
  );
}

async function ask(bench: Bench): Promise<readonly Row[]> {
  const count = countOf(bench);
  if (bench.peer !== undefined) await fill(bench.peer, count);
  const pages = bench.quick ? 50 : 200;
  const samples = await takeTurns(bench, (subject) => {
    const s3 = { ...s3Of(subject), bucket };
    return { kind: "s3-pages", target: s3.target, path: s3Path(s3), limit, count: pages };
  });
  for (const { objects } of [...samples.roma, ...samples.peer]) {
    if (objects !== pages * limit) throw new Error(`${objects} objects listed`);
  }
  const cpu = ({ cpuSeconds }: { readonly cpuSeconds: number }) => (cpuSeconds / pages) * 1000;
  return [
    row(
      `S3, page of 1,000 out of ${count.toLocaleString("en")}, median, ms`,
      samples,
      ({ latencies }) => quantile(latencies, 0.5),
    ),
    row("… 99 % within, ms", samples, ({ latencies }) => quantile(latencies, 0.99)),
    row("… all pages, a second", samples, ({ seconds }) => pages / seconds),
    row("… CPU of a page, ms", samples, cpu),
  ];
}

/** MinIO keeps an object as a folder of its name with one file, which does not say the name. */
async function fill(minio: Subject, count: number): Promise<void> {
  const s3 = { ...s3Of(minio), bucket };
  using connection = await Connection.open(s3.target, { readBytes: 64 * 1024 });
  const empty = "Content-Length: 0\r\n";
  await connection.send({ head: head("PUT", s3Path(s3), s3.target, empty) });
  const lines = `Content-Type: image/jpeg\r\n${empty}`;
  await connection.send({ head: head("PUT", s3Path(s3, "first"), s3.target, lines) });
  const place = join(minio.folder, "data", bucket);
  const file = readFileSync(join(place, "first", "xl.meta"));
  await connection.send({ head: head("DELETE", s3Path(s3, "first"), s3.target) });
  for (let index = 0; index < count; index += 1) {
    const path = join(place, loadedKey(index));
    if (index < 100) mkdirSync(dirname(path));
    mkdirSync(path);
    writeFileSync(join(path, "xl.meta"), file);
  }
}
