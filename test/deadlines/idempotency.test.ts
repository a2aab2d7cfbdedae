/** The answer is lost on its way, and the server killed in the middle: a repeat with the same key finds the one result. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { cleanUp } from "../harness/cleanup.ts";
import { type Answer, objectPath, send } from "../harness/http-client.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";

/** Passes requests on, and resets the client's connection at the first byte of an answer. */
async function startAnswerThief(t: TestContext, server: ServerProcess) {
  const sockets = new Set<Socket>();
  const thief = createServer((client) => {
    const { hostname, port } = new URL(server.url);
    const upstream = connect({ host: hostname, port: Number(port) });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    client.pipe(upstream);
    upstream.once("data", () => client.resetAndDestroy());
  }).listen(0, "127.0.0.1");
  await once(thief, "listening");
  cleanUp(t, async () => {
    for (const socket of sockets) socket.destroy();
    thief.close();
    await once(thief, "close");
  });
  return { url: `http://127.0.0.1:${(thief.address() as AddressInfo).port}` };
}

async function changesOf(server: ServerProcess, key: string): Promise<number> {
  const answer = await send(server, "GET", `/v1/audit?bucket=demo&key=${key}`);
  assert.equal(answer.status, 200, `${answer.body}`);
  const { records } = JSON.parse(`${answer.body}`) as { records: { action: string }[] };
  return records.filter(({ action }) => action.startsWith("object.")).length;
}

test("an answer that is lost after the commit, and a server that is killed at any moment", async (t) => {
  const server = await startServer(t);
  const put = (at: { readonly url: string }, key: string): Promise<Answer> =>
    send(at, "PUT", objectPath(key), { headers: { "idempotency-key": key }, body: "once" });

  const thief = await startAnswerThief(t, server);
  await assert.rejects(put(thief, "stolen"));
  const found = await send(server, "HEAD", objectPath("stolen"));
  assert.equal(found.status, 200, "it was committed");
  const again = await put(server, "stolen");
  assert.equal(again.status, 201);
  assert.equal(again.headers["idempotent-replayed"], "true");
  assert.equal(JSON.parse(`${again.body}`).version, found.headers["roma-version"]);
  assert.equal(await changesOf(server, "stolen"), 1);

  for (const killMs of [2, 8, 20]) {
    const keys = Array.from({ length: 30 }, (_, index) => `killed-${killMs}-${index}`);
    const first = Promise.allSettled(keys.map((key) => put(server, key)));
    await delay(killMs);
    await server.kill();
    const answered = await first;
    await server.start();
    for (const [index, key] of keys.entries()) {
      const repeated = await put(server, key);
      assert.ok([200, 201].includes(repeated.status), `${repeated.status} ${repeated.body}`);
      const { version } = JSON.parse(`${repeated.body}`);
      const head = await send(server, "HEAD", objectPath(key));
      assert.equal(head.headers["roma-version"], version);
      assert.equal(await changesOf(server, key), 1, `${key} took effect once`);
      const before = answered[index];
      if (before?.status === "fulfilled" && before.value.status === 201) {
        assert.equal(JSON.parse(`${before.value.body}`).version, version);
      }
    }
  }
});
