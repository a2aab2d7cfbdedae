// The state of a circuit breaker: counts outcomes, and says who may ask the storage.
//
//   closed --too many failures--> open --time--> half-open --answer--> closed
//                                   ^------------ failure -----'      (each time twice as long)
//
// Calls from before a change of state no longer count.

import type { OperationalError } from "../../core/errors.ts";
import type { Clock } from "../../core/ports/clock.ts";
import type { BreakerState } from "../../core/ports/storage-driver.ts";

/** The error is a failure; "unknown" is neither for nor against the storage: the caller left, say. */
export type Outcome = "answered" | "unknown" | OperationalError;
export type Settle = (outcome: Outcome) => void;

export interface BreakerLimits {
  /** Failures in a row that open it. */
  readonly failuresMax: number;
  /** Or this share of failures … */
  readonly failureShareMax: number;
  /** … of at least so many calls … */
  readonly callsMin: number;
  /** … in one to two times this long. */
  readonly windowMs: number;
  /** The first wait; each failed trial doubles it. */
  readonly openMsMin: number;
  readonly openMsMax: number;
  /** A trial without an outcome for so long no longer keeps others from trying. */
  readonly trialMsMax: number;
}

export interface Watcher {
  readonly opened: (ms: number, failure: OperationalError) => void;
  readonly closed: (why: "answered" | "stopped") => void;
}

export class Breaker {
  readonly #limits: BreakerLimits;
  readonly #clock: Clock;
  readonly #watcher: Watcher;
  #generation = 0;
  #inARow = 0;
  readonly #window: Window;
  #open:
    | { readonly until: number; readonly ms: number; readonly failure: OperationalError }
    | undefined;
  #trial: { readonly until: number } | undefined;

  constructor(limits: BreakerLimits, clock: Clock, watcher: Watcher) {
    this.#limits = limits;
    this.#clock = clock;
    this.#watcher = watcher;
    this.#window = new Window(limits.windowMs);
  }

  get state(): BreakerState {
    if (this.#open === undefined) return "closed";
    return this.#clock.monotonicMs() < this.#open.until ? "open" : "half-open";
  }

  /** What it opened for, last. */
  get failure(): OperationalError | undefined {
    return this.#open?.failure;
  }

  /** Undefined: refused. */
  enter(): Settle | undefined {
    if (this.#open === undefined) {
      const generation = this.#generation;
      return (outcome) => this.#count(generation, outcome);
    }
    const now = this.#clock.monotonicMs();
    const tried = this.#trial !== undefined && now < this.#trial.until;
    if (now < this.#open.until || tried) return undefined;
    const trial = { until: now + this.#limits.trialMsMax };
    this.#trial = trial;
    return (outcome) => this.#endTrial(trial, outcome);
  }

  /** The storage is closed: what is shown of it is not "open" for ever. */
  stop(): void {
    if (this.#open !== undefined) this.#watcher.closed("stopped");
    this.#open = undefined;
    this.#generation += 1;
  }

  #count(generation: number, outcome: Outcome): void {
    if (outcome === "unknown" || generation !== this.#generation) return;
    const failed = outcome !== "answered";
    this.#inARow = failed ? this.#inARow + 1 : 0;
    const { calls, failures } = this.#window.add(failed, this.#clock.monotonicMs());
    if (!failed) return;
    const { failuresMax, failureShareMax, callsMin, openMsMin } = this.#limits;
    const share = calls >= callsMin && failures >= calls * failureShareMax;
    if (this.#inARow >= failuresMax || share) this.#setOpen(openMsMin, outcome);
  }

  #endTrial(trial: { readonly until: number }, outcome: Outcome): void {
    if (this.#trial !== trial || this.#open === undefined) return;
    this.#trial = undefined;
    if (outcome === "unknown") return;
    if (outcome === "answered") this.#setClosed();
    else this.#setOpen(Math.min(this.#limits.openMsMax, this.#open.ms * 2), outcome);
  }

  #setOpen(ms: number, failure: OperationalError): void {
    if (this.#open === undefined) this.#watcher.opened(ms, failure);
    this.#open = { until: this.#clock.monotonicMs() + ms, ms, failure };
    this.#generation += 1;
  }

  #setClosed(): void {
    this.#watcher.closed("answered");
    this.#open = undefined;
    this.#generation += 1;
    this.#inARow = 0;
    this.#window.clear();
  }
}

/** Calls and failures of this window and the one before: old ones go without a timer. */
class Window {
  readonly #ms: number;
  #beganAt = Number.NEGATIVE_INFINITY;
  #now = { calls: 0, failures: 0 };
  #before = { calls: 0, failures: 0 };

  constructor(ms: number) {
    this.#ms = ms;
  }

  add(failed: boolean, at: number): { readonly calls: number; readonly failures: number } {
    const age = at - this.#beganAt;
    if (age >= this.#ms) {
      this.#before = age < 2 * this.#ms ? this.#now : { calls: 0, failures: 0 };
      this.#now = { calls: 0, failures: 0 };
      this.#beganAt = at;
    }
    this.#now.calls += 1;
    if (failed) this.#now.failures += 1;
    return {
      calls: this.#now.calls + this.#before.calls,
      failures: this.#now.failures + this.#before.failures,
    };
  }

  clear(): void {
    this.#beganAt = Number.NEGATIVE_INFINITY;
    this.#now = { calls: 0, failures: 0 };
  }
}
