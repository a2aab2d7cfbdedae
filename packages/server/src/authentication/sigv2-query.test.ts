/** Presigned URLs of version 2, against what boto3, s3cmd and AWS's documentation made. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";
import { splitTarget } from "./canonical-request.ts";
import { S3Refusal } from "./s3-refusal.ts";
import { isPresignedV2, verifySigV2Query } from "./sigv2-query.ts";
import { signedResources } from "./sigv2-resource.ts";
import { exampleKey, exampleNow } from "./testing.ts";

interface Sent {
  readonly method?: string;
  readonly target: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly basePath?: string;
  readonly now?: Date;
}

/** As the gate asks; `s3.example` and AWS's own are domains of buckets. */
function verify({ method = "GET", target, host = "h.example", headers = {}, ...more }: Sent) {
  const { basePath = "/s3", now = exampleNow } = more;
  const { path } = splitTarget(target);
  const domains = ["s3.example", "s3.amazonaws.com"];
  return verifySigV2Query(
    { method, target, rawHeaders: Object.entries({ host, ...headers }).flat() },
    {
      now,
      signerOf: async (id) => (id === exampleKey.id ? exampleKey : undefined),
      resources: signedResources({ path, host, domains, basePath }),
      subResources: new Set(["acl", "location", "tagging", "uploads", "uploadId", "website"]),
    },
  );
}

const epoch = exampleNow.getTime() / 1000;
const by = `AWSAccessKeyId=${exampleKey.id}`;
const oddKey = "a%20b%2Bc/%C3%BC%25%26%3D%3B%27%28%29%2A~%F0%9F%98%80";

/**
 * Of the key and secret of AWS's examples at their instant, for 60 seconds. boto3 1.43.11:
 * `client("s3", endpoint_url=…).generate_presigned_url(…, ExpiresIn=60)` with `time.time` set; s3cmd 2.3.0:
 * `s3cmd signurl s3://demo/… 1369353660`, which makes the same of the odd key in all three places.
 */
const boto3: readonly (readonly [string, Sent, string, string?])[] = [
  [
    "at the root",
    { target: `/demo/${oddKey}`, basePath: "" },
    "T5a98mv%2FpK7pJN5%2FsCrYH2w7oEU%3D",
  ],
  ["under a prefix", { target: `/s3/demo/${oddKey}` }, "T5a98mv%2FpK7pJN5%2FsCrYH2w7oEU%3D"],
  [
    "of a bucket's host",
    { target: `//${oddKey}`, host: "demo.s3.example", basePath: "" },
    "l%2FjF%2FOvR96fFKYjbLYqGcwcf%2B80%3D",
  ],
  [
    "with other headers of the answer",
    {
      target:
        "/s3/demo/k?response-content-disposition=attachment%3B%20filename%3D%22a%26b%20%C3%BC.txt%22" +
        "&response-content-type=text%2Fx",
    },
    "Gn%2BBJ0jdYqnJg04JX%2FA0QKn5FjY%3D",
  ],
  [
    "of a put, whose type is sent",
    {
      method: "PUT",
      target: "/s3/demo/k?content-type=text%2Fplain&x-amz-meta-a=1%202&x-amz-tagging=a%3Db%26c%3Dd",
      headers: { "content-type": "text/plain" },
    },
    "2Fd1Zg4%2BaD3E5T05gTS5W7a%2BMws%3D",
  ],
  [
    "of a put, whose metadata is sent as well",
    {
      method: "PUT",
      target: "/s3/demo/k?content-type=text%2Fplain&x-amz-meta-a=1%202&x-amz-tagging=a%3Db%26c%3Dd",
      headers: {
        "content-type": "text/plain",
        "X-Amz-Meta-A": " 1 2 ",
        "x-amz-tagging": "a=b&c=d",
      },
    },
    "2Fd1Zg4%2BaD3E5T05gTS5W7a%2BMws%3D",
  ],
  [
    "of a part",
    { method: "PUT", target: "/s3/demo/k?uploadId=u%2F%2B%3D&partNumber=3" },
    "v2Be5jQed6suftvtMy%2Frc3rVSrM%3D",
  ],
  [
    "of an upload's beginning",
    { method: "POST", target: "/s3/demo/k?uploads" },
    "rRXHhWg5CJgz7NqiRHTothHFA9E%3D",
  ],
  [
    "of a list",
    { target: "/s3/demo?list-type=2&prefix=x&encoding-type=url" },
    "8YRE%2FlBgF49AoDGTsU0BBnp9lDg%3D",
  ],
  [
    "of a list at a bucket's host",
    { target: "/?encoding-type=url", host: "demo.s3.example", basePath: "" },
    "8YRE%2FlBgF49AoDGTsU0BBnp9lDg%3D",
  ],
  [
    "of a bucket's place",
    { target: "/demo?location", basePath: "" },
    "pQcXC8GbueYNP5qiwTeUfeU7sGw%3D",
  ],
  ["of all buckets", { target: "/s3" }, "C1ZLZHxyFGPGAnz9AO3%2Fl4UBgUQ%3D"],
  [
    "of a copy, whose source is sent as well",
    {
      method: "PUT",
      target: "/s3/demo/k?x-amz-copy-source=demo%2Fa%2520b",
      headers: { "x-amz-copy-source": "demo/a%20b" },
    },
    "YYmmzH5ih%2BUOcI5yrvDjKC2DQbA%3D",
  ],
  [
    "of a session",
    { method: "DELETE", target: "/s3/demo/k?x-amz-security-token=TOKEN%2B%2F%3D" },
    "hgBF7U%2BnKXfy4jiWOcl5dB%2BemQQ%3D",
  ],
];

