/** What the log says of a worker that died, and what it was counted as. */
import type { Ended, WorkerProcess } from "./worker-process.ts";

/**
 * `memory_group`: the kernel, for the group's quota; `heap`: V8, at its own limit; `hung`: this
 * supervisor, for its silence; `killed`: a SIGKILL of somebody else's; `crash`: another signal;
 * `exit`: by itself.
 */
export type DeathCause = "memory_group" | "heap" | "hung" | "killed" | "crash" | "exit";

export interface Death {
  readonly cause: DeathCause;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export interface Surroundings {
  /** Kills counted in the memory group, before and after; undefined where nobody counts. */
  readonly killsBefore: number | undefined;
  readonly killsAfter: number | undefined;
  readonly quotaBytes: number | undefined;
  readonly workers: number;
}

const inMebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;

export function describeDeath(worker: WorkerProcess, ended: Ended, around: Surroundings): Death {
  const cause = causeOf(worker, ended, around);
  const { sample } = worker;
  const fields = {
    worker: worker.slot,
    workerPid: worker.pid,
    signal: ended.signal,
    code: ended.code,
    cause,
    oomKillsBefore: around.killsBefore ?? null,
    oomKillsAfter: around.killsAfter ?? null,
    quotaBytes: around.quotaBytes ?? null,
    residentBytes: worker.residentBytes ?? null,
    ownBytes: worker.ownBytes ?? null,
    lastSample: sample ?? null,
    state: worker.readyAtMs === undefined ? "starting" : "ready",
    upMs: Math.round(performance.now() - worker.startedAtMs),
    ...(worker.killedFor === undefined ? {} : { killedFor: worker.killedFor }),
    ...(ended.abandoned ? { abandoned: true } : {}),
  };
  return { cause, fields, message: sentence(worker, ended, cause, around) };
}

function causeOf(worker: WorkerProcess, { signal }: Ended, around: Surroundings): DeathCause {
  if (worker.killedFor !== undefined) return "hung";
  if (signal === "SIGKILL") {
    const { killsBefore, killsAfter } = around;
    const counted = killsBefore !== undefined && killsAfter !== undefined;
    return counted && killsAfter > killsBefore ? "memory_group" : "killed";
  }
  // V8 ends with abort when its heap is full, and has said so on stderr.
  if (signal === "SIGABRT" && isHeapFull(worker)) return "heap";
  return signal === null ? "exit" : "crash";
}

function isHeapFull({ sample }: WorkerProcess): boolean {
  return sample !== undefined && sample.heapUsedBytes > 0.6 * sample.heapLimitBytes;
}

function sentence(
  worker: WorkerProcess,
  { code, signal, abandoned }: Ended,
  cause: DeathCause,
  { quotaBytes, workers }: Surroundings,
): string {
  const who = `worker ${worker.slot} (process ${worker.pid})`;
  const quota = quotaBytes === undefined ? "its quota" : `its quota of ${inMebibytes(quotaBytes)}`;
  switch (cause) {
    case "memory_group":
      return `the kernel killed ${who}: its memory group had used up ${quota}. Raise the quota, or run fewer workers than ${workers}`;
    case "heap":
      return `${who} ended because V8's heap was full, at ${inMebibytes(worker.sample?.heapLimitBytes ?? 0)}`;
    case "hung":
      return abandoned
        ? `${who} was killed (${worker.killedFor}) and cannot end, as in a call that hangs on a mount: it is left behind`
        : `${who} was killed: ${worker.killedFor}`;
    case "killed":
      return `somebody killed ${who} with SIGKILL; its memory group counts no kill of the kernel's`;
    case "crash":
      return `${who} crashed with ${signal}`;
    case "exit":
      return `${who} ended by itself with code ${code}`;
  }
}
