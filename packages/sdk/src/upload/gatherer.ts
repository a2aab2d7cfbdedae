/**
 * Takes a stream apart into pieces that can be sent again: what is held is the pieces that were taken
 * and not yet let go, and the rest of one chunk.
 */
import { startCrc64Nvme } from "../digests/crc64-nvme.ts";
import { sourceError } from "../errors.ts";
import { bytesBody } from "../transport.ts";
import type { Piece, StreamedSource } from "./source.ts";

export interface Gathered {
  readonly chunks: readonly Uint8Array[];
  readonly length: number;
  readonly crc64nvme: string;
  /** Nothing comes after it. */
  readonly last: boolean;
}

export class Gatherer {
  readonly #source: StreamedSource;
  readonly #reader: AsyncIterator<Uint8Array>;
  #held: Uint8Array[] = [];
  #ended = false;

  constructor(source: StreamedSource) {
    this.#source = source;
    const { chunks } = source;
    this.#reader = chunks instanceof ReadableStream ? readWeb(chunks) : iterate(chunks);
  }

  /** The next `bytes` bytes, or what is left. Rejects with `source_failed`. */
  async take(bytes: number): Promise<Gathered> {
    const chunks: Uint8Array[] = [];
    const crc = startCrc64Nvme();
    let length = 0;
    for (;;) {
      const next = await this.#next();
      if (next === undefined) return { chunks, length, crc64nvme: crc.hex(), last: true };
      if (length === bytes) {
        this.#held.unshift(next);
        return { chunks, length, crc64nvme: crc.hex(), last: false };
      }
      const taken = next.subarray(0, bytes - length);
      if (taken.length < next.length) this.#held.unshift(next.subarray(taken.length));
      crc.update(taken);
      chunks.push(taken);
      length += taken.length;
    }
  }

  /** The next takes begin with these again. */
  putBack(chunks: readonly Uint8Array[]): void {
    this.#held.unshift(...chunks);
  }

  /** Lets go of the stream, read to its end or not; one that hangs is not waited for. */
  close(): void {
    this.#held = [];
    if (this.#ended) return;
    this.#ended = true;
    this.#source.close?.();
    // What a source says to being closed changes nothing for the upload.
    this.#reader.return?.().catch(() => {});
  }

  async #next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const held = this.#held.shift();
      if (held !== undefined) return held;
      if (this.#ended) return undefined;
      try {
        const { done, value } = await this.#reader.next();
        if (done === true) this.#ended = true;
        else if (!(value instanceof Uint8Array)) throw new TypeError("it gives no bytes");
        else if (value.length > 0) return value;
      } catch (cause) {
        this.#ended = true;
        throw sourceError("the stream", cause);
      }
    }
  }
}

function iterate(chunks: AsyncIterable<Uint8Array>): AsyncIterator<Uint8Array> {
  return chunks[Symbol.asyncIterator]();
}

/** By its reader: not every browser can iterate a stream. */
function readWeb(stream: ReadableStream<Uint8Array>): AsyncIterator<Uint8Array> {
  const reader = stream.getReader();
  return {
    async next() {
      const { done, value } = await reader.read();
      return done ? { done, value: undefined } : { done, value };
    },
    async return() {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}

/** What was gathered, as something to send. */
export function gatheredPiece({ chunks, crc64nvme }: Gathered): Piece {
  return { body: bytesBody(chunks), crc64nvme: async () => crc64nvme };
}
