// The memory of all uploads that have to be gathered before they can be sent: one budget for a process.
// An upload waits for a buffer and never allocates beyond. Short bodies have small buffers of their own
// share, so that many of them do not wait for the large ones of a few long bodies.
//
// Nobody waits for a small buffer while holding a large one, and whoever holds a full buffer can send
// it without another: so nobody waits for ever.

import { KiB, MiB } from "@roma/contract";
import { OperationalError } from "../../core/errors.ts";

export const smallBufferBytes = 256 * KiB;

export interface PartBuffersOptions {
  /** Of all buffers together. */
  readonly bytesMax?: number;
}

interface Waiter {
  readonly bytes: number;
  /** Buffers that the upload holds already: who holds fewer comes first. */
  readonly held: number;
  readonly take: (buffer: Buffer) => void;
}

export class PartBuffers {
  readonly bytesMax: number;
  readonly #small: Tier;
  readonly #large: Tier;

  constructor({ bytesMax = 64 * MiB }: PartBuffersOptions = {}) {
    this.bytesMax = bytesMax;
    const smallBytes = Math.max(smallBufferBytes, Math.floor(bytesMax / 8));
    this.#small = new Tier(smallBytes);
    this.#large = new Tier(bytesMax - smallBytes);
  }

  /** The largest buffer there can be. */
  get largeBytesMax(): number {
    return this.#large.bytesMax;
  }

  /** Bytes of buffers that are in use. */
  get usedBytes(): number {
    return this.#small.usedBytes + this.#large.usedBytes;
  }

  /**
   * A buffer of exactly so many bytes; it must be given back. Rejects if the signal aborts, and with `overloaded` once it
   * has waited for `waitMsMax`, for whoever has not begun yet.
   */
  take(bytes: number, signal: AbortSignal, held = 0, waitMsMax?: number): Promise<Buffer> {
    return this.#tierOf(bytes).take(bytes, signal, held, waitMsMax);
  }

  /** Nobody may look at the buffer any more. */
  give(buffer: Buffer): void {
    this.#tierOf(buffer.length).give(buffer);
  }

  #tierOf(bytes: number): Tier {
    return bytes <= smallBufferBytes ? this.#small : this.#large;
  }
}

class Tier {
  readonly bytesMax: number;
  usedBytes = 0;
  readonly #free: Buffer[] = [];
  #freeBytes = 0;
  readonly #waiters: Waiter[] = [];

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  async take(
    bytes: number,
    signal: AbortSignal,
    held: number,
    waitMsMax?: number,
  ): Promise<Buffer> {
    signal.throwIfAborted();
    if (bytes > this.bytesMax)
      throw new RangeError(`a buffer of ${bytes} of ${this.bytesMax} bytes`);
    if (this.#waiters.length === 0 && this.usedBytes + bytes <= this.bytesMax) {
      return this.#hand(bytes);
    }
    return await new Promise((resolve, reject) => {
      const waiter: Waiter = {
        bytes,
        held,
        take: (buffer) => {
          clearTimeout(timer);
          signal.removeEventListener("abort", abort);
          resolve(buffer);
        },
      };
      const leave = (reason: unknown): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(reason);
        this.#serve();
      };
      const abort = (): void => leave(signal.reason);
      const timer =
        waitMsMax === undefined ? undefined : setTimeout(() => leave(noMemory(bytes)), waitMsMax);
      signal.addEventListener("abort", abort, { once: true });
      const behind = this.#waiters.findIndex((other) => other.held > held);
      this.#waiters.splice(behind === -1 ? this.#waiters.length : behind, 0, waiter);
    });
  }

  give(buffer: Buffer): void {
    this.usedBytes -= buffer.length;
    this.#free.push(buffer);
    this.#freeBytes += buffer.length;
    this.#serve();
  }

  #serve(): void {
    for (;;) {
      const [first] = this.#waiters;
      if (first === undefined || this.usedBytes + first.bytes > this.bytesMax) return;
      this.#waiters.shift();
      first.take(this.#hand(first.bytes));
    }
  }

  #hand(bytes: number): Buffer {
    this.usedBytes += bytes;
    const index = this.#free.findIndex((buffer) => buffer.length === bytes);
    const [free] = index === -1 ? [] : this.#free.splice(index, 1);
    if (free !== undefined) {
      this.#freeBytes -= bytes;
      return free;
    }
    // Free ones of other sizes make room for this one.
    while (this.#free.length > 0 && this.usedBytes + this.#freeBytes > this.bytesMax) {
      this.#freeBytes -= this.#free.shift()?.length ?? 0;
    }
    return Buffer.allocUnsafeSlow(bytes);
  }
}

function noMemory(bytes: number): OperationalError {
  return new OperationalError("overloaded", "the memory for parts on their way is used up", {
    context: { bytes, retryAfterSeconds: 2 },
  });
}

let processBuffers: PartBuffers | undefined;

/**
 * How much those that all storages of this process share may take. Before their first use only: later it changes
 * nothing, as for the second server in one process.
 */
export function limitSharedPartBuffers(bytesMax: number): void {
  processBuffers ??= new PartBuffers({ bytesMax });
}

/** Those that all storages of this process share unless they are given others; made at first use. */
export function sharedPartBuffers(): PartBuffers {
  processBuffers ??= new PartBuffers();
  return processBuffers;
}
