/** What the alerts count. */
import type { MetricDefinitions } from "../metric-definition.ts";

export const alertMetrics: MetricDefinitions = {
  alerts_active: {
    kind: "gauge",
    help: "1 while a condition holds that the operator must know of, by the name of its alert",
    labels: ["name"],
    merge: "max",
  },
  alerts_sent_total: {
    kind: "counter",
    help: "Messages about alerts by the way they went, and outcome: ok or failed",
    labels: ["channel", "outcome"],
  },
  alerts_dropped_total: {
    kind: "counter",
    help: "Messages about alerts that were not sent, for too many waited",
    labels: ["channel"],
  },
};
