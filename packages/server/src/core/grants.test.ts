import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import type { GrantScope } from "./access.ts";
import { type ErrorCode, isOperationalError } from "./errors.ts";
import { grantKeyId, looksLikeGrant, signGrant, verifyGrant } from "./grants.ts";

const now = new Date("2026-01-01T00:00:00Z");
const inAnHour = new Date(now.getTime() + 3_600_000);
const signer = { keyId: "ROMAKEY", secret: "a-secret-of-some-length" };
const scope: GrantScope = {
  bucket: "photos",
  key: "2026/ü.jpg",
  actions: ["object:write"],
  methods: ["PUT"],
  minBytes: 1,
  maxBytes: 10,
  contentTypes: ["image/*"],
};

const refuses = (code: ErrorCode) => (error: unknown) => isOperationalError(error, code);
const jwt = (header: object, claims: object, secret = signer.secret) => {
  const text = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
};
const header = { alg: "HS256", typ: "JWT", kid: "ROMAKEY" };
const claims = {
  bucket: "b",
  prefix: "",
  actions: ["object:read"],
  exp: inAnHour.getTime() / 1000,
};

test("a grant comes back as it was signed", () => {
  const token = signGrant(scope, signer, inAnHour);
  assert.equal(looksLikeGrant(token), true);
  assert.equal(grantKeyId(token), "ROMAKEY");
  assert.deepEqual(verifyGrant(token, signer.secret, now), scope);
});

test("a backend can make one with nothing but HMAC", () => {
  assert.deepEqual(verifyGrant(jwt(header, claims), signer.secret, now), {
    bucket: "b",
    prefix: "",
    actions: ["object:read"],
  });
});

test("a changed claim, another secret and a cut signature are refused", () => {
  const token = signGrant(scope, signer, inAnHour);
  const [head = "", , signature = ""] = token.split(".");
  const wider = Buffer.from(JSON.stringify({ ...scope, maxBytes: 1e9, exp: claims.exp })).toString(
    "base64url",
  );
  assert.throws(
    () => verifyGrant(`${head}.${wider}.${signature}`, signer.secret, now),
    refuses("unauthenticated"),
  );
  assert.throws(() => verifyGrant(token, "another-secret", now), refuses("unauthenticated"));
  assert.throws(
    () => verifyGrant(token.slice(0, -4), signer.secret, now),
    refuses("unauthenticated"),
  );
});

test("an expired grant is refused as expired, one of more than 7 days as bad", () => {
  const token = signGrant(scope, signer, inAnHour);
  assert.throws(() => verifyGrant(token, signer.secret, inAnHour), refuses("expired"));
  const long = signGrant(scope, signer, new Date(now.getTime() + 8 * 86_400_000));
  assert.throws(() => verifyGrant(long, signer.secret, now), refuses("unauthenticated"));
});

const bad: readonly [what: string, header: object, claims: object][] = [
  ["no exp", header, { ...claims, exp: undefined }],
  ["not yet valid", header, { ...claims, nbf: now.getTime() / 1000 + 60 }],
  ["no bucket", header, { ...claims, bucket: undefined }],
  ["key and prefix", header, { ...claims, key: "k" }],
  ["neither key nor prefix", header, { ...claims, prefix: undefined }],
  ["no actions", header, { ...claims, actions: [] }],
  ["an administrative action", header, { ...claims, actions: ["key:write"] }],
  ["a size that is no size", header, { ...claims, maxBytes: -1 }],
  ["methods that are no list", header, { ...claims, methods: "PUT" }],
];

for (const [what, head, body] of bad) {
  test(`a grant with ${what} is refused`, () => {
    assert.throws(
      () => verifyGrant(jwt(head, body), signer.secret, now),
      refuses("unauthenticated"),
    );
  });
}

test("only HS256 is an algorithm", () => {
  for (const alg of ["none", "RS256", "HS512", undefined]) {
    assert.throws(() => grantKeyId(jwt({ ...header, alg }, claims)), refuses("unauthenticated"));
  }
});

test("a template, a count and a context come back in the terms of the server", () => {
  const token = jwt(header, {
    ...{ bucket: "b", prefix: "in/", template: "in/{uuid}{ext}", actions: ["object:write"] },
    ...{ exp: claims.exp, jti: "grant-1", count: 3, context: { user: 7, name: "ü" } },
  });
  assert.deepEqual(verifyGrant(token, signer.secret, now), {
    bucket: "b",
    prefix: "in/",
    template: "in/{uuid}{ext}",
    actions: ["object:write"],
    id: "grant-1",
    use: { id: "ROMAKEY/grant-1", usesMax: 3, expiresAt: inAnHour },
    context: '{"user":7,"name":"ü"}',
  });
});

test("claims that contradict or exceed their limits are refused", () => {
  const bad: readonly object[] = [
    { template: "in/{uuid}", prefix: "out/" },
    { template: "{nothing}" },
    { template: 7 },
    { prefix: undefined, key: "k", template: "k{uuid}" },
    { prefix: undefined },
    { count: 1 },
    { count: 0, jti: "j" },
    { count: 1.5, jti: "j" },
    { count: "1", jti: "j" },
    { count: 1_000_001, jti: "j" },
    { count: 1, jti: "" },
    { count: 1, jti: "a b" },
    { count: 1, jti: "x".repeat(129) },
    { count: 1, jti: 5 },
    { context: "x".repeat(1023) },
    { context: "\0".repeat(200) },
  ];
  for (const changes of bad) {
    const token = jwt(header, { ...claims, ...changes });
    assert.throws(
      () => verifyGrant(token, signer.secret, now),
      refuses("unauthenticated"),
      JSON.stringify(changes),
    );
  }
  const largest = jwt(header, { ...claims, context: "x".repeat(1022) });
  assert.equal(verifyGrant(largest, signer.secret, now).context?.length, 1024);
});
