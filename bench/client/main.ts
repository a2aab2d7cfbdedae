// How long do requests take? The load generator: a process of its own, which reads one task from its
// arguments and prints one line of JSON.

import { Connection } from "./connection.ts";
import { head, lengthLine } from "./head.ts";
import { inTurn, numbered } from "./in-turn.ts";
import { noise } from "./noise.ts";
import { overConnections } from "./over-connections.ts";
import { s3Complete, s3Pages, s3Parts } from "./s3.ts";
import type {
  GetTask,
  PagesTask,
  PutTask,
  RangesTask,
  SmallGetsTask,
  SmallPutsTask,
  Task,
  TaskResult,
} from "./tasks.ts";
import { tus, tusTrickle } from "./tus.ts";

const MiB = 1024 * 1024;

async function put({ target, path, bytes, count }: PutTask): Promise<TaskResult> {
  const body = noise(MiB);
  using connection = await Connection.open(target, { readBytes: 64 * 1024 });
  return await inTurn(count, async (index) => {
    const request = head("PUT", numbered(path, { index, count }), target, lengthLine(bytes));
    await connection.send({ head: request, body, bodyBytes: bytes });
  });
}

async function get({ target, path, bytes, count }: GetTask): Promise<TaskResult> {
  using connection = await Connection.open(target, { readBytes: MiB });
  return await inTurn(count, async () => {
    const answer = await connection.send({ head: head("GET", path, target) });
    if (answer.bodyBytes !== bytes) throw new Error(`${answer.bodyBytes} bytes of ${bytes} came`);
  });
}

async function smallPuts(task: SmallPutsTask): Promise<TaskResult> {
  const body = noise(task.bytes);
  const heads = smallHeads("PUT", task, lengthLine(task.bytes));
  return await overConnections(task, async (connection, index) => {
    await connection.send({ head: heads[index] ?? "", body });
  });
}

async function smallGets(task: SmallGetsTask): Promise<TaskResult> {
  const heads = smallHeads("GET", task);
  return await overConnections(task, async (connection, index) => {
    const { bodyBytes } = await connection.send({ head: heads[index] ?? "" });
    if (bodyBytes !== task.bytes) throw new Error(`${bodyBytes} bytes of ${task.bytes} came`);
  });
}

/** Made before the clock starts. 256 folders, so that no server has all names in one. */
function smallHeads(method: string, task: SmallPutsTask | SmallGetsTask, more = ""): string[] {
  return Array.from({ length: task.count }, (_, number) => {
    const folder = (number & 0xff).toString(16).padStart(2, "0");
    return head(method, `${task.pathStart}/${folder}/${number}`, task.target, more);
  });
}

async function ranges({ target, path, objectBytes, count }: RangesTask): Promise<TaskResult> {
  using connection = await Connection.open(target, { readBytes: 64 * 1024 });
  const latencies: number[] = [];
  const startedAt = performance.now();
  for (let index = 0; index < count; index += 1) {
    // The golden ratio spreads the offsets evenly, in no order that read-ahead could guess.
    const offset = Math.floor(((index * 0.618_033_988_749_895) % 1) * objectBytes);
    const request = head("GET", path, target, `Range: bytes=${offset}-${offset}\r\n`);
    const sentAt = performance.now();
    const answer = await connection.send({ head: request });
    latencies.push(performance.now() - sentAt);
    if (answer.status !== 206 || answer.bodyBytes !== 1) {
      throw new Error(`status ${answer.status} with ${answer.bodyBytes} bytes for one byte`);
    }
  }
  return { seconds: (performance.now() - startedAt) / 1000, latencies };
}

async function pages({ target, path, limit, count }: PagesTask): Promise<TaskResult> {
  using connection = await Connection.open(target, { readBytes: MiB });
  const latencies: number[] = [];
  let cursor: string | undefined;
  let objects = 0;
  const startedAt = performance.now();
  for (let index = 0; index < count; index += 1) {
    const query = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const request = head("GET", `${path}?limit=${limit}${query}`, target);
    const sentAt = performance.now();
    const { body } = await connection.send({ head: request, keepBody: true });
    latencies.push(performance.now() - sentAt);
    const page: unknown = JSON.parse(body?.toString("utf8") ?? "");
    const seen = pageOf(page);
    objects += seen.count;
    cursor = seen.cursor;
  }
  return { seconds: (performance.now() - startedAt) / 1000, latencies, objects };
}

function pageOf(page: unknown): { readonly count: number; readonly cursor: string | undefined } {
  if (typeof page === "object" && page !== null && "objects" in page && "cursor" in page) {
    const { objects, cursor } = page;
    if (Array.isArray(objects) && (cursor === null || typeof cursor === "string")) {
      return { count: objects.length, cursor: cursor ?? undefined };
    }
  }
  throw new Error("the page of the list has another shape");
}

function run(task: Task): Promise<TaskResult> {
  switch (task.kind) {
    case "put":
      return put(task);
    case "get":
      return get(task);
    case "small-puts":
      return smallPuts(task);
    case "small-gets":
      return smallGets(task);
    case "ranges":
      return ranges(task);
    case "pages":
      return pages(task);
    case "s3-pages":
      return s3Pages(task);
    case "s3-parts":
      return s3Parts(task);
    case "s3-complete":
      return s3Complete(task);
    case "s3-sdk":
      return import("./s3-sdk.ts").then(({ s3Sdk }) => s3Sdk(task));
    case "tus":
      return tus(task);
    case "tus-trickle":
      return tusTrickle(task);
  }
}

// The parent is this project's own program, so the task has this shape.
const task = JSON.parse(process.argv[2] ?? "") as Task;
process.stdout.write(`${JSON.stringify(await run(task))}\n`);
