/**
 * Takes a stream apart into pieces that can be sent again: what is held is the pieces that were taken
 * and not yet let go, and the rest of one chunk.
 */
import { combineCrc64Nvme, startCrc64Nvme } from "../digests/crc64-nvme.ts";
import { RomaError } from "../errors.ts";
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
    this.#reader = source.chunks[Symbol.asyncIterator]();
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

/** What was gathered, as something to send. */
export function gatheredPiece({ chunks, crc64nvme }: Gathered): Piece {
  return { body: bytesBody(chunks), crc64nvme: async () => crc64nvme };
}

/** The CRC of pieces that follow one another. */
export function chainCrc64Nvme(
  pieces: Iterable<{ readonly crc64nvme: string; readonly length: number }>,
): string {
  let crc = "0000000000000000";
  for (const piece of pieces) crc = combineCrc64Nvme(crc, piece.crc64nvme, piece.length);
  return crc;
}

/** The error for a source that cannot be read. */
export function sourceError(name: string, cause: unknown): RomaError {
  if (cause instanceof RomaError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RomaError("source_failed", `${name} cannot be read: ${reason}`, { cause });
}
