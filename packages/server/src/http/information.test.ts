import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { receiveBody } from "./body.ts";
import { requestSignal } from "./deadline.ts";
import { sendInformation } from "./information.ts";
import { eventually, RawClient, startServer } from "./testing.ts";

/** Sends a 104 before the body, one after its first chunk, and keeps what it was told. */
async function informingServer(t: TestContext, config: object, told: unknown[] = []) {
  const server = await startServer(
    t,
    (app) => {
      app.put("/", async (request, reply) => {
        told.push(sendInformation(reply, 104, { location: "/uploads/1" }));
        for await (const _chunk of receiveBody(request, reply).body) {
          told.push(sendInformation(reply, 104, { "upload-offset": "5" }));
        }
        return "whole;";
      });
      app.put("/hostile", async (_request, reply) => {
        for (const [name, value] of [
          ["location", "/a\r\nSet-Cookie: x=1"],
          ["location", "/a\n"],
          ["location", "/\0"],
          ["location", "/é"],
          ["loca tion", "/a"],
          ["a:b", "/a"],
          ["", "/a"],
        ] as const) {
          assert.throws(() => sendInformation(reply, 104, { [name]: value }), TypeError);
        }
        return "safe;";
      });
      app.put("/late", (_request, reply) => {
        reply.send("early;");
        reply.raw.once("finish", () => {
          told.push(sendInformation(reply, 104, { location: "/a" }));
        });
      });
      app.put("/left", async (request, reply) => {
        await eventually(() => requestSignal(request).aborted, "the client leaves");
        told.push(sendInformation(reply, 104, { location: "/a" }));
      });
    },
    { config },
  );
  return { ...server, told };
}

const on = { uploadResumptionSupported: true };
const head = (version = "1.1", path = "/", length = 5) =>
  `PUT ${path} HTTP/${version}\r\nHost: a\r\nContent-Length: ${length}\r\n`;

test("104s come before the final answer, in order, on a connection that stays usable", async (t) => {
  const { port, told } = await informingServer(t, on);
  const client = new RawClient(t, port);
  const first = /^HTTP\/1\.1 104 [^\r\n]*\r\nlocation: \/uploads\/1\r\n\r\n/;
  for (let round = 0; round < 2; round++) {
    client.forget();
    await client.write(`${head()}\r\n`);
    assert.match(await client.until(/\r\n\r\n/), new RegExp(`${first.source}$`));
    await client.write("hello");
    const second = /HTTP\/1\.1 104 [^\r\n]*\r\nupload-offset: 5\r\n\r\nHTTP\/1\.1 200 OK\r\n/;
    assert.match(await client.until(/whole;$/), new RegExp(first.source + second.source));
  }
  assert.deepEqual(told, [true, true, true, true]);
});

test("a 104 does not replace 100 Continue", async (t) => {
  const { port } = await informingServer(t, on);
  const client = new RawClient(t, port);
  await client.write(`${head()}Expect: 100-continue\r\n\r\n`);
  const text = await client.until(/100 Continue\r\n\r\n$/);
  assert.match(text, /^HTTP\/1\.1 104 [\s\S]*\r\n\r\nHTTP\/1\.1 100 Continue\r\n\r\n$/);
  await client.write("hello");
  await client.until(/whole;$/);
});

test("none goes out by default, to HTTP/1.0, after the answer, or to who has left", async (t) => {
  const off = await informingServer(t, {});
  const plain = new RawClient(t, off.port);
  await plain.write(`${head()}\r\nhello`);
  assert.match(await plain.until(/whole;$/), /^HTTP\/1\.1 200 OK\r\n/);
  assert.deepEqual(off.told, [false, false]);

  const old = await informingServer(t, on);
  const client = new RawClient(t, old.port);
  await client.write(`${head("1.0")}\r\nhello`);
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 200 OK\r\n[\s\S]*whole;$/);
  assert.deepEqual(old.told, [false, false]);

  const late = await informingServer(t, on);
  const waiting = new RawClient(t, late.port);
  await waiting.write(`${head("1.1", "/late", 0)}\r\n`);
  await waiting.until(/early;$/);
  await eventually(() => late.told.length === 1, "it was tried after the answer");
  assert.deepEqual(late.told, [false]);
  waiting.forget();
  await waiting.write(`${head("1.1", "/", 0)}\r\n`);
  assert.match(await waiting.until(/whole;$/), /^HTTP\/1\.1 104 /);

  const gone = await informingServer(t, on);
  const leaving = new RawClient(t, gone.port);
  await leaving.write(`${head("1.1", "/left")}\r\n`);
  await eventually(() => gone.app.httpRuntime.scopes.size === 1, "the request is there");
  leaving.socket.destroy();
  await eventually(() => gone.told.length === 1, "it was tried after the client left");
  assert.deepEqual(gone.told, [false]);
});

test("a name or value that no header may have is thrown back, and nothing is sent", async (t) => {
  const { port } = await informingServer(t, on);
  const client = new RawClient(t, port);
  await client.write(`${head("1.1", "/hostile", 0)}\r\n`);
  assert.match(await client.until(/safe;$/), /^HTTP\/1\.1 200 OK\r\n/);
});
