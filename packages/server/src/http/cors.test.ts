import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { OperationalError } from "../core/errors.ts";
import { receiveBytes } from "./body.ts";
import { allowCors, type CorsPolicy } from "./cors.ts";
import { RawClient, startServer } from "./testing.ts";

const origin = "https://app.example";

const policy: CorsPolicy = {
  methods: ["GET", "PUT"],
  requestHeaders: ["Authorization", "Meta-*"],
  exposedHeaders: ["ETag"],
};

/** Two plugins with policies of their own under `/a` and `/b`, and a route outside of both. */
async function corsServer(t: TestContext, config: object = {}) {
  const { port } = await startServer(
    t,
    (root) => {
      root.get("/", async () => "outside");
      root.register(
        (app, _options, done) => {
          allowCors(app, policy);
          app.addHook("onRequest", async (request) => {
            if (request.headers.authorization === "wrong") {
              throw new OperationalError("access_denied", "no");
            }
          });
          app.get("/fine", async (_request, reply) => reply.header("etag", '"1"').send("fine"));
          app.get("/refused", async () => {
            throw new OperationalError("access_denied", "no");
          });
          app.get("/broken", async (_request, reply) => {
            reply.header("x-half-done", "1");
            throw new Error("a defect");
          });
          app.put("/small", async (request, reply) =>
            receiveBytes(request, reply, { bytesMax: 10 }),
          );
          done();
        },
        { prefix: "/a" },
      );
      root.register(
        (app, _options, done) => {
          allowCors(app, { ...policy, exposedHeaders: ["Location"], preflights: "routed" });
          app.options("/x", (_request, reply) => {
            reply.code(200).header("tus-version", "1.0.0").send();
          });
          done();
        },
        { prefix: "/b" },
      );
    },
    { config },
  );
  const ask = async (path: string, headers: Record<string, string>, method = "GET") => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers, method });
    await response.text();
    return response;
  };
  return { port, ask };
}

const preflight = { origin, "access-control-request-method": "PUT" };

test("by default pages of any origin may read answers and refusals, without credentials", async (t) => {
  const { ask } = await corsServer(t);
  for (const [path, status] of [
    ["/a/fine", 200],
    ["/a/refused", 403],
    ["/a/broken", 500],
    ["/a/nothing", 404],
    ["/a/%zz", 400],
    [`/a/${"x".repeat(10_000)}`, 404],
  ] as const) {
    for (const headers of [{ origin }, { origin: "null" }, {}]) {
      const answer = await ask(path, headers);
      assert.equal(answer.status, status, path.slice(0, 20));
      assert.equal(answer.headers.get("access-control-allow-origin"), "*");
      assert.equal(answer.headers.get("access-control-expose-headers"), "ETag");
      assert.equal(answer.headers.get("access-control-allow-credentials"), null);
      assert.equal(answer.headers.get("vary"), null);
      assert.equal(answer.headers.get("x-half-done"), null);
    }
  }
});

test("a named origin may read answers and refusals; others get no header but Vary", async (t) => {
  const { ask } = await corsServer(t, { corsOrigins: [origin, "capacitor://localhost"] });
  for (const path of ["/a/fine", "/a/refused", "/a/nothing", "/a/%zz"]) {
    for (const named of [origin, "capacitor://localhost"]) {
      const answer = await ask(path, { origin: named });
      assert.equal(answer.headers.get("access-control-allow-origin"), named, path);
      assert.equal(answer.headers.get("access-control-expose-headers"), "ETag");
      assert.equal(answer.headers.get("vary"), "Origin");
      assert.equal(answer.headers.get("access-control-allow-credentials"), null);
    }
    for (const other of [
      "https://app.example.evil",
      "null",
      `${origin}:8443`,
      "http://app.example",
    ]) {
      const answer = await ask(path, { origin: other });
      assert.equal(answer.headers.get("access-control-allow-origin"), null, other);
      assert.equal(answer.headers.get("access-control-expose-headers"), null, other);
      assert.equal(answer.headers.get("vary"), "Origin");
    }
    assert.equal((await ask(path, {})).headers.get("vary"), "Origin");
  }
  const refused = await ask("/a/fine", { ...preflight, origin: "https://evil.example" }, "OPTIONS");
  assert.equal(refused.headers.get("access-control-allow-methods"), null);
});

