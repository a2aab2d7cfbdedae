/** Memory in which bytes are gathered before they can be sent: one budget for a process. */
export interface PartBufferPool {
  /** A buffer of exactly so many bytes; waits for one, in order. It must be given back. */
  take(bytes: number, signal: AbortSignal): Promise<Buffer>;
  /** Nobody may look at the buffer any more. */
  give(buffer: Buffer): void;
  /** The largest buffer there can be. */
  readonly largeBytesMax: number;
}
