/** A body that keeps its storage open until it was read or let go. */
import type { ObjectBody } from "./ports/storage-driver.ts";

/** The same chunks. The lease ends with the body: its end, its failure or its disposal. */
export function leasedBody(body: ObjectBody, lease: Disposable): ObjectBody {
  const release = (): void => lease[Symbol.dispose]();
  const dispose = async (): Promise<void> => {
    try {
      await body[Symbol.asyncDispose]();
    } finally {
      release();
    }
  };
  return {
    [Symbol.asyncIterator]() {
      const chunks = body[Symbol.asyncIterator]();
      const seen = (item: IteratorResult<Uint8Array>): void => {
        if (item.done === true) release();
      };
      return {
        // Looked at beside the consumer, who waits for nothing more than before.
        next() {
          const item = chunks.next();
          item.then(seen, release);
          return item;
        },
        async return() {
          try {
            await chunks.return?.();
          } finally {
            release();
          }
          return { done: true, value: undefined };
        },
      };
    },
    [Symbol.asyncDispose]: dispose,
  };
}
