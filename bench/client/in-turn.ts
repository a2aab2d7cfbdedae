// How long does the same take several times, one after the other?

import type { TaskResult } from "./tasks.ts";

/** `run` is given indexes from 0. */
export async function inTurn(
  count: number | undefined,
  run: (index: number) => Promise<void>,
): Promise<TaskResult> {
  const latencies: number[] = [];
  const startedAt = performance.now();
  for (let index = 0; index < (count ?? 1); index += 1) {
    const sentAt = performance.now();
    await run(index);
    latencies.push(performance.now() - sentAt);
  }
  return { seconds: (performance.now() - startedAt) / 1000, latencies };
}

/** The name as it is where there is only one. */
export function numbered(
  name: string,
  { index, count }: { readonly index: number; readonly count: number | undefined },
): string {
  return count === undefined ? name : `${name}-${index}`;
}
