// How long do tus uploads take? As tus-js-client makes them: a POST that makes the upload and a PATCH with
// its bytes, or the bytes in the POST.

import { setTimeout as pause } from "node:timers/promises";
import { Connection } from "./connection.ts";
import { head } from "./head.ts";
import { noise } from "./noise.ts";
import { overConnections } from "./over-connections.ts";
import type { Target, TaskResult, TusTask, TusTrickleTask } from "./tasks.ts";

const MiB = 1024 * 1024;
const readBytes = 16 * 1024;
const aloneCount = 100;
const aloneGapMs = 20;

interface Upload {
  readonly target: Target;
  readonly path: string;
  readonly bytes: number;
  readonly body: Buffer;
  readonly bytesPerSecond?: number | undefined;
}

export async function tus(task: TusTask): Promise<TaskResult> {
  const { bytes, way } = task;
  const upload: Upload = { ...task, body: noise(Math.min(bytes, MiB)) };
  const run = way === "post-then-patch" ? postThenPatch : postWithBytes;
  return await overConnections(task, (connection) => run(connection, upload));
}

export async function tusTrickle(task: TusTrickleTask): Promise<TaskResult> {
  const { target, path, slow, bytesPerSecond, seconds, bytes } = task;
  using probe = await Connection.open(target, { readBytes });
  const small: Upload = { target, path, bytes, body: noise(bytes) };
  const latenciesAlone: number[] = [];
  for (let index = 0; index < aloneCount; index += 1) {
    latenciesAlone.push(await timed(() => postThenPatch(probe, small)));
    await pause(aloneGapMs);
  }
  // Far longer than they are given time for.
  const slowly: Upload = { target, path, bytes: MiB, body: noise(MiB), bytesPerSecond };
  const connections: Connection[] = [];
  let early: unknown;
  for (let index = 0; index < slow; index += 1) {
    const connection = await Connection.open(target, { readBytes });
    connections.push(connection);
    postThenPatch(connection, slowly).catch((error: unknown) => {
      early ??= error;
    });
  }
  const startedAt = performance.now();
  const latencies: number[] = [];
  while (performance.now() - startedAt < seconds * 1000) {
    latencies.push(await timed(() => postThenPatch(probe, small)));
    await pause(aloneGapMs);
  }
  if (early !== undefined) throw early;
  for (const connection of connections) connection[Symbol.dispose]();
  return { seconds: (performance.now() - startedAt) / 1000, latencies, latenciesAlone };
}

async function timed(run: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await run();
  return performance.now() - startedAt;
}

async function postThenPatch(connection: Connection, upload: Upload): Promise<void> {
  const { target, path, bytes, body, bytesPerSecond } = upload;
  const create = `${lines(bytes)}Content-Length: 0\r\n`;
  const made = await connection.send({ head: head("POST", path, target, create) });
  const location = fieldOf(made.head, "Location");
  const patched = await connection.send({
    head: head("PATCH", new URL(location, "http://host").pathname, target, patchLines(bytes)),
    ...{ body, bodyBytes: bytes, bytesPerSecond },
  });
  assertOffset(patched.head, bytes);
}

async function postWithBytes(connection: Connection, upload: Upload): Promise<void> {
  const { target, path, bytes, body, bytesPerSecond } = upload;
  const made = await connection.send({
    head: head("POST", path, target, `${lines(bytes)}${bodyLines(bytes)}`),
    ...{ body, bodyBytes: bytes, bytesPerSecond },
  });
  assertOffset(made.head, bytes);
}

function lines(bytes: number): string {
  return `Tus-Resumable: 1.0.0\r\nUpload-Length: ${bytes}\r\nUpload-Metadata: filetype YXBwbGljYXRpb24vb2N0ZXQtc3RyZWFt\r\n`;
}

function patchLines(bytes: number): string {
  return `Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n${bodyLines(bytes)}`;
}

function bodyLines(bytes: number): string {
  return `Content-Type: application/offset+octet-stream\r\nContent-Length: ${bytes}\r\n`;
}

function fieldOf(text: string, name: string): string {
  const value = new RegExp(`\\r\\n${name}: *([^\\r]*)`, "i").exec(text)?.[1];
  if (value === undefined) throw new Error(`an answer without ${name}: ${text}`);
  return value;
}

function assertOffset(text: string, bytes: number): void {
  const offset = fieldOf(text, "Upload-Offset");
  if (offset !== String(bytes)) throw new Error(`offset ${offset} after ${bytes} bytes`);
}
