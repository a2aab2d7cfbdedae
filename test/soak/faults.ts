/** What goes wrong during a soak, one thing at a time, at random: in processes, the metadata store, a storage. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import type { FaultProxy } from "../faults/fault-proxy.ts";
import { send } from "../harness/http-client.ts";
import type { Random } from "../harness/random.ts";
import type { ServerProcess } from "../harness/server-process.ts";

export interface FaultsOptions {
  readonly server: ServerProcess;
  readonly proxy: FaultProxy;
  readonly random: Random;
  readonly note: (what: string) => void;
}

/** Faults that end no process, so that what a process holds can be compared before and after. */
const gentle = {
  storageFails: 4,
  metadataLocked: 2,
  workerPaused: 2,
  placementChanged: 2,
};

const rough = { ...gentle, workerKilled: 3, rollingRestart: 1 };

/** Until told to stop, with quiet times between, in which what was broken must work again. */
export async function injectFaults(
  options: FaultsOptions,
  { isRough, signal }: { readonly isRough: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const { random, note } = options;
  while (!signal.aborted) {
    await delay(500 + random.below(2_000));
    if (signal.aborted) return;
    const name = random.weighted<keyof typeof rough>(isRough ? rough : { ...gentle, ...none });
    note(name);
    await faults[name](options);
  }
}

const none = { workerKilled: 0, rollingRestart: 0 };

/** Of a server with a supervisor: its children. */
export async function workerPids(server: ServerProcess): Promise<readonly number[]> {
  const { pid } = server;
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "latin1").catch(() => "");
  return text.split(" ").filter(Boolean).map(Number);
}

async function pickWorker({ server, random }: FaultsOptions): Promise<number | undefined> {
  const pids = await workerPids(server);
  return pids.length === 0 ? undefined : random.pick(pids);
}

const faults: Readonly<Record<keyof typeof rough, (options: FaultsOptions) => Promise<void>>> = {
  /** Half of the requests of the storage meet something, for a while. */
  async storageFails({ proxy, random }) {
    proxy.fault = ({ length }) => {
      if (random.next() < 0.5) return undefined;
      return random.pick([
        { kind: "silence" },
        { kind: "resetRequest", at: random.below(length + 1) },
        { kind: "resetAnswer", at: random.below(200) },
        { kind: "loseAnswer" },
        { kind: "cutBody", at: random.below(1_000) },
      ] as const);
    };
    await delay(500 + random.below(1_500));
    proxy.fault = () => undefined;
  },

  /** As a backup does, or an operator with a shell. */
  async metadataLocked({ server, random }) {
    const database = new DatabaseSync(join(server.data, "metadata.sqlite"), { timeout: 5_000 });
    try {
      database.exec("BEGIN IMMEDIATE");
      await delay(200 + random.below(1_500));
      database.exec("ROLLBACK");
    } finally {
      database.close();
    }
  },

  async workerPaused(options) {
    const pid = await pickWorker(options);
    if (pid === undefined) return;
    process.kill(pid, "SIGSTOP");
    await delay(100 + options.random.below(1_500));
    try {
      process.kill(pid, "SIGCONT");
    } catch {
      // It was replaced meanwhile.
    }
  },

  async placementChanged({ server, random }) {
    const placement = random.pick([null, "far", [{ minBytes: 50_000, storage: "far" }]]);
    await send(server, "PATCH", "/v1/buckets/demo", {
      body: JSON.stringify({ placement }),
    }).catch(() => {});
  },

  async workerKilled(options) {
    const pid = await pickWorker(options);
    if (pid !== undefined) process.kill(pid, "SIGKILL");
  },

  async rollingRestart({ server }) {
    process.kill(server.pid, "SIGHUP");
  },
};
