/** Direct uploads by a form that this server has signed: what it takes, and what it refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DirectUploadJson, SignedFormJson } from "@roma/contract";
import { begin, complete, hash, refused } from "./direct-testing.ts";
import { basic, type RestServer, startRest } from "./testing.ts";

type Context = Parameters<typeof startRest>[0];

async function start(t: Context, bucket: object = {}): Promise<RestServer> {
  const server = await startRest(t);
  assert.equal((await server.call("PUT", "/v1/buckets/b", { body: bucket })).status, 201);
  return server;
}

function formOf({ transfer }: DirectUploadJson): SignedFormJson {
  assert(transfer.kind === "form", transfer.kind);
  return transfer.form;
}

interface Posted {
  readonly fields?: Readonly<Record<string, string>>;
  readonly files?: readonly string[];
  readonly after?: Readonly<Record<string, string>>;
  readonly headers?: Record<string, string>;
}

async function post(server: RestServer, form: SignedFormJson, posted: Posted = {}) {
  const { fields = form.fields, files = ["hello, form"], after = {}, headers = {} } = posted;
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  for (const file of files) body.append("file", new Blob([file]), "a.txt");
  for (const [name, value] of Object.entries(after)) body.append(name, value);
  const request = new Request("http://form.test", { method: "POST", body });
  const { pathname, search } = new URL(form.url);
  return await server.call(form.method, pathname + search, {
    as: "nobody",
    headers: { "content-type": request.headers.get("content-type") ?? "", ...headers },
    body: Buffer.from(await request.arrayBuffer()),
  });
}

test("a signed form brings the bytes, and completing makes the object", async (t) => {
  const server = await start(t);
  const upload = await begin(server, { length: 11, form: true, contentType: "text/plain" });
  assert.equal(upload.via, "server");
  assert(upload.transfer.kind === "form");
  assert.equal(upload.transfer.received, null);
  const form = formOf(upload);
  assert.equal(new URL(form.url).pathname, `/v1/uploads/${upload.id}/form`);
  const refusal = await complete(server, upload.id);
  refused(refusal, 400, "invalid_part");
  assert.equal(refusal.json.reason, "missing");
  const sent = await post(server, form, { after: { ignored: "x" } });
  assert.equal(sent.status, 201, sent.text);
  assert.equal(sent.headers.etag, `"${hash("md5", "hello, form")}"`);
  const seen = await server.call("GET", `/v1/uploads/${upload.id}?parts`);
  const { transfer } = seen.json as unknown as DirectUploadJson;
  assert(transfer.kind === "form");
  assert.deepEqual(transfer.received, { length: 11, etag: hash("md5", "hello, form") });
  // Posted again before the end: the last one counts.
  const again = await server.call("POST", `/v1/uploads/${upload.id}/requests`, { body: {} });
  assert.deepEqual(again.json.requests, {});
  const second = await post(server, again.json.form as SignedFormJson, { files: ["HELLO, FORM"] });
  assert.equal(second.status, 201, second.text);
  const done = await complete(server, upload.id);
  assert.equal(done.status, 201, done.text);
  assert.equal(done.json.contentType, "text/plain");
  refused(await post(server, form), 404, "upload_not_found");
  assert.equal((await server.call("GET", "/v1/objects/b/k")).text, "HELLO, FORM");
});

test("what is not the signed form stores nothing", async (t) => {
  const server = await start(t);
  const upload = await begin(server, { length: 11, form: true });
  const form = formOf(upload);
  const { signature = "" } = form.fields;
  const cases: readonly (readonly [Posted, number, string])[] = [
    [{ files: ["short"] }, 400, "incomplete_body"],
    [{ files: ["more than was said"] }, 400, "incomplete_body"],
    [{ files: [] }, 400, "invalid_request"],
    [{ fields: { signature } }, 401, "unauthenticated"],
    [{ fields: {}, after: form.fields }, 401, "unauthenticated"],
    [{ fields: { ...form.fields, expires: "99999999999" } }, 403, "access_denied"],
    [{ fields: { ...form.fields, signature: `${signature}x` } }, 403, "access_denied"],
    [{ fields: { ...form.fields, more: "x".repeat(21_000) } }, 413, "too_large"],
    [{ headers: { authorization: basic(server.key) } }, 403, "access_denied"],
  ];
  for (const [posted, status, code] of cases) {
    refused(await post(server, form, posted), status, code);
  }
  // A signature for a form is none for a part, nor the other way round.
  const other = await begin(server, { key: "other", length: 11 });
  assert(other.transfer.kind === "put");
  const { searchParams } = new URL(other.transfer.request.url);
  const url = form.url.replace(upload.id, other.id);
  const fields = Object.fromEntries(searchParams);
  refused(await post(server, { ...form, url }, { fields }), 403, "access_denied");
  refused(await complete(server, upload.id), 400, "invalid_part");
  server.advance(3_600_000);
  refused(await post(server, form), 403, "expired");
  assert.equal((await server.call("GET", "/v1/objects/b?prefix=")).json.objects?.toString(), "");
});

test("an empty file comes by a form as well; a form larger than any is refused at the beginning", async (t) => {
  const server = await start(t);
  const upload = await begin(server, { length: 0, form: true });
  assert.equal((await post(server, formOf(upload), { files: [""] })).status, 201);
  assert.equal((await complete(server, upload.id)).json.size, 0);
  const body = { bucket: "b", key: "k", length: 5 * 1024 ** 3 + 1, form: true };
  const tooLarge = await server.call("POST", "/v1/uploads", { body });
  refused(tooLarge, 413, "too_large");
  assert.equal(tooLarge.json.maxBytes, 5 * 1024 ** 3);
  const via = { ...body, length: 1, via: "storage" };
  refused(await server.call("POST", "/v1/uploads", { body: via }), 501, "unsupported");
});
