import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isOperationalError } from "../core/errors.ts";
import { S3Refusal } from "./s3-refusal.ts";
import { isPresigned, verifySigV4Query } from "./sigv4-query.ts";
import { exampleKey, exampleNow, presign } from "./testing.ts";

const host = "examplebucket.s3.amazonaws.com";

const awsTarget =
  "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
  "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
  "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
  "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

interface Sent {
  readonly method?: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly now?: Date;
  readonly region?: string;
}

function verify({ method = "GET", target, headers = {}, now = exampleNow, region }: Sent) {
  return verifySigV4Query(
    { method, target, rawHeaders: Object.entries({ host, ...headers }).flat() },
    {
      now,
      signerOf: async (id) => (id === exampleKey.id ? exampleKey : undefined),
      ...(region === undefined ? {} : { region }),
    },
  );
}

const later = (seconds: number): Date => new Date(exampleNow.getTime() + seconds * 1000);

test("AWS's published presigned URL verifies, up to the second in which it expires", async () => {
  for (const now of [exampleNow, later(-600), later(86_400)]) {
    const { keyId, payload } = await verify({ target: awsTarget, now });
    assert.equal(keyId, exampleKey.id);
    assert.deepEqual(payload, { kind: "unsigned" });
  }
});

test("everything in the query is signed, and told by its name", async () => {
  const query = {
    "x-amz-meta-a": "ü +&=",
    "X-Amz-Content-Sha256": "a".repeat(64),
    "x-id": "PutObject",
  };
  const target = presign(
    { method: "PUT", path: "/b/k", query, headers: { host } },
    { hash: "a".repeat(64) },
  );
  const { parameters, payload } = await verify({ method: "PUT", target });
  assert.equal(parameters.get("x-amz-meta-a"), "ü +&=");
  assert.deepEqual(payload, { kind: "sha256", digest: Buffer.from("a".repeat(64), "hex") });
  assert(isPresigned(target));
  assert(!isPresigned("/b/k?x-amz-meta-a=1"));
});

test("signed headers count, and a plus in the query is a space", async () => {
  const headers = { host, "content-type": "text/plain", "x-amz-meta-b": "1" };
  const target = presign({ method: "PUT", path: "/b/k", query: { a: "b c" }, headers });
  await verify({ method: "PUT", target: target.replace("b%20c", "b+c"), headers });
  await assert.rejects(
    verify({ method: "PUT", target: target.replace("b%20c", "b%2Bc"), headers }),
    (error) => isOperationalError(error, "unauthenticated"),
  );
});

describe("a presigned URL that differs from what was signed is refused", () => {
  const signed = (options: Parameters<typeof presign>[1], extra = {}) =>
    presign({ method: "GET", path: "/test.txt", query: extra, headers: { host } }, options);
  const drop = (name: string) =>
    awsTarget.replace(new RegExp(`[?&]${name}=[^&]*`), (text) => (text[0] === "?" ? "?x=y" : ""));
  const malformed = "AuthorizationQueryParametersError";
  const cases: readonly (readonly [string, Sent, string])[] = [
    ["another method", { target: awsTarget, method: "HEAD" }, "SignatureDoesNotMatch"],
    ["another key", { target: awsTarget.replace("test", "best") }, "SignatureDoesNotMatch"],
    ["one more parameter", { target: `${awsTarget}&versionId=1` }, "SignatureDoesNotMatch"],
    ["a longer life", { target: awsTarget.replace("86400", "86401") }, "SignatureDoesNotMatch"],
    [
      "another host",
      { target: awsTarget, headers: { host: "x.example" } },
      "SignatureDoesNotMatch",
    ],
    [
      "an unsigned header that names the source of a copy",
      { target: awsTarget, headers: { "x-amz-copy-source": "b/secret" } },
      "AccessDenied",
    ],
    ["an unknown key", { target: signed({ id: "NOBODY" }) }, "InvalidAccessKeyId"],
    ["a second too late", { target: awsTarget, now: later(86_401) }, "AccessDenied"],
    ["signed an hour ahead", { target: awsTarget, now: later(-3600) }, "AccessDenied"],
    ["no life at all", { target: signed({ seconds: 0 }) }, malformed],
    ["more than seven days", { target: signed({ seconds: 604_801 }) }, malformed],
    ["a life that is no number", { target: signed({ seconds: "1e3" }) }, malformed],
    [
      "another region",
      { target: awsTarget.replace("us-east-1", "moon"), region: "mars" },
      malformed,
    ],
    [
      "another day in the scope",
      { target: awsTarget.replace("20130524%2F", "20130525%2F") },
      malformed,
    ],
    ["a parameter twice", { target: `${awsTarget}&x-amz-date=20130524T000000Z` }, malformed],
    ["another algorithm", { target: awsTarget.replace("HMAC", "HMACX") }, malformed],
    ["a short signature", { target: awsTarget.slice(0, -1) }, malformed],
    ["host not among the signed", { target: awsTarget.replace("=host", "=range") }, "AccessDenied"],
    ...["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"].map(
      (name) => [`no ${name}`, { target: drop(`X-Amz-${name}`) }, malformed] as const,
    ),
  ];
  for (const [name, sent, reason] of cases) {
    test(`${name}: ${reason}`, async () => {
      await assert.rejects(
        verify(sent),
        (error) => error instanceof S3Refusal && error.reason === reason,
      );
    });
  }
});
