/**
 * The SDK's two platform interfaces: how one HTTP exchange is made, and where an upload's bytes come
 * from. The platform-free half of the SDK sees HTTP through these alone.
 */

/** The bytes of a request. */
export interface Body {
  /** Exactly so many come. */
  readonly length: number;
  /** The bytes as one thing, for platforms that send such by themselves. */
  content?(): Blob | Uint8Array;
  /**
   * Starts reading; each attempt does so anew. A chunk is good until the next one is asked for. The
   * signal means that nobody wants the rest: let go
   * of what is open.
   */
  open(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** One request. */
export interface TransportRequest {
  readonly method: string;
  /** Path and query below the endpoint, encoded; or the absolute URL of another server. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Body;
  readonly signal?: AbortSignal | undefined;
  /** Do not use a connection that the server may be closing: this request cannot be sent twice. */
  readonly freshConnection?: boolean;
  /** Told how many bytes of the body have left this program so far. */
  readonly onSent?: (bytes: number) => void;
}

/** An answer. Whoever receives it reads `body` to its end, stops reading it, or calls `discard`. */
export interface TransportResponse {
  readonly status: number;
  /** By lower-case name; in browsers those that the server lets the page see. */
  readonly headers: Readonly<Record<string, string>>;
  /** Readable once. Throws a `RomaError` when the connection breaks or stalls. */
  readonly body: AsyncIterable<Uint8Array>;
  discard(): void;
}

/** Makes HTTP exchanges. */
export interface Transport {
  /** Resolves at the answer's header. Rejects with a `RomaError` alone. */
  send(request: TransportRequest): Promise<TransportResponse>;
  /** Ends idle connections. */
  close(): void;
}

type Bytes = Uint8Array<ArrayBuffer>;

/** A body of bytes in memory, in one piece or several. */
export function bytesBody(pieces: Uint8Array | readonly Uint8Array[]): Body {
  const list = pieces instanceof Uint8Array ? [pieces] : pieces;
  const [only] = list;
  return {
    length: list.reduce((sum, { length }) => sum + length, 0),
    content: () =>
      list.length === 1 && only !== undefined ? only : new Blob([...list] as Bytes[]),
    async *open() {
      for (const piece of list) {
        for (let at = 0; at < piece.length; at += 256 * 1024) {
          yield piece.subarray(at, at + 256 * 1024);
        }
      }
    },
  };
}
