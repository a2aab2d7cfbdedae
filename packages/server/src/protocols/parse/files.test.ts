/** Files as curl and the mobile SDKs send them, read and deleted, without any configuration. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { asRoot, key, master, startParse } from "./testing.ts";

const nameOf = (fileName: string) =>
  new RegExp(`^[0-9a-f]{32}_${fileName.replaceAll(".", "\\.")}$`);

test("a file is saved, read by anybody who has its URL, in ranges too, and deleted with the master key", async (t) => {
  const { call, url, keys } = await startParse(t);
  const bytes = randomBytes(300_000);
  const saved = await call("POST", "/parse/files/photo.bin", { headers: master, body: bytes });
  assert.equal(saved.status, 201, saved.text);
  assert.deepEqual(Object.keys(saved.json).sort(), ["name", "url"]);
  const { name } = saved.json;
  assert.match(name, nameOf("photo.bin"));
  assert.equal(saved.json.url, `${url}/parse/files/${key.id}/${name}`);
  assert.equal(saved.headers.location, saved.json.url);
  assert.deepEqual(await keys(), [name]);

  const read = await call("GET", saved.json.url);
  assert.equal(read.status, 200);
  assert.deepEqual(read.body, bytes);
  assert.equal(read.headers["content-length"], "300000");
  assert.equal(read.headers["x-content-type-options"], "nosniff");
  assert.equal(read.headers["accept-ranges"], "bytes");
  assert.match(read.headers.etag ?? "", /^".+"$/);

  const range = await call("GET", saved.json.url, { headers: { range: "bytes=10-19" } });
  assert.equal(range.status, 206);
  assert.deepEqual(range.body, bytes.subarray(10, 20));
  assert.equal(range.headers["content-range"], "bytes 10-19/300000");
  assert.equal(range.headers["content-length"], "10");
  const beyond = await call("GET", saved.json.url, { headers: { range: "bytes=300000-" } });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers["content-range"], "bytes */300000");
  assert.equal(beyond.json.code, 601);

  const head = await call("HEAD", saved.json.url);
  assert.equal(head.status, 200);
  assert.equal(head.headers["content-length"], "300000");
  assert.equal(head.body.length, 0);
  const etag = read.headers.etag ?? "";
  const again = await call("GET", saved.json.url, { headers: { "if-none-match": etag } });
  assert.equal(again.status, 304);

  const id = { "x-parse-application-id": key.id };
  const refused = await call("DELETE", `/parse/files/${name}`, { headers: id });
  assert.equal(refused.status, 403);
  assert.equal(refused.json.error, "Permission denied");
  assert.equal((await call("GET", saved.json.url)).status, 200);
  const deleted = await call("DELETE", `/parse/files/${name}`, { headers: master });
  assert.equal(deleted.status, 200);
  assert.equal(deleted.text, "");
  const gone = await call("GET", saved.json.url);
  assert.equal(gone.status, 404);
  assert.match(gone.headers["content-type"] ?? "", /^application\/json/);
  assert.equal(gone.json.error, "File not found.");
  const twice = await call("DELETE", `/parse/files/${name}`, { headers: master });
  assert.equal(twice.status, 400);
  assert.equal(twice.json.code, 153);
});

test("HTTP Basic, a bearer and a body without a length do as well; a stream is the same with a header more", async (t) => {
  const { call } = await startParse(t);
  const basic = `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString("base64")}`;
  const pieces = [Buffer.from("one "), Buffer.from("two "), Buffer.from("three")];
  const ways = [{ authorization: basic }, asRoot, { ...master, "x-parse-upload-mode": "stream" }];
  for (const headers of ways) {
    const saved = await call("POST", "/parse/files/a.txt", { headers, body: pieces });
    assert.equal(saved.status, 201, saved.text);
    const read = await call("GET", saved.json.url);
    assert.equal(read.text, "one two three");
    assert.equal(read.headers["content-type"], "text/plain");
  }
});