const signedTarget = (target: string, signature: string, expires: number | string = epoch + 60) =>
  `${target}${target.includes("?") ? "&" : "?"}${by}&Signature=${signature}&Expires=${expires}`;

describe("URLs of boto3 verify until they expire, and with another method not at all", () => {
  for (const [name, sent, signature] of boto3) {
    test(name, async () => {
      const target = signedTarget(sent.target, signature);
      assert(isPresignedV2(target));
      for (const seconds of [-600, 0, 60]) {
        await verify({ ...sent, target, now: new Date((epoch + seconds) * 1000) });
      }
      const late = { ...sent, target, now: new Date((epoch + 61) * 1000) };
      await assert.rejects(verify(late), isRefusal("AccessDenied", "Request has expired"));
      const other = { ...sent, target, method: "HEAD" };
      await assert.rejects(verify(other), isRefusal("SignatureDoesNotMatch"));
    });
  }
});

test("AWS's published URL of version 2 verifies", async () => {
  const target =
    "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE" +
    "&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620";
  const host = "johnsmith.s3.amazonaws.com";
  await verify({ target, host, basePath: "", now: new Date(1_175_139_600_000) });
});

test("s3cmd's names what is to be answered, and a plus may stand as itself", async () => {
  const target =
    `/s3/demo/k?${by}&Expires=1369353660&Signature=d9b9JTcrKy7FoFop5MlwKs9%2Bwe4%3D` +
    "&response-content-disposition=attachment%3B%20filename%3D%22a%26b%20c.txt%22" +
    "&response-content-type=text%2Fx";
  await verify({ target });
  await verify({ target: target.replace("%2Bwe4", "+we4") });
});

function isRefusal(reason: string, words = "") {
  return (error: unknown) =>
    error instanceof S3Refusal && error.reason === reason && error.message.includes(words);
}

function sign(text: string): string {
  const signature = createHmac("sha1", exampleKey.secret).update(text).digest("base64");
  return encodeURIComponent(signature);
}

/** A GET of `resource` that `lines` belong to, signed here. */
function signedGet(target: string, resource: string, lines = ""): string {
  return signedTarget(target, sign(`GET\n\n\n${epoch + 60}\n${lines}${resource}`));
}

test("what is signed is told: metadata, and how the body comes", async () => {
  const hash = "a".repeat(64);
  const lines = `x-amz-content-sha256:${hash}\nx-amz-meta-a:ü +&=\n`;
  const target = signedGet("/s3/demo/k?X-Amz-Meta-A=%C3%BC+%2B%26%3D", "/demo/k", lines);
  const found = await verify({ target, headers: { "x-amz-content-sha256": hash } });
  assert.equal(found.parameters.get("x-amz-meta-a"), "ü +&=");
  assert.deepEqual(found.payload, { kind: "sha256", digest: Buffer.from(hash, "hex") });
});

test("a path that was encoded again on the way verifies, as what it means", async () => {
  const target = signedGet("/s3/demo/a(b)%2f~%7e", "/demo/a%28b%29/~~");
  await verify({ target });
});

