/** Presigned URLs of version 2, as boto3 and s3cmd make them: good for what was signed, and for nothing else. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type TestContext, test } from "node:test";
import { temporarySecret } from "../../../authentication/index.ts";
import { signGrant } from "../../../core/grants.ts";
import { subResources } from "../dispatch.ts";
import { key as rootKey, send, startS3 } from "../testing.ts";
import { presignedV2, type UnsignedV2 } from "../testing-signature.ts";

type Headers = Readonly<Record<string, string>>;

/** `sign` makes a target that is good for a minute; `ask` sends one as it is. */
async function startSigning(t: TestContext) {
  const s3 = await startS3(t, { s3: { port: 0, domains: ["s3.example"] } });
  const main = new URL(s3.url);
  const own = new URL(s3.s3Url ?? "");
  const sign = (method: string, resource: string, more: Partial<UnsignedV2> = {}): string => {
    const unsigned = { method, resource, target: `/s3${resource}`, ...more };
    return presignedV2(unsigned, rootKey, Math.floor(Date.now() / 1000) + 60);
  };
  const ask = (
    method: string,
    target: string,
    { headers = {}, body = "", at = main }: { headers?: Headers; body?: string; at?: URL } = {},
  ) => {
    const { hostname, port, host } = at;
    return send({ hostname, port, method, path: target }, { host, ...headers }, body);
  };
  return { ...s3, own, sign, ask };
}

test("one signature is good at every address of its object", async (t) => {
  const { sign, ask, own } = await startSigning(t);
  const bucketHost = { at: own, headers: { host: "demo.s3.example" } };
  const places: readonly (readonly [string, Parameters<typeof ask>[2]])[] = [
    ["/s3/demo/a%20b", {}],
    ["/demo/a%20b", { at: own }],
    ["/a%20b", bucketHost],
  ];
  for (const [target, where = {}] of places) {
    const signed = (method: string) => sign(method, "/demo/a%20b", { target });
    const put = await ask("PUT", signed("PUT"), { ...where, body: target });
    assert.equal(put.status, 200, put.text);
    assert.equal((await ask("GET", signed("GET"), where)).text, target);
    assert.equal((await ask("HEAD", signed("HEAD"), where)).status, 200);
    assert.equal((await ask("DELETE", signed("DELETE"), where)).status, 204);
    assert.equal((await ask("GET", signed("GET"), where)).code, "NoSuchKey");
  }
});

test("what is not as it was signed does nothing", async (t) => {
  const { sign, ask, call } = await startSigning(t);
  await call("PUT", "/s3/demo/k", { body: "before" });
  await call("PUT", "/s3/demo/secret", { body: "secret" });
  const [put, remove] = [sign("PUT", "/demo/k"), sign("DELETE", "/demo/k")];
  const refused: readonly (readonly [string, string, string, Headers])[] = [
    ["another key", "PUT", put.replace("/k?", "/l?"), {}],
    ["another bucket", "PUT", put.replace("/demo/", "/other/"), {}],
    ["another method", "PUT", remove, {}],
    ["deleting with a put's", "DELETE", put, {}],
    ["a copy's source", "PUT", put, { "x-amz-copy-source": "demo/secret" }],
    ["metadata", "PUT", put, { "x-amz-meta-a": "1" }],
    ["metadata in the query", "PUT", `${put}&x-amz-meta-a=1`, {}],
    ["a part", "PUT", `${put}&partNumber=1&uploadId=x`, {}],
    ["a type", "PUT", put, { "content-type": "text/html" }],
    ["a version", "DELETE", `${remove}&versionId=null`, {}],
  ];
  for (const [name, method, target, headers] of refused) {
    const { status, code } = await ask(method, target, { headers, body: "stray" });
    assert.deepEqual([status, code], [403, "SignatureDoesNotMatch"], name);
  }
  for (const name of subResources) {
    if (name === "list-type") continue;
    for (const [method, target] of [
      ["PUT", put],
      ["DELETE", remove],
      ["GET", sign("GET", "/demo/k")],
    ] as const) {
      const { code } = await ask(method, `${target}&${name}`);
      assert.equal(code, "SignatureDoesNotMatch", `${method} ${name}`);
    }
  }
  assert.equal((await ask("PUT", `${put}&list-type=2`, { body: "stray" })).status, 501);
  assert.equal((await call("GET", "/s3/demo/k")).text, "before");
  assert.equal((await call("HEAD", "/s3/demo/l")).status, 404);
});

test("it is good again and again until it expires, by the server's clock", async (t) => {
  const { sign, ask, advance } = await startSigning(t);
  const [put, get] = [sign("PUT", "/demo/k"), sign("GET", "/demo/k")];
  for (const body of ["one", "two"]) {
    assert.equal((await ask("PUT", put, { body })).status, 200);
    assert.equal((await ask("GET", get)).text, body);
  }
  advance(61_000);
  for (const [method, target] of [
    ["PUT", put],
    ["GET", get],
  ] as const) {
    const late = await ask(method, target, { body: method === "PUT" ? "three" : "" });
    assert.deepEqual([late.status, late.code], [403, "AccessDenied"]);
    assert.match(late.text, /<Expires>[^<]+<\/Expires><ServerTime>/);
  }
});

