/**
 * Where an upload's bytes come from, as the platform-free part sees it: a source of known length that
 * can be read from any place, or a stream that passes once.
 */
import { crc64Nvme } from "../digests/crc64-nvme.ts";
import { lazily } from "../lazily.ts";
import { type Body, bytesBody } from "../transport.ts";

/** Some bytes of a source, to be sent as often as it takes. */
export interface Piece {
  readonly body: Body;
  /** Asked once the body has been sent: by then it is mostly known. Rejects with `source_failed`. */
  crc64nvme(): Promise<string>;
}

export interface DigestedRange {
  readonly first: number;
  /** Exclusive. */
  readonly end: number;
  /** Digested before the range. */
  readonly prefix?: Uint8Array;
  readonly onBytes?: (bytes: number) => void;
  readonly signal: AbortSignal;
}

interface SourceFacts {
  readonly filename?: string | undefined;
  readonly contentType?: string | undefined;
}

/** A file, a Blob, bytes: its length is known, and any part of it can be read at any time. */
export interface RangedSource extends SourceFacts {
  readonly kind: "ranged";
  readonly length: number;
  /** The same for the same bytes after a reload or in another process; without it nothing resumes. */
  readonly identity?: string | undefined;
  /** From `first` up to, and without, `end`. */
  piece(first: number, end: number): Piece;
  sha256(range: DigestedRange): Promise<string>;
}

/** Bytes that can be read once, in order. */
export interface StreamedSource extends SourceFacts {
  readonly kind: "streamed";
  readonly length: number | undefined;
  readonly chunks: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;
  /** Nobody wants the rest. */
  close?(): void;
}

export type Source = RangedSource | StreamedSource;

// Few uploads ask for it.
const loadSha256 = lazily(() => import("../digests/sha256.ts"));

/** Bytes in memory as a source. */
export function bytesSource(bytes: Uint8Array): RangedSource {
  return {
    kind: "ranged",
    length: bytes.length,
    piece: (first, end) => bytesPiece(bytes.subarray(first, end)),
    async sha256({ first, end, prefix, onBytes }) {
      const sha = (await loadSha256()).startSha256();
      if (prefix !== undefined) sha.update(prefix);
      sha.update(bytes.subarray(first, end));
      onBytes?.(end - first);
      return sha.hex();
    },
  };
}

/** Bytes in memory as a piece. */
export function bytesPiece(bytes: Uint8Array): Piece {
  return { body: bytesBody(bytes), crc64nvme: async () => crc64Nvme(bytes) };
}
