// The buffers that bodies pass through. They are used again and again, so that memory does not grow
// with the bytes that pass; a buffer is in one pair of hands at a time.

const KiB = 1024;

/** One read of a body, and what small chunks of a body are gathered into. */
export const bufferBytes = 64 * KiB;

const freeMax = 128;
const free: Uint8Array[] = [];
const reused = new WeakSet<ArrayBufferLike>();

/** A buffer of `bufferBytes`; give it back with `returnBuffer`, or drop it. */
export function takeBuffer(): Uint8Array {
  const buffer = free.pop();
  if (buffer !== undefined) return buffer;
  const made = Buffer.allocUnsafeSlow(bufferBytes);
  reused.add(made.buffer);
  return made;
}

/** Nobody may look at the buffer any more. */
export function returnBuffer(buffer: Uint8Array): void {
  if (free.length < freeMax) free.push(buffer);
}

/**
 * Whether the chunk lies in one of these buffers: a body that was read from a posix storage and is
 * being put into another. Its bytes change with the next pull, so whoever keeps it must copy.
 */
export function isReused(chunk: Uint8Array): boolean {
  return reused.has(chunk.buffer);
}
