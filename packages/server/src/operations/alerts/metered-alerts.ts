/**
 * Conditions that somebody counts already, as alerts: gauges that say 1 while something holds. Core and the layers
 * keep on counting and know of no alert.
 */
import type { Alerts } from "../../core/ports/alerts.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import type { Labels, Meter } from "../../core/ports/meter.ts";
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

interface CountedAlert extends Watched {
  /** So many within a minute, or it is not worth a message. */
  readonly countMin: number;
}

/** What only happens, and is over when it has not happened for a while. */
const counted: Readonly<Record<string, CountedAlert>> = {
  log_lines_dropped_total: {
    alert: "log_lines_dropped",
    countMin: 1,
    message: ({ sink, reason }) => `lines of the log (${sink}) cannot be written: ${reason}`,
  },
  http_overload_refused_total: {
    alert: "overload",
    countMin: 100,
    message: ({ class: kind }) => `too many requests of the class ${kind}: some are refused`,
  },
};

const minuteMs = 60_000;

/** The meter, and what it hears of, raised and cleared. */
export function meteredAlerts(meter: Meter, alerts: Alerts, clock: Clock = systemClock): Meter {
  const recent = new Map<string, { since: number; count: number }>();
  const hear = (name: string, amount: number, labels: Labels): void => {
    const event = counted[name];
    if (event === undefined) return;
    const now = clock.monotonicMs();
    const key = `${name} ${labels.sink ?? labels.class ?? ""}`;
    const known = recent.get(key);
    const entry =
      known !== undefined && now - known.since < minuteMs ? known : { since: now, count: 0 };
    entry.count += amount;
    recent.set(key, entry);
    if (entry.count >= event.countMin) alerts.raise(event.alert, labels, event.message(labels));
  };
  const values = new Map<string, number>();
  return {
    count: (name, amount = 1, labels = {}) => {
      meter.count(name, amount, labels);
      hear(name, amount, labels);
    },
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
