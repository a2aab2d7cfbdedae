/** Descriptors that run out, because the limit is lowered under load: room stays for health, and it recovers. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { get, problemCode, put } from "../harness/http-client.ts";
import { countDescriptors, eventually, readMetric } from "../harness/process-usage.ts";
import { startServer } from "../harness/server-process.ts";
import { requirePrerequisite } from "../prerequisites.ts";

test("the limit of descriptors is lowered under load: requests get 503, health answers, also below what is open already, and all is back when it is raised", async (t) => {
  if (!requirePrerequisite(t, "root")) return;
  const server = await startServer(t, { flags: ["--descriptors-reserve", "100"] });
  const limitTo = (soft: number): void => {
    execFileSync("prlimit", ["--pid", `${server.pid}`, `--nofile=${soft}:4096`]);
  };
  const isLive = async (): Promise<boolean> => {
    const answer = await fetch(`${server.opsUrl}/livez`, {
      // A connection that nobody accepts is tried again.
      signal: AbortSignal.timeout(20_000),
      headers: { connection: "close" },
    }).catch(() => undefined);
    await answer?.body?.cancel();
    return answer?.status === 200;
  };
  limitTo(4096);
  assert.equal((await put(server, "k", Buffer.from("x"))).status, 201);
  const { hostname, port } = new URL(server.url);
  // The connection of that request may be open still: one that closes meanwhile is not waited for in vain.
  const atFirst = (await countDescriptors(server.pid)) - 5;
  const sockets: Socket[] = [];
  cleanUp(t, () => sockets.forEach((socket) => void socket.destroy()));
  for (let index = 0; index < 400; index += 1) {
    const socket = connect(Number(port), hostname).on("error", () => {});
    sockets.push(socket);
    await once(socket, "connect");
    // In the middle of a request: it is not idle.
    socket.write("GET / HTTP/1.1\r\n");
  }
  // For a client it is connected once the kernel has it, for the limit once the server has taken it.
  await eventually(
    "all are taken",
    async () => (await countDescriptors(server.pid)) >= atFirst + 400,
  );
  // Clients that come and go all the while, whatever they are told.
  let isOver = false;
  let answered = 0;
  const load = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const answer = await get(server, "k").catch(() => undefined);
        if (answer !== undefined) assert.ok([200, 503].includes(answer.status));
        answered += 1;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }),
  );
  cleanUp(t, async () => {
    isOver = true;
    await load;
  });

  // Few are left, but some: requests are refused below 100, connections below 50, and what is open goes up and
  // down with the clients.
  await eventually("clients are served", () => answered > 20);
  limitTo((await countDescriptors(server.pid)) + 75);
  await eventually("requests are refused", async () => {
    const answer = await get(server, "k").catch(() => undefined);
    if (answer?.status !== 503) return false;
    assert.equal(problemCode(answer), "overloaded");
    assert.ok(Number(answer.headers["retry-after"]) > 0);
    assert.equal(answer.headers.connection, "close");
    return true;
  });
  for (let round = 0; round < 5; round += 1) assert.ok(await isLive());

  // Fewer than are open.
  limitTo((await countDescriptors(server.pid)) - 30);
  await eventually("health answers", isLive);
  for (let round = 0; round < 5; round += 1) assert.ok(await isLive());
  await eventually("it is in the log", () =>
    server.log.some(({ message }) => /file descriptors are open/.test(message)),
  );
  assert.ok((await readMetric(server.opsUrl, "descriptors_refused_total")) > 0);

  limitTo(4096);
  await eventually("it works again", async () => {
    return (await get(server, "k").catch(() => undefined))?.status === 200;
  });
  const before = answered;
  await eventually("clients are served", () => answered > before + 20);
  assert.equal((await put(server, "k2", Buffer.from("x"))).status, 201);
  assert.equal((await get(server, "k2")).status, 200);
});
