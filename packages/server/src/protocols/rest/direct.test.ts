import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import type { DirectUploadJson } from "@roma/contract";
import {
  begin,
  complete,
  hash,
  partBytes,
  refused,
  requestOf,
  sendSigned,
} from "./direct-testing.ts";
import { basic, type RestServer, startRest } from "./testing.ts";

type Context = Parameters<typeof startRest>[0];

async function start(t: Context, bucket: object = {}): Promise<RestServer> {
  const server = await startRest(t);
  assert.equal((await server.call("PUT", "/v1/buckets/b", { body: bucket })).status, 201);
  return server;
}

async function grantOf(server: RestServer, scope: object): Promise<{ authorization: string }> {
  const body = { bucket: "b", actions: ["object:write"], ...scope };
  const { status, json, text } = await server.call("POST", "/v1/grants", { body });
  assert.equal(status, 201, text);
  return { authorization: `Bearer ${String(json.grant)}` };
}

test("a small upload is one signed request, and an object once it is completed", async (t) => {
  const server = await start(t);
  const bytes = Buffer.from("hello, direct");
  const upload = await begin(server, {
    length: bytes.length,
    contentType: "text/plain",
    metadata: { Color: "blue" },
    checksums: { sha256: hash("sha256", bytes), md5: hash("md5", bytes) },
  });
  assert.equal(upload.via, "server");
  assert.deepEqual([upload.bucket, upload.key, upload.length], ["b", "k", bytes.length]);
  const request = requestOf(upload);
  const sent = await sendSigned(server, request, bytes);
  assert.equal(sent.status, 200, sent.text);
  assert.equal(sent.headers.etag, `"${hash("md5", bytes)}"`);
  assert.equal((await server.call("GET", "/v1/objects/b/k")).status, 404, "no object yet");
  const done = await complete(server, upload.id);
  assert.equal(done.status, 201, done.text);
  assert.equal(done.headers.location, "/v1/objects/b/k");
  assert.deepEqual(done.json.metadata, { color: "blue" });
  assert.equal(done.json.contentType, "text/plain");
  const checksums = done.json.checksums as Record<string, string>;
  assert.equal(checksums.sha256, hash("sha256", bytes));
  assert.equal((await server.call("GET", "/v1/objects/b/k")).text, "hello, direct");
  const again = await complete(server, upload.id);
  assert.deepEqual([again.status, again.json], [200, done.json]);
  refused(await sendSigned(server, request, "HELLO, DIRECT"), 404, "upload_not_found");
  assert.equal((await server.call("GET", "/v1/objects/b/k")).text, "hello, direct");
  const gone = await server.call("GET", `/v1/uploads/${upload.id}?parts`);
  refused(gone, 404, "upload_not_found");
  assert.equal(gone.json.phase, "complete");
  const row = await server.call("GET", `/v1/uploads/${upload.id}`);
  assert.deepEqual([row.json.protocol, row.json.phase], ["direct", "complete"]);
});

