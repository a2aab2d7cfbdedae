/**
 * The metrics of all workers as one answer, by whichever worker is asked. Counters and histograms are summed
 * and never go back: those of a worker that died stay in the sum, for a smaller sum would look to Prometheus like a
 * restart, and its rate like a peak. Each answer tells all workers what was seen, so that any of them knows.
 *
 * A worker that does not answer in time is named by `worker_metrics_missing`, with what it last said in the
 * sums; the answer never waits for it longer than that.
 */
import { AggregatorRegistry } from "prom-client";
import { isOperationalError } from "../core/errors.ts";
import type { Json, Siblings } from "../core/ports/siblings.ts";
import { isOfEachWorker, type MetricDefinitions } from "./metric-definition.ts";
import { type Metrics, metricDefinitions } from "./metrics.ts";
import { type Metric, metricOf, metricsOfSupervisor } from "./worker-metrics.ts";

export interface MergedMetricsOptions {
  readonly metrics: Metrics;
  readonly siblings: Siblings;
  readonly definitions?: MetricDefinitions;
  /** How long an answer of another worker is waited for; by default 1 s. */
  readonly msMax?: number;
}

/** Topics. */
const asked = "metrics";
const seen = "metrics-seen";

/** Workers that are gone and still counted; of more, the longest gone are forgotten, and the sums fall once. */
const departedMax = 64;

export class MergedMetrics {
  readonly #options: MergedMetricsOptions;
  readonly #worker: string;
  readonly #msMax: number;
  /** By name of a worker, other than this one: its label, and the counters of its newest answer. */
  readonly #known = new Map<string, { readonly worker: string; readonly counters: Metric[] }>();
  #running: Promise<string> | undefined;
  #knowsDeparted = false;

