// Golden values: AWS's documented examples, and what the official SDKs of OSS and OBS made of a
// made-up key.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { encode, encodeKey, queryText } from "./encode.ts";
import { obs, signObs } from "./obs.ts";
import { ossCallbackValue, ossV4, ossVersion4, signOssV4 } from "./oss-v4.ts";
import { type SigningScope, unsignedPayload } from "./signature.ts";
import { awsVersion4, signSigV4, sigV4 } from "./sigv4.ts";

const aws: SigningScope = {
  credentials: {
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  },
  region: "us-east-1",
  at: new Date("2013-05-24T00:00:00Z"),
};
const host = "examplebucket.s3.amazonaws.com";
const emptyHash = createHash("sha256").digest("hex");

const vendor: SigningScope = {
  credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "SKEXAMPLEsecretSKEXAMPLE" },
  region: "cn-hangzhou",
  at: new Date("2026-01-02T03:04:05Z"),
};

test("SigV4 of AWS's four examples of headers", () => {
  const common = { host, "x-amz-date": "20130524T000000Z" };
  const empty = { ...common, "x-amz-content-sha256": emptyHash };
  const body = createHash("sha256").update("Welcome to Amazon S3.").digest("hex");
  const signed = [
    signSigV4(
      {
        method: "GET",
        path: "/test.txt",
        query: [],
        headers: { ...empty, range: "bytes=0-9" },
        payloadHash: emptyHash,
      },
      aws,
    ),
    signSigV4(
      {
        method: "PUT",
        path: "/test%24file.text",
        query: [],
        headers: {
          ...common,
          "x-amz-content-sha256": body,
          date: "Fri, 24 May 2013 00:00:00 GMT",
          "x-amz-storage-class": "REDUCED_REDUNDANCY",
        },
        payloadHash: body,
      },
      aws,
    ),
    signSigV4(
      {
        method: "GET",
        path: "/",
        query: [["lifecycle", undefined]],
        headers: empty,
        payloadHash: emptyHash,
      },
      aws,
    ),
    signSigV4(
      {
        method: "GET",
        path: "/",
        query: [
          ["prefix", "J"],
          ["max-keys", "2"],
        ],
        headers: empty,
        payloadHash: emptyHash,
      },
      aws,
    ),
  ];
  assert.deepEqual(
    signed.map(({ signature }) => signature),
    [
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ],
  );
});

test("SigV4 of a presigned address, and of a form's policy", () => {
  const request = { method: "GET", host, path: "/test.txt", query: [], headers: {}, bucket: "b" };
  const toSign = { ...request, payloadHash: unsignedPayload };
  const query = sigV4.query(toSign, { ...aws, expiresSeconds: 86_400 });
  assert.equal(
    new Map(query).get("X-Amz-Signature"),
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
  );
  const at = new Date("2015-12-29T00:00:00Z");
  assert.equal(awsVersion4.signPolicy(awsPolicy, { ...aws, at }), awsPolicySignature);
});

test("SigV4 signs the token of temporary credentials and every x-amz header", () => {
  const credentials = { ...aws.credentials, sessionToken: "token" };
  const request = {
    method: "PUT",
    host,
    path: "/k",
    query: [],
    headers: { "content-type": "text/plain", "if-none-match": "*", "x-amz-meta-a": "1" },
    bucket: "b",
    payloadHash: emptyHash,
  };
  const { authorization = "", ...headers } = sigV4.headers(request, { ...aws, credentials });
  assert.equal(headers["x-amz-security-token"], "token");
  const names =
    "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;x-amz-security-token";
  assert.ok(authorization.includes(`SignedHeaders=${names},`), authorization);
});

test("OSS V4 of the SDK's header", () => {
  const { authorization } = ossV4.headers(
    {
      method: "PUT",
      host: "examplebucket.oss-cn-hangzhou.aliyuncs.com",
      path: "/dir/%C3%A9%20a%2Bb.txt",
      query: [
        ["partNumber", "1"],
        ["uploadId", "U1"],
      ],
      headers: { "content-type": "text/plain", "x-oss-meta-a": "1" },
      bucket: "examplebucket",
      key: "dir/é a+b.txt",
      payloadHash: "",
    },
    vendor,
  );
  assert.equal(
    authorization,
    "OSS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/cn-hangzhou/oss/aliyun_v4_request,Signature=f31d4f87e31e273063c651cb63681b9b18fe36630335ff4d72d07aca935b6039",
  );
});

test("OSS V4 of the SDK's policy", () => {
  const policy =
    "eyJleHBpcmF0aW9uIjoiMjAyNi0wMS0wMlQwNDowNDowNS4wMDBaIiwiY29uZGl0aW9ucyI6W3siYnVja2V0IjoiZXhhbXBsZWJ1Y2tldCJ9LFsic3RhcnRzLXdpdGgiLCIka2V5IiwidS8iXV19";
  assert.equal(
    ossVersion4.signPolicy(policy, vendor),
    "d239b0b430dbac4a47d368ee75a0959870113971aa0ac7fd55ff98e18074fa8d",
  );
});