test("a larger upload is parts, in any order, again, and resumed by who knows its id", async (t) => {
  const server = await start(t);
  const bytes = randomBytes(25 * partBytes + 7);
  const part = (number: number) => bytes.subarray((number - 1) * partBytes, number * partBytes);
  const upload = await begin(server, { length: bytes.length, partBytes });
  assert(upload.transfer.kind === "parts");
  assert.deepEqual([upload.transfer.partBytes, upload.transfer.partCount], [partBytes, 26]);
  assert.deepEqual(upload.transfer.parts, []);
  assert.equal(Object.keys(upload.transfer.requests).length, 20);
  for (const number of [3, 1, 3]) {
    const sent = await sendSigned(server, requestOf(upload, number), part(number));
    assert.equal(sent.headers.etag, `"${hash("md5", part(number))}"`);
  }
  const found = await server.call("GET", `/v1/uploads/${upload.id}?parts`);
  const { transfer } = found.json as unknown as DirectUploadJson;
  assert(transfer.kind === "parts");
  const etag = (number: number) => hash("md5", part(number));
  assert.deepEqual(transfer.parts, [
    { number: 1, length: partBytes, etag: etag(1) },
    { number: 3, length: partBytes, etag: etag(3) },
  ]);
  assert.deepEqual(Object.keys(transfer.requests).slice(0, 3), ["2", "4", "5"]);
  const path = `/v1/uploads/${upload.id}/requests`;
  const others = Array.from({ length: 26 }, (_, index) => index + 1);
  const signed = await server.call("POST", path, { body: { partNumbers: others } });
  const { requests } = signed.json as { requests: Record<number, never> };
  for (const number of others.toReversed()) {
    const sent = await sendSigned(server, requests[number] ?? assert.fail(), part(number));
    assert.equal(sent.status, 200, sent.text);
  }
  refused(await server.call("POST", path, { body: { partNumbers: [27] } }), 400, "invalid_part");
  refused(await server.call("POST", path, { body: { partNumbers: [0] } }), 400, "invalid_part");
  refused(await server.call("POST", path, { body: {} }), 400, "invalid_request");
  const many = Array.from({ length: 101 }, () => 1);
  refused(await server.call("POST", path, { body: { partNumbers: many } }), 400, "invalid_request");
  const parts = others.map((number) => ({ number, etag: etag(number) }));
  const [first, second] = await Promise.all([
    complete(server, upload.id, { parts, checksums: { sha256: hash("sha256", bytes) } }),
    complete(server, upload.id, { parts }),
  ]);
  assert.deepEqual([first.status, second.status].sort(), [200, 201], first.text + second.text);
  assert.equal(first.json.version, second.json.version);
  assert.deepEqual((await server.call("GET", "/v1/objects/b/k")).body, bytes);
});

test("what is not all there, or not as named, completes nothing, and the upload goes on", async (t) => {
  const server = await start(t);
  const bytes = randomBytes(2 * partBytes + 1);
  const upload = await begin(server, { length: bytes.length, partBytes });
  const send = (number: number, from = bytes) =>
    sendSigned(
      server,
      requestOf(upload, number),
      from.subarray((number - 1) * partBytes, number * partBytes),
    );
  const missing = async (body: object, partNumber: number, reason: string) => {
    const answer = await complete(server, upload.id, body);
    refused(answer, 400, "invalid_part");
    assert.deepEqual([answer.json.partNumber, answer.json.reason], [partNumber, reason]);
  };
  await missing({}, 1, "missing");
  for (const number of [1, 3]) await send(number);
  await missing({}, 2, "missing");
  await send(2);
  const parts = [1, 2, 3].map((number) => ({
    number,
    etag: hash("md5", bytes.subarray((number - 1) * partBytes, number * partBytes)),
  }));
  await missing({ parts: parts.slice(0, 2) }, 3, "missing");
  await missing({ parts: [...parts, { number: 4, etag: "x" }] }, 4, "unknown");
  await missing({ parts: [parts[0], { number: 2, etag: "0".repeat(32) }, parts[2]] }, 2, "etag");
  const wrong = { checksums: { sha256: "0".repeat(64) } };
  refused(await complete(server, upload.id, wrong), 400, "checksum_mismatch");
  assert.equal((await server.call("GET", "/v1/objects/b/k")).status, 404);
  // A part that was wrong is sent again, and the whole is right then.
  await send(2, randomBytes(bytes.length));
  const right = { checksums: { crc64nvme: undefined, md5: hash("md5", bytes) } };
  refused(await complete(server, upload.id, right), 400, "checksum_mismatch");
  await send(2);
  const done = await complete(server, upload.id, right);
  assert.equal(done.status, 201, done.text);
  assert.deepEqual((await server.call("GET", "/v1/objects/b/k")).body, bytes);
});