test("it carries metadata, and the answer's headers, and the sums of its body count", async (t) => {
  const { sign, ask, call } = await startSigning(t);
  const md5 = createHash("md5").update("bytes").digest("base64");
  const headers = {
    "content-md5": md5,
    "content-type": "text/x",
    "x-amz-meta-a": "1",
    "x-amz-tagging": "a=b",
  };
  const query = "x-amz-meta-a=1&x-amz-tagging=a%3Db";
  const put = sign("PUT", "/demo/k", { target: `/s3/demo/k?${query}`, headers });
  const sent = { "content-md5": md5, "content-type": "text/x" };
  const wrong = await ask("PUT", put, { headers: sent, body: "other" });
  assert.equal(wrong.code, "BadDigest");
  assert.equal((await call("HEAD", "/s3/demo/k")).status, 404);
  assert.equal((await ask("PUT", put, { body: "bytes" })).code, "SignatureDoesNotMatch");
  assert.equal((await ask("PUT", put, { headers: sent, body: "bytes" })).status, 200);
  const override = 'response-content-disposition=attachment; filename="a&b.txt"';
  const target = `/s3/demo/k?response-content-disposition=${encodeURIComponent(override.slice(29))}`;
  const got = await ask("GET", sign("GET", `/demo/k?${override}`, { target }));
  assert.deepEqual([got.status, got.text], [200, "bytes"]);
  assert.equal(got.headers["content-disposition"], 'attachment; filename="a&b.txt"');
  assert.equal(got.headers["content-type"], "text/x");
  assert.equal(got.headers["x-amz-meta-a"], "1");
  assert.equal(got.headers["x-amz-tagging-count"], "1");
});

test("an upload in parts, tags, lists and many deletions are signed as well", async (t) => {
  const { sign, ask, call } = await startSigning(t);
  const begun = await ask("POST", sign("POST", "/demo/k?uploads"));
  const uploadId = /<UploadId>([^<]+)/.exec(begun.text)?.[1] ?? "";
  const part = sign("PUT", `/demo/k?partNumber=1&uploadId=${uploadId}`);
  const { headers } = await ask("PUT", part, { body: "part" });
  assert.match((await ask("GET", sign("GET", `/demo/k?uploadId=${uploadId}`))).text, /<Part>/);
  const document = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${headers.etag}</ETag></Part></CompleteMultipartUpload>`;
  const complete = sign("POST", `/demo/k?uploadId=${uploadId}`);
  assert.equal((await ask("POST", complete, { body: document })).status, 200);
  assert.equal((await call("GET", "/s3/demo/k")).text, "part");

  const listed = await ask("GET", sign("GET", "/demo/", { target: "/s3/demo?list-type=2" }));
  assert.match(listed.text, /<Key>k<\/Key>/);
  assert.match((await ask("GET", sign("GET", "/s3", { target: "/s3" }))).text, /<Name>demo</);

  const xml = async (method: string, resource: string, body: string) => {
    const sums = { "content-md5": createHash("md5").update(body).digest("base64") };
    return ask(method, sign(method, resource, { headers: sums }), { headers: sums, body });
  };
  const tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
  assert.equal((await xml("PUT", "/demo/k?tagging", tags)).status, 200);
  assert.match((await ask("GET", sign("GET", "/demo/k?tagging"))).text, /<Key>a<\/Key>/);
  const deletion = "<Delete><Object><Key>k</Key></Object></Delete>";
  assert.match((await xml("POST", "/demo/?delete", deletion)).text, /<Deleted><Key>k<\/Key>/);
  assert.equal((await call("HEAD", "/s3/demo/k")).status, 404);
});

test("a temporary key signs for what its grant allows", async (t) => {
  const { ask, call } = await startSigning(t);
  const token = signGrant(
    { bucket: "demo", prefix: "in/", actions: ["object:write"], maxBytes: 5 },
    rootKey,
    new Date(Date.now() + 600_000),
  );
  const key = { keyId: rootKey.keyId, secret: temporarySecret(token, rootKey.secret) };
  const put = (resource: string, body: string) => {
    const headers = { "x-amz-security-token": token };
    const target = `/s3${resource}?x-amz-security-token=${token}`;
    const expires = Math.floor(Date.now() / 1000) + 60;
    return ask("PUT", presignedV2({ method: "PUT", resource, target, headers }, key, expires), {
      body,
    });
  };
  assert.equal((await put("/demo/in/k", "hello")).status, 200);
  assert.equal((await put("/demo/out/k", "hello")).code, "AccessDenied");
  assert.equal((await put("/demo/in/l", "too long")).code, "EntityTooLarge");
  assert.equal((await call("GET", "/s3/demo/in/k")).text, "hello");
});
