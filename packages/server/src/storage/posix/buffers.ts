// The buffers that bodies pass through. They are used again and again, so that memory does not grow
// with the bytes that pass; a buffer is in one pair of hands at a time.
//
// There are two sizes. A long read goes twice as fast through a large buffer, since each read wakes a thread, but hundreds of slow
// readers must not hold two of them each: large ones are few, and who gets none takes a small one.

const KiB = 1024;

/** What small chunks of a body are gathered into, and one read of a short one. */
export const bufferBytes = 64 * KiB;

const largeBytes = 512 * KiB;
/** 16 MiB, for 16 readers at full speed. */
let largeMax = 32;
const freeMax = 128;
const free: Uint8Array[] = [];
const freeLarge: Uint8Array[] = [];
let largeOut = 0;
const reused = new WeakSet<ArrayBufferLike>();

/** A buffer of `bufferBytes`; give it back with `returnBuffer`, or drop it. */
export function takeBuffer(): Uint8Array {
  return free.pop() ?? make(bufferBytes);
}

/**
 * A buffer to read the next `wanted` bytes into, all of them or as many as fit: large where that
 * saves reads and one is left. It must end in `returnBuffer` or `dropBuffer`.
 */
export function takeReadBuffer(wanted: number): Uint8Array {
  if (wanted <= bufferBytes || largeOut >= largeMax) return takeBuffer();
  largeOut += 1;
  return freeLarge.pop() ?? make(largeBytes);
}

/** How many bytes the large buffers of this process may have together. */
export function limitReadBuffers(bytesMax: number): void {
  largeMax = Math.floor(bytesMax / largeBytes);
}

/** Bytes of the large buffers that are in use. */
export function readBytesUsed(): number {
  return largeOut * largeBytes;
}

/** Nobody may look at the buffer any more. */
export function returnBuffer(buffer: Uint8Array): void {
  if (buffer.length === largeBytes) {
    largeOut -= 1;
    freeLarge.push(buffer);
  } else if (free.length < freeMax) {
    free.push(buffer);
  }
}

/** Somebody may still look at the buffer: it is left to the garbage collector. */
export function dropBuffer(buffer: Uint8Array): void {
  if (buffer.length === largeBytes) largeOut -= 1;
}

/**
 * Whether the chunk lies in one of these buffers: a body that was read from a posix storage and is
 * being put into another. Its bytes change with the next pull, so whoever keeps it must copy.
 */
export function isReused(chunk: Uint8Array): boolean {
  return reused.has(chunk.buffer);
}

function make(bytes: number): Uint8Array {
  const made = Buffer.allocUnsafeSlow(bytes);
  reused.add(made.buffer);
  return made;
}
