/** How a metric is declared. */

export interface MetricDefinition {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels?: readonly string[];
  readonly buckets?: readonly number[];
  /**
   * What `/metrics` shows of a gauge that several workers have: their sum, by default; the greatest, where each
   * says the same; or each one's own, with the label `worker`.
   */
  readonly merge?: "max" | "each";
}

/** By name, in base units. */
export type MetricDefinitions = Readonly<Record<string, MetricDefinition>>;
