/** The routes of a Companion, used as Uppy uses them: what they answer leads to whole objects, and no further. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { type CompanionServer, root, startCompanion } from "./testing.ts";

const MiB = 1024 * 1024;
const template = "p/{date}/{uuid}{ext}";
const made = /^p\/\d{4}-\d\d-\d\d\/[0-9a-f-]{36}\.jpg$/;
const json = { "content-type": "application/json" };

/** Sends the form that `/s3/params` described, with the file last. */
async function postForm(
  { call }: CompanionServer,
  { url, fields }: { readonly url: string; readonly fields: Readonly<Record<string, string>> },
  file: Uint8Array<ArrayBuffer>,
) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  form.set("file", new Blob([file]));
  return await call("POST", url, { body: form });
}

test("params: a form for one file, under the key of the grant, with its metadata", async (t) => {
  const server = await startCompanion(t);
  const headers = { authorization: server.bearer({ template, contentTypes: ["text/*"] }) };
  const query = new URLSearchParams({
    ...{ filename: "Käse 照片.JPG", type: "text/plain", "metadata[name]": "Käse 照片.JPG" },
    ...{ "metadata[relativePath]": "null", "metadata[type]": "text/plain", "metadata[a b]": "x" },
  });
  const { status, json: answer } = await server.call("GET", `/companion/s3/params?${query}`, {
    headers,
  });
  assert.equal(status, 200);
  assert.equal(answer.method, "POST");
  assert.equal(answer.url, `${server.url}/s3/demo`);
  assert.match(answer.fields.key, made);
  assert.ok(answer.expires > 3500 && answer.expires <= 3600);
  const posted = await postForm(server, answer, Buffer.from("hello"));
  assert.equal(posted.status, 201, posted.text);
  assert.equal(posted.headers.get("location"), `${server.url}/s3/demo/${answer.fields.key}`);
  const stored = await server.object(answer.fields.key);
  assert.equal(stored.text, "hello");
  assert.equal(decodeURIComponent(stored.headers.get("roma-meta-name") ?? ""), "Käse 照片.JPG");
  assert.equal(stored.headers.get("roma-meta-relativepath"), null);
  // Again: the key has a UUID, and nothing is replaced.
  assert.equal((await postForm(server, answer, Buffer.from("other"))).status, 412);
  assert.equal((await server.object(answer.fields.key)).text, "hello");
});

test("multipart: begun, signed one by one and in a batch, listed, completed, again", async (t) => {
  const server = await startCompanion(t);
  const headers = { authorization: server.bearer({ template, context: { user: 7 } }) };
  const begun = await server.call("POST", "/companion/s3/multipart", {
    headers: { ...headers, ...json },
    body: JSON.stringify({ filename: "A.JPG", type: "image/jpeg", metadata: { Album: "x", n: 1 } }),
  });
  assert.equal(begun.status, 200, begun.text);
  const { key, uploadId, bucket } = begun.json;
  assert.match(key, made);
  assert.equal(bucket, "demo");
  const at = `/companion/s3/multipart/${uploadId}`;
  const ofKey = new URLSearchParams({ key });
  const bodies = [randomBytes(5 * MiB), randomBytes(1000)];
  const one = await server.call("GET", `${at}/1?${ofKey}`, { headers });
  const batch = await server.call("GET", `${at}/batch?${ofKey}&partNumbers=2,3`, { headers });
  assert.deepEqual(Object.keys(batch.json.presignedUrls), ["2", "3"]);
  const urls = [one.json.url, batch.json.presignedUrls["2"] ?? ""];
  const etags: (string | null)[] = [];
  for (const [index, body] of bodies.entries()) {
    const put = await server.call("PUT", urls[index] ?? "", { body });
    assert.equal(put.status, 200, put.text);
    etags.push(put.headers.get("etag"));
  }
  const listed = await server.call("GET", `${at}?${ofKey}`, { headers });
  assert.deepEqual(listed.json, [
    { PartNumber: 1, ETag: etags[0], Size: 5 * MiB },
    { PartNumber: 2, ETag: etags[1], Size: 1000 },
  ]);
  const completing = () =>
    server.call("POST", `${at}/complete?${ofKey}`, {
      headers: { ...headers, ...json },
      body: JSON.stringify({ parts: listed.json }),
    });
  const location = `${server.url}/s3/demo/${key}`;
  const done = await completing();
  assert.deepEqual(done.json, { location, key, bucket: "demo" });
  assert.deepEqual((await completing()).json, done.json);
  const asRoot = { headers: { authorization: root } };
  const answer = await fetch(`${server.url}/v1/objects/demo/${key}`, asRoot);
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), Buffer.concat(bodies));
  assert.equal(answer.headers.get("roma-meta-album"), "x");
  assert.equal(answer.headers.get("roma-context"), '{"user":7}');
});

