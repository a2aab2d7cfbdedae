/** Renders the reference of the metrics from their definitions, so that it is never stale. */
import { isOfEachWorker, type MetricDefinitions } from "./metric-definition.ts";
import { createMetrics, metricDefinitions } from "./metrics.ts";
import { workerMetricDefinitions } from "./worker-metrics.ts";

export interface DescribedMetric {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly unit: string;
  readonly labels: readonly string[];
  readonly help: string;
}

const units: readonly (readonly [pattern: RegExp, unit: string])[] = [
  [/_seconds(_total)?$/, "seconds"],
  [/_bytes(_total)?$/, "bytes"],
  [/_ratio$/, "0 to 1"],
];

type Declared = Omit<DescribedMetric, "unit">;

/** All that `/metrics` may show: ours, and those of the process. */
export function describedMetrics(): readonly DescribedMetric[] {
  const ownWorker = ({ name, kind, labels, help }: Declared, merge?: "max" | "each") =>
    described({
      ...{ name, kind, help },
      labels: isOfEachWorker(name, { kind, merge }) ? [...labels, "worker"] : labels,
    });
  const counted = Object.entries(metricDefinitions).map(
    ([name, { kind, labels = [], help, merge }]) => ownWorker({ name, kind, labels, help }, merge),
  );
  // Of no single worker, and labelled already where they tell of one.
  const seen: MetricDefinitions = workerMetricDefinitions;
  const ours = [
    ...counted,
    ...Object.entries(seen).map(([name, { kind, labels = [], help }]) =>
      described({ name, kind, labels, help }),
    ),
  ];
  const known = new Set(ours.map(({ name }) => name));
  const all: readonly object[] = createMetrics().registry.getMetricsAsArray();
  const others = all.flatMap((metric) => {
    const [name, help, kind] = ["name", "help", "type"].map((field) => textOf(metric, field));
    const labels: unknown = Reflect.get(metric, "labelNames");
    if (known.has(name ?? "") || !isKind(kind)) return [];
    const names = Array.isArray(labels) ? labels.map(String) : [];
    return [ownWorker({ name: name ?? "", kind, help: help ?? "", labels: names })];
  });
  return [...ours, ...others].sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** A table with a row for each. */
export function metricsMarkdown(metrics: readonly DescribedMetric[] = describedMetrics()): string {
  const rows = metrics.map(({ name, kind, unit, labels, help }) => {
    const cells = [
      `\`${name}\``,
      kind,
      unit,
      labels.map((label) => `\`${label}\``).join(", "),
      help,
    ];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  return ["| Metric | Kind | Unit | Labels | Meaning |", "|---|---|---|---|---|", ...rows].join(
    "\n",
  );
}

function described(metric: Declared): DescribedMetric {
  const unit = units.find(([pattern]) => pattern.test(metric.name))?.[1] ?? "";
  return { ...metric, unit };
}

function isKind(kind: string | undefined): kind is DescribedMetric["kind"] {
  return kind === "counter" || kind === "gauge" || kind === "histogram";
}

function textOf(metric: object, field: string): string | undefined {
  const value: unknown = Reflect.get(metric, field);
  return typeof value === "string" ? value : undefined;
}
