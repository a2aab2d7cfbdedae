// Once a minute, the first read of a blob that nobody has read for long: what the first user of an old
// object would wait. Caches answer the reads of every day in no time and hide a mount whose cold reads
// take seconds. The probe keeps a set of small blobs of its own, adds one with each round until the set
// is full, and reads the one that was left alone the longest; what it reads must be what it wrote.
//
// It goes through the storage's layers, so the breaker sees its outcomes: a storage that nobody else
// uses is found dead, and found alive again. While the breaker is not closed it writes in each round,
// for one that takes no writes is given none by others.

import { isOperationalError, OperationalError } from "../../core/errors.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import { type Log, silentLog } from "../../core/ports/log.ts";
import { type Meter, silentMeter } from "../../core/ports/meter.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import { systemTimer, type Timer } from "./timer.ts";

/** Below it lie the probe's blobs: no key of an object's blob begins so. */
export const coldProbePrefix = "roma/probe/";

const blobBytes = 4096;

export interface ColdProbeOptions {
  readonly intervalMs?: number;
  /** Blobs kept; each is read once in so many rounds. */
  readonly blobsMax?: number;
  /** A round that takes longer is given up. */
  readonly roundMsMax?: number;
  /** Asked before each write. */
  readonly mayWrite?: () => boolean;
  readonly clock?: Clock;
  readonly meter?: Meter;
  readonly log?: Log;
  readonly timer?: Timer;
}

export interface ColdProbeRound {
  /** Until the first byte; absent while there was nothing to read. */
  readonly firstByteMs?: number;
  readonly read?: string;
  readonly wrote?: string;
}

/** Dispose to stop; its blobs stay for the next start. */
export class ColdProbe implements AsyncDisposable {
  readonly #driver: StorageDriver;
  readonly #options: Required<ColdProbeOptions>;
  readonly #stop = new AbortController();
  /** The one left alone the longest is first; undefined until they were listed. */
  #keys: string[] | undefined;
  #cancel: (() => void) | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(driver: StorageDriver, options: ColdProbeOptions = {}) {
    this.#driver = driver;
    this.#options = {
      intervalMs: 60_000,
      blobsMax: 60,
      roundMsMax: 50_000,
      mayWrite: () => true,
      clock: systemClock,
      meter: silentMeter,
      log: silentLog,
      timer: systemTimer,
      ...options,
    };
  }

  /** A round every `intervalMs`, one at a time; the first after one interval. */
  start(): void {
    this.#cancel = this.#options.timer(this.#options.intervalMs, () => {
      this.#running = this.#roundWithin().then(() => {
        if (!this.#stop.signal.aborted) this.start();
      });
    });
  }

  /** One round: rejects with what went wrong, after it was counted. */
  async round(signal: AbortSignal): Promise<ColdProbeRound> {
    const { meter, log, mayWrite } = this.#options;
    const storage = this.#driver.id;
    try {
      this.#keys ??= await this.#list(signal);
      const keys = this.#keys;
      const read = await this.#read(keys, signal);
      const wrote = mayWrite() ? await this.#write(keys, signal) : {};
      meter.count("storage_cold_probes_total", 1, { storage, outcome: "ok" });
      return { ...read, ...wrote };
    } catch (error) {
      if (this.#stop.signal.aborted) throw error;
      const outcome = isOperationalError(error) ? error.code : "failed";
      meter.count("storage_cold_probes_total", 1, { storage, outcome });
      log.warn({ err: error, storageId: storage }, "the cold probe of a storage failed");
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel?.();
    this.#stop.abort(new OperationalError("unavailable", "the cold probe was stopped"));
    await this.#running;
  }

  async #roundWithin(): Promise<void> {
    const late = new AbortController();
    const cancel = this.#options.timer(this.#options.roundMsMax, () =>
      late.abort(new OperationalError("unavailable", "the cold probe took too long")),
    );
    try {
      await this.round(AbortSignal.any([this.#stop.signal, late.signal]));
    } catch {
      // Counted and logged where it happened; the next round tries again.
    } finally {
      cancel();
    }
  }

  async #list(signal: AbortSignal): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.#driver.list(coldProbePrefix, { signal })) {
      keys.push(key);
      if (keys.length >= this.#options.blobsMax) break;
    }
    return keys;
  }

  async #read(keys: string[], signal: AbortSignal): Promise<ColdProbeRound> {
    const key = keys.shift();
    if (key === undefined) return {};
    const { clock, meter } = this.#options;
    const began = clock.monotonicMs();
    let firstByteMs: number | undefined;
    const expected = bytesOfKey(key);
    let position = 0;
    try {
      const { body } = await this.#driver.get(key, { signal });
      await using _owned = body;
      for await (const chunk of body) {
        firstByteMs ??= clock.monotonicMs() - began;
        if (!expected.subarray(position, position + chunk.length).equals(chunk)) break;
        position += chunk.length;
      }
    } catch (error) {
      // Somebody tidied up: it is written again in its turn.
      if (isOperationalError(error, "object_not_found")) return {};
      keys.push(key);
      throw error;
    }
    keys.push(key);
    if (position !== blobBytes) {
      throw new OperationalError("data_damaged", `${key} is not what was written`);
    }
    if (firstByteMs === undefined) return {};
    const labels = { storage: this.#driver.id, operation: "cold_probe" };
    meter.observe("storage_first_byte_seconds", firstByteMs / 1000, labels);
    return { read: key, firstByteMs };
  }

  async #write(keys: string[], signal: AbortSignal): Promise<ColdProbeRound> {
    const { blobsMax } = this.#options;
    // The one that was just read: it is warm already.
    const last = keys.at(-1);
    if (last !== undefined && keys.length >= blobsMax && this.#isLeftAlone) {
      await this.#put(last, signal);
      return { wrote: last };
    }
    const taken = new Set(keys);
    for (let number = 0; number < blobsMax && keys.length < blobsMax; number += 1) {
      const key = `${coldProbePrefix}${String(number).padStart(2, "0")}`;
      if (taken.has(key)) continue;
      await this.#put(key, signal);
      keys.push(key);
      return { wrote: key };
    }
    return {};
  }

  get #isLeftAlone(): boolean {
    return (this.#driver.breaker?.() ?? "closed") !== "closed";
  }

  async #put(key: string, signal: AbortSignal): Promise<void> {
    await this.#driver.put(key, oneChunk(bytesOfKey(key)), { signal, length: blobBytes });
  }
}

/** Of each key its own, so that bytes of another are seen to be wrong. */
function bytesOfKey(key: string): Buffer {
  return Buffer.alloc(blobBytes, `${key}\n`);
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
