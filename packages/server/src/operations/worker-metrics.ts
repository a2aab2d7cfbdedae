/** What is known of the workers from outside: by whoever merges their metrics, and by the supervisor. */
import type { MetricObjectWithValues, MetricValue } from "prom-client";
import type { Json } from "../core/ports/siblings.ts";
import type { MetricDefinitions } from "./metric-definition.ts";

/** As prom-client has it, and as it crosses between processes. */
export type Metric = MetricObjectWithValues<MetricValue<string>>;

export const workerMetricDefinitions = {
  worker_metrics_missing: {
    kind: "gauge",
    help: "1 for a worker whose metrics did not come in time; its counters are those of its last answer",
    labels: ["worker"],
  },
  workers_counted: { kind: "gauge", help: "Workers whose metrics are in this answer" },
  workers_wanted: {
    kind: "gauge",
    help: "Workers that there should be; none without a supervisor",
  },
  worker_deaths_total: {
    kind: "counter",
    help: "Workers that ended without being told to, by cause, since the supervisor started",
    labels: ["cause"],
  },
  worker_restarts_total: { kind: "counter", help: "Successors of workers that had died" },
  worker_recycled_total: {
    kind: "counter",
    help: "Workers that were replaced in order, for they asked for it or held too much memory",
  },
  worker_up_seconds: {
    kind: "gauge",
    help: "Since a worker was started, as its supervisor knows",
    labels: ["worker"],
  },
  worker_resident_memory_bytes: {
    kind: "gauge",
    help: "Resident memory of a worker, as its supervisor last saw it; of one that hangs, too",
    labels: ["worker"],
  },
  supervisor_resident_memory_bytes: { kind: "gauge", help: "Resident memory of the supervisor" },
  memory_quota_bytes: {
    kind: "gauge",
    help: "Memory that the processes of the memory group may have",
  },
  memory_oom_kills_total: {
    kind: "counter",
    help: "Processes that the kernel killed in the memory group since it was made",
  },
} as const satisfies MetricDefinitions;

type Name = keyof typeof workerMetricDefinitions;

export function metricOf(name: Name, values: MetricValue<string>[]): Metric {
  const { help, kind } = workerMetricDefinitions[name];
  // prom-client's own type has a number for the kind, and its registry the word.
  return { name, help, type: kind, aggregator: "max", values } as unknown as Metric;
}

/** What the supervisor answers to `supervisor-metrics`; what is missing there is missing here. */
export function metricsOfSupervisor(answer: Json): Metric[] {
  if (!isRecord(answer)) return [];
  const single = (name: Name, value: Json | undefined): Metric[] =>
    typeof value === "number" ? [metricOf(name, [{ value, labels: {} }])] : [];
  const workers = Array.isArray(answer.workers) ? answer.workers.filter(isRecord) : [];
  const byWorker = (name: Name, field: string): Metric => {
    const values = new Map<string, number>();
    // While one is replaced two have its number: the greater is told.
    for (const worker of workers) {
      const label = String(worker.worker);
      values.set(label, Math.max(values.get(label) ?? 0, Number(worker[field]) || 0));
    }
    return metricOf(
      name,
      [...values].map(([worker, value]) => ({ value, labels: { worker } })),
    );
  };
  const deaths = isRecord(answer.deaths) ? Object.entries(answer.deaths) : [];
  return [
    ...single("workers_wanted", answer.workersWanted),
    metricOf(
      "worker_deaths_total",
      deaths.map(([cause, value]) => ({ value: Number(value), labels: { cause } })),
    ),
    ...single("worker_restarts_total", answer.restarts),
    ...single("worker_recycled_total", answer.recycled),
    byWorker("worker_up_seconds", "upSeconds"),
    byWorker("worker_resident_memory_bytes", "residentBytes"),
    ...single("supervisor_resident_memory_bytes", answer.supervisorResidentBytes),
    ...single("memory_quota_bytes", answer.quotaBytes),
    ...single("memory_oom_kills_total", answer.oomKills),
  ];
}

function isRecord(value: Json | undefined): value is { readonly [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
