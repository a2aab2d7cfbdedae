/** A bounded number of workers over a source that is read as they become free. */

/** Calls `work` for each item, at most `parallel` at a time; ends early when `work` throws. */
export async function forEachParallel<T>(
  items: AsyncIterable<T>,
  parallel: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  let stopped = false;
  const worker = async () => {
    while (!stopped) {
      const next = await iterator.next();
      if (next.done === true) return;
      await work(next.value);
    }
  };
  const guarded = async () => {
    try {
      await worker();
    } catch (error) {
      stopped = true;
      throw error;
    }
  };
  const results = await Promise.allSettled(Array.from({ length: parallel }, guarded));
  if (stopped) await iterator.return?.();
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
