/** A status as lines for a terminal. */
import { formatBytes, formatTable, printable } from "../text.ts";
import type { Status } from "./status.ts";

export function viewOf(status: Status, server: string): readonly string[] {
  return [
    ...head(status, server),
    "",
    ...table(
      ["WORKER", "MEMORY", "HEAP", "CPU", "LOOP P99", "FILES", ""],
      status.workers.map(workerRow),
    ),
    "",
    ...table(
      ["STORAGE", "STATE", "RUNNING", "CALLS/S", "FAIL/S", "FIRST BYTE P95", "WRITTEN/S", "READ/S"],
      status.storages.map(storageRow),
    ),
    ...(status.disks.length === 0
      ? []
      : [
          "",
          ...table(
            ["DISK", "FREE", "STATE"],
            status.disks.map(({ mount, freeBytes, state }) => [
              mount,
              formatBytes(freeBytes),
              state,
            ]),
          ),
        ]),
    "",
    ...uploadLines(status),
  ].map(printable);
}

function head(status: Status, server: string): readonly string[] {
  const { alerts } = status;
  return [
    `${server}  ${status.at.slice(11, 19)}  ${alerts.length === 0 ? "no alerts" : `ALERTS: ${alerts.join(", ")}`}`,
    [
      `requests ${perSecond(status.requestsPerSecond)}`,
      `failing ${perSecond(status.failuresPerSecond)}`,
      `running ${status.requestsRunning}`,
      `first byte p95 ${time(status.firstByteP95Seconds)}`,
      `connections ${status.connections}`,
    ].join("   "),
    [
      `in ${formatBytes(status.receivedBytesPerSecond)}/s`,
      `out ${formatBytes(status.sentBytesPerSecond)}/s`,
      `uploads running ${status.uploadsRunning}`,
    ].join("   "),
  ];
}

function workerRow(worker: Status["workers"][number]): readonly string[] {
  return [
    worker.worker,
    formatBytes(worker.residentBytes),
    worker.heapBytes === null ? "-" : formatBytes(worker.heapBytes),
    worker.cpuShare === null ? "-" : `${Math.round(worker.cpuShare * 100)} %`,
    time(worker.eventLoopP99Seconds),
    worker.openFiles === null ? "-" : String(worker.openFiles),
    worker.silent ? "does not answer" : "",
  ];
}

function storageRow(storage: Status["storages"][number]): readonly string[] {
  return [
    storage.id,
    storage.state,
    String(storage.callsRunning),
    storage.callsPerSecond.toFixed(1),
    storage.failuresPerSecond.toFixed(1),
    time(storage.firstByteP95Seconds),
    formatBytes(storage.writtenBytesPerSecond),
    formatBytes(storage.readBytesPerSecond),
  ];
}

function uploadLines({ uploads }: Status): readonly string[] {
  if (uploads === null) return ["unfinished uploads: this key may not list them"];
  if (uploads.length === 0) return ["no unfinished uploads"];
  const rows = uploads.map(({ target, protocol, offset, length, bytesPerSecond }) => {
    const share = length === null || length === 0 ? "" : `${Math.floor((offset / length) * 100)} %`;
    const of = length === null ? "?" : formatBytes(length);
    const speed = bytesPerSecond === null ? "-" : `${formatBytes(bytesPerSecond)}/s`;
    return [protocol, `${formatBytes(offset)} of ${of}`, share, speed, target];
  });
  return table(["UPLOAD", "OFFSET", "", "SPEED", "OBJECT"], rows);
}

function table(names: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  return formatTable([names, ...rows]).split("\n");
}

function perSecond(value: number): string {
  return `${value.toFixed(1)}/s`;
}

function time(seconds: number | null): string {
  if (seconds === null) return "-";
  return seconds < 1
    ? `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`
    : `${seconds.toFixed(1)} s`;
}
