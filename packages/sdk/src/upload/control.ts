/**
 * What may run now: an upload can be paused, wait for the network, be cancelled, or have failed. Every
 * request of an upload is an attempt made here, so that a pause interrupts and does not fail it, and
 * being offline costs no attempts.
 */
import { isRomaError, RomaError } from "../errors.ts";
import { type RetryPolicy, retryDelayMs } from "../retry.ts";

/** What an upload does now. */
export type UploadState =
  /** Other uploads of the same client run. */
  | "waiting"
  /** Looks at the source and asks the server. */
  | "starting"
  /** Reads the source to learn its SHA-256. */
  | "hashing"
  | "uploading"
  | "paused"
  /** Waits for the network to come back. */
  | "offline"
  /** All bytes are there; the server makes the object of them. */
  | "completing"
  | "done"
  | "failed"
  | "cancelled";

/** Whether there is a network, as far as the platform knows. */
export interface Connectivity {
  readonly online: boolean;
  /** Calls at every change; returns what ends that. */
  watch(listener: () => void): () => void;
}

export interface AttemptOptions {
  readonly policy: RetryPolicy;
  readonly mayRepeat?: (error: RomaError) => boolean;
  readonly group?: Group | undefined;
  /** A pause and the loss of the network let it end by itself: it is short, and its answer matters. */
  readonly steady?: boolean;
}

/** Attempts that end together. */
export interface Group {
  stopped?: boolean;
}

interface Running {
  readonly controller: AbortController;
  readonly group: Group | undefined;
  readonly steady: boolean;
}

export class Control {
  readonly #connectivity: Connectivity | undefined;
  readonly #onState: ((state: UploadState) => void) | undefined;
  readonly #running = new Set<Running>();
  readonly #wakes = new Set<() => void>();
  readonly #unwatch: (() => void) | undefined;
  #paused = false;
  #over: RomaError | undefined;
  #activity: UploadState = "waiting";
  #shown: UploadState = "waiting";

  constructor(connectivity?: Connectivity, onState?: (state: UploadState) => void) {
    this.#connectivity = connectivity;
    this.#onState = onState;
    this.#unwatch = connectivity?.watch(() => {
      // A request that hangs in a network that is gone would do so for minutes.
      if (!this.online) this.#interrupt();
      this.#wake();
    });
  }

  get state(): UploadState {
    return this.#shown;
  }

  get online(): boolean {
    return this.#connectivity?.online !== false;
  }

  pause(): void {
    if (this.#over !== undefined || this.#paused) return;
    this.#paused = true;
    this.#interrupt();
    this.#wake();
  }

  resume(): void {
    this.#paused = false;
    this.#wake();
  }

  /** Everything under way ends with this error, and so does what comes after. */
  end(error: RomaError): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    for (const { controller } of this.#running) controller.abort();
    this.#wake();
  }

  /** The upload does this now, while nothing holds it up. */
  enter(activity: UploadState): void {
    this.#activity = activity;
    this.#show();
  }

  /** Nothing will be attempted any more. */
  close(state: "done" | "failed" | "cancelled"): void {
    this.#paused = false;
    this.#unwatch?.();
    this.enter(state);
  }

  /** Waits, unless the upload ends; a pause does not lengthen it. */
  async rest(ms: number): Promise<void> {
    const until = performance.now() + ms;
    for (let left = ms; left > 0 && this.#over === undefined; left = until - performance.now()) {
      await this.#sleep(left);
    }
  }

  /** What `promise` gives, or the end of the upload if that comes first. */
  guard<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const wake = () => {
        if (this.#over !== undefined) reject(this.#over);
      };
      this.#wakes.add(wake);
      wake();
      promise.then(resolve, reject).finally(() => this.#wakes.delete(wake));
    });
  }

  /** Ends the attempts of a group, each with the error that its function throws then. */
  stop(group: Group): void {
    group.stopped = true;
    for (const { controller, group: its } of this.#running) {
      if (its === group) controller.abort();
    }
    this.#wake();
  }

  /** Runs `work` until it succeeds, fails for good, or its attempts are used up. */
  async attempt<T>(
    { policy, mayRepeat, group, steady = false }: AttemptOptions,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    for (let failures = 0; ; ) {
      await this.#ready(group);
      const running = { controller: new AbortController(), group, steady };
      this.#running.add(running);
      try {
        return await work(running.controller.signal);
      } catch (error) {
        if (this.#over !== undefined) throw this.#over;
        if (group?.stopped === true) throw error;
        if (running.controller.signal.aborted) continue;
        if (!isRomaError(error) || !error.retryable) throw error;
        if (error.status === null && !this.online) continue;
        failures += 1;
        if (failures >= policy.attemptsMax || mayRepeat?.(error) === false) throw error;
        if ((error.retryAfterMs ?? 0) > policy.retryAfterMsMax) throw error;
        await this.#sleep(retryDelayMs(policy, failures, error));
      } finally {
        this.#running.delete(running);
      }
    }
  }

  #interrupt(): void {
    for (const { controller, steady } of this.#running) if (!steady) controller.abort();
  }

  #wake(): void {
    this.#show();
    for (const wake of [...this.#wakes]) wake();
  }

  async #ready(group: Group | undefined): Promise<void> {
    for (;;) {
      if (this.#over !== undefined) throw this.#over;
      if (group?.stopped === true) throw new RomaError("aborted", "another part failed");
      if (!this.#paused && this.online) return;
      this.#show();
      await this.#sleep(undefined);
    }
  }

  // Until the time is over or anything changes.
  #sleep(ms: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#wakes.delete(wake);
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(wake, ms);
      this.#wakes.add(wake);
    });
  }

  #show(): void {
    const final = ["done", "failed", "cancelled"].includes(this.#activity);
    const held = this.#paused ? "paused" : this.online ? undefined : "offline";
    const state = final ? this.#activity : (held ?? this.#activity);
    if (state === this.#shown) return;
    this.#shown = state;
    this.#onState?.(state);
  }
}
