/** What goes wrong during a soak, one thing at a time, at random: in processes, the metadata store, a storage, on disks. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import type { FaultProxy } from "../faults/fault-proxy.ts";
import { type Answer, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import type { Random } from "../harness/random.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import { fillDisk, type SoakDisks } from "./disks.ts";

export interface FaultsOptions {
  readonly server: ServerProcess;
  readonly proxy: FaultProxy;
  /** Left out where nothing can be mounted. */
  readonly disks: SoakDisks | undefined;
  readonly random: Random;
  readonly count: (what: string) => void;
  readonly violate: (what: string) => void;
  /** Of a fault, and of the quiet after it, at most. */
  readonly faultMsMax: number;
}

/** Faults that end no process, so that what a process holds can be compared before and after. */
const gentle = {
  storageFails: 4,
  metadataLocked: 2,
  workerPaused: 2,
  placementChanged: 2,
};

const ofDisks = { storageDiskFull: 2, dataDiskFull: 1 };
const ofProcesses = { workerKilled: 3, rollingRestart: 1 };

type Fault = keyof typeof gentle | keyof typeof ofDisks | keyof typeof ofProcesses;

/**
 * Until the time is over, with quiet times between, in which what was broken must work again. Where it is
 * rough each comes once at least, however long that takes.
 */
export async function injectFaults(
  options: FaultsOptions,
  { isRough, ms }: { readonly isRough: boolean; readonly ms: number },
): Promise<void> {
  const { random, count, violate, faultMsMax, disks } = options;
  const until = performance.now() + ms;
  const weights: Readonly<Record<string, number>> = {
    ...gentle,
    ...(disks === undefined ? {} : ofDisks),
    ...(isRough ? ofProcesses : {}),
  };
  const first = isRough ? random.shuffled(Object.keys(weights)) : [];
  for (;;) {
    await delay(faultMsMax / 4 + random.below(faultMsMax * 0.75));
    if (performance.now() >= until && first.length === 0) return;
    const name = (first.pop() ?? random.weighted(weights)) as Fault;
    count(`fault: ${name}`);
    try {
      await faults[name](options);
    } catch (error) {
      violate(`the fault ${name} itself failed: ${error}`);
    }
  }
}

/** Where new bytes go. The first is that of the beginning. */
const placements = {
  mixed: [
    { minBytes: 10_000, maxBytes: 200_000, storage: "tight" },
    { minBytes: 200_001, storage: "far" },
  ],
  far: "far",
  local: "local",
  fallback: [{ storage: "far", fallback: "local" }],
  largeFar: [{ minBytes: 50_000, storage: "far" }],
} as const;

type Placement = keyof typeof placements;

/** Changes the placement of the bucket that the clients use. */
export async function place(server: { readonly url: string }, name: Placement): Promise<void> {
  const body = JSON.stringify({ placement: placements[name] });
  let last: Answer | undefined;
  await eventually(
    "the placement is taken",
    async () => {
      last = await send(server, "PATCH", "/v1/buckets/demo", { body }).catch(() => undefined);
      return last?.status === 200;
    },
    // Refused while a worker starts, and in a rolling restart one after the other does.
    180_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${name}, ${last?.status} ${last?.body}`);
  });
}

/** Of a server with a supervisor: its children. */
export async function workerPids(server: ServerProcess): Promise<readonly number[]> {
  const { pid } = server;
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "latin1").catch(() => "");
  return text.split(" ").filter(Boolean).map(Number);
}

function isBegun(database: DatabaseSync): boolean {
  try {
    database.exec("BEGIN IMMEDIATE");
    return true;
  } catch (error) {
    // SQLITE_BUSY
    if (Reflect.get(Object(error), "errcode") === 5) return false;
    throw error;
  }
}

async function pickWorker({ server, random }: FaultsOptions): Promise<number | undefined> {
  const pids = await workerPids(server);
  return pids.length === 0 ? undefined : random.pick(pids);
}

const faults: Readonly<Record<Fault, (options: FaultsOptions) => Promise<void>>> = {
  /** Half of the requests of the storage meet something, for a while. */
  async storageFails({ server, proxy, random, count, faultMsMax }) {
    await place(server, random.pick<Placement>(["far", "mixed", "largeFar", "fallback"]));
    proxy.fault = ({ length }) => {
      if (random.next() < 0.5) return undefined;
      const fault = random.pick([
        { kind: "silence" },
        { kind: "resetRequest", at: random.below(length + 1) },
        { kind: "resetAnswer", at: random.below(200) },
        { kind: "loseAnswer" },
        { kind: "cutBody", at: random.below(1_000) },
      ] as const);
      count(`storage: ${fault.kind}`);
      return fault;
    };
    await delay(faultMsMax / 2 + random.below(faultMsMax / 2));
    proxy.fault = () => undefined;
  },

  /** As a backup does, or an operator with a shell. */
  async metadataLocked({ server, random, faultMsMax }) {
    const database = new DatabaseSync(join(server.data, "metadata.sqlite"), { timeout: 200 });
    try {
      // Workers take turns at it all the time; and while this process waits in SQLite nothing else here goes on.
      await eventually("the store can be locked", () => isBegun(database));
      await delay(200 + random.below(faultMsMax));
      database.exec("ROLLBACK");
    } finally {
      database.close();
    }
  },

  async workerPaused(options) {
    const pid = await pickWorker(options);
    if (pid === undefined) return;
    process.kill(pid, "SIGSTOP");
    await delay(100 + options.random.below(options.faultMsMax));
    try {
      process.kill(pid, "SIGCONT");
    } catch {
      // It was replaced meanwhile.
    }
  },

  async placementChanged({ server, random }) {
    await place(server, random.pick(Object.keys(placements) as Placement[]));
  },

  /** Of bytes, or of inodes. */
  async storageDiskFull({ disks, ...it }) {
    if (disks === undefined) return;
    await place(it.server, "mixed");
    const by = it.random.pick(["bytes", "inodes"] as const);
    await fillDisk(it, { folder: disks.tight, bucket: "tight", by });
  },

  /** The metadata store's, and the local storage's. */
  async dataDiskFull({ disks, ...it }) {
    if (disks === undefined) return;
    await fillDisk(it, { folder: disks.data, bucket: "local", by: "bytes" });
  },

  /** One, or all at once. */
  async workerKilled(options) {
    const { server, random } = options;
    const one = random.next() < 0.5 ? await pickWorker(options) : undefined;
    for (const pid of one === undefined ? await workerPids(server) : [one]) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It was replaced meanwhile.
      }
    }
  },

  async rollingRestart({ server }) {
    process.kill(server.pid, "SIGHUP");
  },
};
