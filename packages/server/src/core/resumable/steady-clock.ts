/**
 * The time by which leases run out and uploads expire. It goes forward with the machine's monotonic
 * clock, so that a system time set two hours back or three days ahead ends nothing early; and it is
 * kept in the store, so that neither does one that is wrong when the server starts.
 *
 * The workers of a server have one such time: who starts takes it from those that run.
 *
 * The price: time in which the server was down counts as one hour at most. An upload gets more time
 * than its bucket says, never less.
 */
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import { type MetadataStore, steadyClockSetting } from "../ports/metadata-store.ts";
import { noSiblings, type Siblings } from "../ports/siblings.ts";

const topic = "steady-clock";
const askMsMax = 2_000;
const downMsMax = 60 * 60 * 1000;

type Settings = Pick<MetadataStore, "getSetting" | "putSetting">;

export class SteadyClock {
  readonly #clock: Clock;
  readonly #settings: Settings;
  readonly #startMs: number;
  readonly #startMonotonicMs: number;

  private constructor(options: { clock: Clock; settings: Settings; startMs: number }) {
    this.#clock = options.clock;
    this.#settings = options.settings;
    this.#startMs = options.startMs;
    this.#startMonotonicMs = options.clock.monotonicMs();
  }

  /** Goes on from where the store saw it last. */
  static async start(options: {
    readonly clock: Clock;
    readonly settings: Settings;
    readonly siblings?: Siblings;
    readonly log?: Log;
  }): Promise<SteadyClock> {
    const { clock, settings, siblings = noSiblings(), log } = options;
    const seen = Number((await settings.getSetting(steadyClockSetting)) ?? Number.NaN);
    const wallMs = clock.now().getTime();
    const told = await siblings.ask(topic, null, { msMax: askMsMax }).catch((error: unknown) => {
      // A minute behind at most: uploads get that much more.
      log?.warn({ err: error }, "a worker did not tell the time by which uploads expire");
      return [];
    });
    const running = told.flatMap(({ answer }) => (typeof answer === "number" ? [answer] : []));
    const ownMs = Number.isSafeInteger(seen)
      ? Math.max(seen, Math.min(wallMs, seen + downMsMax))
      : wallMs;
    const startMs = running.length === 0 ? ownMs : Math.max(...running);
    const steady = new SteadyClock({ clock, settings, startMs });
    siblings.on(topic, () => steady.now().getTime());
    await steady.remember();
    return steady;
  }

  now(): Date {
    return new Date(this.#startMs + this.#clock.monotonicMs() - this.#startMonotonicMs);
  }

  in(ms: number): Date {
    return new Date(this.now().getTime() + ms);
  }

  /** The same moment as the system's clock would say it now: for people and headers. */
  toWall(steady: Date): Date {
    return new Date(this.#clock.now().getTime() + steady.getTime() - this.now().getTime());
  }

  /** To be called now and then: what is not remembered is an hour at most after a restart. */
  async remember(): Promise<void> {
    await this.#settings.putSetting(steadyClockSetting, String(Math.floor(this.now().getTime())));
  }
}
