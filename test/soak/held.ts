/** What each worker holds when nothing is asked of it. */
import { setTimeout as delay } from "node:timers/promises";
import {
  countDescriptors,
  eventually,
  readMetrics,
  residentBytes,
} from "../harness/process-usage.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import { workerPids } from "./faults.ts";
import type { Veterans } from "./veterans.ts";

export interface Held {
  /** Connections that the soak itself keeps open. */
  readonly connections: number;
  readonly pids: readonly number[];
  /** By worker, in the order of the pids. */
  readonly descriptors: readonly number[];
  readonly residentBytes: readonly number[];
  /** `memory_socket_listeners_max` by worker, in the order of the slots. */
  readonly listeners: readonly number[];
  /** `nodejs_active_resources`, all kinds together, the same. */
  readonly resources: readonly number[];
}

/** The gauges are read anew every two seconds; of several looks the least counts. */
const looks = 6;
const lookMs = 500;
const veteransMax = 64;
/** Until the gauges know of a connection. */
const coverMsMax = 6_000;

/**
 * Every worker has some of the connections; as many are opened as that takes. What the gauges tell first may be of
 * clients that have left since: some are opened in any case.
 */
export async function coverWorkers(
  server: ServerProcess,
  veterans: Veterans,
  workers: number,
): Promise<void> {
  if (veterans.count === 0) await veterans.add(2 * workers);
  await eventually(
    `each of ${workers} workers has connections that last`,
    async () => {
      const until = performance.now() + coverMsMax;
      do {
        if (isCovered(await listenersOf(server), workers)) return true;
        await delay(200);
      } while (performance.now() < until);
      if (veterans.count < veteransMax) await veterans.add(2 * workers);
      return false;
    },
    180_000,
  );
}

/**
 * When nothing has been asked for a while. A look at a worker without connections is no measure of it: the
 * gauge that told of some was of a moment before they were closed. The looks begin again when it has some.
 */
export async function held(
  server: ServerProcess,
  veterans: Veterans,
  workers: number,
): Promise<Held> {
  let seen: Held[] = [];
  await eventually(
    `each of ${workers} workers has its connections for ${looks} looks`,
    async () => {
      await delay(lookMs);
      const now = await look(server, veterans.count);
      if (`${now.pids}` !== `${seen[0]?.pids ?? now.pids}`) seen = [];
      if (isCovered(now.listeners, workers)) {
        seen.push(now);
        return seen.length === looks;
      }
      seen = [];
      await coverWorkers(server, veterans, workers);
      return false;
    },
    180_000,
  );
  return seen.reduce(lesser);
}

async function look(server: ServerProcess, connections: number): Promise<Held> {
  const pids = [...(await workerPids(server))].sort((one, other) => one - other);
  return {
    connections,
    pids,
    descriptors: await Promise.all(pids.map(countDescriptors)),
    residentBytes: await Promise.all(pids.map(residentBytes)),
    listeners: await listenersOf(server),
    resources: await ofWorkers(server, "nodejs_active_resources"),
  };
}

function lesser(one: Held, other: Held): Held {
  const of = (name: "descriptors" | "residentBytes" | "listeners" | "resources") =>
    one[name].map((value, index) => Math.min(value, other[name][index] ?? value));
  return {
    connections: one.connections,
    pids: one.pids,
    descriptors: of("descriptors"),
    residentBytes: of("residentBytes"),
    listeners: of("listeners"),
    resources: of("resources"),
  };
}

function listenersOf(server: ServerProcess): Promise<number[]> {
  return ofWorkers(server, "memory_socket_listeners_max");
}

/** Each worker tells of listeners, so it has connections. */
function isCovered(listeners: readonly number[], workers: number): boolean {
  return listeners.length === workers && listeners.every((most) => most > 0);
}

/** Sums of each worker, in the order of their slots. */
async function ofWorkers(server: ServerProcess, name: string): Promise<number[]> {
  const sums = new Map<number, number>();
  for (const { labels, value } of await readMetrics(server.opsUrl, name)) {
    const worker = Number(labels.worker);
    sums.set(worker, (sums.get(worker) ?? 0) + value);
  }
  return [...sums].sort(([one], [other]) => one - other).map(([, sum]) => sum);
}
