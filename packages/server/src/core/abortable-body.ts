/** A body whose pulls end, and that is returned, when a signal says so, even if its source never answers again. */
import type { Body } from "./ports/storage-driver.ts";

/**
 * The same chunks. Once the signal is aborted the pull that waits, and each later one, rejects with
 * its reason. One listener for the whole body: racing each pull against a promise that outlives it
 * would keep a reaction for every chunk.
 */
export function abortableBody(source: Body, signal: AbortSignal): Body {
  const iterator = source[Symbol.asyncIterator]();
  let rejectPull: ((reason: unknown) => void) | undefined;
  let isPulling = false;
  const onAbort = () => rejectPull?.(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const end = () => signal.removeEventListener("abort", onAbort);
  const body: AsyncIterator<Uint8Array> = {
    next() {
      if (signal.aborted) return Promise.reject(signal.reason);
      return new Promise((resolve, reject) => {
        rejectPull = reject;
        isPulling = true;
        iterator.next().then(
          (result) => {
            isPulling = false;
            if (result.done === true) end();
            resolve(result);
          },
          (error: unknown) => {
            isPulling = false;
            reject(error);
          },
        );
      });
    },
    async return() {
      end();
      const returned = iterator.return?.();
      // A generator returns only after the pull that it has not answered.
      if (signal.aborted && isPulling) returned?.catch(() => undefined);
      else await returned;
      return { done: true, value: undefined };
    },
  };
  return { [Symbol.asyncIterator]: () => body };
}
