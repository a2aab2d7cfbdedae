/**
 * What this server tells people of by itself. `docs/operations.md` has a section for each: what it means, what to do.
 * A name that is not here is told of as well, as a warning without labels.
 */
export type Severity = "critical" | "warning";

export interface AlertDefinition {
  readonly severity: Severity;
  /** What holds, without the circumstances: the subject of a mail. */
  readonly summary: string;
  /** Fields that tell alerts of this name apart: of few values, each. */
  readonly labels?: readonly string[];
  /** Of what only happens, and does not last: how long after the last time it counts as over. */
  readonly lastsMs?: number;
}

const minute = 60_000;
const hour = 60 * minute;

export const alertDefinitions = {
  alert_test: {
    severity: "warning",
    summary: "a test, asked for by roma alerts test",
    lastsMs: minute,
  },
  audit_chain_broken: {
    severity: "critical",
    summary: "records of the audit log were changed or removed",
  },
  clock_jumped: { severity: "warning", summary: "the system's time was set", lastsMs: hour },
  delete_cap_reached: {
    severity: "critical",
    summary: "as many objects were deleted within an hour as may be",
    labels: ["bucket"],
    lastsMs: hour,
  },
  descriptors_low: { severity: "warning", summary: "few file descriptors are left" },
  disk_full: {
    severity: "critical",
    summary: "a file system is full: uploads to it are refused",
    labels: ["mount"],
  },
  disk_low: { severity: "warning", summary: "a file system is getting full", labels: ["mount"] },
  disk_hanging: {
    severity: "critical",
    summary: "a file system does not answer",
    labels: ["mount"],
  },
  disk_read_only: {
    severity: "critical",
    summary: "a file system is mounted read-only: nothing is written there",
    labels: ["mount"],
  },
  inodes_low: {
    severity: "warning",
    summary: "a file system has few inodes left",
    labels: ["mount"],
  },
  log_lines_dropped: {
    severity: "warning",
    summary: "log lines cannot be written and are dropped",
    labels: ["sink"],
    lastsMs: 5 * minute,
  },
  memory_high: { severity: "warning", summary: "memory is short: uploads wait or are refused" },
  overload: {
    severity: "warning",
    summary: "requests are refused because there are too many",
    labels: ["class"],
    lastsMs: 2 * minute,
  },
  read_only: { severity: "critical", summary: "the server changes nothing: environments disagree" },
  storage_refused: {
    severity: "critical",
    summary: "a storage cannot be opened",
    labels: ["storage"],
  },
  storage_unavailable: {
    severity: "critical",
    summary: "a storage does not answer and is left alone",
    labels: ["storage"],
  },
  sweeper_stopped: {
    severity: "critical",
    summary: "the sweeper found too many unknown blobs and removes nothing",
    labels: ["storage"],
  },
  worker_crash_loop: { severity: "critical", summary: "workers die again and again" },
  worker_died: {
    severity: "warning",
    summary: "a worker died and was replaced",
    lastsMs: 10 * minute,
  },
} as const satisfies Readonly<Record<string, AlertDefinition>>;

export type AlertName = keyof typeof alertDefinitions;

const undeclared: AlertDefinition = {
  severity: "warning",
  summary: "a condition that needs a look",
};

export function definitionOf(name: string): AlertDefinition {
  const all: Readonly<Record<string, AlertDefinition>> = alertDefinitions;
  return all[name] ?? undeclared;
}