test("an upload in parts that is cancelled is gone, and so are its URLs", async (t) => {
  const server = await startCompanion(t);
  const headers = { authorization: server.bearer({ prefix: "in/" }), ...json };
  const begun = await server.call("POST", "/companion/s3/multipart", {
    headers,
    body: JSON.stringify({ filename: "a.bin" }),
  });
  const { key, uploadId } = begun.json;
  assert.match(key, /^in\/[0-9a-f]{32}\/a\.bin$/);
  const at = `/companion/s3/multipart/${uploadId}`;
  const { json: signed } = await server.call("GET", `${at}/1?key=${encodeURIComponent(key)}`, {
    headers,
  });
  const cancelled = await server.call("DELETE", `${at}?key=${encodeURIComponent(key)}`, {
    headers,
  });
  assert.deepEqual([cancelled.status, cancelled.json], [200, {}]);
  assert.equal((await server.call("PUT", signed.url, { body: "x" })).status, 404);
  const listed = await server.call("GET", `${at}?key=${encodeURIComponent(key)}`, { headers });
  assert.deepEqual([listed.status, listed.json.error], [404, "upload_not_found"]);
  assert.equal(typeof listed.json.message, "string");
});

test("sign: the key is made when an upload begins, and kept where the grant permits it", async (t) => {
  const server = await startCompanion(t);
  const sign = async (claims: object, body: object) =>
    await server.call("POST", "/companion/sign", {
      headers: { authorization: server.bearer(claims), ...json },
      body: JSON.stringify(body),
    });
  const uuid = "00000000-0000-4000-8000-000000000000";
  const asked = `${uuid}-Cat.JPG`;
  const byTemplate = await sign({ template }, { method: "PUT", key: asked });
  assert.match(byTemplate.json.key, made);
  const ofName = await sign({ template: "n/{filename}" }, { method: "PUT", key: asked });
  assert.equal(ofName.json.key, "n/Cat.JPG");
  const free = await sign({ prefix: "" }, { method: "PUT", key: asked });
  assert.equal(free.json.key, asked);
  const one = await sign({ key: "one" }, { method: "POST", key: asked });
  assert.equal(one.json.key, "one");
  const put = await server.call("PUT", byTemplate.json.url, {
    body: "hello",
    headers: { "content-type": "image/jpeg" },
  });
  assert.equal(put.status, 200, put.text);
  assert.equal((await server.object(byTemplate.json.key)).text, "hello");

  const created = await server.call("POST", one.json.url);
  assert.equal(created.status, 200, created.text);
  const [, uploadId = ""] = /<UploadId>(.*)<\/UploadId>/.exec(created.text) ?? [];
  const part = await sign({ key: "one" }, { method: "PUT", key: "one", uploadId, partNumber: 1 });
  const etag = (await server.call("PUT", part.json.url, { body: "whole" })).headers.get("etag");
  const complete = await sign({ key: "one" }, { method: "POST", key: "one", uploadId });
  const xml = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`;
  const done = await server.call("POST", complete.json.url, { body: xml });
  assert.equal(done.status, 200, done.text);
  assert.match(done.text, /<Location>.*\/s3\/demo\/one<\/Location>/);
  assert.equal((await server.object("one")).text, "whole");

  for (const body of [
    { method: "GET", key: "other", uploadId },
    { method: "PUT", key: "other", uploadId, partNumber: 1 },
    { method: "DELETE", key: "one" },
    { method: "GET", key: "one" },
  ]) {
    const refused = await sign({ key: "one" }, body);
    assert.equal(refused.json.error, "access_denied", JSON.stringify(body));
  }
  for (const body of [{}, { method: "HEAD", key: "k" }, { method: "PUT", key: "" }, [], null]) {
    assert.equal((await sign({ key: "one" }, body as object)).status, 400, JSON.stringify(body));
  }
});

test("a grant in the path serves clients that send no headers; two credentials are none", async (t) => {
  const server = await startCompanion(t);
  const bearer = server.bearer({ template });
  const grant = bearer.slice("Bearer ".length);
  const { status, json: answer } = await server.call(
    "GET",
    `/companion/~${grant}/s3/params?filename=a.jpg&type=image/jpeg`,
  );
  assert.equal(status, 200);
  assert.equal((await postForm(server, answer, Buffer.from("x"))).status, 201);
  const sts = await server.call("GET", `/companion/~${grant}/s3/sts`);
  assert.equal(sts.json.credentials.sessionToken, grant);
  assert.equal(sts.json.endpoint, `${server.url}/s3/demo`);
  assert.equal(sts.headers.get("cache-control"), "no-store");
  assert.equal(sts.headers.get("referrer-policy"), "no-referrer");

  const refusals: readonly [string, Readonly<Record<string, string>>, number][] = [
    ["/companion/s3/params", {}, 401],
    ["/companion/s3/params", { authorization: root }, 401],
    ["/companion/~x/s3/params", {}, 401],
    [`/companion/~${grant}x/s3/params`, {}, 401],
    [`/companion/~${grant}/s3/params`, { authorization: bearer }, 400],
    [`/companion/~${grant}/s3/params?grant=${grant}`, {}, 400],
    [`/companion/~${grant}/drive/list`, {}, 404],
    [`/companion/~${grant}/s3/multipart/x/0?key=a`, {}, 400],
    [`/companion/~${grant}/s3/multipart/x/10001?key=a`, {}, 400],
    [`/companion/~${grant}/s3/multipart/x/1`, {}, 400],
    [`/companion/~${grant}/s3/multipart/x?key=other`, {}, 403],
  ];
  for (const [target, headers, expected] of refusals) {
    const refused = await server.call("GET", target, { headers });
    assert.equal(refused.status, expected, `${target} ${refused.text}`);
    assert.equal(typeof refused.json.message, "string");
  }
});

test("what is signed ends with the grant, and is for its methods alone", async (t) => {
  const server = await startCompanion(t);
  const soon = { headers: { authorization: server.bearer({ template }, 60_000) } };
  const { json: form } = await server.call("GET", "/companion/s3/params?filename=a.jpg", soon);
  assert.ok(form.expires <= 60);
  server.advance(61_000);
  assert.equal((await postForm(server, form, Buffer.from("late"))).status, 403);
  const expired = await server.call("GET", "/companion/s3/params?filename=a.jpg", soon);
  assert.deepEqual([expired.status, expired.json.error], [403, "expired"]);
  const putOnly = { headers: { authorization: server.bearer({ template, methods: ["PUT"] }) } };
  const refused = await server.call("GET", "/companion/s3/params?filename=a.jpg", putOnly);
  assert.equal(refused.status, 403);
  assert.deepEqual(await server.keys(), []);
});

test("pages of other origins: by the server's origins, or the rules of the grant's bucket", async (t) => {
  const origin = "https://app.example";
  const server = await startCompanion(t, { http: { corsOrigins: [origin] } });
  const grant = server.bearer({ template }).slice("Bearer ".length);
  const preflight = (target: string, from: string) =>
    server.call("OPTIONS", target, {
      headers: {
        origin: from,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
      },
    });
  const allowed = await preflight("/companion/s3/multipart", origin);
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers.get("access-control-allow-origin"), origin);
  assert.match(allowed.headers.get("access-control-allow-headers") ?? "", /authorization/);
  const other = await preflight("/companion/s3/multipart", "https://evil.example");
  assert.equal(other.headers.get("access-control-allow-origin"), null);
  const get = await server.call("GET", `/companion/~${grant}/s3/params?filename=a.jpg`, {
    headers: { origin },
  });
  assert.match(get.headers.get("access-control-expose-headers") ?? "", /ETag/);
  const refused = await server.call("GET", "/companion/s3/params", { headers: { origin } });
  assert.equal(refused.headers.get("access-control-allow-origin"), origin);
});
