/** Uploads in JSON, as every old SDK and many new ones send them: staged, judged by their end, published or removed. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { test } from "node:test";
import { eventually } from "../../../../../test/harness/process-usage.ts";
import { asRoot, jsonUpload, key, type ParseTestServer, startParse } from "./testing.ts";

const post = (server: ParseTestServer, body: string | Uint8Array, name = "a.bin") =>
  server.call("POST", `/parse/files/${name}`, { headers: { "content-type": "text/plain" }, body });

test("bytes first, credentials last: the file is saved under them", async (t) => {
  const server = await startParse(t);
  const bytes = randomBytes(500_001);
  const saved = await post(server, jsonUpload(bytes));
  assert.equal(saved.status, 201, saved.text);
  assert.match(saved.json.name, /^[0-9a-f]{32}_a\.bin$/);
  const read = await server.call("GET", saved.json.url);
  assert.deepEqual(read.body, bytes);
  assert.equal(read.headers["content-length"], "500001");
  assert.equal(read.headers["content-type"], "application/octet-stream");
  assert.equal(await server.blobs(), 1);
});

test("type, metadata, tags and directory come in the JSON", async (t) => {
  const server = await startParse(t);
  const body = jsonUpload(Buffer.from("x,y\n1,2\n"), {
    _ContentType: "text/csv",
    fileData: {
      metadata: { Author: "Ä", nested: { a: [1] }, __proto__: undefined },
      tags: { kind: "table" },
      directory: "reports/2026",
    },
  });
  const saved = await post(server, body, "table");
  assert.equal(saved.status, 201, saved.text);
  assert.match(saved.json.name, /^reports\/2026\/[0-9a-f]{32}_table\.csv$/);
  assert.equal((await server.call("GET", saved.json.url)).headers["content-type"], "text/csv");
  const told = await server.call("GET", `/parse/files/${key.id}/metadata/${saved.json.name}`);
  assert.deepEqual(told.json, {
    metadata: { Author: "Ä", nested: { a: [1] } },
    tags: { kind: "table" },
  });
  const byRest = await server.call("HEAD", `/v1/objects/parse/${saved.json.name}`, {
    headers: asRoot,
  });
  assert.equal(byRest.headers["roma-meta-author"], "%C3%84");
  const none = await server.call("GET", `/parse/files/${key.id}/metadata/none.txt`);
  assert.deepEqual([none.status, none.json], [200, {}]);
});

test("wrong credentials at the end leave nothing, however large the file was", async (t) => {
  const server = await startParse(t);
  const bytes = randomBytes(3_000_000);
  const cases: readonly (readonly [members: object, status: number, code: number | undefined])[] = [
    [{ _MasterKey: "wrong" }, 403, undefined],
    [{ _ApplicationId: "nobody" }, 403, undefined],
    [{ _ApplicationId: undefined }, 403, undefined],
    [{ _ApplicationId: 5 }, 403, undefined],
    [{ _MasterKey: undefined }, 400, 130],
    [{ _MasterKey: { length: 1 } }, 400, 130],
    [{ fileData: "x" }, 400, 107],
    [{ fileData: { metadata: [1] } }, 400, 107],
    [{ fileData: { directory: "../up" } }, 400, 122],
    [{ fileData: { directory: "metadata/x" } }, 400, 122],
    [{ _ContentType: "no type" }, 400, 130],
  ];
  for (const [members, status, code] of cases) {
    const refused = await post(server, jsonUpload(bytes, members));
    assert.equal(refused.status, status, JSON.stringify(members));
    assert.equal(refused.json.code, code, refused.text);
    assert.equal(await server.blobs(), 0);
  }
  const truncated = await post(server, jsonUpload(bytes).slice(0, -5));
  assert.deepEqual([truncated.status, truncated.json.code], [400, 107]);
  const empty = await post(server, jsonUpload(Buffer.alloc(0)));
  assert.deepEqual([empty.status, empty.json.code], [400, 130]);
  const noJson = await post(server, bytes);
  assert.deepEqual([noJson.status, noJson.json.error], [403, "unauthorized"]);
  assert.equal(await server.blobs(), 0);
});

test("a client that leaves in the middle leaves nothing", async (t) => {
  const server = await startParse(t);
  const { hostname: host, port } = new URL(server.url);
  const sent = httpRequest({ host, port, method: "POST", path: "/parse/files/a.bin" });
  sent.on("error", () => {});
  const body = jsonUpload(randomBytes(3_000_000));
  sent.write(body.slice(0, 2_000_000));
  await once(sent, "drain");
  sent.destroy();
  // Whoever comes next finds room and no trace.
  assert.equal((await post(server, jsonUpload(Buffer.from("next")))).status, 201);
  await eventually("only the one blob is left", async () => (await server.blobs()) === 1, 60_000);
});

test("what is too large is refused with 413 while it comes, and as a stream with code 130", async (t) => {
  const http = { lingerMsMax: "60 s" };
  const server = await startParse(t, { http, parse: { maxUploadSize: "1 MB" } });
  const bytes = Buffer.alloc(1_000_001);
  const inJson = await post(server, jsonUpload(bytes));
  assert.deepEqual([inJson.status, inJson.json.error], [413, "request entity too large"]);
  assert.match(inJson.json.detail, /1000000 bytes \(maxUploadSize\)/);
  const headers = { "x-parse-application-id": key.id, "x-parse-master-key": key.secret };
  const raw = await server.call("POST", "/parse/files/a.bin", { headers, body: bytes });
  assert.deepEqual([raw.status, raw.json.error], [413, "request entity too large"]);
  const streamed = await server.call("POST", "/parse/files/a.bin", {
    headers: { ...headers, "x-parse-upload-mode": "stream" },
    body: [bytes],
  });
  assert.deepEqual([streamed.status, streamed.json.code], [400, 130]);
  assert.match(streamed.json.error, /maxUploadSize/);
  const larger = await server.call("POST", "/parse/files/a.bin", {
    headers: { ...headers, "x-parse-upload-mode": "stream", "x-parse-file-max-upload-size": "2mb" },
    body: [bytes],
  });
  assert.equal(larger.status, 201, larger.text);
  assert.equal((await post(server, jsonUpload(bytes.subarray(1)))).status, 201);
});

test("uploads that wait for their credentials are bounded in number and in bytes", async (t) => {
  const server = await startParse(t, { parse: { stagedMax: 2, stagedBytesMax: "1 MiB" } });
  const { hostname: host, port } = new URL(server.url);
  const body = jsonUpload(randomBytes(200_000));
  const waiting = [1, 2].map(() => {
    const sent = httpRequest({ host, port, method: "POST", path: "/parse/files/a.bin" });
    sent.write(body.slice(0, 100_000));
    return { sent, answered: once(sent, "response") };
  });
  await eventually("both are staged", async () => (await server.blobs()) === 2, 60_000);
  assert.equal((await post(server, jsonUpload(Buffer.from("x")))).status, 503);
  for (const { sent } of waiting) sent.end(body.slice(100_000));
  for (const { answered } of waiting) {
    const [response] = await answered;
    assert.equal(response.statusCode, 201);
    response.resume();
    await once(response, "end");
  }
  const large = await post(server, jsonUpload(randomBytes(1_100_000)));
  assert.equal(large.status, 503);
  assert.ok(large.headers["retry-after"]);
  // All room was given back.
  assert.equal((await post(server, jsonUpload(randomBytes(1_000_000)))).status, 201);
});

test("one address has only its share of them, as a trusted proxy names it", async (t) => {
  const server = await startParse(t, { parse: { stagedPerAddressMax: 1 } });
  const { hostname: host, port } = new URL(server.url);
  const headers = { "x-forwarded-for": "192.0.2.1" };
  const sent = httpRequest({ host, port, method: "POST", path: "/parse/files/a.bin", headers });
  const body = jsonUpload(randomBytes(200_000));
  sent.write(body.slice(0, 100_000));
  const answered = once(sent, "response");
  const from = (address: string) =>
    server.call("POST", "/parse/files/a.bin", {
      headers: { "x-forwarded-for": address },
      body: jsonUpload(Buffer.from("x")),
    });
  await eventually("it is staged", async () => (await server.blobs()) === 1, 60_000);
  assert.equal((await from("192.0.2.1")).status, 503);
  assert.equal((await from("192.0.2.2")).status, 201);
  sent.end(body.slice(100_000));
  const [response] = await answered;
  assert.equal(response.statusCode, 201);
  response.resume();
  await once(response, "end");
  assert.equal((await from("192.0.2.1")).status, 201);
});

test("one that takes too long is refused, and leaves nothing", async (t) => {
  // No other limit ends it.
  const http = { bodyIdleMsMax: "1 h", bodyBytesPerSecondMin: 0 };
  const server = await startParse(t, { http, parse: { stagedMsMax: "1 s" } });
  const { hostname: host, port } = new URL(server.url);
  const sent = httpRequest({ host, port, method: "POST", path: "/parse/files/a.bin" });
  sent.write(jsonUpload(randomBytes(200_000)).slice(0, 100_000));
  const [response] = await once(sent, "response");
  assert.equal(response.statusCode, 408);
  sent.on("error", () => {});
  sent.destroy();
  await eventually("no blob is left", async () => (await server.blobs()) === 0, 60_000);
});

test("bytes that belong into another storage than was thought end up there", async (t) => {
  const server = await startParse(t);
  const storage = { driver: "posix", root: `${server.data}/other` };
  const put = async (target: string, value: object) => {
    const answer = await server.call("PUT", target, {
      headers: { ...asRoot, "content-type": "application/json" },
      body: JSON.stringify(value),
    });
    assert.match(String(answer.status), /^20[01]$/, answer.text);
  };
  await put("/v1/storages/other", storage);
  // The type that the name promises is not the one that the end declares.
  await put("/v1/buckets/parse", {
    placement: [{ prefix: "elsewhere/", storage: "other" }, { storage: "local" }],
  });
  const bytes = randomBytes(300_000);
  const members = { fileData: { directory: "elsewhere" } };
  const saved = await post(server, jsonUpload(bytes, members));
  assert.equal(saved.status, 201, saved.text);
  // The answer does not wait for the removal of what was staged.
  await eventually(
    "nothing stays where it was staged",
    async () => (await server.blobs()) === 0,
    60_000,
  );
  assert.equal(await server.blobs("other"), 1);
  const read = await server.call("GET", `/v1/objects/parse/${saved.json.name}`, {
    headers: asRoot,
  });
  assert.deepEqual(read.body, bytes);
  const here = await post(server, jsonUpload(bytes));
  assert.equal(here.status, 201);
  assert.deepEqual([await server.blobs(), await server.blobs("other")], [1, 1]);
});
