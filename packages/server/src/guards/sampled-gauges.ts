/** Gauges that are read off somewhere: core's meter adds to gauges, so what is told is the change. */
import type { Labels, Meter } from "../core/ports/meter.ts";

export class SampledGauges {
  readonly #meter: Meter;
  readonly #values = new Map<string, number>();

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  set(name: string, value: number, labels: Labels = {}): void {
    const key = `${name} ${Object.values(labels).join(" ")}`;
    const change = value - (this.#values.get(key) ?? 0);
    // The first is told even if it is 0, so that the series exists.
    if (change === 0 && this.#values.has(key)) return;
    this.#values.set(key, value);
    this.#meter.gauge(name, change, labels);
  }
}
