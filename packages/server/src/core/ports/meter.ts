/** Counting, as core and the layers need it; `operations/metrics.ts` gives it to Prometheus. */
export type Labels = Readonly<Record<string, string>>;

/** Names are metric names in base units: `upload_received_bytes_total`. */
export interface Meter {
  count(name: string, amount?: number, labels?: Labels): void;
  observe(name: string, value: number, labels?: Labels): void;
  /** Adds to a gauge; negative when something ended. */
  gauge(name: string, change: number, labels?: Labels): void;
}

export const silentMeter: Meter = { count() {}, observe() {}, gauge() {} };
