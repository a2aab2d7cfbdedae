/**
 * What a server does when more is asked of it than it can do: it does as much as it can, and says no to the
 * rest at once. Counted is *work*, from a request's head to its answer, and not the time in which a body flows:
 * twenty thousand slow uploads are legal, and cost no place here. A request whose body has come goes on working
 * without asking again, since its bytes were taken.
 *
 * One for all listeners of a server but that of operations, which is never limited.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { OperationalError } from "../../core/errors.ts";
import type { Log } from "../../core/ports/log.ts";
import { type Meter, silentMeter } from "../../core/ports/meter.ts";
import { noSiblings, type Siblings } from "../../core/ports/siblings.ts";
import { Bandwidth } from "./bandwidth.ts";
import { BandwidthShare } from "./bandwidth-share.ts";
import type { OverloadConfig } from "./config.ts";
import { FairQueue, type Waiting } from "./fair-queue.ts";
import { linkBytesPerSecond } from "./link-speed.ts";
import { RateLimit } from "./rate-limit.ts";
import { type RouteClass, routeClasses, routeClassOf } from "./route-class.ts";
import { WorkLimit } from "./work-limit.ts";

/** For the median of the work of each class. */
const targetMs: Readonly<Record<RouteClass, number>> = { control: 100, small: 250, bulk: 1000 };
const windowMs = 100;
const loopResolutionMs = 10;

export interface OverloadOptions {
  readonly config: OverloadConfig;
  readonly log: Log;
  readonly meter?: Meter;
  readonly siblings?: Siblings;
  /** Whether a path is administration's. */
  readonly isControl?: (path: string) => boolean;
  readonly now?: () => number;
}

interface Waiter extends Waiting {
  readonly admit: () => void;
  readonly refuse: (error: OperationalError) => void;
}

interface Lane {
  readonly limit: WorkLimit;
  readonly queue: FairQueue<Waiter>;
  working: number;
  /** Since when somebody has waited without a break. */
  standingSinceMs: number | undefined;
}

/** A request's place among those that are worked on. */
export interface Place {
  readonly routeClass: RouteClass;
  /** While a body flows. */
  pause(): void;
  resume(): void;
  /** Once; what its work took, if it succeeded. */
  end(workMs: number | undefined): void;
}

export class Overload implements Disposable {
  readonly #options: OverloadOptions;
  readonly #meter: Meter;
  readonly #now: () => number;
  readonly #isControl: (path: string) => boolean;
  readonly #lanes: Readonly<Record<RouteClass, Lane>>;
  readonly #loop: ReturnType<typeof monitorEventLoopDelay>;
  readonly #timer: NodeJS.Timeout;
  /** While somebody waits. */
  #lookTimer: NodeJS.Timeout | undefined;
  readonly #lookMs: number;
  readonly #ofKeys: RateLimit | undefined;
  readonly #ofAddresses: RateLimit | undefined;
  readonly #connections = new Map<string, number>();
  readonly #share: BandwidthShare | undefined;
  /** Of bodies that come in; left out: nothing is limited. */
  readonly received: Bandwidth | undefined;
  /** Of objects that go out. */
  readonly sent: Bandwidth | undefined;

