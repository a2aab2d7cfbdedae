/**
 * A worker's end of the channel to its supervisor. Without the supervisor there is nothing to serve: a
 * worker whose channel closes ends at once, as it would if it were one process with it.
 */

import { getHeapStatistics } from "node:v8";
import { HandedConnections } from "./handed-connections.ts";
import { offerToBeKilledFirst } from "./memory-group.ts";
import { type Init, isRecord, type Sample, type ToWorker, type WorkerChannel } from "./messages.ts";
import { SiblingsLink } from "./siblings-link.ts";

const beatMs = 1_000;

export interface WorkerLink {
  readonly slot: number;
  /** This worker is to say where the server listens. */
  readonly greets: boolean;
  readonly siblings: SiblingsLink;
  /** The same for all workers of the supervisor. */
  readonly serverName: string;
  readonly connections: HandedConnections;
  /** Settles when the supervisor wants this worker to leave. */
  readonly retired: Promise<"replaced" | "stopping">;
  /** From here on the worker counts as started, and beats with what `sample` says. */
  ready(sample: () => Promise<Sample>): void;
  /** A successor is started, and this worker retired when that one serves. */
  recycle(reason: string): void;
  /** Before work that stops the event loop for long. */
  announceSilence(ms: number): void;
  /** The last thing: the process ends when nothing else runs in it. */
  close(): void;
  /** Asked to write down what is in it. */
  onDump(handle: (dump: string) => void): void;
}

/** Resolves once the supervisor has said who this worker is. To be called before anything long. */
export async function joinSupervisor(): Promise<WorkerLink> {
  if (process.send === undefined) {
    throw new Error("this program is started by `roma serve`, not by itself");
  }
  offerToBeKilledFirst();
  process.on("disconnect", endAtOnce);
  // The terminal tells all processes; the supervisor is the one that acts.
  process.on("SIGINT", () => {});
  const init = Promise.withResolvers<Init>();
  const retired = Promise.withResolvers<"replaced" | "stopping">();
  const handlers: ((message: ToWorker, handle?: unknown) => void)[] = [];
  let dump: (dump: string) => void = () => {};
  process.on("message", (value, handle) => {
    if (!isRecord(value)) return;
    const message = value as unknown as ToWorker;
    if (message.kind === "init") init.resolve(message);
    if (message.kind === "retire") retired.resolve(message.reason);
    if (message.kind === "dump") dump(message.dump);
    for (const each of handlers) each(message, handle);
  });
  const channel: WorkerChannel = {
    send: (message) => {
      // A closed channel ends this process: nobody needs to hear of the message.
      if (process.connected) process.send?.(message, undefined, undefined, () => {});
    },
    onMessage: (handle) => void handlers.push(handle),
  };
  let sample: (() => Promise<Sample>) | undefined;
  const beat = async (): Promise<void> => {
    const now = (await sample?.().catch(() => undefined)) ?? memorySample();
    channel.send({ kind: "beat", sample: now });
  };
  setInterval(() => void beat(), beatMs).unref();

  const { slot, count, greets, serverName } = await init.promise;
  const siblings = new SiblingsLink(channel, { slot, count });
  const recycle = (reason: string) => channel.send({ kind: "recycle", reason });
  process.on("SIGTERM", () => recycle("SIGTERM"));
  return {
    ...{ slot, greets, siblings, recycle },
    connections: new HandedConnections(channel),
    serverName,
    retired: retired.promise,
    ready: (given) => {
      sample = given;
      channel.send({ kind: "ready" });
    },
    announceSilence: (ms) => channel.send({ kind: "silent", ms }),
    close: () => {
      process.off("disconnect", endAtOnce);
      process.disconnect?.();
    },
    onDump: (handle) => {
      dump = handle;
    },
  };
}

/** What a process knows of its memory, and nothing of what it does. */
export function memorySample(): Sample {
  const { rss, heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage();
  return {
    rssBytes: rss,
    heapUsedBytes: heapUsed,
    heapTotalBytes: heapTotal,
    heapLimitBytes: getHeapStatistics().heap_size_limit,
    externalBytes: external,
    arrayBufferBytes: arrayBuffers,
    connections: 0,
    requestsRunning: 0,
    uploadsRunning: 0,
    routes: [],
  };
}

/** Not `process.exit`, which waits for calls that hang. */
function endAtOnce(): void {
  process.kill(process.pid, "SIGKILL");
}
