import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { httpConfig } from "./config.ts";
import { isPublicUrl, publicOrigin } from "./public-url.ts";
import { RawClient, startServer } from "./testing.ts";
import { isTrusted, trustedProxies } from "./trusted-proxies.ts";

interface Asked {
  readonly publicUrl?: string;
  readonly trustedProxies?: readonly string[];
}

/** A server that answers where it believes to be, to raw requests. */
async function askServer(t: TestContext, { publicUrl, trustedProxies }: Asked = {}) {
  const { port } = await startServer(
    t,
    (app) => {
      app.get("/*", (request, reply) => {
        reply.send(`[${publicOrigin(request, { publicUrl })}]`);
      });
    },
    { config: trustedProxies === undefined ? {} : { trustedProxies } },
  );
  const raw = async (bytes: string): Promise<string> => {
    const client = new RawClient(t, port);
    await client.write(bytes);
    const text = await client.until(/\r\n\r\n[\s\S]/);
    client.socket.destroy();
    return /\[(.*)\]$/.exec(text)?.[1] ?? text;
  };
  const ask = (headers: string, host = "files.example") =>
    raw(`GET / HTTP/1.1\r\nHost: ${host}\r\n${headers}${headers === "" ? "" : "\r\n"}\r\n`);
  return { port, raw, ask };
}

const believed: readonly (readonly [headers: string, origin: string])[] = [
  ["", "http://files.example"],
  ["Forwarded: proto=https;host=a.example", "https://a.example"],
  ['Forwarded: for=192.0.2.1;Proto=HTTPS;Host="a.example:8443"', "https://a.example:8443"],
  ['Forwarded: host="[2001:db8::1]:8443";proto=https', "https://[2001:db8::1]:8443"],
  ['Forwarded: host="a\\.exampl\\e"', "http://a.example"],
  ['Forwarded: for="a, b; host=no.example";host=a.example', "http://a.example"],
  ["Forwarded: host=evil.example, host=a.example;proto=https", "https://a.example"],
  ["Forwarded: host=evil.example\r\nForwarded: host=a.example", "http://a.example"],
  ["Forwarded: ;host=a.example;, ,", "http://a.example"],
  // Only the nearest hop's element counts, and it says nothing of hosts.
  ["Forwarded: host=evil.example;proto=https, for=10.0.0.9", "http://files.example"],
  ["X-Forwarded-Proto: https", "https://files.example"],
  ["X-Forwarded-Proto: http, https", "https://files.example"],
  ["X-Forwarded-Host: a.example", "http://a.example"],
  ["X-Forwarded-Host: evil.example, a.example:81", "http://a.example:81"],
  ["X-Forwarded-Host: evil.example\r\nX-Forwarded-Host: a.example", "http://a.example"],
  ["X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443", "https://files.example"],
  ["X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443", "https://files.example:8443"],
  ["X-Forwarded-Host: a.example:81\r\nX-Forwarded-Port: 8443", "http://a.example:81"],
  ["X-Forwarded-Prefix: /roma", "http://files.example/roma"],
  ["X-Forwarded-Prefix: /a/b.c/", "http://files.example/a/b.c"],
  ["Forwarded: proto=https\r\nX-Forwarded-Prefix: /roma", "https://files.example/roma"],
  ["Forwarded: proto=https\r\nX-Forwarded-Host: evil.example", "https://files.example"],
  ["X-Forwarded-Host: A.Example_1.", "http://A.Example_1."],
];

test("a trusted proxy's Forwarded and X-Forwarded-* say where clients are", async (t) => {
  const { ask } = await askServer(t);
  for (const [headers, origin] of believed) assert.equal(await ask(headers), origin, headers);
});

const hostileHosts = [
  ...["evil.example/path", "user@evil.example", "user:pw@evil.example", "evil.example?x", "a#b"],
  ...["evil.example\\", "evil example", "%65vil.example", "évil.example", "evil..example", "-a.b"],
  ...["a.example:0", "a.example:65536", "a.example:", "a.example:80:80", "a.example:8x", ":80"],
  ...["[::1", "::1", "[::g]", "[fe80::1%25eth0]", "[1.2.3.4]", "<script>", '"', "a;b", "..", "."],
  ...[`${"a".repeat(64)}.example`, `${"a.".repeat(130)}example`, "javascript:alert", ""],
];

