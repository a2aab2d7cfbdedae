// A body around a body. Disposing it reaches the inner one in any case: a generator that was never
// pulled would not run its own clean-up.

import type { ObjectBody } from "../../core/ports/storage-driver.ts";

/** Chunks come from `chunks`, which reads `inner`; disposing ends both. Consume or dispose it. */
export function layeredBody(inner: ObjectBody, chunks: AsyncIterator<Uint8Array>): ObjectBody {
  const dispose = async (): Promise<void> => await inner[Symbol.asyncDispose]();
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => chunks.next(),
      return: async () => {
        await dispose();
        return { done: true, value: undefined };
      },
    }),
    [Symbol.asyncDispose]: dispose,
  };
}
