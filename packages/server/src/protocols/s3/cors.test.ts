/** A bucket's CORS rules: kept through the S3 interface, and honoured on every front end of the bucket. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import {
  type CORSRule,
  DeleteBucketCorsCommand,
  GetBucketCorsCommand,
  PutBucketCorsCommand,
} from "@aws-sdk/client-s3";
import { type S3Server, send, startS3 } from "./testing.ts";

const Bucket = "demo";
const rules: CORSRule[] = [
  {
    ID: "app",
    AllowedOrigins: ["https://*.example"],
    AllowedMethods: ["GET", "PUT"],
    AllowedHeaders: ["content-*", "x-amz-date"],
    ExposeHeaders: ["ETag", "x-amz-meta-a"],
    MaxAgeSeconds: 600,
  },
  { AllowedOrigins: ["*"], AllowedMethods: ["GET"] },
];

/** Asks as a browser does, without a signature. */
function ask(s3: S3Server, method: string, path: string, headers: Record<string, string>) {
  const { hostname, port, host } = new URL(s3.url);
  return send({ hostname, port, method, path }, { host, ...headers });
}

function preflight(s3: S3Server, path: string, origin: string, method: string, headers = "") {
  return ask(s3, "OPTIONS", path, {
    origin,
    "access-control-request-method": method,
    ...(headers === "" ? {} : { "access-control-request-headers": headers }),
  });
}

async function withRules(t: Parameters<typeof startS3>[0]) {
  const s3 = await startS3(t);
  const client = s3.client();
  await client.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules: rules } }));
  return { s3, client };
}

test("rules come back as they were put, and are gone when deleted", async (t) => {
  const { client } = await withRules(t);
  const { CORSRules } = await client.send(new GetBucketCorsCommand({ Bucket }));
  assert.deepEqual(CORSRules, rules);
  await client.send(new DeleteBucketCorsCommand({ Bucket }));
  await assert.rejects(client.send(new GetBucketCorsCommand({ Bucket })), {
    name: "NoSuchCORSConfiguration",
  });
});

test("a preflight is answered by the first rule that allows all of it", async (t) => {
  const { s3 } = await withRules(t);
  const good = await preflight(
    s3,
    "/s3/demo/key",
    "https://a.example",
    "PUT",
    "content-type,X-Amz-Date",
  );
  assert.equal(good.status, 204);
  assert.equal(good.headers["access-control-allow-origin"], "https://a.example");
  assert.equal(good.headers["access-control-allow-methods"], "PUT, GET");
  assert.equal(good.headers["access-control-allow-headers"], "content-type, x-amz-date");
  assert.equal(good.headers["access-control-max-age"], "600");
  assert.match(String(good.headers.vary), /Origin/);
  const any = await preflight(s3, "/s3/demo/key", "https://other.test", "GET");
  assert.equal(any.headers["access-control-allow-origin"], "*");
});

test("a preflight that no rule allows is 403", async (t) => {
  const { s3 } = await withRules(t);
  for (const [origin, method, headers] of [
    ["https://other.test", "PUT", ""],
    ["https://a.example", "DELETE", ""],
    ["https://a.example", "PUT", "authorization"],
    ["https://a.example.evil", "PUT", ""],
    ["null", "PUT", ""],
  ] as const) {
    const {
      status,
      code,
      headers: answered,
    } = await preflight(s3, "/s3/demo/key", origin, method, headers);
    assert.deepEqual([origin, status, code], [origin, 403, "AccessForbidden"]);
    assert.equal(answered["access-control-allow-origin"], undefined);
  }
  assert.equal((await ask(s3, "OPTIONS", "/s3/demo/key", {})).code, "BadRequest");
});

test("requests get the rule's headers, refusals among them, and others none", async (t) => {
  const { s3 } = await withRules(t);
  const origin = "https://a.example";
  await s3.call("PUT", "/s3/demo/key", { body: "x" });
  const good = await s3.call("GET", "/s3/demo/key", { unsignedHeaders: { origin } });
  assert.equal(good.headers["access-control-allow-origin"], origin);
  assert.equal(good.headers["access-control-expose-headers"], "ETag, x-amz-meta-a");
  const refused = await ask(s3, "GET", "/s3/demo/key", { origin });
  assert.equal(refused.status, 403);
  assert.equal(refused.headers["access-control-allow-origin"], origin);
  const deleted = await ask(s3, "DELETE", "/s3/demo/key", { origin });
  assert.equal(deleted.headers["access-control-allow-origin"], undefined);
  const plain = await s3.call("GET", "/s3/demo/key");
  assert.equal(plain.headers["access-control-allow-origin"], undefined);
  assert.match(String(plain.headers.vary), /Origin/);
});

