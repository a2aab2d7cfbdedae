import assert from "node:assert/strict";
import { test } from "node:test";
import { Secret } from "../config/secret.ts";
import { OperationalError } from "../core/errors.ts";
import { loggable, scrub } from "./loggable.ts";
import { traceIdOf } from "./request-context.ts";

const secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
const token = `eyJhbGciOiJIUzI1NiJ9.${secret}.c2lnbmF0dXJl`;

const texts: Readonly<Record<string, string>> = {
  "a bearer credential": `authorization: Bearer root.${secret}`,
  "a basic credential": `Basic ${secret}==`,
  "a grant in an address": `GET /v1/objects/b/k?grant=${token}&x=1`,
  "a grant anywhere": `refused ${token}`,
  "a presigned request": `/s3/b/k?X-Amz-Expires=60&X-Amz-Signature=${secret}&X-Amz-Security-Token=${secret}`,
  "a presigned request, encoded": `%3Fa=b&X-Amz-Signature%3D${secret}&c=d`,
  "a presigned request of version 2": `/b/k?Signature=${secret}&Expires=1`,
  "a presigned request of OSS": `/b/k?x-oss-signature=${secret}`,
  "a signature's header": `AWS4-HMAC-SHA256 Credential=K/1/r/s3, SignedHeaders=host, Signature=${secret}`,
  "a password in an address": `smtp://user:${secret}@mail.example:587`,
  "JSON in a text": `{"secretAccessKey":"${secret}","a":1}`,
};

for (const [name, text] of Object.entries(texts)) {
  test(`${name} is not in the log`, () => {
    const scrubbed = scrub(text);
    assert.ok(!scrubbed.includes(secret), scrubbed);
    assert.match(scrubbed, /\[redacted\]/);
  });
}

test("fields with the names of secrets are not in the log, at any depth and in errors", () => {
  const cause = Object.assign(new Error(`Bearer ${secret}`), { headers: { Cookie: secret } });
  const fields = {
    settings: { endpoint: "https://s3.example", secretAccessKey: secret, nested: [{ secret }] },
    smtp: { password: secret, user: "u" },
    Authorization: secret,
    "x-amz-security-token": secret,
    hidden: new Secret(secret),
    err: new OperationalError("unavailable", `grant=${token}`, { context: { secret }, cause }),
  };
  const made = loggable(fields);
  assert.ok(!JSON.stringify(made).includes(secret), JSON.stringify(made));
  assert.deepEqual(made.settings, {
    endpoint: "https://s3.example",
    secretAccessKey: "[redacted]",
    nested: [{ secret: "[redacted]" }],
  });
  const err = made.err as Record<string, unknown>;
  assert.equal(err.type, "OperationalError");
  assert.equal(err.code, "unavailable");
  assert.match(String(err.stack), /loggable\.test/);
});

test("what says nothing secret stays as it is", () => {
  const fields = {
    ...{ requestId: "abc", bytes: 5, isOk: true, none: null, storageId: "local" },
    path: "/v1/objects/demo/signature-of-the-times",
    at: new Date(0),
    list: [1, "two"],
  };
  assert.deepEqual(loggable(fields), { ...fields, at: "1970-01-01T00:00:00.000Z" });
});

test("fields are bounded: long texts, long lists, deep objects, circles, bytes", () => {
  const circle: Record<string, unknown> = { bytes: new Uint8Array(1_000_000) };
  circle.circle = circle;
  const made = JSON.stringify(
    loggable({ circle, long: "x".repeat(1_000_000), many: Array(100_000).fill("y") }),
  );
  assert.ok(made.length < 10_000, `${made.length}`);
});

test("a trace id is taken from a valid traceparent only", () => {
  const id = "4bf92f3577b34da6a3ce929d0e0e4736";
  const table: readonly (readonly [string | undefined, string | undefined])[] = [
    [`00-${id}-00f067aa0ba902b7-01`, id],
    [`cc-${id}-00f067aa0ba902b7-01-what-comes-later`, id],
    [`00-${id}-00f067aa0ba902b7-01-more`, undefined],
    [`ff-${id}-00f067aa0ba902b7-01`, undefined],
    [`00-${"0".repeat(32)}-00f067aa0ba902b7-01`, undefined],
    [`00-${id}-${"0".repeat(16)}-01`, undefined],
    [`00-${id.toUpperCase()}-00f067aa0ba902b7-01`, undefined],
    ["nonsense", undefined],
    [undefined, undefined],
  ];
  for (const [header, expected] of table) assert.equal(traceIdOf(header), expected, `${header}`);
});
