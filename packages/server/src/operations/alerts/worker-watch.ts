/**
 * Deaths of workers as alerts. Their supervisor counts them and knows nothing of alerts; the worker that leads asks
 * it now and then. Why each died is in the supervisor's line in the log.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Alerts } from "../../core/ports/alerts.ts";
import type { Clock } from "../../core/ports/clock.ts";
import type { Json, Siblings } from "../../core/ports/siblings.ts";

export interface WorkerWatchOptions {
  readonly siblings: Siblings;
  readonly alerts: Alerts;
  readonly clock: Clock;
  /** Between two questions; by default 5 s. */
  readonly intervalMs?: number;
}

/** So many deaths within so long are a loop. */
const loopDeaths = 3;
const loopMs = 5 * 60_000;
const answerMsMax = 1_000;

/** Asks until it is disposed, in one worker at a time. */
export function watchWorkers({
  siblings,
  alerts,
  clock,
  intervalMs = 5_000,
}: WorkerWatchOptions): Disposable {
  const stop = new AbortController();
  siblings.lead(async (leading) => {
    const signal = AbortSignal.any([leading, stop.signal]);
    const died: number[] = [];
    let known: Readonly<Record<string, number>> | undefined;
    while (!signal.aborted) {
      const deaths = await deathsOf(siblings);
      const now = clock.monotonicMs();
      if (deaths !== undefined) {
        const news = newDeaths(known, deaths);
        known = deaths;
        died.push(...news.map(() => now));
        while (died[0] !== undefined && now - died[0] > loopMs) died.shift();
        const causes = [...new Set(news)].join(", ");
        if (news.length > 0) {
          alerts.raise(
            "worker_died",
            { causes },
            `${news.length} worker(s) died (${causes}); the log says why`,
          );
        }
        const { length } = died;
        if (length >= loopDeaths) {
          alerts.raise(
            "worker_crash_loop",
            { deaths: length },
            `workers died ${length} times within five minutes`,
          );
        } else if (length === 0) alerts.clear("worker_crash_loop");
      }
      await delay(intervalMs, undefined, { signal, ref: false }).catch(() => {});
    }
  });
  return { [Symbol.dispose]: () => stop.abort() };
}

/** Of a worker that began so lately, it is told why: whoever saw the death may have been the one that died. */
const youngSeconds = 60;

/** By cause; undefined where there is no supervisor, or it does not answer now. */
async function deathsOf(siblings: Siblings): Promise<Readonly<Record<string, number>> | undefined> {
  try {
    const options = { msMax: answerMsMax, of: "supervisor" };
    const [own] = await siblings.ask("supervisor-metrics", null, options);
    return deathsIn(own?.answer);
  } catch {
    return undefined;
  }
}

function deathsIn(answer: Json | undefined): Readonly<Record<string, number>> | undefined {
  if (typeof answer !== "object" || answer === null || !("deaths" in answer)) return undefined;
  const { deaths } = answer;
  if (typeof deaths !== "object" || deaths === null) return undefined;
  return Object.fromEntries(Object.entries(deaths).map(([cause, count]) => [cause, Number(count)]));
}

/** A cause for each. Of what had happened before the first look, a young process tells one. */
function newDeaths(
  known: Readonly<Record<string, number>> | undefined,
  deaths: Readonly<Record<string, number>>,
): readonly string[] {
  if (known === undefined) {
    const causes = Object.keys(deaths).filter((cause) => (deaths[cause] ?? 0) > 0);
    return process.uptime() < youngSeconds && causes.length > 0 ? [causes.join(" or ")] : [];
  }
  return Object.entries(deaths).flatMap(([cause, count]) =>
    Array.from({ length: Math.max(0, count - (known[cause] ?? 0)) }, () => cause),
  );
}
