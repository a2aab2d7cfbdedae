/** What tracing counts. */
import type { MetricDefinitions } from "../metric-definition.ts";

export const tracingMetrics: MetricDefinitions = {
  tracing_spans_total: {
    kind: "counter",
    help: "Spans by what became of them: exported, failed (the receiver did not take them), or dropped (too many waited)",
    labels: ["outcome"],
  },
};
