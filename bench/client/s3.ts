// How long do uploads in parts and pages of a list take over S3? By raw requests, which cost the client
// little; what answers say is looked for in their text.

import { Connection } from "./connection.ts";
import { head, lengthLine } from "./head.ts";
import { noise } from "./noise.ts";
import { overConnections } from "./over-connections.ts";
import type { S3CompleteTask, S3PagesTask, S3PartsTask, TaskResult } from "./tasks.ts";

const MiB = 1024 * 1024;
const readBytes = 64 * 1024;
const noBody = "Content-Length: 0\r\n";

export async function s3Parts(task: S3PartsTask): Promise<TaskResult> {
  const { target, path, partBytes, firstNumber, count } = task;
  const body = task.zeros === true ? Buffer.alloc(MiB) : noise(MiB);
  const startedAt = performance.now();
  const uploadId = task.uploadId ?? (await beginUpload(task));
  const heads = Array.from({ length: count }, (_, index) => {
    const query = `partNumber=${firstNumber + index}&uploadId=${encodeURIComponent(uploadId)}`;
    return head("PUT", `${path}?${query}`, target, lengthLine(partBytes));
  });
  let etag = "";
  const { latencies } = await overConnections(task, async (connection, index) => {
    const answer = await connection.send({ head: heads[index] ?? "", body, bodyBytes: partBytes });
    etag = fieldOf(answer.head, /\r\netag: *"([^"]+)"/i);
  });
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, latencies, upload: { uploadId, etag } };
}

export async function s3Complete(task: S3CompleteTask): Promise<TaskResult> {
  const { target, path, uploadId, etag, count } = task;
  const parts = Array.from(
    { length: count },
    (_, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>"${etag}"</ETag></Part>`,
  );
  const body = Buffer.from(
    `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts.join("")}</CompleteMultipartUpload>`,
  );
  const query = `uploadId=${encodeURIComponent(uploadId)}`;
  const request = head("POST", `${path}?${query}`, target, lengthLine(body.length));
  using connection = await Connection.open(target, { readBytes });
  const startedAt = performance.now();
  const answer = await connection.send({ head: request, body, keepBody: true });
  const ms = performance.now() - startedAt;
  // Also an error may come with status 200.
  fieldOf(textOf(answer.body), /<ETag>([^<]*-\d+)/);
  return { seconds: ms / 1000, latencies: [ms] };
}

export async function s3Pages(task: S3PagesTask): Promise<TaskResult> {
  const { target, path, limit, count } = task;
  using connection = await Connection.open(target, { readBytes: MiB });
  const latencies: number[] = [];
  let token: string | undefined;
  let objects = 0;
  const startedAt = performance.now();
  for (let index = 0; index < count; index += 1) {
    const after = token === undefined ? "" : `&continuation-token=${encodeURIComponent(token)}`;
    const request = head("GET", `${path}?list-type=2&max-keys=${limit}${after}`, target);
    const sentAt = performance.now();
    const answer = await connection.send({ head: request, keepBody: true });
    latencies.push(performance.now() - sentAt);
    const text = textOf(answer.body);
    objects += text.split("<Key>").length - 1;
    token = /<NextContinuationToken>([^<]+)</.exec(text)?.[1];
  }
  return { seconds: (performance.now() - startedAt) / 1000, latencies, objects };
}

async function beginUpload({ target, path }: S3PartsTask): Promise<string> {
  using connection = await Connection.open(target, { readBytes });
  const request = head("POST", `${path}?uploads=`, target, noBody);
  const answer = await connection.send({ head: request, keepBody: true });
  return fieldOf(textOf(answer.body), /<UploadId>([^<]+)</);
}

function textOf(body: Buffer | undefined): string {
  return body?.toString("utf8") ?? "";
}

function fieldOf(text: string, pattern: RegExp): string {
  const value = pattern.exec(text)?.[1];
  if (value === undefined) throw new Error(`an answer without ${pattern.source}: ${text}`);
  return value;
}