test("hosts that break their grammar count as not said, whoever says them", async (t) => {
  const { ask, port } = await askServer(t);
  for (const host of hostileHosts) {
    const sent = Buffer.from(host, "utf8").toString("latin1");
    assert.equal(await ask(`X-Forwarded-Host: ${sent}`), "http://files.example", host);
    const quoted = sent.replaceAll(/["\\]/g, "\\$&");
    assert.equal(await ask(`Forwarded: host="${quoted}"`), "http://files.example", host);
    assert.equal(await ask("", sent), `http://127.0.0.1:${port}`, host);
  }
});

const ignored = [
  ...["X-Forwarded-Proto: javascript", "X-Forwarded-Proto: https:", "X-Forwarded-Proto: ws"],
  ...[
    "X-Forwarded-Port: 0",
    "X-Forwarded-Port: 99999",
    "X-Forwarded-Port: 80a",
    "X-Forwarded-Port: -1",
  ],
  ...["X-Forwarded-Prefix: roma", "X-Forwarded-Prefix: /", "X-Forwarded-Prefix: //evil.example"],
  ...["X-Forwarded-Prefix: /a/../b", "X-Forwarded-Prefix: /./a", "X-Forwarded-Prefix: /a//b"],
  ...["X-Forwarded-Prefix: /%2e%2e", "X-Forwarded-Prefix: /a?b", "X-Forwarded-Prefix: /a\\b"],
  ...[
    "X-Forwarded-Prefix: /a b",
    `X-Forwarded-Prefix: /${"a".repeat(300)}`,
    "X-Forwarded-Prefix: /a#",
  ],
  ...["Forwarded: host=a.example:81", "Forwarded: host", 'Forwarded: host="a.example'],
  ...["Forwarded: host=a.example;host=b.example", "Forwarded: host = a.example"],
  ...["Forwarded: host=a.example proto=https", `Forwarded: ${",".repeat(5000)}x`],
  ...[`Forwarded: host="${"\\a".repeat(4000)}`],
];

test("what is malformed in other fields is ignored", async (t) => {
  const { ask } = await askServer(t);
  for (const headers of ignored) {
    assert.equal(await ask(headers), "http://files.example", headers.slice(0, 80));
  }
});

test("a peer that is not trusted says nothing but Host", async (t) => {
  const { ask } = await askServer(t, { trustedProxies: ["10.0.0.0/8", "2001:db8::/32"] });
  for (const [headers] of believed) {
    assert.equal(await ask(headers), "http://files.example", headers);
  }
  assert.equal(await ask("", "files.example:8420"), "http://files.example:8420");
  assert.equal(await ask("", "files.example:80"), "http://files.example");
  assert.equal(await ask("", "[::1]:81"), "http://[::1]:81");
});

test("a peer is known by its own address, not by what it says of itself", async (t) => {
  const { ask } = await askServer(t, { trustedProxies: ["192.0.2.7"] });
  const claims =
    "X-Forwarded-For: 192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\nX-Forwarded-Host: evil.example";
  assert.equal(await ask(claims), "http://files.example");
});

test("a configured URL wins over everything, and keeps its path", async (t) => {
  for (const [publicUrl, origin] of [
    ["https://files.example", "https://files.example"],
    ["https://files.example/", "https://files.example"],
    ["https://files.example:8443/roma/", "https://files.example:8443/roma"],
  ] as const) {
    const { ask } = await askServer(t, { publicUrl });
    const headers = "Forwarded: host=evil.example\r\nX-Forwarded-Prefix: /evil";
    assert.equal(await ask(headers, "evil.example"), origin);
  }
});

test("HTTP/1.0 without Host is told the bound address; the absolute form wins over Host", async (t) => {
  const { raw, port } = await askServer(t);
  assert.equal(await raw("GET / HTTP/1.0\r\n\r\n"), `http://127.0.0.1:${port}`);
  const absolute = (target: string) => `GET ${target} HTTP/1.1\r\nHost: evil.example\r\n\r\n`;
  assert.equal(await raw(absolute("http://files.example:81/x")), "http://files.example:81");
  assert.equal(await raw(absolute("http://u:p@files.example/x")), `http://127.0.0.1:${port}`);
});

test("trusted proxies: addresses and ranges of both families, in either notation", () => {
  const list = trustedProxies(["loopback", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32"]);
  for (const peer of [
    ...["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.1.255.1", "::ffff:10.1.2.3"],
    ...["192.0.2.7", "2001:db8::1", "2001:db8::1%eth0"],
  ]) {
    assert.equal(isTrusted(list, peer), true, peer);
  }
  for (const peer of ["10.2.0.1", "192.0.2.8", "::2", "2001:db9::1", "", undefined, "loopback"]) {
    assert.equal(isTrusted(list, peer), false, String(peer));
  }
  assert.equal(isTrusted(trustedProxies([]), "127.0.0.1"), false);
  const everyone = trustedProxies(["0.0.0.0/0", "::/0"]);
  for (const peer of ["192.0.2.7", "2001:db8::1"]) assert.equal(isTrusted(everyone, peer), true);
});

test("the options refuse what is no address, no origin and no URL", () => {
  const accepts = (options: object) => httpConfig.safeParse(options).success;
  for (const entry of [
    "proxy.example",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/",
    "1.2.3",
    "",
    "fe80::1%eth0",
    "10.0.0.0/8/8",
  ]) {
    assert.equal(accepts({ trustedProxies: [entry] }), false, entry);
  }
  assert.equal(accepts({ trustedProxies: [] }), true);
  for (const origin of [
    ...["https://a.example/", "https://A.example", "https://a.example:443", "http://a.example:80"],
    ...["a.example", "null", "", "https://*.example", "https://a.example/x", "https://u@a.example"],
  ]) {
    assert.equal(accepts({ corsOrigins: [origin] }), false, origin);
  }
  for (const origin of ["*", "https://a.example", "http://[::1]:81", "capacitor://localhost"]) {
    assert.equal(accepts({ corsOrigins: [origin] }), true, origin);
  }
  for (const url of [
    ...["ftp://a.example", "a.example", "/roma", "https://u:p@a.example", "https://a.example?x"],
    ...["https://a.example/#x", "https://", "https://a.example/\r\nX: y", "https://a b", "https:a"],
  ]) {
    assert.equal(isPublicUrl(url), false, url);
  }
  assert.equal(isPublicUrl("https://a.example:8443/roma"), true);
});