test("the rules hold for REST and tus as well, whose own headers need no rule", async (t) => {
  const { s3 } = await withRules(t);
  const evil = "https://other.test";
  const good = "https://a.example";
  const rest = await preflight(
    s3,
    "/v1/objects/demo/key",
    good,
    "PUT",
    "authorization, content-type",
  );
  assert.equal(rest.status, 204);
  assert.equal(rest.headers["access-control-allow-origin"], good);
  const tus = await preflight(
    s3,
    "/tus/demo/some-upload",
    good,
    "PATCH",
    "tus-resumable, upload-offset",
  );
  assert.equal(tus.headers["access-control-allow-origin"], good);
  for (const path of ["/v1/objects/demo/key", "/tus/demo/some-upload"]) {
    const refused = await preflight(s3, path, evil, "PUT", "authorization");
    assert.equal(refused.headers["access-control-allow-origin"], undefined, path);
    const asked = await ask(s3, "PUT", path, { origin: evil });
    assert.equal(asked.headers["access-control-allow-origin"], undefined, path);
  }
  // About no bucket, and about one without rules: the server's own.
  const buckets = await ask(s3, "GET", "/v1/buckets", { origin: evil });
  assert.equal(buckets.headers["access-control-allow-origin"], "*");
});

test("a bucket without rules follows http.corsOrigins", async (t) => {
  const anyone = await startS3(t);
  const open = await preflight(anyone, "/s3/demo/key", "https://a.example", "PUT", "x-amz-meta-a");
  assert.equal(open.status, 204);
  assert.equal(open.headers["access-control-allow-origin"], "*");
  assert.match(String(open.headers["access-control-allow-headers"]), /x-amz-meta-a/);
  const closed = await startS3(t, { http: { corsOrigins: [] } });
  assert.equal((await preflight(closed, "/s3/demo/key", "https://a.example", "PUT")).status, 403);
});

test("rules that say what rules cannot are refused, and the old ones stay", async (t) => {
  const { s3, client } = await withRules(t);
  const rule = (inside: string) =>
    `<CORSConfiguration><CORSRule>${inside}</CORSRule></CORSConfiguration>`;
  const origin = "<AllowedOrigin>*</AllowedOrigin>";
  const method = "<AllowedMethod>GET</AllowedMethod>";
  const md5 = (body: string) => ({
    "content-md5": createHash("md5").update(body).digest("base64"),
  });
  for (const [body, code] of [
    ["<CORSConfiguration/>", "MalformedXML"],
    [rule(origin), "MalformedXML"],
    [rule(method), "MalformedXML"],
    [rule(`${origin}<AllowedMethod>PATCH</AllowedMethod>`), "InvalidRequest"],
    [rule(`<AllowedOrigin>*.*</AllowedOrigin>${method}`), "InvalidRequest"],
    [rule(`${origin}${method}<ExposeHeader>a&#13;&#10;b</ExposeHeader>`), "InvalidRequest"],
    [rule(`${origin}${method}<MaxAgeSeconds>soon</MaxAgeSeconds>`), "MalformedXML"],
    [`<CORSConfiguration>${rule("")}</CORSConfiguration>`, "MalformedXML"],
    ["<Other/>", "MalformedXML"],
  ] as const) {
    const answered = await s3.call("PUT", "/s3/demo?cors", { body, headers: md5(body) });
    assert.deepEqual([body, answered.status, answered.code], [body, 400, code]);
  }
  const good = rule(origin + method);
  assert.equal((await s3.call("PUT", "/s3/demo?cors", { body: good })).code, "InvalidRequest");
  const wrong = await s3.call("PUT", "/s3/demo?cors", { body: good, headers: md5("other") });
  assert.equal(wrong.code, "BadDigest");
  const { CORSRules } = await client.send(new GetBucketCorsCommand({ Bucket }));
  assert.equal(CORSRules?.length, 2);
});
