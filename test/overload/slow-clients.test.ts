/** 2,000 sockets whose headers never end and 500 bodies that trickle, beside clients that behave. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { basicAuthorization, objectPath, send } from "../harness/http-client.ts";
import { countDescriptors, eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { runSlowClients } from "../harness/slow-clients.ts";

const slowHeads = 2000;
const slowBodies = 500;
/** As long as the bodies are slow. A client whose process stands still between connecting and its head has it too. */
const headersMs = 8000;

async function openSlowHeads(server: ServerProcess): Promise<readonly Socket[]> {
  const { hostname, port } = new URL(server.url);
  const sockets: Socket[] = [];
  // In portions: the kernel's queue of connections not yet accepted is not endless.
  while (sockets.length < slowHeads) {
    const some = Array.from({ length: 200 }, () => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.on("error", () => {});
      socket.write("GET / HTTP/1.1\r\nHost: ");
      return socket;
    });
    await Promise.all(some.map((socket) => once(socket, "connect")));
    sockets.push(...some);
  }
  return sockets;
}

async function timeOfPut(server: ServerProcess, key: string): Promise<number> {
  const startedAt = performance.now();
  const put = await send(server, "PUT", objectPath(key), { body: "good" });
  assert.equal(put.status, 201, `${put.body}`);
  return performance.now() - startedAt;
}

test("2,000 slow heads and 500 slow bodies: good clients are served, the slow are ended, nothing is left", async (t) => {
  const server = await startServer(t, { flags: ["--http-headers-ms-max", `${headersMs} ms`] });
  const alone = await timeOfPut(server, "warm");
  const before = await countDescriptors(server.pid);
  const bodies = runSlowClients({
    kind: "upload",
    url: server.url,
    authorization: basicAuthorization,
    path: objectPath("slow-"),
    ...{ count: slowBodies, length: 4_000_000, bytesPerSecond: 2048, tickMs: 500 },
    ...{ slowMs: 8000, completed: 2 },
  });
  const heads = await openSlowHeads(server);
  const trickle = setInterval(() => {
    for (const socket of heads) if (!socket.destroyed) socket.write("a");
  }, 1000);
  t.after(() => clearInterval(trickle));

  const took: number[] = [];
  for (let count = 0; count < 40; count++) {
    took.push(await timeOfPut(server, `good-${count}`));
    await delay(50);
  }
  const median = took.toSorted((one, other) => one - other)[20] ?? 0;
  assert.ok(median < Math.max(1000, alone * 20), `${median} ms, alone ${alone} ms`);

  await eventually(
    "the slow heads are ended",
    () => heads.every(({ destroyed, readableEnded }) => destroyed || readableEnded),
    60_000,
  );
  clearInterval(trickle);
  for (const socket of heads) socket.destroy();
  const { active, statuses } = await bodies;
  assert.equal(active, slowBodies, "a body that flows is not cut");
  assert.deepEqual(statuses, [201, 201]);
  await eventually(
    "the descriptors are free again",
    async () => (await countDescriptors(server.pid)) <= before + 5,
  );
});
