/** The listener for S3 alone, and buckets named by the host. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { GetObjectCommand, ListBucketsCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { serverAuthor } from "../../core/ports/author.ts";
import { silentLog } from "../../core/ports/log.ts";
import { bucket } from "../../metadata/conformance-samples.ts";
import { openSqliteStore } from "../../metadata/index.ts";
import { key, send, startS3 } from "./testing.ts";
import { signedHeaders } from "./testing-signature.ts";

test("the S3 listener has the interface at its root, and nothing else", async (t) => {
  const s3 = await startS3(t, { s3: { port: 0 } });
  assert.ok(s3.s3Url !== undefined);
  const client = s3.client({ endpoint: s3.s3Url });
  await client.send(new PutObjectCommand({ Bucket: "demo", Key: "v1/buckets", Body: "hello" }));
  const { Body } = await client.send(new GetObjectCommand({ Bucket: "demo", Key: "v1/buckets" }));
  assert.equal(await Body?.transformToString(), "hello");
  const { Buckets } = await client.send(new ListBucketsCommand({}));
  assert.deepEqual(
    Buckets?.map(({ Name }) => Name),
    ["demo"],
  );
  const { hostname, port, host } = new URL(s3.s3Url);
  const bad = await send({ hostname, port, method: "GET", path: "/demo/%ff" }, { host });
  assert.deepEqual([bad.status, bad.code], [400, "InvalidURI"]);
  const headers = { host, origin: "https://a.example", "access-control-request-method": "PUT" };
  const preflight = await send({ hostname, port, method: "OPTIONS", path: "/demo/k" }, headers);
  assert.equal(preflight.headers["access-control-allow-origin"], "*");
  // The same object, seen through the other listener.
  assert.equal((await s3.call("GET", "/s3/demo/v1/buckets")).text, "hello");
});

test("a host under a configured domain names the bucket, and others do not", async (t) => {
  const s3 = await startS3(t, { s3: { port: 0, domains: ["s3.example", "eu.s3.example"] } });
  const { hostname, port } = new URL(s3.s3Url ?? "");
  const ask = (method: string, host: string, target: string, body = "") => {
    const headers = signedHeaders({ method, target, headers: { host }, body }, key, new Date());
    return send({ hostname, port, method, path: target }, headers, body);
  };
  assert.equal((await ask("PUT", "demo.s3.example", "/a/b", "one")).status, 200);
  assert.equal((await ask("GET", "DEMO.s3.example:80", "/a/b")).text, "one");
  assert.equal((await ask("GET", "demo.eu.s3.example", "/a/b")).text, "one");
  assert.equal((await ask("GET", "s3.example", "/demo/a/b")).text, "one");
  assert.equal((await ask("GET", "other.test", "/demo/a/b")).text, "one");
  assert.equal((await ask("GET", "127.0.0.1", "/demo/a/b")).text, "one");
  assert.match((await ask("GET", "demo.s3.example", "/?list-type=2")).text, /<Key>a\/b<\/Key>/);
  assert.match((await ask("GET", "s3.example", "/")).text, /ListAllMyBucketsResult/);
  assert.equal((await ask("GET", "none.s3.example", "/")).code, "NoSuchBucket");
  // A slash at the start of the key is the key's own.
  assert.equal((await ask("PUT", "demo.s3.example", "//slash", "two")).status, 200);
  assert.equal((await ask("GET", "s3.example", "/demo//slash")).text, "two");
});

test("odd keys reach their own object over either form of address", async (t) => {
  const s3 = await startS3(t);
  const targets = [
    "a//b",
    "a/",
    "a",
    "%2Fa",
    "/a",
    "a+b",
    "a%20b",
    "a%2Bc",
    "a%25b",
    "%3Fa&b",
    "%01",
  ];
  for (const [index, target] of targets.entries()) {
    const { status, text } = await s3.call("PUT", `/s3/demo/${target}`, { body: `${index}` });
    assert.equal(status, 200, text);
  }
  const last = new Map([
    ["%2Fa", 4],
    ["/a", 4],
  ]);
  for (const [index, target] of targets.entries()) {
    const { text } = await s3.call("GET", `/s3/demo/${target}`);
    assert.equal(text, `${last.get(target) ?? index}`, target);
  }
});

test("no bucket is made that is called s3, and one that there is answers where it cannot be mistaken", async (t) => {
  const data = await mkdtemp(join(tmpdir(), "roma-bucket-s3-"));
  await using store = await openSqliteStore({
    path: join(data, "metadata.sqlite"),
    log: silentLog,
  });
  await store.createBucket(bucket("s3"), { author: serverAuthor("test") });
  await store[Symbol.asyncDispose]();
  const s3 = await startS3(t, { data, s3: { port: 0 } });
  // After the server, which has it open until then.
  t.after(() => rm(data, { recursive: true, force: true, maxRetries: 5 }));
  await s3.call("PUT", "/s3/demo/k", { body: "of demo" });
  assert.equal((await s3.call("PUT", "/s3/s3/demo/k", { body: "of s3" })).status, 200);
  assert.equal((await s3.call("GET", "/s3/s3/demo/k")).text, "of s3");
  // What is signed for the main listener, and would be key demo/k of the bucket s3 here.
  const { hostname, port } = new URL(s3.s3Url ?? "");
  const headers = { host: new URL(s3.url).host };
  const request = { method: "GET", target: "/s3/demo/k", headers, body: "" };
  const strayed = { hostname, port, method: "GET", path: request.target };
  const answer = await send(strayed, signedHeaders(request, key, new Date()));
  assert.deepEqual([answer.status, answer.code], [400, "InvalidBucketName"]);
  assert.match(answer.text, /\/s3\/s3/);
  assert.equal((await s3.call("DELETE", "/s3/s3/demo/k")).status, 204);
  assert.equal((await s3.call("DELETE", "/s3/s3")).status, 204);
  assert.equal((await s3.call("PUT", "/s3/s3")).code, "InvalidBucketName");
  const authorization = `Basic ${btoa(`${key.keyId}:${key.secret}`)}`;
  const made = await fetch(`${s3.url}/v1/buckets/s3`, {
    method: "PUT",
    headers: { authorization },
  });
  assert.equal(made.status, 400);
  assert.match(await made.text(), /bucket name must not be s3/);
});

test("a signature leads to no other bucket, however its path is spelled on the way", async (t) => {
  const s3 = await startS3(t);
  const authorization = `Basic ${btoa(`${key.keyId}:${key.secret}`)}`;
  const url = `${s3.url}/v1/buckets/33`;
  assert.equal((await fetch(url, { method: "PUT", headers: { authorization } })).status, 201);
  // All of these are signed as /s3/demo/k, since the bytes that they encode are its own.
  for (const target of ["/s%33/demo/k", "/%733/demo/k", "/%73%33/demo/k"]) {
    const { status, code } = await s3.call("PUT", target, { body: "stray" });
    assert.deepEqual([status, code], [400, "InvalidURI"], target);
  }
  assert.equal((await s3.call("HEAD", "/s3/33/demo/k")).status, 404);
  assert.equal((await s3.call("HEAD", "/s3/demo/k")).status, 404);
});

test("a signature leads to no other key where a proxy takes a prefix off the path", async (t) => {
  const publicUrl = "https://files.example/roma";
  const s3 = await startS3(t, { publicUrl, s3: { port: 0 } });
  const { hostname, port } = new URL(s3.s3Url ?? "");
  await s3.call("PUT", "/s3/roma");
  // `signed` is the path that the client has, `path` what comes here of it.
  const ask = (method: string, signed: string, path: string, body = "") => {
    const request = { method, target: signed, headers: { host: "files.example" }, body };
    const to = { hostname, port, method, path };
    return send(to, signedHeaders(request, key, new Date()), body);
  };
  assert.equal((await ask("PUT", "/roma/demo/k", "/demo/k", "of demo")).status, 200);
  assert.equal((await ask("PUT", "/roma/roma/demo/k", "/roma/demo/k", "of roma")).status, 200);
  // Signed for demo, and sent around the proxy, or with the prefix twice through it.
  const strayed = await ask("GET", "/roma/demo/k", "/roma/demo/k");
  assert.equal(strayed.code, "SignatureDoesNotMatch");
  assert.equal((await ask("GET", "/roma/demo/k", "/demo/k")).text, "of demo");
  assert.equal((await ask("GET", "/roma/roma/demo/k", "/roma/demo/k")).text, "of roma");
  assert.equal((await ask("GET", "/demo/k", "/demo/k")).text, "of demo");
});

test("a signature for a bucket's host leads to one key on both listeners", async (t) => {
  const s3 = await startS3(t, { s3: { port: 0, domains: ["s3.example"] } });
  const ask = (origin: string | undefined, method: string, target: string, body = "") => {
    const { hostname, port } = new URL(origin ?? "");
    const request = { method, target, headers: { host: "demo.s3.example" }, body };
    const to = { hostname, port, method, path: target };
    return send(to, signedHeaders(request, key, new Date()), body);
  };
  await s3.call("PUT", "/s3/demo/k", { body: "k" });
  assert.equal((await ask(s3.s3Url, "PUT", "/s3/k", "s3/k")).status, 200);
  const strayed = await ask(s3.url, "GET", "/s3/k");
  assert.deepEqual([strayed.status, strayed.code], [400, "InvalidURI"]);
  const alone = await startS3(t, { s3: { domains: ["s3.example"] } });
  await alone.call("PUT", "/s3/demo/k", { body: "k" });
  assert.equal((await ask(alone.url, "GET", "/s3/k")).text, "k");
});