test("what is saved here is an object for every other front end, and the other way round", async (t) => {
  const { call } = await startParse(t);
  const saved = await call("POST", "/parse/files/b.txt", { headers: master, body: "by Parse" });
  const byRest = await call("GET", `/v1/objects/parse/${saved.json.name}`, { headers: asRoot });
  assert.equal(byRest.text, "by Parse");
  const put = await call("PUT", "/v1/objects/parse/a%20b/%E6%96%87.txt", {
    headers: asRoot,
    body: "by REST",
  });
  assert.equal(put.status, 201);
  const byParse = await call("GET", `/parse/files/${key.id}/a%20b/%E6%96%87.txt`);
  assert.equal(byParse.text, "by REST");
  const gone = await call("DELETE", "/parse/files/a%20b/%E6%96%87.txt", { headers: master });
  assert.equal(gone.status, 200);
});

test("a bucket named parse that is private stays so", async (t) => {
  const { call } = await startParse(t);
  const made = await call("PUT", "/v1/buckets/parse", { headers: asRoot, body: "{}" });
  assert.equal(made.status, 201, made.text);
  const saved = await call("POST", "/parse/files/b.txt", { headers: master, body: "secret" });
  assert.equal(saved.status, 201);
  const read = await call("GET", saved.json.url);
  assert.equal(read.status, 403);
  assert.equal(read.json.error, "unauthorized");
  assert.equal((await call("GET", saved.json.url, { headers: master })).text, "secret");
});

test("who says nothing, something wrong, or too little is refused in Parse's words", async (t) => {
  const { call, blobs } = await startParse(t);
  const id = { "x-parse-application-id": key.id };
  const post = (headers: Record<string, string>, body: string | Uint8Array = "x") =>
    call("POST", "/parse/files/a.txt", { headers, body });
  const wrong = await post({ ...master, "x-parse-master-key": "wrong" });
  const unknown = await post({ ...master, "x-parse-application-id": "nobody" });
  const nobody = await post({});
  for (const { status, json } of [wrong, unknown, nobody]) {
    assert.equal(status, 403);
    assert.equal(json.error, "unauthorized");
    assert.equal(json.code, undefined);
  }
  const byPublic = await post(id);
  assert.equal(byPublic.status, 400);
  assert.deepEqual(byPublic.json, { code: 130, error: "File upload by public is disabled." });
  const empty = await post(master, "");
  assert.equal(empty.status, 400);
  assert.equal(empty.json.code, 130);
  const emptyStream = await call("POST", "/parse/files/a.txt", { headers: master, body: [] });
  assert.equal(emptyStream.json.code, 130);
  const nameless = await call("POST", "/parse/files", { headers: master, body: "x" });
  assert.deepEqual(nameless.json, { code: 122, error: "Filename not provided." });
  const session = await post({ ...id, "x-parse-session-token": "r:1" });
  assert.equal(session.status, 403);
  assert.equal(session.json.code, 119);
  const elsewhere = await call("GET", "/parse/classes/File", { headers: master });
  assert.equal(elsewhere.status, 404);
  assert.equal(elsewhere.json.code, 108);
  assert.equal((await call("GET", "/parse/files/%zz/x")).status, 400);
  assert.equal((await call("GET", "/parse/files/nobody/x")).status, 403);
  assert.equal(await blobs(), 0);
});

test("metadata that parse-server's adapter has stored is told as Parse knows it, and other JSON does no harm", async (t) => {
  const { call } = await startParse(t);
  await call("POST", "/parse/files/a.txt", { headers: master, body: "x" });
  const told = async (meta: Record<string, string>) => {
    const headers = { ...asRoot, ...meta };
    assert.ok((await call("PUT", "/v1/objects/parse/b.txt", { headers, body: "x" })).status < 300);
    const { metadata, tags } = (await call("GET", `/parse/files/${key.id}/metadata/b.txt`)).json;
    return { metadata, tags };
  };
  const metadata = { "roma-meta-parse-metadata": '{"By":"Z"}', "roma-meta-colour": "red" };
  assert.deepEqual(await told({ ...metadata, "roma-meta-parse-tags": '{"a":"1"}' }), {
    metadata: { By: "Z", colour: "red" },
    tags: { a: "1" },
  });
  const broken = await told({ "roma-meta-parse-tags": "{" });
  assert.deepEqual(broken, { metadata: { "parse-tags": "{" }, tags: undefined });
});