describe("a URL of version 2 that differs from what was signed is refused", () => {
  const plain = signedGet("/s3/demo/k", "/demo/k");
  const signedFor = (expires: number | string): string =>
    signedTarget("/s3/demo/k", sign(`GET\n\n\n${expires}\n/demo/k`), expires);
  const week = 604_800;
  const [wrong, denied, argument] = ["SignatureDoesNotMatch", "AccessDenied", "InvalidArgument"];
  const cases: readonly (readonly [string, Sent, string])[] = [
    ["another method", { target: plain, method: "PUT" }, wrong],
    ["another key", { target: plain.replace("/k?", "/l?") }, wrong],
    ["another bucket", { target: plain.replace("/demo/", "/other/") }, wrong],
    ["another bucket's host", { target: plain, host: "other.s3.example" }, wrong],
    ["a longer life", { target: plain.replace(`${epoch + 60}`, `${epoch + 61}`) }, wrong],
    ["a sub-resource added", { target: `${plain}&acl` }, wrong],
    ["a part added", { target: `${plain}&partNumber=1` }, wrong],
    ["a version added", { target: `${plain}&versionId=null` }, wrong],
    ["an override added", { target: `${plain}&response-content-type=text%2Fhtml` }, wrong],
    ["a sub-resource taken away", { target: signedGet("/s3/demo/k", "/demo/k?acl") }, wrong],
    ["metadata added to the query", { target: `${plain}&x-amz-meta-a=1` }, wrong],
    ["metadata added to the headers", { target: plain, headers: { "x-amz-meta-a": "1" } }, wrong],
    [
      "a copy's source added",
      { target: plain, headers: { "X-Amz-Copy-Source": "demo/secret" } },
      wrong,
    ],
    ["a type added", { target: plain, headers: { "content-type": "text/html" } }, wrong],
    [
      "an MD5 added",
      { target: plain, headers: { "content-md5": "1B2M2Y8AsgTpgAmY7PhCfg==" } },
      wrong,
    ],
    [
      "metadata that the query has otherwise",
      {
        target: signedGet("/s3/demo/k?x-amz-meta-a=1", "/demo/k", "x-amz-meta-a:1\n"),
        headers: { "x-amz-meta-a": "2" },
      },
      argument,
    ],
    [
      "two fields that were signed as the lines of one",
      {
        target: signedGet(
          "/s3/demo/k?x-amz-a=1%0Ax-amz-b%3A2",
          "/demo/k",
          "x-amz-a:1\nx-amz-b:2\n",
        ),
      },
      argument,
    ],
    [
      "a field whose name holds its value",
      { target: signedGet("/s3/demo/k?x-amz-a%3A1=2", "/demo/k", "x-amz-a:1:2\n") },
      argument,
    ],
    [
      "a sub-resource out of an override's value",
      {
        target: signedGet(
          "/s3/demo/k?response-content-type=a&tagging",
          "/demo/k?response-content-type=a&tagging",
        ),
      },
      argument,
    ],
    ["a parameter twice", { target: `${plain}&Expires=${epoch + 60}` }, argument],
    [
      "a part twice",
      {
        target: signedGet(
          "/s3/demo/k?partNumber=1&partNumber=1",
          "/demo/k?partNumber=1&partNumber=1",
        ),
      },
      argument,
    ],
    ["metadata twice", { target: `${plain}&x-amz-meta-a=1&X-Amz-Meta-A=1` }, argument],
    [
      "chunks that version 4 signs",
      {
        target: signedGet(
          "/s3/demo/k",
          "/demo/k",
          "x-amz-content-sha256:STREAMING-AWS4-HMAC-SHA256-PAYLOAD\n",
        ),
        headers: { "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" },
      },
      "InvalidRequest",
    ],
    [
      "an unknown key",
      { target: plain.replace(by, "AWSAccessKeyId=NOBODY") },
      "InvalidAccessKeyId",
    ],
    [
      "a short signature",
      { target: plain.replace("%3D", "").replace("Signature=", "Signature=A") },
      wrong,
    ],
    ["no key", { target: plain.replace(by, "a=b") }, denied],
    ["no end", { target: plain.replace(/&Expires=.*/, "") }, denied],
    ["no signature", { target: plain.replace(/&Signature=[^&]*/, "") }, denied],
    ["an end that is no number", { target: signedFor("1e9") }, denied],
    ["an end before the beginning", { target: signedFor("-1") }, denied],
    ["an end in the past", { target: signedFor(epoch - 1) }, denied],
    ["more than seven days", { target: signedFor(epoch + week + 901) }, denied],
    ["what is not UTF-8", { target: `${plain}&a=%ff` }, denied],
  ];
  for (const [name, sent, reason] of cases) {
    test(`${name}: ${reason}`, async () => {
      await assert.rejects(verify(sent), isRefusal(reason));
    });
  }
  test("and unchanged it is not, for seven days by a clock that is a little ahead", async () => {
    await verify({ target: plain });
    await verify({ target: signedFor(epoch + week + 899) });
    await verify({ target: plain.replace("/s3/", "/"), basePath: "" });
    await verify({ target: plain.replace("/s3/demo", ""), basePath: "", host: "demo.s3.example" });
    await verify({ target: `${plain}&prefix=unsigned` });
  });
});
