// Bounds the file system calls that run at once on one mount. A mount that hangs holds each of its
// calls in the kernel, and with it a thread of the pool that all storages and name lookups share: so
// one mount never gets more than a small part of the pool.
//
// A slot is held until the system call really ended, also when nobody waits for it any more. While all
// slots are held and none of their calls ends, the mount is stuck: who waits is told, and who comes is
// refused at once, so that waiters do not pile up. The first call that ends lets others in again.

import { OperationalError } from "../../core/errors.ts";

export interface SlotOptions {
  /** Calls at once, at least 1. */
  readonly callsMax?: number | undefined;
  /** All slots held and no call ended for so long: below the deadline of a call, which says less. */
  readonly stuckMsMin?: number;
}

interface Waiter {
  readonly enter: () => void;
  /** Absent: it waits for as long as it takes. */
  readonly refuse?: (error: unknown) => void;
}

/** What `callsMax` is unless it is given. */
export const slotsOfMount = 16;

export class Slots {
  readonly #callsMax: number;
  readonly #stuckMsMin: number;
  /** First come, first served. */
  readonly #waiters = new Set<Waiter>();
  #taken = 0;
  /** When a call last ended, or began with the last free slot. */
  #movedMs = 0;
  #stuck = false;
  #timer: NodeJS.Timeout | undefined;

  constructor({ callsMax = slotsOfMount, stuckMsMin = 20_000 }: SlotOptions = {}) {
    this.#callsMax = callsMax;
    this.#stuckMsMin = stuckMsMin;
  }

  /** Runs a call within a slot. Waiting ends with the signal, or as `unavailable` on a stuck mount. */
  run<T>(call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#taken < this.#callsMax) return this.#begin(call);
    return this.#wait(signal).then(() => this.#runIn(call));
  }

  /** For what must not be left undone: waits through a stuck mount, for as long as that lasts. */
  runAnyway<T>(call: () => Promise<T>): Promise<T> {
    if (this.#taken < this.#callsMax) return this.#begin(call);
    const entered = new Promise<void>((enter) => this.#waiters.add({ enter }));
    return entered.then(() => this.#runIn(call));
  }

  #begin<T>(call: () => Promise<T>): Promise<T> {
    this.#taken += 1;
    if (this.#taken === this.#callsMax) this.#movedMs = performance.now();
    return this.#runIn(call);
  }

  #runIn<T>(call: () => Promise<T>): Promise<T> {
    const running = call();
    running.then(this.#leave, this.#leave);
    return running;
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    if (this.#stuck) return Promise.reject(stuck(this.#callsMax));
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener("abort", abort);
      };
      const abort = (): void => {
        end();
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        enter: () => {
          end();
          resolve();
        },
        refuse: (error) => {
          end();
          reject(error);
        },
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiters.add(waiter);
      if (this.#timer === undefined) this.#look();
    });
  }

  /** The next waiter gets the slot, or it becomes free. */
  readonly #leave = (): void => {
    this.#movedMs = performance.now();
    this.#stuck = false;
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      waiter.enter();
      return;
    }
    this.#taken -= 1;
  };

  /** While anybody waits: looks again when the mount would be stuck. */
  readonly #look = (): void => {
    this.#timer = undefined;
    const left = this.#movedMs + this.#stuckMsMin - performance.now();
    if (this.#taken < this.#callsMax || this.#waiters.size === 0) return;
    if (left > 0) {
      this.#timer = setTimeout(this.#look, left).unref();
      return;
    }
    this.#stuck = true;
    for (const waiter of this.#waiters) waiter.refuse?.(stuck(this.#callsMax));
  };
}

function stuck(calls: number): OperationalError {
  const message = `the mount does not answer: all ${calls} calls to it are stuck`;
  return new OperationalError("unavailable", message, { context: { stuckCalls: calls } });
}

const slotsByRoot = new Map<string, WeakRef<Slots>>();

/**
 * The slots of a folder, the same ones for all who open it: a storage that is opened again and again
 * on a mount that hangs takes no more than one. Their calls and storages keep them alive, with the
 * options of the first.
 */
export function slotsOf(root: string, options: SlotOptions): Slots {
  const known = slotsByRoot.get(root)?.deref();
  if (known !== undefined) return known;
  const made = new Slots(options);
  slotsByRoot.set(root, new WeakRef(made));
  return made;
}