  constructor(options: MergedMetricsOptions) {
    this.#options = options;
    const { siblings } = options;
    this.#worker = /^(\d+)-/.exec(siblings.self)?.[1] ?? "0";
    this.#msMax = options.msMax ?? 1_000;
    siblings.on(asked, async (question) => await this.#answer(question));
    siblings.on(seen, (message) => {
      this.#remember(message);
      return null;
    });
  }

  readonly contentType = "text/plain; version=0.0.4; charset=utf-8";

  /** The text format. Those who ask while one is made get the same. */
  async text(): Promise<string> {
    this.#running ??= this.#merge().finally(() => {
      this.#running = undefined;
    });
    return await this.#running;
  }

  async #merge(): Promise<string> {
    const { metrics } = this.#options;
    const [own, others, ofSupervisor] = await Promise.all([
      metrics.collect(),
      this.#askAll(),
      this.#askSupervisor(),
    ]);
    for (const { from, worker, metrics } of others.answers) {
      this.#known.set(from, { worker, counters: this.#countersOf(metrics) });
    }
    const live = new Set(others.answers.map(({ from }) => from));
    const gone = [...this.#known]
      .filter(([name]) => !live.has(name))
      .map(([, { counters }]) => counters);
    const parts = [
      this.#labelled(own, this.#worker),
      ...others.answers.map(({ worker, metrics }) => this.#labelled(metrics, worker)),
      ...gone,
      ...ofSupervisor,
      this.#aboutWorkers(live.size + 1, others.missing),
    ];
    this.#tell(own);
    return await AggregatorRegistry.aggregate(parts).metrics();
  }

  /** All at once; only when one is silent, one by one, to know who. */
  async #askAll(): Promise<{ answers: readonly WorkerMetrics[]; missing: readonly string[] }> {
    const { siblings } = this.#options;
    const question = { departed: !this.#knowsDeparted };
    const take = async (of?: string): Promise<readonly WorkerMetrics[]> => {
      const options = { msMax: this.#msMax, ...(of === undefined ? {} : { of }) };
      const answers = await siblings.ask(asked, question, options);
      return answers.flatMap(({ from, answer }) => this.#read(from, answer));
    };
    try {
      const answers = await take();
      this.#knowsDeparted = true;
      return { answers, missing: [] };
    } catch (error) {
      if (!isOperationalError(error, "unavailable")) throw error;
    }
    const missing: string[] = [];
    const each = [...this.#known].map(async ([name, { worker }]) => {
      try {
        return await take(name);
      } catch {
        missing.push(worker);
        return [];
      }
    });
    const answers = (await Promise.all(each)).flat();
    // One that was never heard of has no name yet.
    if (missing.length === 0) missing.push("unknown");
    return { answers, missing };
  }

  /** None where there is no supervisor, or it does not answer. */
  async #askSupervisor(): Promise<Metric[][]> {
    const { siblings } = this.#options;
    try {
      const options = { msMax: this.#msMax, of: "supervisor" };
      const answers = await siblings.ask("supervisor-metrics", null, options);
      return answers.map(({ answer }) => metricsOfSupervisor(answer));
    } catch {
      return [];
    }
  }

  async #answer(question: Json): Promise<Json> {
    const metrics = await this.#options.metrics.collect();
    const wantsDeparted =
      typeof question === "object" && question !== null && "departed" in question
        ? question.departed === true
        : false;
    return plain({
      worker: this.#worker,
      metrics,
      known: wantsDeparted ? Object.fromEntries(this.#known) : {},
    });
  }

  #read(from: string, answer: Json): readonly WorkerMetrics[] {
    if (!isRecord(answer) || typeof answer.worker !== "string") return [];
    this.#remember(answer.known ?? null);
    return [{ from, worker: answer.worker, metrics: metricsOf(answer.metrics) }];
  }

  #tell(own: readonly Metric[]): void {
    const { siblings } = this.#options;
    const known = Object.fromEntries(this.#known);
    known[siblings.self] = { worker: this.#worker, counters: this.#countersOf(own) };
    siblings.tell(seen, plain(known));
  }

  /** Newer knowledge of a worker that died is what has more in it: its counters only ever grew. */
  #remember(message: Json): void {
    if (!isRecord(message)) return;
    for (const [name, entry] of Object.entries(message)) {
      if (name === this.#options.siblings.self || !isRecord(entry)) continue;
      const counters = metricsOf(entry.counters);
      const known = this.#known.get(name);
      if (known !== undefined && sumOf(known.counters) > sumOf(counters)) continue;
      this.#known.delete(name);
      this.#known.set(name, { worker: String(entry.worker), counters });
    }
    for (const name of this.#known.keys()) {
      if (this.#known.size <= departedMax) break;
      this.#known.delete(name);
    }
  }

  /** What is summed over workers, and grows. */
  #countersOf(metrics: readonly Metric[]): Metric[] {
    return metrics.flatMap((metric) => {
      const counts = String(metric.type) === "counter" || String(metric.type) === "histogram";
      if (!counts || this.#isOfEach(metric)) return [];
      const values = metric.values.filter(({ value }) => value !== 0);
      return values.length === 0 ? [] : [{ ...metric, values }];
    });
  }

  #labelled(metrics: readonly Metric[], worker: string): Metric[] {
    return metrics.map((metric) =>
      this.#isOfEach(metric)
        ? {
            ...metric,
            // Two have one number while a worker is replaced. prom-client would leave some out, as it adds up.
            aggregator: String(metric.type) === "gauge" ? "max" : "sum",
            values: metric.values.map((value) => ({
              ...value,
              labels: { ...value.labels, worker },
            })),
          }
        : metric,
    );
  }

  #isOfEach({ name, type }: Metric): boolean {
    const { definitions = metricDefinitions } = this.#options;
    return isOfEachWorker(name, { kind: String(type), merge: definitions[name]?.merge });
  }

  #aboutWorkers(counted: number, missing: readonly string[]): Metric[] {
    const silent = missing.map((worker) => ({ value: 1, labels: { worker } }));
    return [
      metricOf("workers_counted", [{ value: counted, labels: {} }]),
      metricOf("worker_metrics_missing", silent),
    ];
  }
}

interface WorkerMetrics {
  readonly from: string;
  readonly worker: string;
  readonly metrics: Metric[];
}

/** From one of our own processes, of the same version: looked at only as far as a mistake could reach. */
function metricsOf(value: Json | undefined): Metric[] {
  if (!Array.isArray(value)) return [];
  return value.filter(
    (metric) => isRecord(metric) && typeof metric.name === "string" && Array.isArray(metric.values),
  ) as unknown as Metric[];
}

function isRecord(value: Json | undefined): value is { readonly [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function sumOf(metrics: readonly Metric[]): number {
  let sum = 0;
  for (const { values } of metrics) for (const { value } of values) sum += value;
  return sum;
}

/** As it crosses to another process; types of prom-client are plain already. */
function plain(value: unknown): Json {
  return JSON.parse(JSON.stringify(value));
}
