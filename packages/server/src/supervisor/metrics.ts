/** What the supervisor counts. Its own: a worker that dies loses what it counted, this does not. */
import type { Siblings } from "../core/ports/siblings.ts";
import type { DeathCause } from "./death.ts";
import { supervisorName } from "./relay.ts";
import type { WorkerState } from "./worker-process.ts";

export interface SupervisorMetrics {
  readonly workers: readonly {
    /** The slot, from 1; while one is replaced two have it. */
    readonly worker: number;
    /** As among siblings; empty before it has said so. */
    readonly name: string;
    readonly pid: number;
    readonly state: WorkerState;
    readonly upSeconds: number;
    /** 0 before it was measured. */
    readonly residentBytes: number;
    /** Of that, what no file backs. */
    readonly ownBytes: number;
  }[];
  readonly workersWanted: number;
  /** `worker_deaths_total`, since the supervisor started. */
  readonly deaths: Readonly<Partial<Record<DeathCause, number>>>;
  /** `worker_restarts_total`: successors of workers that had died. */
  readonly restarts: number;
  /** `worker_recycled_total`: replaced because they asked for it or held too much memory. */
  readonly recycled: number;
  readonly supervisorResidentBytes: number;
  /** Of the memory group; null without one. */
  readonly quotaBytes: number | null;
  /** Processes that the kernel killed in the memory group since it was made; null where nobody counts. */
  readonly oomKills: number | null;
}

/** Undefined without a supervisor. Rejects with `unavailable` when it does not answer. */
export async function supervisorMetrics(
  siblings: Siblings,
): Promise<SupervisorMetrics | undefined> {
  const [own] = await siblings.ask("supervisor-metrics", null, {
    msMax: 1_000,
    of: supervisorName,
  });
  return own?.answer as unknown as SupervisorMetrics | undefined;
}
