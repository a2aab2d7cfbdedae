// The layers of every storage and their order, written once.

import type { Clock } from "../../core/ports/clock.ts";
import { systemClock } from "../../core/ports/clock.ts";
import { type Log, silentLog } from "../../core/ports/log.ts";
import { type Meter, silentMeter } from "../../core/ports/meter.ts";
import type { StorageDriver, StorageLayer } from "../../core/ports/storage-driver.ts";
import type { Tracer } from "../../core/ports/tracer.ts";
import { type BreakerOptions, breaker } from "./breaker.ts";
import { checksum } from "./checksum.ts";
import { type HedgeOptions, hedge } from "./hedge.ts";
import { type LimitOptions, limit } from "./limit.ts";
import { metered } from "./meter.ts";
import { type RetryOptions, retry } from "./retry.ts";
import { type TimeoutOptions, timeout } from "./timeout.ts";
import { traced } from "./traced.ts";

export interface LayerOptions {
  readonly clock?: Clock;
  readonly log?: Log;
  readonly meter?: Meter;
  /** Of requests; left out: they are not traced. */
  readonly tracer?: Tracer | undefined;
  readonly timeout?: TimeoutOptions;
  readonly retry?: RetryOptions;
  readonly limit?: LimitOptions;
  readonly breaker?: BreakerOptions;
  readonly hedge?: HedgeOptions;
  /** Between the driver and all others: `faults`, in tests. */
  readonly innermost?: readonly StorageLayer[];
}

/** The driver with all layers; disposing it disposes the driver. */
export function withLayers(driver: StorageDriver, options: LayerOptions = {}): StorageDriver {
  const { clock = systemClock, log = silentLog, meter = silentMeter, innermost = [] } = options;
  // Inner to outer.
  const layers: readonly StorageLayer[] = [
    ...innermost,
    // Next to the driver: it sees the bytes that the driver sees, and nothing after it changes them.
    checksum(),
    // Inside the timeout: a call that hangs is abandoned by its caller and keeps its place, so that
    // what a dead storage holds is bounded. Waiting in the queue counts as the storage's time.
    limit(options.limit),
    // Inside retry: an attempt that runs out of time is the storage's failure, and counts as one.
    timeout({ clock, ...options.timeout }),
    // Outside the timeout: to it, a call that ran out of time is a failure like any other. Inside
    // retry: each attempt counts, and what the open breaker refuses is not tried again.
    breaker({ clock, log, meter, ...options.breaker }),
    // Outside the breaker, which judges both reads. Inside retry: each attempt may ask twice, waits
    // between attempts are not taken for a slow storage, and a first chunk that fails is tried again.
    hedge({ clock, meter, ...options.hedge }),
    // Only what can be repeated, within the time of one attempt: whoever waits is told by one deadline.
    // Outside the limit: a call that waits to try again holds no place.
    retry({ meter, clock, deadlineMs: options.timeout?.answerMs ?? 30_000, ...options.retry }),
    // Outermost: it counts and times what callers saw.
    metered(meter, clock),
    ...(options.tracer === undefined ? [] : [traced(options.tracer)]),
  ];
  return layers.reduce((inner, layer) => layer(inner), driver);
}
