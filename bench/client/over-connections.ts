// How does work spread over connections? Each takes the next piece when its last is done.

import { Connection } from "./connection.ts";
import type { Target, TaskResult } from "./tasks.ts";

const readBytes = 64 * 1024;

/** Opens the connections, then times `count` pieces of work, indexes from 0. */
export async function overConnections(
  work: { readonly target: Target; readonly connections: number; readonly count: number },
  run: (connection: Connection, index: number) => Promise<void>,
): Promise<TaskResult> {
  const { target, count } = work;
  const latencies: number[] = [];
  let next = 0;
  const opening = Array.from({ length: work.connections }, () =>
    Connection.open(target, { readBytes }),
  );
  const connections = await Promise.all(opening);
  const startedAt = performance.now();
  await Promise.all(
    connections.map(async (connection) => {
      while (next < count) {
        const index = next++;
        const sentAt = performance.now();
        await run(connection, index);
        latencies.push(performance.now() - sentAt);
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  for (const connection of connections) connection[Symbol.dispose]();
  return { seconds, latencies };
}
