// Asks a second time when the first byte of a read is late, and takes whichever comes first: one stuck
// server or disk behind a storage then costs a little more than a usual read instead of many seconds.
// Late is what 95 of 100 reads are not. A bucket of tokens keeps second reads to a share of all, also
// when everything is slow and more reads would only make it worse. Blobs are immutable, so both
// answers are the same; the loser is aborted and its body disposed.

import { isOperationalError } from "../../core/errors.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import { type Meter, silentMeter } from "../../core/ports/meter.ts";
import type { BlobHead, ObjectBody, StorageLayer } from "../../core/ports/storage-driver.ts";
import { forward } from "./forward.ts";
import { layeredBody } from "./layered-body.ts";
import { isTimedOut } from "./timeout.ts";
import { systemTimer, type Timer } from "./timer.ts";

export interface HedgeOptions {
  /** Second reads for each read at most. */
  readonly shareMax?: number;
  /** Second reads that may be saved up. */
  readonly burstMax?: number;
  /** Which share of reads counts as in time. */
  readonly quantile?: number;
  /** Without so many measured reads none is called late. */
  readonly samplesMin?: number;
  /** Nothing is late before: a second read would not be faster. */
  readonly lateMsMin?: number;
  readonly clock?: Clock;
  readonly meter?: Meter;
  readonly timer?: Timer;
}

type Answer = { readonly head: BlobHead; readonly body: ObjectBody };
type Get = (signal: AbortSignal) => Promise<Answer>;

/** A read whose first chunk is there. */
interface Begun extends Answer {
  readonly chunks: AsyncIterator<Uint8Array>;
  readonly first: IteratorResult<Uint8Array>;
}

/** The layer. A get resolves when its first chunk is there, so what the chunk throws, it throws. */
export const hedge =
  (options: HedgeOptions = {}): StorageLayer =>
  (inner) => {
    const working = (): boolean => (inner.breaker?.() ?? "closed") === "closed";
    const hedges = new Hedges(inner.id, { ...options, working });
    return forward(inner, {
      get: (key, given) =>
        hedges.get(given.signal, (signal) => inner.get(key, { ...given, signal })),
    });
  };

const samplesMax = 256;
const samplesBetweenSorts = 16;

class Hedges {
  readonly #labels: { readonly storage: string };
  readonly #working: () => boolean;
  readonly #shareMax: number;
  readonly #burstMax: number;
  readonly #quantile: number;
  readonly #samplesMin: number;
  readonly #lateMsMin: number;
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #timer: Timer;
  readonly #samples: number[] = [];
  #sampled = 0;
  #lateMs: number | undefined;
  #tokens = 0;

  constructor(storage: string, options: HedgeOptions & { readonly working: () => boolean }) {
    this.#labels = { storage };
    this.#working = options.working;
    this.#shareMax = options.shareMax ?? 0.05;
    this.#burstMax = options.burstMax ?? 10;
    this.#quantile = options.quantile ?? 0.95;
    this.#samplesMin = options.samplesMin ?? 64;
    this.#lateMsMin = options.lateMsMin ?? 20;
    this.#clock = options.clock ?? systemClock;
    this.#meter = options.meter ?? silentMeter;
    this.#timer = options.timer ?? systemTimer;
  }

  async get(signal: AbortSignal, get: Get): Promise<Answer> {
    this.#tokens = Math.min(this.#burstMax, this.#tokens + this.#shareMax);
    const lateMs = this.#lateMs;
    if (lateMs === undefined || this.#tokens < 1 || !this.#working()) {
      return replayed(await this.#begin(signal, get));
    }
    return replayed(await this.#race(signal, get, lateMs));
  }

  async #begin(signal: AbortSignal, get: Get): Promise<Begun> {
    const began = this.#clock.monotonicMs();
    const { head, body } = await get(signal);
    const chunks = body[Symbol.asyncIterator]();
    try {
      const first = await chunks.next();
      this.#sample(this.#clock.monotonicMs() - began);
      return { head, body, chunks, first };
    } catch (error) {
      await body[Symbol.asyncDispose]();
      throw error;
    }
  }

  #race(signal: AbortSignal, get: Get, lateMs: number): Promise<Begun> {
    const { promise, resolve, reject } = Promise.withResolvers<Begun>();
    const running = new Map<AbortController, number>();
    let ended = false;
    let failure: { readonly error: unknown } | undefined;
    const end = (): void => {
      ended = true;
      cancel();
      // How late the loser would have been is not known, but it was at least this late.
      for (const [loser, began] of running) {
        this.#sample(this.#clock.monotonicMs() - began);
        loser.abort(new Error("another read of the same bytes was faster"));
      }
    };
    const start = (kind: "first" | "second"): void => {
      const controller = new AbortController();
      running.set(controller, this.#clock.monotonicMs());
      this.#begin(AbortSignal.any([signal, controller.signal]), get).then(
        (begun) => {
          running.delete(controller);
          if (ended) return discard(begun);
          if (kind === "second") this.#meter.count("storage_hedges_won_total", 1, this.#labels);
          end();
          resolve(begun);
        },
        (error: unknown) => {
          running.delete(controller);
          failure ??= { error };
          // The other may still answer, unless the answer is known by now.
          if (ended || (running.size > 0 && mayPass(error))) return;
          end();
          reject(failure.error);
        },
      );
    };
    start("first");
    const cancel = this.#timer(lateMs, () => {
      if (ended || this.#tokens < 1 || !this.#working()) return;
      this.#tokens -= 1;
      this.#meter.count("storage_hedges_total", 1, this.#labels);
      start("second");
    });
    return promise;
  }

  #sample(ms: number): void {
    this.#samples[this.#sampled % samplesMax] = ms;
    this.#sampled += 1;
    if (this.#sampled < this.#samplesMin || this.#sampled % samplesBetweenSorts !== 0) return;
    const sorted = this.#samples.toSorted((a, b) => a - b);
    const late = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * this.#quantile))];
    this.#lateMs = Math.max(this.#lateMsMin, late ?? 0);
  }
}

/** Not after a whole deadline: the other would only have its caller wait past it. */
function mayPass(error: unknown): boolean {
  return isOperationalError(error) && error.retryable && !isTimedOut(error);
}

/** Frees the loser in its own time. */
function discard({ body }: Begun): void {
  Promise.resolve(body[Symbol.asyncDispose]()).catch(() => undefined);
}

/** The body from its beginning. */
function replayed({ head, body, chunks, first }: Begun): Answer {
  let ahead: IteratorResult<Uint8Array> | undefined = first;
  const next = (): Promise<IteratorResult<Uint8Array>> => {
    if (ahead === undefined) return chunks.next();
    const item = ahead;
    ahead = undefined;
    return Promise.resolve(item);
  };
  return { head, body: layeredBody(body, { next }) };
}
