/**
 * Conditions that somebody counts already, as alerts: gauges that say 1 while something holds. Core and the layers
 * keep on counting and know of no alert.
 */
import type { Alerts } from "../../core/ports/alerts.ts";
import type { Meter } from "../../core/ports/meter.ts";
import type { AlertName } from "./definitions.ts";

interface Watched {
  readonly alert: AlertName;
  readonly message: (labels: Readonly<Record<string, string>>) => string;
}

const watched: Readonly<Record<string, Watched>> = {
  read_only: {
    alert: "read_only",
    message: () =>
      "the environments of the configuration, the data or a storage disagree: nothing is changed",
  },
  storage_breaker_open: {
    alert: "storage_unavailable",
    message: ({ storage }) => `storage ${storage} failed too often and is left alone for a while`,
  },
  storage_refused: {
    alert: "storage_refused",
    message: ({ storage }) => `storage ${storage}, or its newest settings, cannot be opened`,
  },
};

/** The meter, and what it hears of, raised and cleared. */
export function meteredAlerts(meter: Meter, alerts: Alerts): Meter {
  const values = new Map<string, number>();
  return {
    count: (name, amount, labels) => meter.count(name, amount, labels),
    observe: (name, value, labels) => meter.observe(name, value, labels),
    gauge: (name, change, labels = {}) => {
      meter.gauge(name, change, labels);
      const condition = watched[name];
      if (condition === undefined) return;
      const key = JSON.stringify([name, labels]);
      const value = (values.get(key) ?? 0) + change;
      if (value > 0) {
        values.set(key, value);
        alerts.raise(condition.alert, labels, condition.message(labels));
      } else {
        values.delete(key);
        alerts.clear(condition.alert, labels);
      }
    },
  };
}
