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

/** Whether each worker's own value is shown: a process's figures mean nothing when added up. */
export function isOfEachWorker(
  name: string,
  {
    kind,
    merge,
  }: { readonly kind: string; readonly merge?: MetricDefinition["merge"] | undefined },
): boolean {
  if (merge !== undefined) return merge === "each";
  if (/^(process|nodejs)_/.test(name)) return true;
  return kind === "gauge" && /^(memory|descriptors|event_loop)_/.test(name);
}
