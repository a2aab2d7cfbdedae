/** Who may do what: every operation asks, copies on both ends, and lists of keys key by key. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { test } from "node:test";
import { key as rootKey, type S3Server, startS3 } from "../testing.ts";
import type { SigningKey } from "../testing-signature.ts";

/** A key that may do these actions to keys with this prefix. */
async function keyFor(
  s3: S3Server,
  actions: readonly string[],
  prefix: string,
): Promise<SigningKey> {
  const authorization = `Basic ${Buffer.from(`${rootKey.keyId}:${rootKey.secret}`).toString("base64")}`;
  const policy = [{ buckets: ["demo"], prefixes: [prefix], actions }];
  const response = await fetch(`${s3.url}/v1/keys`, {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({ name: "limited", policy }),
  });
  assert.equal(response.status, 201, await response.clone().text());
  const made: unknown = await response.json();
  assert.ok(typeof made === "object" && made !== null && "id" in made && "secret" in made);
  return { keyId: String(made.id), secret: String(made.secret) };
}

test("nobody does anything, in whatever form the body comes", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/k", { body: "x" });
  const made = await s3.call("POST", "/s3/demo/k?uploads");
  const uploadId = /<UploadId>([^<]+)/.exec(made.text)?.[1] ?? "";
  const copying = { "x-amz-copy-source": "demo/k" };
  const framed = {
    "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "x-amz-decoded-content-length": "1",
    "x-amz-trailer": "x-amz-checksum-crc32",
  };
  const operations: readonly (readonly [string, string, Record<string, string>?])[] = [
    ["GET", "/s3/demo/k"],
    ["HEAD", "/s3/demo/k"],
    ["GET", "/s3/demo/k?attributes", { "x-amz-object-attributes": "ETag" }],
    ["GET", "/s3/demo/k?tagging"],
    ["PUT", "/s3/demo/new"],
    ["PUT", "/s3/demo/new", framed],
    ["PUT", "/s3/demo/new", copying],
    ["PUT", "/s3/demo/k?tagging", { "content-md5": "rL0Y20zC+Fzt72VPzMSk2A==" }],
    ["DELETE", "/s3/demo/k"],
    ["DELETE", "/s3/demo/k?tagging"],
    ["POST", "/s3/demo/new?uploads"],
    ["PUT", `/s3/demo/k?partNumber=1&uploadId=${uploadId}`],
    ["PUT", `/s3/demo/k?partNumber=1&uploadId=${uploadId}`, framed],
    ["PUT", `/s3/demo/k?partNumber=1&uploadId=${uploadId}`, copying],
    ["GET", `/s3/demo/k?uploadId=${uploadId}`],
    ["DELETE", `/s3/demo/k?uploadId=${uploadId}`],
    ["GET", "/s3/demo?uploads"],
    ["POST", `/s3/demo/k?uploadId=${uploadId}`],
    ["POST", "/s3/demo?delete"],
    ["PUT", "/s3/demo?cors"],
    ["PUT", "/s3/demo?acl", { "x-amz-acl": "private" }],
    ["PUT", "/s3/demo/k?acl", { "x-amz-acl": "private" }],
    ["PUT", "/s3/another"],
    ["DELETE", "/s3/demo"],
  ];
  for (const [method, target, headers = {}] of operations) {
    const body = method === "PUT" && !("x-amz-copy-source" in headers) ? "x" : "";
    const { status, code } = await s3.call(method, target, { as: "nobody", headers, body });
    assert.equal(status, 403, `${method} ${target}`);
    if (method !== "HEAD") assert.equal(code, "AccessDenied", `${method} ${target}`);
  }
  assert.equal((await s3.call("GET", "/s3/demo/k")).text, "x");
  assert.equal((await s3.call("HEAD", "/s3/demo/new")).status, 404);
  const parts = await s3.call("GET", `/s3/demo/k?uploadId=${uploadId}`);
  assert.equal(parts.text.includes("<Part>"), false);
});

