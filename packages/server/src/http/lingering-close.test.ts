import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { OperationalError } from "../core/errors.ts";
import { receiveBody } from "./body.ts";
import { eventually, RawClient, startServer } from "./testing.ts";

/** Refuses every upload, before its body or after its first chunk; lingers for so long that nothing ends by that. */
function refusingServer(t: TestContext, config: object = { lingerMsMax: "60 s" }) {
  return startServer(
    t,
    (app) => {
      app.put("/", () => {
        throw new OperationalError("access_denied", "no");
      });
      app.put("/later", async (request, reply) => {
        for await (const _chunk of receiveBody(request, reply).body) {
          throw new OperationalError("storage_full", "the storage is full");
        }
      });
      app.put("/empty", async (_request, reply) => reply.code(412).send());
      app.get("/", async () => "fine;");
    },
    { config },
  );
}

const MiB = 1024 * 1024;
const head = (path: string, headers: string): string =>
  `PUT ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n\r\n`;

test("a refusal reaches a client that has 50 MB in flight, ten times out of ten", async (t) => {
  const { port, app } = await refusingServer(t);
  for (let round = 0; round < 10; round++) {
    const client = new RawClient(t, port);
    // The client reads nothing until it has written all, like many HTTP libraries.
    client.socket.pause();
    await client.write(head(round % 2 === 0 ? "/" : "/later", `Content-Length: ${50 * MiB}`));
    await client.write(Buffer.alloc(50 * MiB));
    client.socket.resume();
    const text = await client.untilClosed();
    assert.equal(client.error, undefined, `round ${round}`);
    assert.match(text, round % 2 === 0 ? /^HTTP\/1\.1 403 / : /^HTTP\/1\.1 507 /);
    assert.match(text, /connection: close/i);
    assert.match(text, /"retryable":(true|false)\}$/);
  }
  await eventually(() => app.httpRuntime.scopes.size === 0, "all requests ended");
  assert.equal(app.httpRuntime.watch.size, 0);
});

test("an answer without a body is delivered the same way", async (t) => {
  const { port } = await refusingServer(t);
  const client = new RawClient(t, port);
  client.socket.pause();
  await client.write(head("/empty", `Content-Length: ${20 * MiB}`));
  await client.write(Buffer.alloc(20 * MiB));
  client.socket.resume();
  const text = await client.untilClosed();
  assert.equal(client.error, undefined);
  assert.match(text, /^HTTP\/1\.1 412 [\s\S]*content-length: 0/i);
});

test("the answer is sent at once, not after the drain", async (t) => {
  const { port } = await refusingServer(t);
  const client = new RawClient(t, port);
  await client.write(`${head("/", "Content-Length: 1000000")}some`);
  await client.until(/\}$/);
  assert.equal(client.closed, false);
});

test("a small rest is read, and the connection stays usable", async (t) => {
  const { port } = await refusingServer(t);
  const client = new RawClient(t, port);
  await client.write(`${head("/", "Content-Length: 1000")}some`);
  assert.doesNotMatch(await client.until(/\}$/), /connection: close/i);
  client.forget();
  await client.write(`${"x".repeat(996)}GET / HTTP/1.1\r\nHost: a\r\n\r\n`);
  assert.match(await client.until(/fine;/), /^HTTP\/1\.1 200 /);
});

test("a small rest that never comes closes the connection in bounded time", async (t) => {
  const { port } = await refusingServer(t, { lingerMsMax: "200 ms" });
  const client = new RawClient(t, port);
  await client.write(`${head("/", "Content-Length: 1000")}some`);
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 403 /);
});

test("draining is bounded in time and in bytes", async (t) => {
  const { port } = await refusingServer(t, { lingerMsMax: "200 ms" });
  const slow = new RawClient(t, port);
  await slow.write(`${head("/", "Content-Length: 1000000")}some`);
  assert.match(await slow.untilClosed(), /^HTTP\/1\.1 403 /);

  const bounded = await refusingServer(t, { lingerMsMax: "60 s", lingerBytesMax: "1 MiB" });
  const large = new RawClient(t, bounded.port);
  const total = 64 * MiB;
  await large.write(head("/", `Content-Length: ${total}`));
  large.socket.write(Buffer.alloc(total));
  await large.untilClosed();
  await eventually(() => bounded.app.httpRuntime.scopes.size === 0, "the request ended");
});

test("a client that waits for 100 Continue is answered and closed without a drain", async (t) => {
  const { port } = await refusingServer(t);
  const client = new RawClient(t, port);
  await client.write(head("/", "Content-Length: 1000\r\nExpect: 100-continue"));
  const text = await client.untilClosed();
  assert.match(text, /^HTTP\/1\.1 403 [\s\S]*connection: close/i);
});