  constructor(options: OverloadOptions) {
    const { config, meter = silentMeter, siblings = noSiblings() } = options;
    this.#options = options;
    this.#meter = meter;
    this.#now = options.now ?? (() => performance.now());
    this.#isControl = options.isControl ?? (() => false);
    const lane = (name: RouteClass): Lane => ({
      limit: new WorkLimit({
        min: Math.min(config.workMin, config.workMax),
        max: config.workMax,
        targetMs: targetMs[name],
      }),
      queue: new FairQueue(config.queueMax),
      working: 0,
      standingSinceMs: undefined,
    });
    this.#lanes = { control: lane("control"), small: lane("small"), bulk: lane("bulk") };
    for (const [name, { limit }] of Object.entries(this.#lanes)) {
      meter.gauge("http_work_limit", limit.value, { class: name });
    }
    this.#ofKeys = rateOf(config.keyRequestsPerSecondMax, siblings);
    this.#ofAddresses = rateOf(config.addressRequestsPerSecondMax, siblings);
    this.received = this.#bandwidth("received", config.receivedBytesPerSecondMax);
    this.sent = this.#bandwidth("sent", config.sentBytesPerSecondMax);
    const bandwidths = [this.received, this.sent].filter((one) => one !== undefined);
    if (bandwidths.length > 0 && siblings.count > 1) {
      this.#share = new BandwidthShare({ siblings, bandwidths, now: this.#now });
    }
    this.#lookMs = Math.max(5, config.queueMsMax / 5);
    this.#loop = monitorEventLoopDelay({ resolution: loopResolutionMs });
    this.#loop.enable();
    this.#timer = setInterval(() => this.#adapt(), windowMs);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    clearTimeout(this.#lookTimer);
    this.#loop.disable();
    this.#share?.[Symbol.dispose]();
  }

  /**
   * The request's place, at once or after a short wait. Throws or rejects with `overloaded` when there is none,
   * with `rate_limited` when its address asked too often, and with the signal's reason.
   */
  admit(
    raw: IncomingMessage,
    { address, signal }: { readonly address: () => string; readonly signal: AbortSignal },
  ): Place | Promise<Place> {
    if (this.#ofAddresses !== undefined) this.#takeRate(this.#ofAddresses, address(), "address");
    const name = routeClassOf(raw, this.#isControl);
    const lane = this.#lanes[name];
    if (lane.queue.size === 0 && lane.working < lane.limit.value) return this.#begin(name);
    return this.#wait(name, { flow: raw.headers.authorization ?? address(), signal });
  }

  /** Once the credential was verified: junk with another's key id must not use up that key's rate. */
  takeKey(keyId: string): void {
    this.#takeRate(this.#ofKeys, keyId, "key");
  }

  /** Closes it at once if its address has too many. */
  watchConnection(socket: Socket, isTrusted: (address: string | undefined) => boolean): void {
    const { addressConnectionsMax: max } = this.#options.config;
    const { remoteAddress: address } = socket;
    if (max === undefined || address === undefined || isTrusted(address)) return;
    const count = this.#connections.get(address) ?? 0;
    if (count >= max) {
      this.#meter.count("http_connections_refused_total");
      socket.destroy();
      return;
    }
    this.#connections.set(address, count + 1);
    socket.once("close", () => {
      const left = (this.#connections.get(address) ?? 1) - 1;
      if (left > 0) this.#connections.set(address, left);
      else this.#connections.delete(address);
    });
  }

  #begin(name: RouteClass): Place {
    const lane = this.#lanes[name];
    let isWorking = false;
    const change = (working: boolean): void => {
      if (isWorking === working) return;
      isWorking = working;
      lane.working += working ? 1 : -1;
      if (working) lane.limit.used(lane.working);
      else this.#serve();
    };
    change(true);
    return {
      routeClass: name,
      pause: () => change(false),
      resume: () => change(true),
      end: (workMs) => {
        if (workMs !== undefined) lane.limit.sample(workMs);
        change(false);
      },
    };
  }

  #wait(
    name: RouteClass,
    { flow, signal }: { readonly flow: string; readonly signal: AbortSignal },
  ): Promise<Place> {
    const { queue } = this.#lanes[name];
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        queue.delete(waiter);
        reject(signal.reason);
      };
      const settle = (): void => signal.removeEventListener("abort", onAbort);
      const waiter: Waiter = {
        flow,
        sinceMs: this.#now(),
        admit: () => {
          settle();
          resolve(this.#begin(name));
        },
        refuse: (error) => {
          settle();
          reject(error);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      const refused = queue.push(waiter);
      refused?.refuse(this.#refusal(name, "full"));
      this.#lanes[name].standingSinceMs ??= waiter.sinceMs;
      this.#lookTimer ??= setTimeout(() => this.#refuseLate(), this.#lookMs).unref();
    });
  }

  /** Those that wait, by priority: nobody begins while somebody of a higher class waits for the same loop. */
  #serve(): void {
    for (const name of routeClasses) {
      const lane = this.#lanes[name];
      const { standingSinceMs } = lane;
      const newestFirst = standingSinceMs !== undefined && this.#now() - standingSinceMs > windowMs;
      while (lane.queue.size > 0 && lane.working < lane.limit.value) {
        lane.queue.shift({ newestFirst })?.admit();
      }
      if (lane.queue.size === 0) lane.standingSinceMs = undefined;
      // The lower classes wait as long as this one does.
      else return;
    }
  }

  #adapt(): void {
    const lateMs = Math.max(0, this.#loop.percentile(50) / 1e6 - loopResolutionMs);
    this.#loop.reset();
    for (const name of routeClasses) {
      const { limit } = this.#lanes[name];
      const was = limit.value;
      limit.adapt(lateMs);
      if (limit.value !== was) {
        this.#meter.gauge("http_work_limit", limit.value - was, { class: name });
      }
    }
    this.#serve();
  }

  /** Again as long as somebody waits. */
  #refuseLate(): void {
    this.#lookTimer = undefined;
    const before = this.#now() - this.#options.config.queueMsMax;
    let isWaiting = false;
    for (const name of routeClasses) {
      const { queue } = this.#lanes[name];
      for (const waiter of queue.takeOlderThan(before)) waiter.refuse(this.#refusal(name, "late"));
      isWaiting ||= queue.size > 0;
    }
    if (isWaiting) this.#lookTimer = setTimeout(() => this.#refuseLate(), this.#lookMs).unref();
  }

  #refusal(name: RouteClass, reason: "full" | "late"): OperationalError {
    this.#meter.count("http_overload_refused_total", 1, { class: name, reason });
    return new OperationalError("overloaded", `too many ${name} requests are worked on`, {
      context: { limit: "overload", class: name },
    });
  }

  #takeRate(limit: RateLimit | undefined, name: string, of: "key" | "address"): void {
    if (limit === undefined) return;
    const waitMs = limit.take(name, this.#now());
    if (waitMs === 0) return;
    this.#meter.count("http_rate_limited_total", 1, { of });
    const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1000));
    throw new OperationalError("rate_limited", `more requests than one ${of} may make`, {
      context: {
        limit: `${of}RequestsPerSecondMax`,
        limitPerSecond: limit.perSecond,
        rateLimitOf: of,
        retryAfterSeconds,
      },
    });
  }

  #bandwidth(direction: string, given: number | "auto" | undefined): Bandwidth | undefined {
    if (given === undefined) return undefined;
    const { config, log } = this.#options;
    const link = given === "auto" ? linkBytesPerSecond() : undefined;
    const bytes = given === "auto" ? link && link * config.linkShare : given;
    if (bytes === undefined) {
      log.warn({ direction }, "no network card says its speed: bandwidth is not limited");
      return undefined;
    }
    return new Bandwidth({
      bytesPerSecond: bytes * (1 - config.controlShare),
      now: this.#now,
      waited: (ms) =>
        this.#meter.count("http_bandwidth_waited_seconds_total", ms / 1000, { direction }),
    });
  }
}

/** Of each worker an equal part: connections are handed to them in turn. */
function rateOf(perSecond: number | undefined, { count }: Siblings): RateLimit | undefined {
  return perSecond === undefined ? undefined : new RateLimit(perSecond / count);
}
