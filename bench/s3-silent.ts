// How soon is a client told that the storage behind Roma never answers, and how many sockets to it are
// left 5 s later? The storage works at first, and then takes what comes and says nothing.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { noise } from "./client/noise.ts";
import { type Subject, startRoma } from "./servers.ts";
import { digits } from "./statistics.ts";
import type {
  StorageAnswer,
  StorageQuestion,
  StorageQuestionOptions,
} from "./storages/question.ts";
import { addStorage, headersOf, type Stub, startStub, urlOf } from "./storages/servers.ts";

/** The storage layers' own: for a first answer, and without progress of a body. */
const deadlineSeconds = 30;
/** For what is done before and after the storage has the word. */
const answerSeconds = 1;
const leftAfterMs = 5000;
const shortBytes = 16 * 1024;
const longBytes = 16 * 1024 * 1024;

export const s3Silent: StorageQuestion = { name: "s3-silent", ask };

const parts = { streamBytesMax: "1 MiB" };
const shapes = [
  { name: "PUT of 16 KiB", bytes: shortBytes, settings: {} },
  { name: "PUT of 16 MiB, streamed", bytes: longBytes, settings: {} },
  { name: "PUT of 16 MiB, in parts", bytes: longBytes, settings: parts },
  { name: "GET", bytes: undefined, settings: {} },
] as const;

async function ask({ folder, profileFolder }: StorageQuestionOptions): Promise<StorageAnswer> {
  await using stub = await startStub({ waitMs: 0 });
  await using servers = new AsyncDisposableStack();
  const asked: { readonly roma: Subject; readonly name: string; readonly body?: Buffer }[] = [];
  // A server for each, so that no breaker opens on another's failure and sockets are told apart.
  for (const [index, shape] of shapes.entries()) {
    const place = { folder: join(folder, `roma-${index}`), prefix: [], cores: 1, profileFolder };
    const roma = servers.use(await startRoma(place));
    await addStorage(roma, "far", { place: stub.place, settings: shape.settings });
    await request(roma, "PUT", noise(shortBytes));
    asked.push({
      roma,
      name: shape.name,
      ...(shape.bytes !== undefined && { body: noise(shape.bytes) }),
    });
  }
  stub.silence();
  const rows = await Promise.all(
    asked.map(async ({ roma, name, body }) => {
      const startedAt = performance.now();
      const told = await request(roma, body === undefined ? "GET" : "PUT", body);
      const seconds = (performance.now() - startedAt) / 1000;
      const [pid = 0] = roma.pids;
      const atOnce = await socketsTo(pid, stub);
      await pause(leftAfterMs);
      const left = await socketsTo(pid, stub);
      return [
        name,
        told,
        `${digits(seconds)} (≤ ${deadlineSeconds} + ${answerSeconds}: ${verdict(seconds <= deadlineSeconds + answerSeconds)})`,
        String(atOnce.calls),
        `${left.calls} (0: ${verdict(left.calls === 0)})`,
        String(left.probes),
      ];
    }),
  );
  const heads = [
    "",
    "the client is told",
    "after, s",
    "sockets then",
    "sockets 5 s later",
    "of the server's own probes, besides",
  ];
  const notes = [
    "s3-silent: a storage that works and then takes everything and answers nothing; sockets are the server's, from /proc/<pid>/fd and net/tcp",
  ];
  return { rows: [heads, ...rows], notes };
}

/** Answers status and error code. */
async function request(roma: Subject, method: "GET" | "PUT", body?: Buffer): Promise<string> {
  const key = method === "GET" || body?.length === shortBytes ? "short" : "long";
  const answer = await fetch(urlOf(roma, `/v1/objects/far/${key}`), {
    method,
    headers: { ...headersOf(roma), "content-type": "application/octet-stream" },
    ...(body !== undefined && { body: new Uint8Array(body) }),
  });
  const text = await answer.text();
  const code = /"code":\s*"(\w+)"/.exec(text)?.[1];
  return code === undefined ? String(answer.status) : `${answer.status} ${code}`;
}

/**
 * Sockets of the process to the stub, in whatever state. The server looks by itself whether the storage
 * is back; the sockets of these looks are counted apart.
 */
async function socketsTo(
  pid: number,
  stub: Stub,
): Promise<{ readonly calls: number; readonly probes: number }> {
  const table = ["tcp", "tcp6"].map((name) => readFileSync(`/proc/${pid}/net/${name}`, "utf8"));
  const portByInode = new Map<string, number>();
  for (const line of table.flatMap((text) => text.split("\n").slice(1))) {
    const [, from = "", to = "", , , , , , , inode = ""] = line.trim().split(/\s+/);
    if (portOf(to) === stub.port) portByInode.set(inode, portOf(from));
  }
  const asked = await stub.open();
  const isProbe = socketInodes(pid)
    .map((inode) => portByInode.get(inode))
    .filter((port) => port !== undefined)
    .map((port) => isOfProbe(asked.get(port) ?? "", stub));
  const probes = isProbe.filter(Boolean).length;
  return { calls: isProbe.length - probes, probes };
}

/** The cold probe's blobs, or the bucket itself: no client's request ends there. */
function isOfProbe(path: string, { place }: Stub): boolean {
  return path.includes("/roma/probe/") || path === `/${place.bucket}`;
}

/** Of an address as /proc prints it, `0100007F:1F90`. */
function portOf(address: string): number {
  return Number.parseInt(address.split(":")[1] ?? "", 16);
}

function socketInodes(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode === undefined ? [] : [inode];
    } catch {
      // Closed since the folder was read.
      return [];
    }
  });
}

function verdict(met: boolean): string {
  return met ? "met" : "missed";
}
