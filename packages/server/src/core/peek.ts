/** Looking at a body's first bytes before deciding what to do with it. */
import type { Body } from "./ports/storage-driver.ts";

export interface PeekedBody {
  readonly firstBytes: Uint8Array;
  /** The whole body again, first bytes included. */
  readonly body: Body;
  /** Frees the source of a body that nobody will pull. Idempotent. */
  release(): Promise<void>;
}

/**
 * Pulls chunks until `bytesWanted` bytes are there or the body ends. Holds no more than that and
 * one chunk.
 */
export async function peekBytes(source: Body, bytesWanted: number): Promise<PeekedBody> {
  const iterator = source[Symbol.asyncIterator]();
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length < bytesWanted) {
    const next = await iterator.next();
    if (next.done === true) break;
    chunks.push(next.value);
    length += next.value.length;
  }
  const first = chunks.length === 1 ? chunks[0] : undefined;
  const release = async () => {
    await iterator.return?.();
  };
  const body: AsyncIterator<Uint8Array> = {
    async next() {
      const chunk = chunks.shift();
      return chunk === undefined ? iterator.next() : { done: false, value: chunk };
    },
    async return() {
      await release();
      return { done: true, value: undefined };
    },
  };
  return {
    firstBytes: (first ?? Buffer.concat(chunks)).subarray(0, bytesWanted),
    body: { [Symbol.asyncIterator]: () => body },
    release,
  };
}
