import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { clientAddress } from "./client-address.ts";
import { RawClient, startServer } from "./testing.ts";

/** A server that answers from where it believes the client to come, to raw requests over loopback. */
async function askServer(t: TestContext, trustedProxies?: readonly string[]) {
  const { port } = await startServer(
    t,
    (app) => {
      app.get("/*", (request, reply) => {
        const { address, via } = clientAddress(request);
        reply.send(`[${address} ${via}]`);
      });
    },
    { config: trustedProxies === undefined ? {} : { trustedProxies } },
  );
  return async (headers: string): Promise<string> => {
    const client = new RawClient(t, port);
    await client.write(`GET / HTTP/1.1\r\nHost: x\r\n${headers}${headers && "\r\n"}\r\n`);
    const text = await client.until(/\r\n\r\n[\s\S]/);
    client.socket.destroy();
    return /\[(.*)\]$/.exec(text)?.[1] ?? text;
  };
}

const itself = "127.0.0.1 null";

test("behind a trusted proxy the client is who the proxy names, and both are kept", async (t) => {
  const ask = await askServer(t);
  const named = (address: string) => `${address} 127.0.0.1`;
  const cases: readonly (readonly [headers: string, expected: string])[] = [
    ["", itself],
    ["X-Forwarded-For: 192.0.2.7", named("192.0.2.7")],
    ["X-Forwarded-For: 192.0.2.7:4711", named("192.0.2.7")],
    ["X-Forwarded-For: 2001:db8::7", named("2001:db8::7")],
    ["X-Forwarded-For: [2001:db8::7]:80", named("2001:db8::7")],
    ["X-Forwarded-For: ::ffff:192.0.2.7", named("192.0.2.7")],
    // The earlier ones are whatever the client sent.
    ["X-Forwarded-For: 198.51.100.1, 192.0.2.7", named("192.0.2.7")],
    ["X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.7", named("192.0.2.7")],
    ["Forwarded: for=192.0.2.7;proto=https", named("192.0.2.7")],
    ['Forwarded: for="[2001:db8::7]:80"', named("2001:db8::7")],
    ["Forwarded: for=198.51.100.1, for=192.0.2.7", named("192.0.2.7")],
    // RFC 7239 wins, as for the origin.
    ["Forwarded: for=192.0.2.7\r\nX-Forwarded-For: 198.51.100.1", named("192.0.2.7")],
    // Through a second proxy on this machine, which is trusted as well.
    ["X-Forwarded-For: 198.51.100.1, 192.0.2.7, 127.0.0.1", named("192.0.2.7")],
  ];
  for (const [headers, expected] of cases) assert.equal(await ask(headers), expected, headers);
});

test("an address that is hidden, malformed or no address is not made up", async (t) => {
  const ask = await askServer(t);
  for (const headers of [
    "Forwarded: for=unknown",
    "Forwarded: for=_hidden, for=unknown",
    "Forwarded: proto=https",
    "X-Forwarded-For: secret.token.value",
    "X-Forwarded-For: 192.0.2.7, <script>",
    "X-Forwarded-For: 999.1.1.1",
    "X-Forwarded-For: ,",
  ]) {
    assert.equal(await ask(headers), itself, headers);
  }
});

test("who is no trusted proxy says nothing about its address", async (t) => {
  const ask = await askServer(t, ["10.0.0.0/8"]);
  assert.equal(await ask("X-Forwarded-For: 192.0.2.7"), itself);
  assert.equal(await ask("Forwarded: for=192.0.2.7"), itself);
});
