// A body of known length on its way to a storage, digested as it passes. The last chunk is held back
// until the source has really ended: a source that fails, or has more bytes, must not have completed
// an object before anybody knew.

import { createHash } from "node:crypto";
import { OperationalError } from "../../core/errors.ts";
import { freeChunk } from "../../core/ports/given-chunks.ts";
import type { Body } from "../../core/ports/storage-driver.ts";
import { Crc64Ecma } from "./crc64-ecma.ts";
import type { Sums } from "./sums.ts";

export class StreamedBody implements AsyncIterable<Uint8Array> {
  readonly length: number;
  /** The source's own failure, which is told instead of what the connection made of it. */
  failure: { readonly error: unknown } | undefined;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #md5 = createHash("md5");
  readonly #crc: Crc64Ecma | undefined;

  constructor(body: Body, length: number, { withCrc }: { readonly withCrc: boolean }) {
    this.length = length;
    this.#source = body[Symbol.asyncIterator]();
    this.#crc = withCrc ? new Crc64Ecma() : undefined;
  }

  /** Once, after the last byte. */
  sums(): Sums {
    return { md5: this.#md5.digest(), crc64Ecma: this.#crc?.value };
  }

  /** Tells the source to stop; one that hangs answers this late or never. */
  stop(): void {
    void Promise.resolve(this.#source.return?.()).catch(() => undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    let received = 0;
    let last: Uint8Array | undefined;
    for (;;) {
      const { done, value } = await this.#pull();
      if (done === true) break;
      if (value.length === 0) continue;
      received += value.length;
      if (received > this.length) throw this.#fail(wrongLength("more", this.length));
      this.#md5.update(value);
      this.#crc?.update(value);
      if (received === this.length) {
        // A copy: the chunk's memory may be the source's to use again.
        last = Uint8Array.from(value);
        freeChunk(value);
      } else {
        yield value;
      }
    }
    if (received < this.length) throw this.#fail(wrongLength("fewer", this.length));
    if (last !== undefined) yield last;
  }

  async #pull(): Promise<IteratorResult<Uint8Array>> {
    try {
      return await this.#source.next();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #fail(error: unknown): unknown {
    this.failure ??= { error };
    return error;
  }
}

function wrongLength(which: "more" | "fewer", length: number): OperationalError {
  return new OperationalError("incomplete_body", `the body has ${which} bytes than ${length}`, {
    context: { length },
  });
}
