/**
 * Metrics: the `Meter` of core and the layers, kept by prom-client. Each metric is declared here once,
 * with its help text and labels. A name that is not declared is a defect, but counting must never
 * hurt what it counts: it only shows as `metrics_undeclared_total`.
 */
import {
  type Aggregator,
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from "prom-client";
import type { Labels, Meter } from "../core/ports/meter.ts";
import { alertMetrics } from "./alerts/metrics.ts";
import { httpMetrics } from "./http-metrics.ts";
import type { MetricDefinitions } from "./metric-definition.ts";
import { tracingMetrics } from "./tracing/metrics.ts";

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export const metricDefinitions: MetricDefinitions = {
  read_only: {
    kind: "gauge",
    help: "1 while every change is refused: environments disagree",
    merge: "max",
  },
  ...httpMetrics,
  ...alertMetrics,
  ...tracingMetrics,
  uploads_running: { kind: "gauge", help: "Uploads being received now" },
  uploads_created_total: {
    kind: "counter",
    help: "Resumable uploads that were begun",
    labels: ["protocol"],
  },
  delete_caps_reached_total: {
    kind: "counter",
    help: "Hours in which a bucket's cap on deletes was reached",
  },
  uploads_expired_total: { kind: "counter", help: "Resumable uploads tidied away" },
  upload_completed_total: { kind: "counter", help: "Uploads that became an object" },
  storage_calls_running: {
    kind: "gauge",
    help: "Calls of storages under way, open bodies included",
    labels: ["storage", "operation"],
  },
  storage_calls_total: {
    kind: "counter",
    help: "Calls of storages by outcome: ok, aborted, or an error code",
    labels: ["storage", "operation", "outcome"],
  },
  storage_call_seconds: {
    kind: "histogram",
    help: "Time of calls of storages; of reads, until the body has ended",
    labels: ["storage", "operation"],
  },
  storage_first_byte_seconds: {
    kind: "histogram",
    help: "Time until the first byte of a body that is read",
    labels: ["storage", "operation"],
  },
  storage_written_bytes_total: {
    kind: "counter",
    help: "Bytes given to storages, acknowledged or not",
    labels: ["storage"],
  },
  storage_read_bytes_total: {
    kind: "counter",
    help: "Bytes read from storages",
    labels: ["storage", "operation"],
  },
  storage_retries_total: {
    kind: "counter",
    help: "Calls of storages that were tried again",
    labels: ["storage"],
  },
  storage_retries_refused_total: {
    kind: "counter",
    help: "Calls of storages that were not tried again because the budget was used up",
    labels: ["storage"],
  },
  storage_hedges_total: {
    kind: "counter",
    help: "Reads that were asked for twice because their first byte was late",
    labels: ["storage"],
  },
  storage_hedges_won_total: {
    kind: "counter",
    help: "Reads that were asked for twice and whose second answer came first",
    labels: ["storage"],
  },
  storage_breaker_open: {
    kind: "gauge",
    help: "1 while a storage that failed too often is left alone, by any worker",
    labels: ["storage"],
    merge: "max",
  },
  storage_breaker_opened_total: {
    kind: "counter",
    help: "Times that a storage failed too often",
    labels: ["storage"],
  },
  storage_breaker_refused_total: {
    kind: "counter",
    help: "Calls refused because the storage failed too often",
    labels: ["storage"],
  },
  storage_cold_probes_total: {
    kind: "counter",
    help: "First reads of blobs that nobody has read for long, by outcome: ok, or an error code",
    labels: ["storage", "outcome"],
  },
  storage_refused: {
    kind: "gauge",
    help: "1 while a storage, or its newest settings, cannot be opened by some worker",
    labels: ["storage"],
    merge: "max",
  },
  descriptors_open: {
    kind: "gauge",
    help: "File descriptors that the process has open",
    merge: "each",
  },
  descriptors_limit: { kind: "gauge", help: "Its limit of them, as it is now", merge: "each" },
  descriptors_refused_total: {
    kind: "counter",
    help: "Requests and connections refused because few descriptors were left",
  },
  disk_free_bytes: {
    kind: "gauge",
    help: "Free bytes of the file system of the metadata, the log, or a storage",
    labels: ["mount"],
    merge: "max",
  },
  disk_free_inodes: {
    kind: "gauge",
    help: "Free inodes of a file system, where it counts them",
    labels: ["mount"],
    merge: "max",
  },
  disk_state: {
    kind: "gauge",
    help: "0 while a file system has room, 1 above its soft watermark, 2 above its hard one, 3 mounted read-only; from 2 on nothing new is written",
    labels: ["mount"],
    merge: "max",
  },
  disk_hanging: {
    kind: "gauge",
    help: "1 while a look at a file system does not come back",
    labels: ["mount"],
    merge: "max",
  },
  memory_buffers_bytes: {
    kind: "gauge",
    help: "Memory reserved for bytes on their way: by requests, by parts that are gathered, by large reads",
    labels: ["use"],
    merge: "each",
  },
  memory_buffers_max_bytes: {
    kind: "gauge",
    help: "What each of these may reserve at most; requests beyond wait, then are refused",
    labels: ["use"],
    merge: "each",
  },
  memory_waited_total: { kind: "counter", help: "Requests that waited for memory" },
  memory_refused_total: {
    kind: "counter",
    help: "Requests refused because memory did not become free in time",
  },
  memory_array_buffers_bytes: {
    kind: "gauge",
    help: "Bytes of array buffers, Node's buffers among them, outside of V8's heap",
    merge: "each",
  },
  memory_heap_limit_bytes: {
    kind: "gauge",
    help: "Largest size that V8's heap may have",
    merge: "each",
  },
  memory_socket_listeners_max: {
    kind: "gauge",
    help: "Most listeners of one event on one connection, of some that are looked at; grows where they leak",
    merge: "each",
  },
  event_loop_utilization_ratio: {
    kind: "gauge",
    help: "Share of the time in which the event loop was busy, 0 to 1",
    merge: "each",
  },
  log_lines_dropped_total: {
    kind: "counter",
    help: "Log lines that could not be written, by where to and why: full, read_only, denied, closed, slow, failed",
    labels: ["sink", "reason"],
  },
  metadata_group_calls: {
    kind: "histogram",
    help: "Calls that shared one commit of the metadata store",
    labels: ["role"],
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
  },
  metadata_group_seconds: {
    kind: "histogram",
    help: "Time of one group of calls in the metadata store, its commit included",
    labels: ["role"],
  },
  metadata_refused_total: {
    kind: "counter",
    help: "Calls refused because too many waited for the metadata store",
    labels: ["role"],
  },
  http_work_limit: {
    kind: "gauge",
    help: "Requests that may be worked on at once, bodies that flow left out",
    labels: ["class"],
  },
  http_overload_refused_total: {
    kind: "counter",
    help: "Requests refused with 503 because too many were worked on: the queue was full, or they waited too long",
    labels: ["class", "reason"],
  },
  http_rate_limited_total: {
    kind: "counter",
    help: "Requests refused with 429 because one key or address asked too often",
    labels: ["of"],
  },
  http_connections_refused_total: {
    kind: "counter",
    help: "Connections closed because one address had too many",
  },
  http_bandwidth_waited_seconds_total: {
    kind: "counter",
    help: "Time that chunks of bodies waited for the bandwidth, all bodies added up",
    labels: ["direction"],
  },
  audit_refusals_dropped_total: {
    kind: "counter",
    help: "Refusals that the audit log does not have, for there were too many different ones",
  },
  sweeper_removed_total: {
    kind: "counter",
    help: "Blobs and temporary files removed by the sweeper, by kind",
    labels: ["kind"],
  },
  sweeper_stopped_total: {
    kind: "counter",
    help: "Sweeps that stopped because too many blobs were unknown",
    labels: ["storage"],
  },
};

export interface Metrics {
  readonly meter: Meter;
  readonly registry: Registry;
  /** Called before each look at the metrics, for what is only counted then. Must not throw. */
  onCollect(update: () => void): void;
  /** Of this process, as they are now. */
  collect(): Promise<MetricObjectWithValues<MetricValue<string>>[]>;
}

/** Gauges that end like counters, which Prometheus' rules forbid; the same by type are there beside them. */
const misnamed = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

/** A meter and the registry behind it, which `/metrics` prints. */
export function createMetrics(definitions: MetricDefinitions = metricDefinitions): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of misnamed) registry.removeSingleMetric(name);
  const counters = new Map<string, Counter>();
  const gauges = new Map<string, Gauge>();
  const histograms = new Map<string, Histogram>();
  for (const [name, { kind, help, labels, buckets, merge }] of Object.entries(definitions)) {
    const aggregator: Aggregator = merge === "max" ? "max" : "sum";
    const common = {
      name,
      help,
      aggregator,
      labelNames: [...(labels ?? [])],
      registers: [registry],
    };
    if (kind === "counter") counters.set(name, new Counter(common));
    else if (kind === "gauge") gauges.set(name, new Gauge(common));
    else histograms.set(name, new Histogram({ ...common, buckets: [...(buckets ?? seconds)] }));
  }
  const undeclared = new Counter({
    name: "metrics_undeclared_total",
    help: "Uses of metrics that are not declared: a defect",
    labelNames: ["name"],
    registers: [registry],
  });
  const use = <Metric>(metrics: ReadonlyMap<string, Metric>, name: string): Metric | undefined => {
    const metric = metrics.get(name);
    if (metric === undefined) undeclared.inc({ name });
    return metric;
  };
  const meter: Meter = {
    count: (name, amount = 1, labels: Labels = {}) => {
      if (amount > 0) use(counters, name)?.inc(labels, amount);
    },
    gauge: (name, change, labels: Labels = {}) => use(gauges, name)?.inc(labels, change),
    observe: (name, value, labels: Labels = {}) => use(histograms, name)?.observe(labels, value),
  };
  const updates: (() => void)[] = [];
  return {
    meter,
    registry,
    onCollect: (update) => updates.push(update),
    collect: async () => {
      for (const update of updates) update();
      return await registry.getMetricsAsJSON();
    },
  };
}
