// What has a process used so far? Read from /proc, so the process itself pays nothing for it.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** User and system time of all threads of these processes, in seconds. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name may hold anything; after its closing bracket the third field comes first.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / ticksPerSecond;
}

export interface Memory {
  readonly residentBytes: number;
  /** The highest since `forgetPeak`. */
  readonly peakBytes: number;
}

/** Summed over the processes; pages that they share count once for each. */
export function memory(pids: readonly number[]): Memory {
  let residentBytes = 0;
  let peakBytes = 0;
  for (const pid of pids) {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    residentBytes += kibibytes(status, "VmRSS") * 1024;
    peakBytes += kibibytes(status, "VmHWM") * 1024;
  }
  return { residentBytes, peakBytes };
}

export function forgetPeak(pids: readonly number[]): void {
  // proc_pid_clear_refs(5): 5 sets the peak to what is resident now.
  for (const pid of pids) writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** Direct children. */
export function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

function kibibytes(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
}
