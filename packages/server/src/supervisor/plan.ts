/**
 * How many workers, and what each may take. With a quota on memory each gets a share, and a heap limit
 * that leaves room for what is outside of V8's heap: V8 itself knows neither of the others nor of the
 * quota's other users, so the kernel would kill before V8 reports.
 */
import { ConfigError } from "../config/index.ts";

const mebibyte = 2 ** 20;

/** The supervisor's own memory; measured: 26 MiB, with room. */
export const supervisorBytes = 40 * mebibyte;
/** A worker's own when it starts, and with little to do; measured: 108 to 130 MiB. */
export const workerBytesMin = 130 * mebibyte;
/** Of a worker's share; beyond it is in danger and is replaced. */
const shareUsedMax = 0.8;
const heapShare = 0.4;

export interface Plan {
  readonly count: number;
  /** Of each worker's old space; undefined: as V8 chooses. */
  readonly heapMebibytes: number | undefined;
  /** A worker with more memory of its own is replaced; undefined: none is. */
  readonly recycleBytes: number | undefined;
  /** The quota has room for a successor beside the workers: without, replacing one may cost one. */
  readonly roomForSuccessor: boolean;
}

export interface Machine {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly quotaBytes: number | undefined;
}

/** The least that a server with so many workers runs in. */
export function bytesNeeded(count: number): number {
  return supervisorBytes + count * workerBytesMin;
}

/** Throws a `ConfigError` that says what is needed when the quota cannot hold the workers. */
export function planWorkers(workers: "auto" | number, machine: Machine): Plan {
  const { quotaBytes } = machine;
  const roomBytes = quotaBytes ?? machine.memoryBytes;
  const fit = Math.floor((roomBytes - supervisorBytes) / workerBytesMin) - 1;
  const count = workers === "auto" ? Math.max(1, Math.min(machine.cpus, fit)) : workers;
  if (quotaBytes === undefined) {
    return { count, heapMebibytes: undefined, recycleBytes: undefined, roomForSuccessor: true };
  }
  if (quotaBytes < bytesNeeded(count)) {
    throw new ConfigError([{ path: "workers", message: tooLittle(quotaBytes, count) }]);
  }
  const roomForSuccessor = quotaBytes >= bytesNeeded(count + 1);
  const sharedBytes = quotaBytes - bytesNeeded(roomForSuccessor ? 1 : 0);
  const recycleBytes = (shareUsedMax * sharedBytes) / count;
  return {
    count,
    heapMebibytes: Math.floor((heapShare * quotaBytes) / count / mebibyte),
    // A share in which any worker is heavy from the start is no reason to replace it.
    recycleBytes: recycleBytes > 1.2 * workerBytesMin ? recycleBytes : undefined,
    roomForSuccessor,
  };
}

function tooLittle(quotaBytes: number, count: number): string {
  const inMebibytes = (bytes: number) => `${Math.round(bytes / mebibyte)} MiB`;
  const what = count === 1 ? "1 worker needs" : `${count} workers need`;
  return (
    `${what} ${inMebibytes(bytesNeeded(count))} of memory (${inMebibytes(supervisorBytes)} for the ` +
    `supervisor, ${inMebibytes(workerBytesMin)} for each), and the memory group's quota is ` +
    `${inMebibytes(quotaBytes)}: raise it, or run fewer`
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
