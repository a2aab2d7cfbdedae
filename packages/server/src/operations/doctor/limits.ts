/** What the kernel allows this process, and so the service if it is started the same way. */
import { existsSync, readFileSync } from "node:fs";
import { type Finding, findings, roundBytes } from "./finding.ts";

const { ok, warn, fail } = findings("limits");

export interface LimitsOptions {
  readonly connectionsMax: number;
  readonly workers: number;
  /** Of the memory group; undefined: none. */
  readonly quotaBytes: number | undefined;
  /** Why the quota cannot hold the workers. */
  readonly memoryProblem?: string | undefined;
  readonly threadPoolSize: string | undefined;
}

/** Beside connections: files, databases, storages, logs. */
const descriptorsBeside = 512;
/** Of one worker: the pool, V8's, the store's and the digests' threads. */
const threadsOfWorker = 90;

export function checkLimits(options: LimitsOptions): readonly Finding[] {
  return [
    ...descriptors(options),
    ...threads(options),
    ...memory(options),
    ...ephemeralPorts(),
    ...threadPool(options.threadPoolSize),
  ];
}

function descriptors({ connectionsMax }: LimitsOptions): readonly Finding[] {
  // Node raises the soft limit to the hard one as it starts.
  const limit = limitOf("Max open files");
  if (limit === undefined) return [];
  const wanted = connectionsMax + descriptorsBeside;
  const raise = "LimitNOFILE= of the unit, or ulimit -n";
  if (limit < 1_024)
    return [fail(`only ${limit} file descriptors for a process`, `raise it: ${raise}`)];
  if (limit < wanted) {
    return [
      warn(
        `${limit} file descriptors for a process, and http.connectionsMax is ${connectionsMax}`,
        `raise it to ${wanted} or more (${raise}), or lower http.connectionsMax`,
      ),
    ];
  }
  return [ok(`${limit} file descriptors for a process`)];
}

function threads({ workers }: LimitsOptions): readonly Finding[] {
  const wanted = workers * threadsOfWorker + 50;
  const limits = [limitOf("Max processes"), groupLimit("pids", "pids.max")].filter(isDefined);
  const limit = Math.min(...limits, Number.POSITIVE_INFINITY);
  if (limit >= wanted) return [ok(`threads for ${workers} worker(s)`)];
  return [
    fail(
      `${limit} threads are allowed, and ${workers} worker(s) need about ${wanted}`,
      "raise TasksMax= of the unit, the container's limit of pids, or ulimit -u",
    ),
  ];
}

function memory({ workers, quotaBytes, memoryProblem }: LimitsOptions): readonly Finding[] {
  if (memoryProblem !== undefined) return [fail(memoryProblem, "the start stops there as well")];
  if (quotaBytes === undefined) return [ok("no quota of memory but the machine's")];
  return [ok(`a quota of ${roundBytes(quotaBytes)} for ${workers} worker(s)`)];
}

function ephemeralPorts(): readonly Finding[] {
  const [low = 0, high = 0] = (read("/proc/sys/net/ipv4/ip_local_port_range") ?? "")
    .split(/\s+/)
    .map(Number);
  const count = high - low + 1;
  if (low === 0 || count >= 10_000) return [];
  return [
    warn(
      `${count} ephemeral ports for connections to storages`,
      "widen net.ipv4.ip_local_port_range by sysctl",
    ),
  ];
}

function threadPool(size: string | undefined): readonly Finding[] {
  const threads = Number(size);
  if (size === undefined || threads >= 64) return [];
  return [
    warn(
      `UV_THREADPOOL_SIZE is ${size}: few mounts that hang would stop everything`,
      "unset it, or set 64 or more",
    ),
  ];
}

function limitOf(name: string): number | undefined {
  const line = (read("/proc/self/limits") ?? "").split("\n").find((one) => one.startsWith(name));
  const hard = line?.slice(26).trim().split(/\s+/)[1];
  if (hard === undefined) return undefined;
  return hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard);
}

/** Of the control group that this process is in, version 2 or 1. */
function groupLimit(controller: string, file: string): number | undefined {
  for (const line of (read("/proc/self/cgroup") ?? "").split("\n")) {
    const [, controllers = "", ...rest] = line.split(":");
    const path = rest.join(":");
    const folder = controllers === "" ? "/sys/fs/cgroup" : `/sys/fs/cgroup/${controller}`;
    if (controllers !== "" && !controllers.split(",").includes(controller)) continue;
    for (const place of [`${folder}${path}/${file}`, `${folder}/${file}`]) {
      const text = read(place)?.trim();
      if (text !== undefined && /^\d+$/.test(text)) return Number(text);
    }
  }
  return undefined;
}

function isDefined(value: number | undefined): value is number {
  return value !== undefined;
}

function read(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}
