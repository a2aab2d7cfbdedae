// The core of tus 1.0, section by section: HEAD, PATCH, OPTIONS, versions, and the method's override.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesType, type CallOptions, metadata, startTus } from "./testing.ts";

test("an upload in two requests becomes the object that its metadata names", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({
    "upload-length": "11",
    "upload-metadata": metadata({ key: "a/b.txt", filetype: "text/plain", author: "Ann" }),
  });
  const head = await tus.call("HEAD", path);
  assert.equal(head.status, 200);
  assert.equal(head.headers["upload-offset"], "0");
  assert.equal(head.headers["upload-length"], "11");
  assert.equal(head.headers["cache-control"], "no-store");
  assert.equal(head.headers["tus-resumable"], "1.0.0");
  const first = await tus.append(path, 0, "hello");
  assert.equal(first.status, 204, first.text);
  assert.equal(first.headers["upload-offset"], "5");
  assert.equal(first.headers["roma-object"], undefined);
  const second = await tus.append(path, 5, " world");
  assert.equal(second.status, 204);
  assert.equal(second.headers["upload-offset"], "11");
  assert.equal(second.headers["roma-object"], `${tus.url}/v1/objects/demo/a/b.txt`);
  const object = await tus.call("GET", String(second.headers["roma-object"]));
  assert.equal(object.text, "hello world");
  assert.equal(object.headers["content-type"], "text/plain");
  assert.equal(object.headers["roma-meta-author"], "Ann");
  assert.equal(object.headers.etag, second.headers.etag);
  assert.equal(object.headers["roma-version"], second.headers["roma-version"]);
  const done = await tus.call("HEAD", path);
  assert.equal(done.headers["upload-offset"], "11");
  assert.equal(done.headers["upload-expires"], undefined);
  assert.equal(done.headers["roma-object"], second.headers["roma-object"]);
});

test("PATCH: each refusal has its status and changes nothing", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "10" });
  assert.equal((await tus.append(path, 0, "1234")).status, 204);
  const cases: readonly [string, number, CallOptions["headers"], string?][] = [
    ["a stale offset", 409, { "upload-offset": "0" }],
    ["an offset ahead", 409, { "upload-offset": "5" }],
    ["no offset", 400, { "upload-offset": null }],
    ["another type", 415, { "content-type": "application/octet-stream" }],
    ["no type", 415, { "content-type": null }],
    ["a body past the length", 413, {}, "1234567"],
    ["a chunked body past the length", 413, { "transfer-encoding": "chunked" }, "1234567"],
    ["another length", 400, { "upload-length": "11" }],
    ["a coded body", 400, { "content-encoding": "gzip" }],
    ...["0x4", "4e0", "+4", "-0", "4.0", "", "4, 4", " ", "9007199254740992", "٤"].map(
      (text): [string, number, CallOptions["headers"]] => [
        `the offset ${JSON.stringify(text)}`,
        400,
        { "upload-offset": Buffer.from(text).toString("latin1") },
      ],
    ),
  ];
  for (const [what, status, headers, body = "56"] of cases) {
    const answered = await tus.append(path, 4, body, headers);
    assert.equal(answered.status, status, `${what}: ${answered.text}`);
    assert.equal(answered.headers["tus-resumable"], "1.0.0", what);
    assert.equal(answered.headers["upload-offset"], status === 409 ? "4" : undefined, what);
    const head = await tus.call("HEAD", path);
    assert.equal(head.headers["upload-offset"], "4", what);
  }
  const doubled = await tus.append(path, 4, "56", { "upload-offset": ["4", "4"] });
  assert.equal(doubled.status, 400);
});

test("PATCH without bytes leaves the offset, before and after the upload is complete", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({
    "upload-length": "3",
    "upload-metadata": metadata({ key: "k" }),
  });
  const early = await tus.append(path, 0, "");
  assert.deepEqual([early.status, early.headers["upload-offset"]], [204, "0"]);
  const completing = await tus.append(path, 0, "abc");
  const late = await tus.append(path, 3, "");
  assert.deepEqual([late.status, late.headers["upload-offset"]], [204, "3"]);
  // Who lost the answer to the last bytes asks so, and is told the same.
  assert.equal(late.headers["roma-version"], completing.headers["roma-version"]);
  assert.equal(late.headers.etag, completing.headers.etag);
  assert.equal((await tus.append(path, 3, "d")).status, 413);
  assert.equal((await tus.append(path, 0, "abc")).status, 409);
});

test("the length may be said again, and is never changed", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "4" });
  assert.equal((await tus.append(path, 0, "ab", { "upload-length": "4" })).status, 204);
  assert.equal((await tus.append(path, 2, "cd", { "upload-length": "5" })).status, 400);
  assert.equal((await tus.call("HEAD", path)).headers["upload-length"], "4");
});

test("a version that is not spoken is 412 with Tus-Version, before anything else", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "3" });
  for (const version of ["0.2.2", "1.0.1", "1.0.0, 1.0.0", "", null]) {
    for (const [method, target] of [
      ["HEAD", path],
      ["PATCH", path],
      ["DELETE", path],
      ["POST", "/tus/demo"],
      ["POST", "/tus/no-such-bucket"],
      ["PUT", path],
    ] as const) {
      const headers = { "tus-resumable": version, authorization: null };
      const answered = await tus.call(method, target, { headers });
      assert.equal(answered.status, 412, `${method} ${target} ${version}`);
      assert.equal(answered.headers["tus-version"], "1.0.0");
      assert.equal(answered.headers["tus-resumable"], "1.0.0");
    }
  }
  assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "0");
});

