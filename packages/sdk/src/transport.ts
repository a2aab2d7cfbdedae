/**
 * The SDK's two platform interfaces: how one HTTP exchange is made, and where an upload's bytes come
 * from. The platform-free half of the SDK sees HTTP through these alone.
 */

/** The bytes of an upload. */
export interface Body {
  /** Total bytes, when known; then exactly so many must come. */
  readonly length: number | undefined;
  /** Whether `open` may be called again for the same bytes, so that a failed attempt can be repeated. */
  readonly repeatable: boolean;
  /** CRC-64/NVME in hex, when known before sending. */
  readonly crc64nvme?: string;
  /** Starts reading. The signal means that nobody wants the rest: let go of what is open. */
  open(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface TransportRequest {
  readonly method: string;
  /** Path and query, encoded. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Body;
  readonly signal?: AbortSignal | undefined;
  /** Do not use a connection that the server may be closing: this request cannot be sent twice. */
  readonly freshConnection?: boolean;
}

/** An answer. Whoever receives it reads `body` to its end, stops reading it, or calls `discard`. */
export interface TransportResponse {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  /** Readable once. Throws a `RomaError` when the connection breaks or stalls. */
  readonly body: AsyncIterable<Uint8Array>;
  discard(): void;
}

/** Makes HTTP exchanges with one server. */
export interface Transport {
  /** Resolves at the answer's header. Rejects with a `RomaError` alone. */
  send(request: TransportRequest): Promise<TransportResponse>;
  /** Ends idle connections. */
  close(): void;
}
