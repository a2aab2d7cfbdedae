/** Presigned URLs: good for what was signed, metadata in the query included, and for nothing else. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { key as rootKey, type S3Server, startS3 } from "../testing.ts";
import { presigned as presignedTarget } from "../testing-signature.ts";

/** As SDKs make them: everything in the query, `host` the one signed header unless others are given. */
function presigned(
  s3: S3Server,
  method: string,
  path: string,
  more: Readonly<Record<string, string>> = {},
  headers: Readonly<Record<string, string>> = {},
): string {
  const { host } = new URL(s3.url);
  const pairs = Object.entries(more).map((pair) => pair.map(encodeURIComponent).join("="));
  const target = pairs.length === 0 ? path : `${path}?${pairs.join("&")}`;
  return s3.url + presignedTarget({ method, target, headers: { host, ...headers } }, rootKey);
}

test("a presigned put takes metadata and tags from its query, and the SDK's empty checksum not", async (t) => {
  const s3 = await startS3(t);
  const url = presigned(s3, "PUT", "/s3/demo/k", {
    "x-amz-meta-name": "größe 1",
    "x-amz-tagging": "a=1&b=2",
    "x-amz-checksum-crc32": "AAAAAA==",
    "x-amz-sdk-checksum-algorithm": "CRC32",
    "x-id": "PutObject",
  });
  const put = await fetch(url, { method: "PUT", body: "bytes" });
  assert.equal(put.status, 200, await put.text());
  const got = await s3.call("GET", "/s3/demo/k");
  assert.equal(got.text, "bytes");
  assert.equal(got.headers["x-amz-meta-name"], Buffer.from("größe 1").toString("latin1"));
  assert.equal(got.headers["x-amz-tagging-count"], "2");
});

test("a checksum in a header of a presigned put is compared once it is signed, and refused if not", async (t) => {
  const s3 = await startS3(t);
  const url = presigned(s3, "PUT", "/s3/demo/k");
  const headers = { "x-amz-checksum-crc32": "AAAAAA==" };
  const put = await fetch(url, { method: "PUT", body: "bytes", headers });
  assert.equal(put.status, 403);
  const md5 = createHash("md5").update("other").digest("base64");
  const wrong = await fetch(url, { method: "PUT", body: "bytes", headers: { "content-md5": md5 } });
  assert.equal(wrong.status, 400);
  assert.match(await wrong.text(), /BadDigest/);
  assert.equal((await s3.call("HEAD", "/s3/demo/k")).status, 404);
});

test("a presigned put copies nothing: its source was not signed", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/secret", { body: "secret" });
  const url = presigned(s3, "PUT", "/s3/demo/k");
  const headers = { "x-amz-copy-source": "demo/secret" };
  assert.equal((await fetch(url, { method: "PUT", headers })).status, 403);
  const inQuery = presigned(s3, "PUT", "/s3/demo/k", { "x-amz-copy-source": "demo/secret" });
  const empty = await fetch(inQuery, { method: "PUT" });
  assert.equal(empty.status, 501);
  assert.equal((await s3.call("HEAD", "/s3/demo/k")).status, 404);
});

test("a presigned read serves its own key and method, with the headers it signed", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/k", { body: "bytes" });
  await s3.call("PUT", "/s3/demo/other", { body: "other" });
  const url = presigned(s3, "GET", "/s3/demo/k", {
    "response-content-disposition": 'attachment; filename="a b.txt"',
  });
  const got = await fetch(url);
  assert.equal(await got.text(), "bytes");
  assert.equal(got.headers.get("content-disposition"), 'attachment; filename="a b.txt"');
  assert.equal((await fetch(url, { method: "HEAD" })).status, 403);
  assert.equal((await fetch(url, { method: "PUT", body: "x" })).status, 403);
  assert.equal((await fetch(url.replace("/demo/k", "/demo/other"))).status, 403);
  assert.equal((await fetch(url.replace("attachment", "inline"))).status, 403);
  s3.advance(61_000);
  assert.equal((await fetch(url)).status, 403);
});

test("what no header could carry is refused in a query, and the object stays readable", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/k", { body: "before" });
  for (const name of ["x-amz-meta-a\nb", "x-amz-meta-a b", "x-amz-meta-ü", "x-amz-meta-a:b"]) {
    const put = await fetch(presigned(s3, "PUT", "/s3/demo/k", { [name]: "1" }), {
      method: "PUT",
      body: "after",
    });
    assert.equal(put.status, 400, name);
    assert.match(await put.text(), /InvalidArgument/);
  }
  assert.equal((await s3.call("GET", "/s3/demo/k")).text, "before");
  // A value that no header carries is kept all the same, and counted.
  const url = presigned(s3, "PUT", "/s3/demo/k", { "x-amz-meta-a": "1\r\nset-cookie: a=b" });
  assert.equal((await fetch(url, { method: "PUT", body: "after" })).status, 200);
  const got = await s3.call("GET", "/s3/demo/k");
  assert.deepEqual([got.text, got.headers["x-amz-missing-meta"]], ["after", "1"]);
  assert.equal(got.headers["set-cookie"], undefined);
});

test("a copy that is presigned counts what its query says of the copy", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/source", { body: "bytes", headers: { "x-amz-meta-a": "1" } });
  const query = { "x-amz-metadata-directive": "REPLACE", "x-amz-meta-b": "2" };
  const url = presigned(s3, "PUT", "/s3/demo/k", query, { "x-amz-copy-source": "demo/source" });
  const headers = { "x-amz-copy-source": "demo/source" };
  const copied = await fetch(url, { method: "PUT", headers });
  assert.equal(copied.status, 200, await copied.text());
  const got = await s3.call("GET", "/s3/demo/k");
  assert.equal(got.text, "bytes");
  assert.deepEqual([got.headers["x-amz-meta-a"], got.headers["x-amz-meta-b"]], [undefined, "2"]);
});