test("a signature is good for its part, its length, PUT and its time, and for nothing else", async (t) => {
  const server = await start(t);
  const upload = await begin(server, { length: 2 * partBytes + 5, partBytes });
  const other = await begin(server, { key: "other", length: 2 * partBytes + 5, partBytes });
  const request = requestOf(upload, 1);
  const bytes = randomBytes(partBytes);
  for (const wrong of [
    { ...request, url: request.url.replace("/parts/1", "/parts/2") },
    { ...request, url: request.url.replace("/parts/1", "/parts/9999") },
    { ...request, url: request.url.replace(upload.id, other.id) },
    { ...request, url: request.url.replace(/expires=(\d+)/, (_, at) => `expires=${+at + 1}`) },
    { ...request, url: request.url.replace(/signature=./, "signature=_") },
    { ...request, url: request.url.replace(/signature=.*/, "signature=") },
  ]) {
    refused(await sendSigned(server, wrong, bytes), 403, "access_denied");
  }
  const unsigned = { ...request, url: request.url.replace(/\?.*/, "") };
  refused(await sendSigned(server, unsigned, bytes), 401, "unauthenticated");
  for (const method of ["GET", "POST", "PATCH", "DELETE"]) {
    const answer = await sendSigned(server, request, "", { method });
    assert.equal(answer.status, 405, method);
  }
  for (const length of [partBytes - 1, partBytes + 1, 0]) {
    const answer = await sendSigned(server, request, randomBytes(length));
    refused(answer, 400, "incomplete_body");
    const chunked = { headers: { "transfer-encoding": "chunked" } };
    const streamed = await sendSigned(server, request, randomBytes(length), chunked);
    refused(streamed, 400, "incomplete_body");
  }
  const md5 = { headers: { "content-md5": Buffer.alloc(16).toString("base64") } };
  refused(await sendSigned(server, request, bytes, md5), 400, "checksum_mismatch");
  const two = { headers: { authorization: basic(server.key) } };
  refused(await sendSigned(server, request, bytes, two), 400, "invalid_request");
  const { transfer } = (await server.call("GET", `/v1/uploads/${upload.id}?parts`))
    .json as unknown as DirectUploadJson;
  assert(transfer.kind === "parts");
  assert.deepEqual(transfer.parts, [], "nothing of it was stored");
  assert.equal((await sendSigned(server, request, bytes)).status, 200);
  server.advance(60 * 60 * 1000);
  refused(await sendSigned(server, request, bytes), 403, "expired");
  const again = await server.call("POST", `/v1/uploads/${upload.id}/requests`, {
    body: { partNumbers: [1] },
  });
  const { requests } = again.json as { requests: Record<number, never> };
  assert.equal((await sendSigned(server, requests[1] ?? assert.fail(), bytes)).status, 200);
});

test("a signature ends with the permission of the key that it came from", async (t) => {
  const server = await start(t);
  const policy = [{ buckets: ["b"], actions: ["object:write"] }];
  const made = await server.call("POST", "/v1/keys", { body: { name: "writer", policy } });
  const key = { id: String(made.json.id), secret: String(made.json.secret) };
  const upload = await begin(server, { length: 3 }, { as: key });
  const narrower = [{ buckets: ["b"], prefixes: ["other/"], actions: ["object:write"] }];
  await server.call("PATCH", `/v1/keys/${key.id}`, { body: { policy: narrower } });
  refused(await sendSigned(server, requestOf(upload), "abc"), 403, "access_denied");
  await server.call("PATCH", `/v1/keys/${key.id}`, { body: { policy } });
  assert.equal((await sendSigned(server, requestOf(upload), "abc")).status, 200);
  await server.call("PATCH", `/v1/keys/${key.id}`, { body: { enabled: false } });
  refused(await sendSigned(server, requestOf(upload), "abc"), 403, "access_denied");
  refused(await complete(server, upload.id, {}, { as: key }), 401, "unauthenticated");
  refused(await complete(server, upload.id, {}, { as: "nobody" }), 401, "unauthenticated");
  await server.call("DELETE", `/v1/keys/${key.id}`);
  refused(await sendSigned(server, requestOf(upload), "abc"), 403, "access_denied");
});

