// How fast does a body go straight to a storage? A process of its own for each measurement, which sends
// noise from memory by the AWS SDK's Upload or by one bare undici PUT, and prints one line of JSON.

import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { noise } from "../client/noise.ts";
import { type S3Place, signedPut } from "./place.ts";

export interface UploadTask {
  readonly way: "bare" | "sdk";
  readonly place: S3Place;
  readonly key: string;
  readonly bytes: number;
}

export interface UploadResult {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly idleBytes: number;
  readonly peakBytes: number;
}

const MiB = 1024 * 1024;
const block = noise(MiB);

function* blocks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= MiB) yield left < MiB ? block.subarray(0, left) : block;
}

async function bare({ place, key, bytes }: UploadTask): Promise<() => Promise<unknown>> {
  const { request } = await import("undici");
  return async () => {
    const { url, headers } = signedPut(place, { key, bytes });
    const body = Readable.from(blocks(bytes), { objectMode: false, highWaterMark: MiB });
    const answer = await request(url, { method: "PUT", headers, body });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}: ${text}`);
  };
}

/** With the settings that the SDK has by itself. */
async function sdk({ place, key, bytes }: UploadTask): Promise<() => Promise<unknown>> {
  const { S3Client } = await import("@aws-sdk/client-s3");
  const { Upload } = await import("@aws-sdk/lib-storage");
  const { endpoint, region, bucket, accessKeyId, secretAccessKey } = place;
  const client = new S3Client({
    ...{ endpoint, region, forcePathStyle: true },
    credentials: { accessKeyId, secretAccessKey },
  });
  return async () => {
    const body = Readable.from(blocks(bytes), { objectMode: false, highWaterMark: MiB });
    await new Upload({ client, params: { Bucket: bucket, Key: key, Body: body } }).done();
    client.destroy();
  };
}

function statusBytes(name: string): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
}

// Our own program gives it.
const task = JSON.parse(process.argv[2] ?? "") as UploadTask;
const run = await { bare, sdk }[task.way](task);
const idleBytes = statusBytes("VmRSS");
const before = process.cpuUsage();
const startedAt = performance.now();
await run();
const seconds = (performance.now() - startedAt) / 1000;
const { user, system } = process.cpuUsage(before);
const result: UploadResult = {
  seconds,
  cpuSeconds: (user + system) / 1e6,
  idleBytes,
  peakBytes: statusBytes("VmHWM"),
};
process.stdout.write(`${JSON.stringify(result)}\n`);