test("of a bucket that anybody may read, nobody reads the objects and no more", async (t) => {
  const s3 = await startS3(t);
  const authorization = `Basic ${btoa(`${rootKey.keyId}:${rootKey.secret}`)}`;
  const made = await fetch(`${s3.url}/v1/buckets/open`, {
    method: "PUT",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({ visibility: "public-read" }),
  });
  assert.equal(made.status, 201);
  const tagged = { "x-amz-tagging": "customer=7" };
  await s3.call("PUT", "/s3/open/k", { headers: tagged, body: "for all" });
  const ask = (target: string) => s3.call("GET", target, { as: "nobody" });
  assert.equal((await ask("/s3/open/k")).text, "for all");
  for (const target of ["/s3/open", "/s3/open?uploads", "/s3/open?cors", "/s3/open/k?tagging"]) {
    const { status, code } = await ask(target);
    assert.deepEqual([status, code], [403, "AccessDenied"], target);
  }
  assert.match((await s3.call("GET", "/s3/open/k?tagging")).text, /customer/);
});

test("no body of nobody is asked for", async (t) => {
  const s3 = await startS3(t);
  const { host, hostname, port } = new URL(s3.url);
  const headers = { host, expect: "100-continue", "content-length": String(8 * 1024 * 1024) };
  for (const [method, path] of [
    ["POST", "/s3/demo?delete"],
    ["POST", "/s3/demo/k?uploadId=x"],
    ["PUT", "/s3/demo/k?tagging"],
    ["PUT", "/s3/demo/k"],
    ["PUT", "/s3/another"],
  ] as const) {
    const request = httpRequest({ hostname, port, method, path, headers });
    request.on("continue", () => assert.fail(`${method} ${path} is to go on`));
    request.flushHeaders();
    const [response] = await once(request, "response");
    assert.equal(response.statusCode, 403, `${method} ${path}`);
    request.destroy();
  }
});

test("a copy reads its source and writes its target", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/secret/k", { body: "secret" });
  const writer = await keyFor(s3, ["object:write", "object:read"], "open/");
  const copy = (source: string, target: string, as: SigningKey) =>
    s3.call("PUT", target, { as, headers: { "x-amz-copy-source": source } });
  assert.equal((await copy("demo/secret/k", "/s3/demo/open/k", writer)).code, "AccessDenied");
  await s3.call("PUT", "/s3/demo/open/own", { as: writer, body: "own" });
  assert.equal((await copy("demo/open/own", "/s3/demo/secret/k", writer)).code, "AccessDenied");
  assert.equal((await copy("demo/open/own", "/s3/demo/open/k", writer)).status, 200);
  const made = await s3.call("POST", "/s3/demo/open/m?uploads", { as: writer });
  const uploadId = /<UploadId>([^<]+)/.exec(made.text)?.[1] ?? "";
  const part = `/s3/demo/open/m?partNumber=1&uploadId=${uploadId}`;
  assert.equal((await copy("demo/secret/k", part, writer)).code, "AccessDenied");
  assert.equal((await copy("demo/open/own", part, writer)).status, 200);
});

test("keys in a list are judged one by one", async (t) => {
  const s3 = await startS3(t);
  for (const key of ["open/a", "secret/a"]) await s3.call("PUT", `/s3/demo/${key}`, { body: "x" });
  const deleter = await keyFor(s3, ["object:delete"], "open/");
  const keys = ["open/a", "secret/a", "open/../secret/a"];
  const body = `<Delete>${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join("")}</Delete>`;
  const headers = { "content-md5": createHash("md5").update(body).digest("base64") };
  const { status, text } = await s3.call("POST", "/s3/demo?delete", { as: deleter, headers, body });
  assert.equal(status, 200);
  assert.match(text, /<Deleted><Key>open\/a<\/Key><\/Deleted>/);
  assert.match(text, /<Error><Key>secret\/a<\/Key><Code>AccessDenied<\/Code>/);
  assert.match(text, /<Error><Key>open\/..\/secret\/a<\/Key><Code>InvalidArgument<\/Code>/);
  assert.equal((await s3.call("HEAD", "/s3/demo/secret/a")).status, 200);
});