test("everything that a grant limits is judged when the upload begins", async (t) => {
  const server = await start(t);
  const headers = await grantOf(server, {
    prefix: "in/",
    minBytes: 10,
    maxBytes: 100,
    contentTypes: ["image/*"],
  });
  const attempt = (body: object, other: object = headers) =>
    server.call("POST", "/v1/uploads", {
      as: "nobody",
      headers: other as Record<string, string>,
      body: { bucket: "b", key: "in/a", length: 50, ...body },
    });
  refused(await attempt({ key: "out/a" }), 403, "access_denied");
  refused(await attempt({ bucket: "other" }), 403, "access_denied");
  refused(await attempt({ length: 9 }), 400, "too_small");
  refused(await attempt({ length: 101 }), 413, "too_large");
  refused(await attempt({ contentType: "text/html" }), 415, "content_type_refused");
  const nameless = { body: { bucket: "b", length: 50 } };
  refused(await server.call("POST", "/v1/uploads", nameless), 400, "invalid_request");
  refused(await attempt({}, {}), 401, "unauthenticated");
  const reading = await grantOf(server, { prefix: "in/", actions: ["object:read"] });
  refused(await attempt({}, reading), 403, "access_denied");
  const putting = await grantOf(server, { prefix: "in/", methods: ["PUT"] });
  refused(await attempt({}, putting), 403, "access_denied");
  assert.deepEqual((await server.call("GET", "/v1/uploads")).json.uploads, []);
  const exact = await grantOf(server, { key: "in/only" });
  const only = await attempt({ key: undefined }, exact);
  assert.deepEqual([only.status, only.json.key], [201, "in/only"]);
  const made = await attempt({ key: undefined, filename: "C:\\a b.JPG" });
  assert.match(String(made.json.key), /^in\/[^/]+\/a b\.JPG$/);
});

test("everything that a grant limits is judged again by the bytes, when the upload is completed", async (t) => {
  const server = await start(t);
  const png = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64",
  );
  const page = Buffer.from("<!doctype html><script>alert(1)</script>".padEnd(png.length));
  const headers = await grantOf(server, { prefix: "in/", contentTypes: ["image/*"] });
  const as = { as: "nobody", headers } as const;
  const asked = { key: "in/a", length: png.length, contentType: "image/png" };
  const upload = await begin(server, asked, as);
  await sendSigned(server, requestOf(upload), page);
  const wrong = await complete(server, upload.id, {}, as);
  refused(wrong, 415, "content_type_refused");
  assert.equal((await server.call("GET", "/v1/objects/b/in/a")).status, 404);
  const narrow = await grantOf(server, { prefix: "in/", maxBytes: 10 });
  refused(
    await complete(server, upload.id, {}, { as: "nobody", headers: narrow }),
    413,
    "too_large",
  );
  const elsewhere = await grantOf(server, { prefix: "out/" });
  for (const path of ["complete", "requests"]) {
    const other = { as: "nobody", headers: elsewhere, body: {} } as const;
    const answer = await server.call("POST", `/v1/uploads/${upload.id}/${path}`, other);
    refused(answer, 404, "upload_not_found");
  }
  await sendSigned(server, requestOf(upload), png);
  const done = await complete(server, upload.id, {}, as);
  assert.deepEqual([done.status, done.json.contentType], [201, "image/png"]);
});

test("the bucket's limits, its quota and createOnly hold", async (t) => {
  const bucket = { maxObjectBytes: 50, quotaBytes: 60, contentTypes: ["text/plain"] };
  const server = await start(t, bucket);
  const attempt = (body: object) =>
    server.call("POST", "/v1/uploads", { body: { bucket: "b", key: "k", length: 40, ...body } });
  refused(await attempt({ length: 51 }), 413, "too_large");
  refused(await attempt({ contentType: "image/png" }), 415, "content_type_refused");
  const upload = await begin(server, { length: 40, createOnly: true, contentType: "text/plain" });
  refused(await attempt({ length: 21 }), 507, "quota_exceeded");
  await sendSigned(server, requestOf(upload), "a".repeat(40));
  await server.call("PUT", "/v1/objects/b/k", { body: "first", headers: textType });
  refused(await complete(server, upload.id), 412, "precondition_failed");
  refused(await attempt({ createOnly: true }), 412, "precondition_failed");
  await server.call("DELETE", "/v1/objects/b/k");
  assert.equal((await complete(server, upload.id)).status, 201);
  refused(await attempt({ length: 21, key: "more" }), 507, "quota_exceeded");
  assert.equal((await attempt({ length: 20, key: "more" })).status, 201);
  refused(await attempt({ bucket: "none" }), 404, "bucket_not_found");
});

const textType = { "content-type": "text/plain" };

