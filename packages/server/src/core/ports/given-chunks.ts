/**
 * Chunks that their producer gave away: whoever has put one where it belongs may free its memory at
 * once. Each chunk of a request's body is memory of its own, outside of the heap; left to the garbage
 * collector, 1 GiB costs it some thirty collections of everything.
 *
 * Who passes a chunk on to two consumers must copy it first, or one could free what the other needs.
 */

const given = new WeakSet<ArrayBufferLike>();

/** The producer looks at the chunk no more, and neither does whoever it came from. */
export function giveChunk(chunk: Uint8Array): void {
  // A part of a larger buffer, such as Node's pool, is not its holder's to free.
  if (isWhole(chunk)) given.add(chunk.buffer);
}

/**
 * Frees the chunk's memory if it was given away, and is the whole of it; then its length is 0. Any
 * other chunk stays as it is. The last consumer calls this, once nothing reads the chunk any more.
 */
export function freeChunk(chunk: Uint8Array): void {
  const { buffer } = chunk;
  if (!given.delete(buffer) || !isWhole(chunk) || !(buffer instanceof ArrayBuffer)) return;
  // Detaches the buffer: its memory goes now, and the collector's accounts with it.
  buffer.transfer(0);
}

/**
 * The first bytes of a chunk as memory of its own, given away, so that whoever stores them can free it at once;
 * the chunk itself is gone then. A part of another's memory stays there.
 */
export function shrinkChunk(chunk: Uint8Array, length: number): Uint8Array {
  const { buffer } = chunk;
  const isOwn = isWhole(chunk) && buffer instanceof ArrayBuffer;
  if (length === chunk.length) return chunk;
  if (!isOwn || length === 0) return chunk.subarray(0, length);
  const own = new Uint8Array(buffer.transfer(length));
  giveChunk(own);
  return own;
}

function isWhole({ byteLength, buffer }: Uint8Array): boolean {
  return byteLength === buffer.byteLength;
}
