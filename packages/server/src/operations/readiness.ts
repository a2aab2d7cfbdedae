/**
 * Is this server ready? The checks run on their own; whoever asks gets the newest result of each with its
 * age and waits for none of them longer than a moment. A check that hangs, as on a mount that is gone, is told as
 * such, and is not started again before it has ended: what it holds is bounded.
 */
import type { Clock } from "../core/ports/clock.ts";

export interface ReadinessCheck {
  readonly name: string;
  /** The server is not ready without it. What is not essential is named, and hurts only its own. */
  readonly essential: boolean;
  /** Rejects when not ready. */
  check(): Promise<void>;
}

export interface CheckResult {
  readonly name: string;
  readonly essential: boolean;
  readonly ok: boolean;
  readonly reason?: string;
  /** Since the result came. */
  readonly ageMs: number;
}

export interface ReadinessReport {
  readonly ready: boolean;
  /** The server is stopping: it ends what it began and should get nothing new. */
  readonly draining: boolean;
  readonly checks: readonly CheckResult[];
}

export interface ReadinessOptions {
  /** Asked for each time, since storages come and go. */
  readonly checks: () => readonly ReadinessCheck[];
  readonly clock: Clock;
  /** Between two runs that nobody asked for; by default 5 s. */
  readonly intervalMs?: number;
  /** A check that has run for so long counts as failed; by default 2 s. */
  readonly checkMsMax?: number;
  /** How long who asks waits for checks that have just been started; by default 500 ms. */
  readonly waitMsMax?: number;
}

interface State {
  result?: { readonly reason: string | undefined; readonly at: number };
  running?: { readonly since: number; readonly ended: Promise<void> };
}

export class Readiness implements Disposable {
  readonly #options: ReadinessOptions;
  readonly #checkMsMax: number;
  readonly #states = new Map<string, State>();
  #timer: NodeJS.Timeout | undefined;
  #draining = false;

  constructor(options: ReadinessOptions) {
    this.#options = options;
    this.#checkMsMax = options.checkMsMax ?? 2_000;
  }

  start(): void {
    const run = (): void => {
      for (const check of this.#options.checks()) void this.#run(check);
    };
    run();
    this.#timer = setInterval(run, this.#options.intervalMs ?? 5_000).unref();
  }

  /** From now on the answer is no, whatever the checks say. */
  drain(): void {
    this.#draining = true;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async report(): Promise<ReadinessReport> {
    const checks = this.#options.checks();
    this.#forgetOthers(checks);
    await within(
      Promise.all(checks.map((check) => this.#run(check))),
      this.#options.waitMsMax ?? 500,
    );
    const results = checks.map((check) => this.#resultOf(check));
    const ready = !this.#draining && results.every(({ ok, essential }) => ok || !essential);
    return { ready, draining: this.#draining, checks: results };
  }

  /** One run at a time: who comes while it goes on shares it. */
  #run({ name, check }: ReadinessCheck): Promise<void> {
    const { clock } = this.#options;
    const state = this.#states.get(name) ?? {};
    this.#states.set(name, state);
    if (state.running !== undefined) return state.running.ended;
    const attempt = async (): Promise<void> => {
      let reason: string | undefined;
      try {
        await check();
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
      }
      state.result = { reason, at: clock.monotonicMs() };
      delete state.running;
    };
    const since = clock.monotonicMs();
    const ended = Promise.resolve().then(attempt);
    state.running = { since, ended };
    return ended;
  }

  #resultOf({ name, essential }: ReadinessCheck): CheckResult {
    const now = this.#options.clock.monotonicMs();
    const { result, running } = this.#states.get(name) ?? {};
    const common = { name, essential };
    const ranMs = running === undefined ? 0 : Math.round(now - running.since);
    const ageMs = result === undefined ? ranMs : Math.round(now - result.at);
    if (ranMs >= this.#checkMsMax) {
      return { ...common, ok: false, reason: `no answer for ${ranMs} ms`, ageMs };
    }
    if (result === undefined) return { ...common, ok: false, reason: "not answered yet", ageMs };
    const { reason } = result;
    return reason === undefined
      ? { ...common, ok: true, ageMs }
      : { ...common, ok: false, reason, ageMs };
  }

  #forgetOthers(checks: readonly ReadinessCheck[]): void {
    const names = new Set(checks.map(({ name }) => name));
    for (const name of this.#states.keys()) if (!names.has(name)) this.#states.delete(name);
  }
}

/** Resolves when `work` does, or after the time. */
async function within(work: Promise<unknown>, msMax: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, msMax);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