test("a malformed request names its field", async (t) => {
  const server = await start(t);
  for (const [body, field] of [
    [{ length: -1 }, "length"],
    [{ length: 1.5 }, "length"],
    [{}, "length"],
    [{ length: 1, checksums: { sha256: "xy" } }, "checksums.sha256"],
    [{ length: 1, checksums: { sha1: "xy" } }, "checksums.sha1"],
    [{ length: 1, via: "ftp" }, "via"],
    [{ length: 1, partBytes: "much" }, "partBytes"],
    [{ length: 1, instant: true }, "checksums.sha256"],
    [{ length: 1, other: 1 }, "other"],
  ] as const) {
    const answer = await server.call("POST", "/v1/uploads", {
      body: { bucket: "b", key: "k", ...body },
    });
    refused(answer, 400, "invalid_request");
    assert.equal(answer.json.field, field, answer.text);
  }
  const bad = { bucket: "b", key: "a/../b", length: 1 };
  refused(await server.call("POST", "/v1/uploads", { body: bad }), 400, "invalid_key");
  const type = { bucket: "b", key: "k", length: 1, contentType: "no type" };
  refused(await server.call("POST", "/v1/uploads", { body: type }), 400, "invalid_request");
  const far = { bucket: "b", key: "k", length: 1, via: "storage" };
  refused(await server.call("POST", "/v1/uploads", { body: far }), 501, "unsupported");
  const metadata = { bucket: "b", key: "k", length: 1, metadata: { a: "x".repeat(3000) } };
  refused(await server.call("POST", "/v1/uploads", { body: metadata }), 413, "too_large");
});

test("it is listed, cancelled and given up like every upload; what was signed ends with it", async (t) => {
  const server = await start(t, { uploadExpiry: "1 h" });
  const upload = await begin(server, { length: 2 * partBytes, partBytes });
  const bytes = randomBytes(partBytes);
  await sendSigned(server, requestOf(upload, 1), bytes);
  const { uploads } = (await server.call("GET", "/v1/uploads")).json as { uploads: object[] };
  assert.equal(uploads.length, 1);
  const { id, protocol, phase, offset, length } = uploads[0] as Record<string, unknown>;
  assert.deepEqual(
    [id, protocol, phase, offset, length],
    [upload.id, "direct", "receiving", partBytes, 2 * partBytes],
  );
  const append = await server.call("PATCH", `/v1/uploads/${upload.id}`, {
    headers: { "upload-offset": "0", "content-type": "application/partial-upload" },
    body: "x",
  });
  assert.equal(append.status, 405, "no bytes come by another protocol");
  assert.equal((await server.call("DELETE", `/v1/uploads/${upload.id}`)).status, 204);
  refused(await sendSigned(server, requestOf(upload, 2), bytes), 404, "upload_not_found");
  refused(await complete(server, upload.id), 404, "upload_not_found");
  const abandoned = await begin(server, { length: 1 });
  server.advance(59 * 60 * 1000);
  await server.call("POST", `/v1/uploads/${abandoned.id}/requests`, { body: {} });
  server.advance(59 * 60 * 1000);
  assert.equal((await server.call("GET", `/v1/uploads/${abandoned.id}?parts`)).status, 200);
  server.advance(60 * 60 * 1000);
  refused(await server.call("GET", `/v1/uploads/${abandoned.id}?parts`), 404, "upload_not_found");
  const tus = await server.call("GET", `/v1/uploads/${"0".repeat(32)}?parts`);
  refused(tus, 404, "upload_not_found");
});

test("an empty upload is one empty part", async (t) => {
  const server = await start(t);
  const upload = await begin(server, { length: 0 });
  refused(await complete(server, upload.id), 400, "invalid_part");
  assert.equal((await sendSigned(server, requestOf(upload), "")).status, 200);
  assert.equal((await complete(server, upload.id)).status, 201);
  assert.equal((await server.call("GET", "/v1/objects/b/k")).body.length, 0);
});

test("pages may send a part and read its ETag", async (t) => {
  const server = await start(t);
  const upload = await begin(server, { length: 3 });
  const { pathname, search } = new URL(requestOf(upload).url);
  const preflight = await server.call("OPTIONS", pathname + search, {
    as: "nobody",
    headers: { origin: "https://app.example", "access-control-request-method": "PUT" },
  });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers["access-control-allow-origin"], "*");
  assert.match(String(preflight.headers["access-control-allow-methods"]), /PUT/);
  const sent = await sendSigned(server, requestOf(upload), "abc", {
    headers: { origin: "https://app.example" },
  });
  assert.equal(sent.status, 200);
  assert.match(String(sent.headers["access-control-expose-headers"]), /ETag/);
});
