import assert from "node:assert/strict";
import { test } from "node:test";
import { basic, exchangeRaw, startRest } from "./testing.ts";

const origin = "https://app.example";

test("a preflight of every route is answered to nobody, with what /v1 understands", async (t) => {
  const { call } = await startRest(t);
  const asked = "authorization, content-type, repr-digest, upload-complete, roma-meta-author";
  for (const path of ["/v1/objects/b/k", "/v1/objects/b", "/v1/uploads/1", "/v1/keys", "/v1/x"]) {
    const answer = await call("OPTIONS", path, {
      as: "nobody",
      headers: {
        origin,
        "access-control-request-method": "PATCH",
        "access-control-request-headers": asked,
      },
    });
    assert.equal(answer.status, 204, path);
    assert.equal(answer.headers["access-control-allow-origin"], "*");
    assert.match(String(answer.headers["access-control-allow-methods"]), /\bPATCH\b/);
    const allowed = String(answer.headers["access-control-allow-headers"]).split(", ");
    for (const name of asked.split(", ")) assert.ok(allowed.includes(name), name);
    assert.equal(answer.headers["access-control-allow-credentials"], undefined);
  }
});

test("scripts can read refusals of every kind, and what uploads answer", async (t) => {
  const { call, port, key } = await startRest(t);
  await call("PUT", "/v1/buckets/b", { body: { maxObjectBytes: 10 } });
  const headers = { origin };
  const read = (allowed: unknown, exposed: unknown, what: string) => {
    assert.equal(allowed, "*", what);
    for (const name of ["ETag", "Location", "Repr-Digest", "Upload-Offset", "Roma-Version"]) {
      assert.ok(String(exposed).split(", ").includes(name), `${what}: ${name}`);
    }
  };
  const wrong = { ...key, secret: "wrong" };
  for (const [method, path, status, options] of [
    ["PUT", "/v1/objects/b/k", 201, { body: "hello" }],
    ["GET", "/v1/objects/b/k", 200, {}],
    ["GET", "/v1/objects/b/k", 401, { as: wrong }],
    ["PUT", "/v1/objects/b/k", 401, { as: "nobody", body: "hello" }],
    ["GET", "/v1/objects/b/none", 404, {}],
    ["GET", "/v1/nothing", 404, {}],
    ["POST", "/v1/buckets", 405, {}],
    ["PUT", "/v1/objects/b/k", 413, { body: "longer than ten" }],
  ] as const) {
    const answer = await call(method, path, { headers, ...options });
    assert.equal(answer.status, status, path);
    const { "access-control-allow-origin": allowed, "access-control-expose-headers": exposed } =
      answer.headers;
    read(allowed, exposed, `${method} ${path} ${status}`);
  }
  // Refused while most of the body is still to come.
  const text = await exchangeRaw(
    port,
    `PUT /v1/objects/b/k HTTP/1.1\r\nHost: a\r\nOrigin: ${origin}\r\nConnection: close\r\n` +
      `Authorization: ${basic(key)}\r\nContent-Length: 50000\r\n\r\n${"x".repeat(50_000)}`,
  );
  assert.match(text, /^HTTP\/1\.1 413 /);
  assert.match(text, /^access-control-allow-origin: \*\r$/im);
  const malformed = await exchangeRaw(
    port,
    `GET /v1/ HTTP/1.1\r\nOrigin: ${origin}\r\n\x01\r\n\r\n`,
  );
  assert.match(malformed, /^HTTP\/1\.1 400 [\s\S]*access-control-allow-origin: \*\r\n/i);
});

test("only named origins may read, where origins are named", async (t) => {
  const { call } = await startRest(t, { http: { corsOrigins: [origin] } });
  const named = await call("GET", "/v1/buckets", { headers: { origin } });
  assert.equal(named.headers["access-control-allow-origin"], origin);
  assert.equal(named.headers.vary, "Origin");
  const other = await call("GET", "/v1/buckets", { headers: { origin: "https://evil.example" } });
  assert.equal(other.headers["access-control-allow-origin"], undefined);
  assert.equal(other.headers.vary, "Origin");
});
