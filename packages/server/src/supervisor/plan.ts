/**
 * How many workers, and what each may take. With a quota on memory each gets a share, and a heap limit
 * that leaves room for what is outside of V8's heap: V8 itself knows neither of the others nor of the
 * quota's other users, so the kernel would kill before V8 reports.
 */
import { ConfigError } from "../config/index.ts";

const mebibyte = 2 ** 20;

/** The supervisor's own, measured: 60 MiB resident, with room. */
export const supervisorBytes = 80 * mebibyte;
/** What a worker needs to start and take small requests, measured; and while it is replaced, once more. */
export const workerBytesMin = 160 * mebibyte;
/** Of a worker's share; beyond it is in danger and is replaced. */
const shareUsedMax = 0.8;
const heapShare = 0.4;

export interface Plan {
  readonly count: number;
  /** Of each worker's old space; undefined: as V8 chooses. */
  readonly heapMebibytes: number | undefined;
  /** A worker with more resident memory is replaced; undefined: none is. */
  readonly recycleBytes: number | undefined;
}

export interface Machine {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly quotaBytes: number | undefined;
}

/** What a server with so many workers needs: each, the supervisor, and a successor beside one of them. */
export function bytesNeeded(count: number): number {
  return supervisorBytes + (count + 1) * workerBytesMin;
}

/** Throws a `ConfigError` that says what is needed when the quota cannot hold the workers. */
export function planWorkers(workers: "auto" | number, machine: Machine): Plan {
  const roomBytes = machine.quotaBytes ?? machine.memoryBytes;
  const fit = Math.floor((roomBytes - supervisorBytes) / workerBytesMin) - 1;
  const count = workers === "auto" ? Math.max(1, Math.min(machine.cpus, fit)) : workers;
  const { quotaBytes } = machine;
  if (quotaBytes === undefined) {
    return { count, heapMebibytes: undefined, recycleBytes: undefined };
  }
  const needed = bytesNeeded(count);
  if (quotaBytes < needed)
    throw new ConfigError([{ path: "workers", message: tooFew(machine, count) }]);
  return {
    count,
    heapMebibytes: Math.floor((heapShare * quotaBytes) / count / mebibyte),
    // A successor starts beside the one that it replaces.
    recycleBytes: (shareUsedMax * (quotaBytes - supervisorBytes - workerBytesMin)) / count,
  };
}

function tooFew({ quotaBytes = 0 }: Machine, count: number): string {
  const inMebibytes = (bytes: number) => `${Math.round(bytes / mebibyte)} MiB`;
  const what = count === 1 ? "1 worker needs" : `${count} workers need`;
  return (
    `${what} ${inMebibytes(bytesNeeded(count))} of memory (${inMebibytes(supervisorBytes)} for the supervisor, ` +
    `${inMebibytes(workerBytesMin)} for each and for a successor), and the memory group's quota is ` +
    `${inMebibytes(quotaBytes)}; raise the quota, or set workers to 0 for one process without supervisor`
  );
}

/** Flags of Node for a worker: this process's own, without what a debugger listens on, and the limits. */
export function workerNodeFlags(
  { heapMebibytes }: Plan,
  own: readonly string[] = process.execArgv,
): readonly string[] {
  const kept = own.filter((flag) => !flag.startsWith("--inspect"));
  const says = (name: string) => kept.some((flag) => flag.startsWith(name));
  return [
    ...kept,
    ...(says("--max-semi-space-size") ? [] : ["--max-semi-space-size=8"]),
    ...(heapMebibytes === undefined || says("--max-old-space-size")
      ? []
      : [`--max-old-space-size=${heapMebibytes}`]),
  ];
}
