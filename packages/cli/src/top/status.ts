/** What a running server does, from two looks at its metrics and its list of uploads. */
import type { UploadJson } from "@roma/contract";
import { type Exposition, quantileBetween } from "./exposition.ts";

/** Rates are of a second, between the two looks; null: the server does not say. */
export interface Status {
  readonly at: string;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  /** Answered with 5xx. */
  readonly failuresPerSecond: number;
  readonly requestsRunning: number;
  readonly firstByteP95Seconds: number | null;
  readonly receivedBytesPerSecond: number;
  readonly sentBytesPerSecond: number;
  readonly connections: number;
  readonly uploadsRunning: number;
  /** Names of conditions that hold. */
  readonly alerts: readonly string[];
  readonly workers: readonly WorkerStatus[];
  readonly storages: readonly StorageStatus[];
  readonly disks: readonly DiskStatus[];
  /** The first of those that are unfinished; null: they may not be listed. */
  readonly uploads: readonly UploadStatus[] | null;
}

export interface WorkerStatus {
  readonly worker: string;
  readonly residentBytes: number;
  readonly heapBytes: number | null;
  readonly eventLoopP99Seconds: number | null;
  readonly openFiles: number | null;
  /** Of one processor. */
  readonly cpuShare: number | null;
  /** It did not answer the others in time. */
  readonly silent: boolean;
}

export interface StorageStatus {
  readonly id: string;
  readonly state: "ok" | "left alone" | "refused";
  readonly callsRunning: number;
  readonly callsPerSecond: number;
  readonly failuresPerSecond: number;
  readonly firstByteP95Seconds: number | null;
  readonly writtenBytesPerSecond: number;
  readonly readBytesPerSecond: number;
}

export interface DiskStatus {
  readonly mount: string;
  readonly freeBytes: number;
  readonly state: "ok" | "low" | "full" | "read-only" | "hanging";
}

export interface UploadStatus {
  readonly id: string;
  readonly target: string;
  readonly protocol: string;
  readonly offset: number;
  readonly length: number | null;
  readonly bytesPerSecond: number | null;
}

export interface Look {
  readonly atMs: number;
  readonly metrics: Exposition;
  readonly uploads: readonly UploadJson[] | null;
}

/** Outcomes that are a storage's failure, and not an answer that nobody likes. */
const failures = ["unavailable", "internal", "data_damaged", "rate_limited", "storage_full"];
const diskStates = ["ok", "low", "full", "read-only"] as const;

export function statusBetween(before: Look, after: Look): Status {
  const seconds = Math.max(0.001, (after.atMs - before.atMs) / 1000);
  const looks = { before: before.metrics, after: after.metrics };
  const now = after.metrics;
  const rate = (name: string, wanted = {}): number => {
    const grown = (now.sum(name, wanted) ?? 0) - (before.metrics.sum(name, wanted) ?? 0);
    return Math.max(0, grown) / seconds;
  };
  return {
    at: new Date(after.atMs).toISOString(),
    seconds,
    requestsPerSecond: rate("http_requests_total"),
    failuresPerSecond: rate("http_requests_total", { status: "5xx" }),
    requestsRunning: now.sum("http_requests_running") ?? 0,
    firstByteP95Seconds: quantileBetween(looks, {
      name: "http_first_byte_seconds",
      wanted: {},
      share: 0.95,
    }),
    receivedBytesPerSecond: rate("http_received_bytes_total"),
    sentBytesPerSecond: rate("http_sent_bytes_total"),
    connections: now.sum("http_connections") ?? 0,
    uploadsRunning: now.sum("uploads_running") ?? 0,
    alerts: now
      .select("alerts_active")
      .flatMap(({ labels, value }) => (value > 0 ? (labels.name ?? []) : [])),
    workers: workersOf(now, rate),
    storages: storagesOf(looks, rate),
    disks: disksOf(now),
    uploads: uploadsOf(before, after, seconds),
  };
}

type Rate = (name: string, wanted?: Readonly<Record<string, string | readonly string[]>>) => number;

function workersOf(now: Exposition, rate: Rate): readonly WorkerStatus[] {
  const silent = now.values("worker_metrics_missing", "worker");
  const names = new Set([
    ...now.values("process_resident_memory_bytes", "worker"),
    ...now.values("worker_resident_memory_bytes", "worker"),
    ...silent,
  ]);
  return [...names].sort().map((worker) => {
    const own = (name: string): number | undefined => now.sum(name, { worker });
    return {
      worker,
      residentBytes:
        own("process_resident_memory_bytes") ?? own("worker_resident_memory_bytes") ?? 0,
      heapBytes: own("nodejs_heap_size_used_bytes") ?? null,
      eventLoopP99Seconds: own("nodejs_eventloop_lag_p99_seconds") ?? null,
      openFiles: own("process_open_fds") ?? null,
      cpuShare:
        own("process_cpu_seconds_total") === undefined
          ? null
          : rate("process_cpu_seconds_total", { worker }),
      silent: silent.includes(worker),
    };
  });
}

function storagesOf(
  looks: { readonly before: Exposition; readonly after: Exposition },
  rate: Rate,
): readonly StorageStatus[] {
  const { after: now } = looks;
  const ids = new Set([
    ...now.values("storage_calls_total", "storage"),
    ...now.values("storage_refused", "storage"),
  ]);
  return [...ids].sort().map((storage) => {
    const holds = (name: string): boolean => (now.sum(name, { storage }) ?? 0) > 0;
    const wanted = { storage, operation: "get" };
    return {
      id: storage,
      state: holds("storage_refused")
        ? "refused"
        : holds("storage_breaker_open")
          ? "left alone"
          : "ok",
      callsRunning: now.sum("storage_calls_running", { storage }) ?? 0,
      callsPerSecond: rate("storage_calls_total", { storage }),
      failuresPerSecond: rate("storage_calls_total", { storage, outcome: failures }),
      firstByteP95Seconds: quantileBetween(looks, {
        name: "storage_first_byte_seconds",
        wanted,
        share: 0.95,
      }),
      writtenBytesPerSecond: rate("storage_written_bytes_total", { storage }),
      readBytesPerSecond: rate("storage_read_bytes_total", { storage }),
    };
  });
}

function disksOf(now: Exposition): readonly DiskStatus[] {
  return now.select("disk_free_bytes").map(({ labels: { mount = "" }, value }) => {
    const hangs = (now.sum("disk_hanging", { mount }) ?? 0) > 0;
    const state = diskStates[now.sum("disk_state", { mount }) ?? 0] ?? "ok";
    return { mount, freeBytes: value, state: hangs ? "hanging" : state };
  });
}

function uploadsOf(before: Look, after: Look, seconds: number): readonly UploadStatus[] | null {
  const offsets = new Map(before.uploads?.map(({ id, offset }) => [id, offset]));
  return (
    after.uploads?.map(({ id, bucket, key, protocol, offset, length }) => {
      const known = offsets.get(id);
      const bytesPerSecond = known === undefined ? null : Math.max(0, offset - known) / seconds;
      return {
        id,
        target: `${bucket}/${key ?? "(a partial)"}`,
        protocol,
        offset,
        length,
        bytesPerSecond,
      };
    }) ?? null
  );
}
