// How long does an object take by the AWS SDK, with the settings that it has by itself? It computes a
// CRC-32 of what it sends and checks what it gets.

import { Readable } from "node:stream";
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { inTurn, numbered } from "./in-turn.ts";
import { noise } from "./noise.ts";
import type { S3SdkTask, TaskResult } from "./tasks.ts";

const MiB = 1024 * 1024;

export async function s3Sdk(task: S3SdkTask): Promise<TaskResult> {
  const { target, basePath, way } = task;
  const { accessKeyId, secretAccessKey, region } = target.signing;
  const client = new S3Client({
    endpoint: `http://${target.host}:${target.port}${basePath}`,
    ...{ region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } },
  });
  // Whatever it loads and looks up the first time is not the server's.
  await run[way](client, { ...task, key: `${task.key}-first`, bytes: MiB }, "warm-up");
  const before = process.cpuUsage();
  const { count } = task;
  const result = await inTurn(count, (index) => {
    const key = way === "get" ? task.key : numbered(task.key, { index, count });
    return run[way](client, { ...task, key });
  });
  const { user, system } = process.cpuUsage(before);
  client.destroy();
  return { ...result, clientCpuSeconds: (user + system) / 1e6 };
}

type Run = (client: S3Client, task: S3SdkTask, why?: "warm-up") => Promise<void>;

const run: Readonly<Record<S3SdkTask["way"], Run>> = {
  async put(client, { bucket, key, bytes }) {
    const body = Readable.from(pieces(bytes), { objectMode: false, highWaterMark: MiB });
    const input = { Bucket: bucket, Key: key, Body: body, ContentLength: bytes };
    await client.send(new PutObjectCommand(input));
  },

  async get(client, { bucket, key, bytes }, why) {
    // There is no smaller object of that name to be read.
    if (why === "warm-up") return;
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    let count = 0;
    for await (const chunk of Body as AsyncIterable<Uint8Array>) count += chunk.length;
    if (count !== bytes) throw new Error(`${count} bytes of ${bytes} came`);
  },

  async upload(client, { bucket, key, bytes, partBytes = 16 * MiB, connections = 8 }) {
    const body = Readable.from(pieces(bytes), { objectMode: false, highWaterMark: MiB });
    const params = { Bucket: bucket, Key: key, Body: body };
    const options = { client, params, partSize: partBytes, queueSize: connections };
    await new Upload(options).done();
  },
};

function* pieces(bytes: number): Generator<Buffer> {
  const block = noise(MiB);
  for (let left = bytes; left > 0; left -= MiB) yield left < MiB ? block.subarray(0, left) : block;
}
