/** Uploads that trickle cost others nothing: no connection, no memory, no turn that they would wait for. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { readUploadRows } from "../harness/data-folder.ts";
import { basicAuthorization, get, put } from "../harness/http-client.ts";
import { eventually, residentBytes, watchMemory } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { runSlowClients } from "../harness/slow-clients.ts";
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
  const running = runSlowClients({
    kind: "append",
    url: server.url,
    authorization: basicAuthorization,
    paths,
    count: clientCount,
    length: 9_000_000,
    bytesPerSecond: 1_100,
    tickMs: 1_000,
    slowMs: 15_000,
    completed: 0,
  });
  await eventually("all of them are being stored", () => {
    const stored = readUploadRows(server.data).filter(({ isHeld, token }) => {
      return isHeld && token !== undefined;
    });
    return stored.length >= clientCount;
  });
  const during = await measure(server, other);
  const { active } = await running;
  const { peakBytes } = await watch.stop();
  assert.equal(active, clientCount, "every client was being received to the end");
  const after = await measure(server, other);

  for (const name of ["put", "get", "head", "append"] as const) {
    const ms = during[name];
    // The machine may have had other work at either time.
    const alone = Math.max(before[name], after[name]);
    t.diagnostic(`${name}: ${alone.toFixed(1)} ms alone, ${ms.toFixed(1)} ms during`);
    // So short a time is no measure of itself.
    assert.ok(ms < Math.max(5 * alone, 50), `${name}: ${alone} ms alone, ${ms} ms during`);
    assert.ok(ms < 500, `${name}: ${ms} ms`);
  }
  const rise = peakBytes - idleBytes;
  t.diagnostic(`memory rose by ${(rise / MiB).toFixed(1)} MiB`);
  assert.ok(rise < riseMax, `memory rose by ${rise} bytes`);

  const [first = ""] = paths;
  await eventually(
    "what came is stored",
    async () => ((await offsetOf(server, first)) ?? 0) > 4_000,
  );
});

/** Medians of requests one after the other, in milliseconds. */
async function measure(server: ServerProcess, path: string) {
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
