/**
 * Memory that requests have reserved. Who finds too little waits, its body unread, for a bounded time; then it is refused
 * and told when to come back. Nothing that was admitted is ever ended for want of memory. What is small enough goes
 * ahead of those that wait for more.
 */
import { OperationalError } from "../core/errors.ts";

export interface MemoryRoomOptions {
  readonly bytesMax: number;
  readonly waitMsMax: number;
  /** Beyond so many that wait, the next is refused at once. */
  readonly waitersMax?: number;
}

interface Waiter {
  readonly bytes: number;
  readonly admit: () => void;
}

const waitersMaxDefault = 1_000;

export class MemoryRoom {
  readonly bytesMax: number;
  readonly #waitMsMax: number;
  readonly #waitersMax: number;
  readonly #waiters = new Set<Waiter>();
  #usedBytes = 0;
  #waited = 0;
  #refused = 0;

  constructor({ bytesMax, waitMsMax, waitersMax = waitersMaxDefault }: MemoryRoomOptions) {
    this.bytesMax = bytesMax;
    this.#waitMsMax = waitMsMax;
    this.#waitersMax = waitersMax;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Since the start. */
  get counts(): { readonly waited: number; readonly refused: number } {
    return { waited: this.#waited, refused: this.#refused };
  }

  /** True at once where there is room; else a promise, which rejects with `overloaded`, or as the signal aborts. */
  take(bytes: number, signal: AbortSignal): true | Promise<void> {
    if (this.#usedBytes + bytes <= this.bytesMax) {
      this.#usedBytes += bytes;
      return true;
    }
    if (this.#waitMsMax === 0 || this.#waiters.size >= this.#waitersMax) {
      return Promise.reject(this.#refusal());
    }
    this.#waited += 1;
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiters.delete(waiter);
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
      };
      const waiter: Waiter = {
        bytes,
        admit: () => {
          end();
          resolve();
        },
      };
      const abort = (): void => {
        end();
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        end();
        reject(this.#refusal());
      }, this.#waitMsMax);
      signal.addEventListener("abort", abort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  /** Each that was taken is given back once. */
  give(bytes: number): void {
    this.#usedBytes -= bytes;
    for (const waiter of this.#waiters) {
      if (this.#usedBytes + waiter.bytes > this.bytesMax) return;
      this.#usedBytes += waiter.bytes;
      waiter.admit();
    }
  }

  #refusal(): OperationalError {
    this.#refused += 1;
    return new OperationalError("overloaded", "the memory for bytes on their way is used up", {
      context: { limit: "memory.buffersBytes", limitBytes: this.bytesMax, retryAfterSeconds: 2 },
    });
  }
}
