// The body of a get: reads at explicit offsets into pooled buffers. A reader that has shown to be fast
// gets large ones, and one is filled while the other is sent; a slow one holds a single small buffer,
// so that hundreds of them cost little. A file that turns out shorter or longer than its head said is `data_damaged`. The
// descriptor is closed once, after the last read on it ended, however the body ends.

import { OperationalError } from "../../core/errors.ts";
import type { ObjectBody } from "../../core/ports/storage-driver.ts";
import { dropBuffer, returnBuffer, takeBuffer, takeReadBuffer } from "./buffers.ts";
import { during, ignore } from "./errors.ts";
import type { Files } from "./files.ts";

export interface FileRange {
  /** Of the whole file, as its head says. */
  readonly fileBytes: number;
  readonly firstByte: number;
  /** One less than `firstByte` for an empty file. */
  readonly lastByte: number;
}

interface Filled {
  readonly buffer: Uint8Array;
  readonly count: number;
}

/** So many bytes must be taken without a pause first: a socket's own buffers swallow some millions. */
const fastAfterBytes = 8 * 1024 * 1024;
/** A consumer that comes back later than this was waiting for its own reader. */
const pauseMs = 20;

export class FileBody implements ObjectBody, AsyncIterableIterator<Uint8Array> {
  readonly #fd: number;
  readonly #files: Files;
  readonly #signal: AbortSignal;
  readonly #range: FileRange;
  #position: number;
  // With the consumer until it pulls again.
  #lent: Uint8Array | undefined;
  #ahead: Promise<Filled> | undefined;
  // Whether a read has seen that nothing follows the file's last byte.
  #endSeen: boolean;
  #closed: Promise<void> | undefined;
  #fastBytes = 0;
  #lentMs = 0;

  /** Takes over the descriptor. */
  constructor(fd: number, range: FileRange, options: { files: Files; signal: AbortSignal }) {
    this.#fd = fd;
    this.#files = options.files;
    this.#signal = options.signal;
    this.#range = range;
    this.#position = range.firstByte;
    this.#endSeen = range.lastByte + 1 < range.fileBytes;
    this.#signal.addEventListener("abort", this.#abort, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#closed !== undefined) return this.#ended();
    if (this.#lent !== undefined && performance.now() - this.#lentMs > pauseMs) this.#fastBytes = 0;
    if (this.#finished) {
      // The consumer is through with its chunk; after any other end it may still be sending it.
      if (this.#lent !== undefined) returnBuffer(this.#lent);
      this.#lent = undefined;
      await this.#close();
      return { done: true, value: undefined };
    }
    try {
      // Without a read ahead its buffer is free for the read that begins now.
      if (this.#ahead === undefined && this.#lent !== undefined) {
        returnBuffer(this.#lent);
        this.#lent = undefined;
      }
      this.#ahead ??= this.#fill();
      const { buffer, count } = await this.#ahead;
      if (this.#closed !== undefined) return this.#ended();
      // If this throws, the buffer is still the one ahead, and closing gives it back.
      const chunk = this.#accept(buffer, count);
      this.#ahead = undefined;
      if (this.#lent !== undefined) returnBuffer(this.#lent);
      this.#lent = buffer;
      this.#lentMs = performance.now();
      this.#fastBytes += chunk.length;
      if (this.#finished) {
        return chunk.length > 0 ? { done: false, value: chunk } : await this.next();
      }
      if (this.#isFast) {
        this.#ahead = this.#fill();
        // Judged when it is pulled; until then nobody looks at it.
        this.#ahead.catch(ignore);
      }
      return { done: false, value: chunk };
    } catch (error) {
      await this.#close();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    await this.#close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }

  get #isFast(): boolean {
    return this.#fastBytes >= fastAfterBytes;
  }

  get #finished(): boolean {
    return this.#position > this.#range.lastByte && this.#endSeen;
  }

  async #fill(): Promise<Filled> {
    // One byte more than there should be, to see that the file ends where it did.
    const wanted = this.#range.lastByte + 1 - this.#position + (this.#endSeen ? 0 : 1);
    const buffer = this.#isFast ? takeReadBuffer(wanted) : takeBuffer();
    const length = Math.min(buffer.length, wanted);
    try {
      const count = await during(
        "read",
        this.#files.read(this.#fd, buffer, length, this.#position),
      );
      return { buffer, count };
    } catch (error) {
      returnBuffer(buffer);
      throw error;
    }
  }

  #accept(buffer: Uint8Array, count: number): Uint8Array {
    const left = this.#range.lastByte + 1 - this.#position;
    if (count > left) throw damaged("longer");
    if (count === 0 && left > 0) throw damaged("shorter");
    if (!this.#endSeen && left < buffer.length && count === left) this.#endSeen = true;
    this.#position += count;
    return buffer.subarray(0, count);
  }

  #ended(): IteratorResult<Uint8Array, undefined> {
    this.#signal.throwIfAborted();
    return { done: true, value: undefined };
  }

  readonly #abort = (): void => {
    void this.#close();
  };

  // Once: the signal, the consumer and the end may all ask for it.
  #close(): Promise<void> {
    this.#closed ??= this.#closeNow();
    return this.#closed;
  }

  async #closeNow(): Promise<void> {
    this.#signal.removeEventListener("abort", this.#abort);
    const ahead = this.#ahead;
    this.#ahead = undefined;
    const lent = this.#lent;
    this.#lent = undefined;
    if (lent !== undefined) dropBuffer(lent);
    if (ahead !== undefined) {
      await ahead.then(({ buffer }) => returnBuffer(buffer), ignore);
    }
    await this.#files.close(this.#fd).catch(ignore);
  }
}

function damaged(which: "shorter" | "longer"): OperationalError {
  return new OperationalError("data_damaged", `the stored file is ${which} than it was`);
}