test("a preflight is answered before any credential is looked at, and without a route", async (t) => {
  const { ask } = await corsServer(t);
  for (const path of ["/a/fine", "/a/nothing", "/a", "/a/%zz", "/a?x"]) {
    const answer = await ask(path, { ...preflight, authorization: "wrong" }, "OPTIONS");
    assert.equal(answer.status, 204, path);
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
    assert.equal(answer.headers.get("access-control-allow-methods"), "GET, PUT");
    assert.equal(answer.headers.get("access-control-max-age"), "7200");
    assert.equal(answer.headers.get("access-control-allow-private-network"), null);
  }
  const plain = await ask("/a/fine", { origin }, "OPTIONS");
  assert.equal(plain.status, 404);
});

test("names of a family are allowed as they are asked for, and no others", async (t) => {
  const { ask } = await corsServer(t);
  const asked = "meta-author, META-x, x-forwarded-host, meta, authorization, meta-a b";
  const headers = { ...preflight, "access-control-request-headers": asked };
  const answer = await ask("/a/fine", headers, "OPTIONS");
  assert.equal(
    answer.headers.get("access-control-allow-headers"),
    "authorization, meta-author, meta-x",
  );
  assert.equal(answer.headers.get("vary"), "Access-Control-Request-Headers");
});

test("each prefix has its own policy; a protocol may answer preflights itself", async (t) => {
  const { ask } = await corsServer(t);
  const routed = await ask("/b/x", preflight, "OPTIONS");
  assert.equal(routed.status, 200);
  assert.equal(routed.headers.get("tus-version"), "1.0.0");
  assert.equal(routed.headers.get("access-control-allow-methods"), "GET, PUT");
  const answer = await ask("/b/nothing", { origin });
  assert.equal(answer.headers.get("access-control-expose-headers"), "Location");
  for (const path of ["/", "/abc", "/nothing"]) {
    const outside = await ask(path, { origin });
    assert.equal(outside.headers.get("access-control-allow-origin"), null, path);
  }
});

test("a private network is opened only where that is configured, and to whoever asks", async (t) => {
  const network = { ...preflight, "access-control-request-private-network": "true" };
  const open = await corsServer(t, { corsOrigins: [origin], corsPrivateNetwork: true });
  const allowed = (response: Response) =>
    response.headers.get("access-control-allow-private-network");
  assert.equal(allowed(await open.ask("/a/x", network, "OPTIONS")), "true");
  assert.equal(allowed(await open.ask("/a/x", preflight, "OPTIONS")), null);
  const foreign = { ...network, origin: "https://evil.example" };
  assert.equal(allowed(await open.ask("/a/x", foreign, "OPTIONS")), null);
  const closed = await corsServer(t, { corsOrigins: [origin] });
  assert.equal(allowed(await closed.ask("/a/x", network, "OPTIONS")), null);
});

test("without origins there is no CORS", async (t) => {
  const { ask } = await corsServer(t, { corsOrigins: [] });
  const answer = await ask("/a/fine", { origin });
  assert.equal(answer.headers.get("access-control-allow-origin"), null);
  assert.equal(answer.headers.get("vary"), null);
  assert.equal((await ask("/a/fine", preflight, "OPTIONS")).status, 404);
});

test("refusals that overtake a body, and those of the parser, can be read too", async (t) => {
  const { port } = await corsServer(t, { headerBytesMax: "4 KiB" });
  const head = `Host: a\r\nOrigin: ${origin}\r\n`;
  const sent: readonly (readonly [request: string, status: number])[] = [
    [`PUT /a/small HTTP/1.1\r\n${head}Content-Length: 1000000\r\n\r\nsome`, 413],
    [`PUT /a/small HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n`, 413],
    [`PUT /a/nothing HTTP/1.1\r\n${head}Content-Length: 1000000\r\n\r\nsome`, 404],
    [`PUT /a/small HTTP/1.1\r\n${head}Authorization: wrong\r\nContent-Length: 99999\r\n\r\n`, 403],
    [`GET /a/fine HTTP/1.1\r\nHost: b\r\n${head}\r\n`, 400],
    [`GET /a/fine HTTP/1.1\r\n${head}X: ${"x".repeat(5000)}\r\n\r\n`, 431],
    [`GET /a/fine HTTP/1.1\r\n${head}\x01: x\r\n\r\n`, 400],
  ];
  for (const [request, status] of sent) {
    const client = new RawClient(t, port);
    await client.write(request);
    const text = await client.until(/\r\n\r\n[\s\S]*\}/);
    assert.match(text, new RegExp(`^HTTP/1.1 ${status} `));
    assert.match(text, /^access-control-allow-origin: \*\r$/im, request.slice(0, 60));
    client.socket.destroy();
  }
});
