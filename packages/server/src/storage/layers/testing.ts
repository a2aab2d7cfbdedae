// Time and counting for the tests of layers: a clock that is moved by hand and a meter that remembers.

import type { Clock } from "../../core/ports/clock.ts";
import type { Labels, Meter } from "../../core/ports/meter.ts";
import type { Timer } from "./timer.ts";

export interface MovedTime {
  readonly clock: Clock;
  readonly timer: Timer;
  /** Moves the clock, and runs the timers that are due, in order. */
  move(ms: number): void;
  /** Timers set and neither run nor cancelled. */
  waiting(): number;
}

export function movedTime(): MovedTime {
  let now = 1_000;
  const timers = new Map<object, { readonly at: number; readonly run: () => void }>();
  return {
    clock: { now: () => new Date(Date.UTC(2026, 0, 1) + now), monotonicMs: () => now },
    timer: (ms, run) => {
      const id = {};
      timers.set(id, { at: now + ms, run });
      return () => void timers.delete(id);
    },
    move: (ms) => {
      now += ms;
      const due = [...timers].filter(([, { at }]) => at <= now);
      for (const [id, { run }] of due.toSorted(([, a], [, b]) => a.at - b.at)) {
        if (timers.delete(id)) run();
      }
    },
    waiting: () => timers.size,
  };
}

export interface RememberingMeter extends Meter {
  /** Of a counter or gauge, all labels with these values added up. */
  value(name: string, labels?: Labels): number;
  observed(name: string, labels?: Labels): readonly number[];
}

export function rememberingMeter(): RememberingMeter {
  const all: { readonly name: string; readonly value: number; readonly labels: Labels }[] = [];
  const add = (name: string, value = 1, labels: Labels = {}): void =>
    void all.push({ name, value, labels });
  const values = (name: string, labels: Labels = {}): readonly number[] =>
    all
      .filter((entry) => entry.name === name)
      .filter((entry) =>
        Object.entries(labels).every(([key, value]) => entry.labels[key] === value),
      )
      .map(({ value }) => value);
  return {
    count: add,
    gauge: add,
    observe: add,
    value: (name, labels) => values(name, labels).reduce((sum, value) => sum + value, 0),
    observed: values,
  };
}