test("OPTIONS says what is spoken, without a credential and whatever version it names", async (t) => {
  const tus = await startTus(t);
  const extensions =
    "creation,creation-with-upload,creation-defer-length,expiration,checksum," +
    "checksum-trailer,termination,concatenation";
  for (const target of [
    "/tus",
    "/tus/",
    "/tus/demo",
    "/tus/demo/",
    "/tus/no-such-bucket",
    "/tus/demo/x",
  ]) {
    for (const version of [null, "1.0.0", "9.9.9"]) {
      const headers = { authorization: null, "tus-resumable": version };
      const answered = await tus.call("OPTIONS", target, { headers });
      assert.equal(answered.status, 200, `${target} ${version}`);
      assert.equal(answered.headers["tus-version"], "1.0.0");
      assert.equal(answered.headers["tus-resumable"], "1.0.0");
      assert.equal(answered.headers["tus-extension"], extensions);
      assert.equal(answered.headers["tus-max-size"], String(5 * 1024 ** 4));
      const algorithms = "sha1,md5,crc32,sha256,crc64nvme,crc32c";
      assert.equal(answered.headers["tus-checksum-algorithm"], algorithms);
      assert.equal(answered.text, "");
    }
  }
});

test("Tus-Max-Size is the bucket's for who may write there", async (t) => {
  const tus = await startTus(t);
  const made = await tus.call("PUT", "/v1/buckets/small", {
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ maxObjectBytes: 1000 }),
  });
  assert.equal(made.status, 201, made.text);
  const max = async (headers: CallOptions["headers"]) =>
    (await tus.call("OPTIONS", "/tus/small", { headers })).headers["tus-max-size"];
  assert.equal(await max({}), "1000");
  assert.equal(await max({ authorization: null }), String(5 * 1024 ** 4));
  assert.equal(await max({ authorization: "Basic nonsense" }), String(5 * 1024 ** 4));
  const answered = await tus.call("POST", "/tus/small", { headers: { "upload-length": "1001" } });
  assert.equal(answered.status, 413);
});

test("X-HTTP-Method-Override replaces any method, on tus paths only", async (t) => {
  const tus = await startTus(t);
  const made = await tus.call("GET", "/tus/demo", {
    headers: { "x-http-method-override": "POST", "upload-length": "6" },
  });
  assert.equal(made.status, 201, made.text);
  const path = new URL(String(made.headers.location)).pathname;
  for (const [at, method] of (["POST", "PUT", "QUERY"] as const).entries()) {
    const answered = await tus.call(method, path, {
      headers: {
        "x-http-method-override": at === 0 ? "patch" : "PATCH",
        "content-type": bytesType,
        "upload-offset": String(at * 2),
      },
      body: "ab",
    });
    assert.equal(answered.status, 204, `${method} ${answered.text}`);
  }
  const head = await tus.call("POST", path, { headers: { "x-http-method-override": "HEAD" } });
  assert.deepEqual([head.status, head.headers["upload-offset"]], [200, "6"]);
  const options = await tus.call("POST", path, {
    headers: { "x-http-method-override": "OPTIONS" },
  });
  assert.deepEqual([options.status, options.headers["tus-version"]], [200, "1.0.0"]);
  const deleted = await tus.call("POST", path, { headers: { "x-http-method-override": "DELETE" } });
  assert.equal(deleted.status, 204);
  const unknown = await tus.call("POST", path, { headers: { "x-http-method-override": "BREW" } });
  assert.equal(unknown.status, 405);
  const elsewhere = await tus.call("GET", "/v1/buckets/demo", {
    headers: { "x-http-method-override": "DELETE" },
  });
  assert.equal(elsewhere.status, 200);
});

test("what is not offered is 405 with Allow, what is not there 404, both with Tus-Resumable", async (t) => {
  const tus = await startTus(t);
  for (const [method, target, status, allow] of [
    ["GET", "/tus/demo", 405, "POST, OPTIONS"],
    ["PUT", "/tus/demo/abc", 405, "HEAD, PATCH, DELETE, GET, OPTIONS"],
    ["POST", "/tus", 404, undefined],
    ["POST", "/tus/demo/a/b", 404, undefined],
    ["POST", "/tus/no-such-bucket", 404, undefined],
    ["HEAD", "/tus/demo/AAAAAAAAAAAAAAAAAAAAAA", 404, undefined],
    ["PATCH", "/tus/demo/..%2f..%2fetc", 404, undefined],
    ["DELETE", "/tus/demo/unknown", 404, undefined],
    ["GET", "/tus/demo/unknown", 404, undefined],
  ] as const) {
    const headers = { "upload-length": "1" };
    const answered = await tus.call(method, target, { headers });
    assert.equal(answered.status, status, `${method} ${target} ${answered.text}`);
    assert.equal(answered.headers.allow, allow);
    assert.equal(answered.headers["tus-resumable"], "1.0.0");
    assert.equal(answered.headers["cache-control"], "no-store");
    assert.equal(answered.headers["upload-offset"], undefined);
  }
});
