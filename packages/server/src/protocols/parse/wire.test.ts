/** What else is on the wire: metadata in headers, digests, repeated requests, CORS, refusals before any route. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { jsonUpload, key, master, startParse } from "./testing.ts";

test("metadata and tags come in headers, as JSON or in percent-encoding, and are told by the metadata route", async (t) => {
  const { call } = await startParse(t);
  const post = (metadata: string, tags = "{}") =>
    call("POST", "/parse/files/a.txt", {
      headers: {
        ...master,
        "x-parse-upload-mode": "stream",
        "x-parse-file-metadata": metadata,
        "x-parse-file-tags": tags,
      },
      body: "x",
    });
  const told = async (name: string) =>
    (await call("GET", `/parse/files/${key.id}/metadata/${name}`)).json;
  const plain = await post('{"a":"100%","n":1}', '{"t":"1"}');
  assert.deepEqual(await told(plain.json.name), {
    metadata: { a: "100%", n: 1 },
    tags: { t: "1" },
  });
  const encoded = await post(encodeURIComponent('{"作者":"é"}'));
  assert.deepEqual(await told(encoded.json.name), { metadata: { 作者: "é" } });
  const utf8 = await post(Buffer.from('{"k":"é"}').toString("latin1"));
  assert.deepEqual(await told(utf8.json.name), { metadata: { k: "é" } });
  const nouns = await post('{"__proto__":"p","constructor":"c"}');
  assert.deepEqual(
    JSON.stringify(await told(nouns.json.name)),
    '{"metadata":{"__proto__":"p","constructor":"c"}}',
  );
  for (const bad of ["{", "[1]", "1", "%7b%zz"]) {
    const refused = await post(bad);
    assert.deepEqual([refused.status, refused.json.code], [400, 107], bad);
    assert.match(refused.json.error, /X-Parse-File-Metadata/);
  }
});

test("a key that begins with metadata/ is read with its slash encoded", async (t) => {
  const { call } = await startParse(t);
  assert.equal(
    (await call("POST", "/parse/files/x.txt", { headers: master, body: "x" })).status,
    201,
  );
  const authorization = `Bearer ${key.id}.${key.secret}`;
  const put = await call("PUT", "/v1/objects/parse/metadata/x.txt", {
    headers: { authorization, "roma-meta-kind": "noun" },
    body: "by REST",
  });
  assert.equal(put.status, 201);
  assert.equal((await call("GET", `/parse/files/${key.id}/metadata%2Fx.txt`)).text, "by REST");
  const told = await call("GET", `/parse/files/${key.id}/metadata/metadata/x.txt`);
  assert.deepEqual(told.json, { metadata: { kind: "noun" } });
});

test("declared digests are compared", async (t) => {
  const { call, blobs } = await startParse(t);
  const md5 = createHash("md5").update("right").digest("base64");
  const post = (body: string) =>
    call("POST", "/parse/files/a.txt", { headers: { ...master, "content-md5": md5 }, body });
  assert.equal((await post("right")).status, 201);
  const wrong = await post("wrong");
  assert.deepEqual([wrong.status, wrong.json.code], [400, 130]);
  assert.equal(await blobs(), 1);
});

test("a request that comes again with its id gets the same answer, from the same caller alone", async (t) => {
  const server = await startParse(t);
  const { call, keys } = server;
  const post = (requestId: string, name = "a.txt", body = "x") =>
    call("POST", `/parse/files/${name}`, {
      headers: { ...master, "x-parse-request-id": requestId },
      body,
    });
  const first = await post("one");
  assert.deepEqual((await post("one")).json, first.json);
  const inJson = await call("POST", "/parse/files/a.txt", {
    headers: { "x-parse-request-id": "one" },
    body: jsonUpload(Buffer.from("x")),
  });
  assert.deepEqual(inJson.json, first.json);
  const together = await Promise.all(Array.from({ length: 5 }, () => post("two")));
  assert.equal(new Set(together.map(({ json }) => json.name)).size, 1);
  assert.equal((await keys()).length, 2);
  assert.notEqual((await post("one", "b.txt")).json.name, first.json.name);
  const stranger = await call("POST", "/parse/files/a.txt", {
    headers: { "x-parse-application-id": key.id, "x-parse-request-id": "one" },
    body: "x",
  });
  assert.equal(stranger.status, 400);
  // What failed may be tried again.
  assert.equal((await post("three", "a.txt", "")).status, 400);
  assert.equal((await post("three")).status, 201);
  server.advance(6 * 60 * 1000);
  assert.notEqual((await post("one")).json.name, first.json.name);
  assert.equal((await post("x".repeat(300))).status, 400);
});

const headersOfClients = [
  "x-parse-application-id",
  "x-parse-javascript-key",
  "x-parse-master-key",
  "x-parse-session-token",
  "x-parse-installation-id",
  "x-parse-client-version",
  "x-parse-request-id",
  "x-parse-upload-mode",
  "x-parse-file-directory",
  "x-parse-file-metadata",
  "x-parse-file-tags",
  "x-parse-file-max-upload-size",
  "content-type",
];

test("pages of any origin may send what SDKs send, and read what they read", async (t) => {
  const { call, url } = await startParse(t);
  const origin = "https://app.example";
  for (const method of ["POST", "GET", "DELETE"]) {
    const preflight = await call("OPTIONS", "/parse/files/a.txt", {
      headers: {
        origin,
        "access-control-request-method": method,
        "access-control-request-headers": headersOfClients.join(","),
      },
    });
    assert.equal(preflight.status, 200);
    assert.equal(preflight.text, "OK");
    assert.equal(preflight.headers["access-control-allow-origin"], "*");
    const allowed = String(preflight.headers["access-control-allow-headers"]).split(", ");
    for (const name of headersOfClients) assert.ok(allowed.includes(name), name);
    assert.match(String(preflight.headers["access-control-allow-methods"]), new RegExp(method));
  }
  assert.equal((await call("OPTIONS", "/parse/files/a.txt")).text, "OK");
  const saved = await call("POST", "/parse/files/a.txt", {
    headers: { ...master, origin },
    body: "x",
  });
  assert.equal(saved.headers["access-control-allow-origin"], "*");
  const exposed = String(saved.headers["access-control-expose-headers"]).toLowerCase();
  for (const name of ["location", "etag", "content-range", "content-length"]) {
    assert.ok(exposed.includes(name), name);
  }
  const refused = await call("GET", `${url}/parse/files/${key.id}/none`, { headers: { origin } });
  assert.equal(refused.headers["access-control-allow-origin"], "*");
});

test("every refusal is JSON, of malformed paths and of other methods too, and nothing is redirected", async (t) => {
  const { call } = await startParse(t);
  const requests: readonly (readonly [method: string, target: string])[] = [
    ["POST", "/parse/files/%"],
    ["POST", "/parse/files/a/b.txt"],
    ["POST", "/parse/files/"],
    ["POST", "/parse"],
    ["PUT", "/parse/files/a.txt"],
    ["GET", "/parse/files/a.txt"],
    ["GET", "/parse/files/%ff/a.txt"],
    ["GET", `/parse/files/${key.id}/`],
    ["GET", `/parse/files/${key.id}/../x`],
    ["DELETE", "/parse/files/"],
    ["GET", "/parse/health"],
    ["POST", "/parse/classes/File"],
  ];
  for (const [method, target] of requests) {
    const answer = await call(method, target, { headers: master });
    assert.ok(answer.status >= 400 && answer.status < 500, `${method} ${target}: ${answer.status}`);
    assert.match(String(answer.headers["content-type"]), /^application\/json/, target);
    assert.equal(typeof answer.json.error, "string");
  }
});
