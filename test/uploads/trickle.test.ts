/** Uploads that trickle cost others nothing: no connection, no memory, no turn that they would wait for. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { readUploadRows } from "../harness/data-folder.ts";
import { basicAuthorization, get, put } from "../harness/http-client.ts";
import { eventually, residentBytes, watchMemory } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { runSlowClients, type SlowClients } from "../harness/slow-clients.ts";
import { createTus, headTus, offsetOf, patchTus } from "./tus-wire.ts";

const MiB = 1024 * 1024;
const clientCount = 500;
/** A connection, a request and its buffers: measured 0.12 to 0.14 MiB each. */
const riseMax = 96 * MiB;

test("500 appends at 1 KB/s leave the requests of others as fast as before", async (t) => {
  const server = await startServer(t);
  const other = await createTus(server, { length: 1_000, key: "other" });
  await measure(server, other);
  const paths: string[] = [];
  for (let index = 0; index < clientCount; index += 1) {
    paths.push(await createTus(server, { length: 10_000_000, key: `slow-${index}` }));
  }
  const before = await measure(server, other);
  const idleBytes = await residentBytes(server.pid);

  const watch = watchMemory(server.pid);
  const enough = new AbortController();
  const clients: SlowClients = {
    kind: "append",
    url: server.url,
    authorization: basicAuthorization,
    paths,
    count: clientCount,
    length: 9_000_000,
    bytesPerSecond: 1_100,
    tickMs: 1_000,
    slowMs: 240_000,
    completed: 0,
  };
  const running = runSlowClients(clients, enough.signal);
  await eventually("all of them are being stored", () => {
    const stored = readUploadRows(server.data).filter(({ isHeld, token }) => {
      return isHeld && token !== undefined;
    });
    return stored.length >= clientCount;
  });
  // Others use the machine as well, at one time more than at another: the best of some looks is what these clients
  // leave of it. Who had to wait for them would wait each time.
  let during = await measure(server, other);
  for (let look = 1; look < looksMax && !isFast(during, before); look += 1) {
    during = least(during, await measure(server, other));
  }
  enough.abort();
  const { active } = await running;
  const { peakBytes } = await watch.stop();
  assert.equal(active, clientCount, "every client was being received to the end");
  const after = await measure(server, other);

  for (const name of requests) {
    const both = `${before[name].toFixed(1)} and ${after[name].toFixed(1)} ms alone`;
    t.diagnostic(`${name}: ${both}, ${during[name].toFixed(1)} ms during`);
  }
  // The machine may have had other work at either time.
  assert.ok(isFast(during, most(before, after)), "others are as fast as before");
  const rise = peakBytes - idleBytes;
  t.diagnostic(`memory rose by ${(rise / MiB).toFixed(1)} MiB`);
  assert.ok(rise < riseMax, `memory rose by ${rise} bytes`);

  const [first = ""] = paths;
  await eventually(
    "what came is stored",
    async () => ((await offsetOf(server, first)) ?? 0) > 4_000,
  );
});

const requests = ["put", "get", "head", "append"] as const;
type Times = Readonly<Record<(typeof requests)[number], number>>;
const looksMax = 5;

function isFast(during: Times, alone: Times): boolean {
  // So short a time is no measure of itself.
  return requests.every((name) => during[name] < Math.max(5 * alone[name], 50));
}

const least = combined(Math.min);
const most = combined(Math.max);

function combined(of: (one: number, other: number) => number) {
  return (one: Times, other: Times): Times => ({
    put: of(one.put, other.put),
    get: of(one.get, other.get),
    head: of(one.head, other.head),
    append: of(one.append, other.append),
  });
}

/** Medians of requests one after the other, in milliseconds. */
async function measure(server: ServerProcess, path: string): Promise<Times> {
  const body = Buffer.alloc(10_000, "bytes");
  const median = async (run: () => Promise<{ readonly status: number }>): Promise<number> => {
    const times: number[] = [];
    for (let round = 0; round < 21; round += 1) {
      const since = performance.now();
      const { status } = await run();
      times.push(performance.now() - since);
      assert.ok(status < 300, `${status}`);
    }
    return times.toSorted((a, b) => a - b)[10] ?? 0;
  };
  return {
    put: await median(() => put(server, "measured", body)),
    get: await median(() => get(server, "measured")),
    head: await median(() => headTus(server, path)),
    append: await median(() => patchTus(server, path, 0, new Uint8Array())),
  };
}
