import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { readUntil } from "./resumable-testing.ts";
import { basic, startRest } from "./testing.ts";

test("paths and methods that are not there", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  for (const path of [
    "/v1",
    "/v1/",
    "/v1/nothing",
    "/v1/buckets/b/more",
    "/v1/copy/x",
    "/v1/objects",
    "/v2/buckets",
  ]) {
    const answer = await call("GET", path);
    assert.equal(answer.headers["content-type"], "application/problem+json", path);
    assert.equal(answer.json.code, "unsupported", path);
    if (path !== "/v2/buckets") assert.equal(answer.status, 404, path);
  }
  const table: readonly (readonly [string, string, string])[] = [
    ["POST", "/v1/buckets", "GET, HEAD, OPTIONS"],
    ["POST", "/v1/buckets/b", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"],
    ["PUT", "/v1/objects/b", "GET, HEAD, OPTIONS, POST"],
    ["POST", "/v1/objects/b/k/l", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"],
    ["GET", "/v1/grants", "OPTIONS, POST"],
    ["DELETE", "/v1/openapi.json", "GET, HEAD, OPTIONS"],
  ];
  for (const [method, path, allow] of table) {
    const answer = await call(method, path, { body: "x" });
    assert.equal(answer.status, 405, path);
    assert.equal(answer.headers.allow, allow);
    const options = await call("OPTIONS", path, { as: "nobody" });
    assert.equal(options.status, 204, path);
    assert.equal(options.headers.allow, allow);
  }
});

test("each malformed header or parameter is refused by its name, and stores nothing", async (t) => {
  const { call, content } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  const table: readonly (readonly [Record<string, string>, number, RegExp])[] = [
    [{ "content-type": "nonsense" }, 400, /Content-Type/],
    [{ "content-type": `text/plain; x=${"y".repeat(300)}` }, 400, /Content-Type/],
    [{ "content-range": "bytes 0-0/5" }, 400, /Content-Range/],
    [{ "content-encoding": "gzip" }, 501, /Content-Encoding/],
    [{ "roma-meta-a": "%zz" }, 400, /roma-meta-a/],
    [{ "roma-meta-a": "%ff" }, 400, /roma-meta-a/],
    [{ "roma-meta-a": "%00" }, 400, /metadata a/],
    [{ "roma-meta-a": "x".repeat(3000) }, 413, /2048/],
    [{ "roma-meta-": "x" }, 400, /metadata/],
    [{ "content-md5": "x" }, 400, /Content-MD5/],
    [{ "if-none-match": '"x"' }, 400, /If-None-Match/],
  ];
  for (const [headers, status, named] of table) {
    const answer = await call("PUT", "/v1/objects/b/k", { body: "hello", headers });
    assert.equal(answer.status, status, `${JSON.stringify(headers).slice(0, 60)} ${answer.text}`);
    assert.match(String(answer.json.detail), named);
  }
  assert.equal((await call("GET", "/v1/objects/b/k")).status, 404);
  assert.equal(content.blobs.size, 0);
});

test("a refusal reaches a client that is still sending, and Expect is answered only after the checks", async (t) => {
  const server = await startRest(t, { http: { lingerMsMax: "60 s" } });
  await server.call("PUT", "/v1/buckets/b", { body: { maxObjectBytes: 1000 } });
  const head = (target: string, more: string) =>
    `PUT ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(server.key)}\r\n${more}\r\n`;
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ["/v1/objects/b/k", "Content-Length: 20000000\r\n", /413 [\s\S]*too_large/],
    ["/v1/objects/none/k", "Content-Length: 20000000\r\n", /404 [\s\S]*bucket_not_found/],
    ["/v1/objects/b/%zz", "Content-Length: 20000000\r\n", /400 [\s\S]*invalid/],
  ];
  for (const [target, more, pattern] of refused) {
    const socket = connect({ port: server.port, host: "127.0.0.1" });
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => undefined);
    socket.write(head(target, more));
    socket.end(Buffer.alloc(20_000_000, "x"));
    await once(socket, "close");
    assert.match(Buffer.concat(chunks).toString(), pattern, target);

    const patient = connect({ port: server.port, host: "127.0.0.1" });
    patient.write(head(target, `${more}Expect: 100-continue\r\n`));
    await readUntil(patient, pattern);
    patient.destroy();
  }
  const socket = connect({ port: server.port, host: "127.0.0.1" });
  socket.write(head("/v1/objects/b/k", "Content-Length: 5\r\nExpect: 100-continue\r\n"));
  assert.match(await readUntil(socket, /\r\n\r\n$/), /^HTTP\/1\.1 100 /);
  socket.write("hello");
  assert.match(await readUntil(socket, /\r\n\r\n/), /^HTTP\/1\.1 201 /);
  socket.destroy();
});

test("a body that ends too early stores nothing and leaves the old object", async (t) => {
  const server = await startRest(t);
  const { call, content } = server;
  await call("PUT", "/v1/buckets/b");
  await call("PUT", "/v1/objects/b/k", { body: "old" });
  const socket = connect({ port: server.port, host: "127.0.0.1" });
  socket.write(
    `PUT /v1/objects/b/k HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(server.key)}\r\nContent-Length: 100000\r\n\r\n${"n".repeat(50_000)}`,
  );
  const running = async () => ((await call("GET", "/v1/uploads")).json.uploads as unknown[]).length;
  while ((await running()) === 0);
  socket.destroy();
  while ((await running()) > 0);
  assert.equal((await call("GET", "/v1/objects/b/k")).text, "old");
  assert.equal(content.blobs.size, 1);
});