for (const [name, { signPolicy }] of [
  ["SigV4", awsVersion4],
  ["OSS V4", ossVersion4],
] as const) {
  test(`the key that ${name} keeps for credentials is that of the day and region asked for`, () => {
    const scopes: readonly SigningScope[] = [
      vendor,
      { ...vendor, region: "cn-beijing" },
      { ...vendor, at: new Date("2026-01-03T03:04:05Z") },
      { ...vendor, credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "another" } },
    ];
    const fresh = scopes.map((scope) =>
      signPolicy("text", { ...scope, credentials: { ...scope.credentials } }),
    );
    assert.equal(new Set(fresh).size, scopes.length);
    const kept = () => scopes.map((scope) => signPolicy("text", scope));
    assert.deepEqual([kept(), kept()], [fresh, fresh]);
  });
}

test("a form's policy covers each field that is sent with it, and the token", () => {
  const credentials = { ...vendor.credentials, sessionToken: "token" };
  const scope = { ...vendor, credentials };
  const given = { expiresAt: new Date("2026-01-02T04:04:05Z"), conditions: [{ bucket: "b" }] };
  for (const [signature, proof] of [
    [sigV4, "x-amz-signature"],
    [ossV4, "x-oss-signature"],
    [obs, "signature"],
  ] as const) {
    const {
      policy = "",
      [proof]: signed,
      AccessKeyId: _,
      ...fields
    } = signature.post(given, scope);
    assert.ok(signed);
    assert.ok(Object.values(fields).includes("token"));
    assert.deepEqual(JSON.parse(Buffer.from(policy, "base64").toString()), {
      expiration: "2026-01-02T04:04:05.000Z",
      conditions: [
        { bucket: "b" },
        ...Object.entries(fields).map(([name, value]) => ({ [name]: value })),
      ],
    });
  }
});

test("OSS V4 signs the whole query, and in an address the headers that it names", () => {
  const request = {
    method: "PUT",
    bucket: "b",
    key: "k",
    query: [["x-oss-process", "image/resize,w_1"]] as const,
    headers: { "content-type": "text/plain", "content-length": "5" },
  };
  const { canonicalRequest } = signOssV4(request, vendor, ["content-length"]);
  assert.equal(
    canonicalRequest,
    "PUT\n/b/k\nx-oss-process=image%2Fresize%2Cw_1\ncontent-length:5\ncontent-type:text/plain\n\ncontent-length\nUNSIGNED-PAYLOAD",
  );
  const query = ossV4.query(
    { ...request, host: "h", path: "/k", payloadHash: "" },
    { ...vendor, expiresSeconds: 60 },
  );
  assert.equal(new Map(query).get("x-oss-additional-headers"), "content-length");
  const callback = ossCallbackValue({ url: "https://a.test/", body: "size=1" });
  assert.deepEqual(JSON.parse(Buffer.from(callback, "base64").toString()), {
    callbackUrl: "https://a.test/",
    callbackBody: "size=1",
  });
});

test("OBS of the SDK's header", () => {
  const headers = { "content-type": "text/plain", "x-obs-meta-a": "1" };
  const request = {
    method: "PUT",
    host: "examplebucket.obs.test",
    path: "/dir/a%20b.txt",
    query: [
      ["partNumber", "1"],
      ["uploadId", "U1"],
    ],
    headers,
    bucket: "examplebucket",
    key: "dir/a b.txt",
    payloadHash: "",
  } as const;
  assert.equal(
    obs.headers(request, vendor).authorization,
    "OBS AKIDEXAMPLE:Am2gHoO/JYo1JyRNGDsQZ4oA+J0=",
  );
  assert.equal(
    signObs(request, "Fri, 02 Jan 2026 03:04:05 GMT", vendor).stringToSign,
    "PUT\n\ntext/plain\nFri, 02 Jan 2026 03:04:05 GMT\nx-obs-meta-a:1\n/examplebucket/dir/a%20b.txt?partNumber=1&uploadId=U1",
  );
});

test("every byte but the unreserved ones is encoded, in a query as in a key", () => {
  assert.equal(encode("a/b c+d*e'(é)!~"), "a%2Fb%20c%2Bd%2Ae%27%28%C3%A9%29%21~");
  assert.equal(encodeKey("/a//../%2F"), "/a//../%252F");
  assert.equal(
    queryText([
      ["b", ""],
      ["uploads", undefined],
      ["a", "1 2"],
    ]),
    "a=1%202&b=&uploads",
  );
});

/** The page "sigv4-post-example" of AWS's documentation, with its line ends. */
const awsPolicy = Buffer.from(
  [
    '{ "expiration": "2015-12-30T12:00:00.000Z",',
    '  "conditions": [',
    '    {"bucket": "sigv4examplebucket"},',
    '    ["starts-with", "$key", "user/user1/"],',
    '    {"acl": "public-read"},',
    '    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},',
    '    ["starts-with", "$Content-Type", "image/"],',
    '    {"x-amz-meta-uuid": "14365123651274"},',
    '    {"x-amz-server-side-encryption": "AES256"},',
    '    ["starts-with", "$x-amz-meta-tag", ""],',
    "",
    '    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},',
    '    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},',
    '    {"x-amz-date": "20151229T000000Z" }',
    "  ]",
    "}",
  ].join("\r\n"),
).toString("base64");
const awsPolicySignature = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e";
