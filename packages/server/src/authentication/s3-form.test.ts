import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, type TestContext, test } from "node:test";
import { signGrant } from "../core/grants.ts";
import { formKey } from "./post-policy.ts";
import { authenticateS3Form } from "./s3-form.ts";
import { S3Refusal } from "./s3-refusal.ts";
import { temporarySecret } from "./signer.ts";
import { clockAt, exampleDate, exampleKey, exampleNow, openKeys, signing } from "./testing.ts";

/** What stands for the file's name. */
const placeholder = ["$", "{filename}"].join("");

/** AWS's example of a form, its policy byte for byte. */
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

const awsFields = {
  key: `user/user1/${placeholder}`,
  acl: "public-read",
  success_action_redirect: "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html",
  "content-type": "image/jpeg",
  "x-amz-meta-uuid": "14365123651274",
  "x-amz-server-side-encryption": "AES256",
  "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
  "x-amz-algorithm": "AWS4-HMAC-SHA256",
  "x-amz-date": "20151229T000000Z",
  "x-amz-meta-tag": "",
  policy: awsPolicy,
  "x-amz-signature": "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
} as const;

interface Given {
  readonly fields: Readonly<Record<string, string>>;
  readonly bucket?: string;
  readonly filename?: string;
  readonly now?: Date;
}

async function startForms(t: TestContext, { now = exampleNow, signatureV2 = true } = {}) {
  const accessKeys = await openKeys(t, clockAt(now));
  return ({ fields, bucket = "demo", filename = "cat.jpg", now: at = now }: Given) =>
    authenticateS3Form(
      { accessKeys, clock: clockAt(at), region: "us-east-1", signatureV2 },
      {
        bucket,
        fields: new Map(Object.entries(fields)),
        key: formKey(fields.key ?? "", filename),
      },
    );
}

const isRefusal =
  (reason: string, words = "") =>
  (error: unknown) =>
    error instanceof S3Refusal && error.reason === reason && error.message.includes(words);

test("AWS's published form verifies, until it expires", async (t) => {
  const now = new Date("2015-12-29T12:00:00Z");
  const ask = await startForms(t, { now });
  const bucket = "sigv4examplebucket";
  const { actor, lengthRange } = await ask({ fields: awsFields, bucket });
  assert(actor.kind === "key" && actor.keyId === exampleKey.id);
  assert.equal(lengthRange, undefined);
  const late = { fields: awsFields, bucket, now: new Date("2015-12-30T12:00:00Z") };
  await assert.rejects(ask(late), isRefusal("AccessDenied", "expired"));
  await assert.rejects(ask({ fields: awsFields }), isRefusal("AccessDenied", '"$bucket"'));
  const changed = { ...awsFields, policy: awsPolicy.replace("e", "f") };
  await assert.rejects(ask({ fields: changed, bucket }), isRefusal("SignatureDoesNotMatch"));
});

interface SignOptions {
  readonly conditions?: unknown;
  readonly expiration?: unknown;
  readonly document?: string;
  readonly secret?: string;
  readonly token?: string;
}

/** A form that V4 signs, good for one hour. */
function signV4(fields: Readonly<Record<string, string>>, options: SignOptions = {}) {
  const { conditions = [], expiration = "2013-05-24T01:00:00Z", secret, token } = options;
  const document =
    options.document ??
    JSON.stringify({
      expiration,
      conditions: Array.isArray(conditions) ? [{ bucket: "demo" }, ...conditions] : conditions,
    });
  const policy = Buffer.from(document).toString("base64");
  const { key, credential } = signing(secret === undefined ? {} : { secret });
  return {
    ...fields,
    ...(token === undefined ? {} : { "x-amz-security-token": token }),
    policy,
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": credential,
    "x-amz-date": exampleDate,
    "x-amz-signature": createHmac("sha256", key).update(policy).digest("hex"),
  };
}

function signV2(fields: Readonly<Record<string, string>>, conditions: readonly unknown[]) {
  const expiration = "2013-05-24T01:00:00Z";
  const document = JSON.stringify({ expiration, conditions: [{ bucket: "demo" }, ...conditions] });
  const policy = Buffer.from(document).toString("base64");
  const signature = createHmac("sha1", exampleKey.secret).update(policy).digest("base64");
  return { ...fields, policy, awsaccesskeyid: exampleKey.id, signature };
}

const anyKey = ["starts-with", "$key", ""];

test("a form that V2 signs verifies, and not with another signature or key", async (t) => {
  const ask = await startForms(t);
  const fields = signV2({ key: "k" }, [{ key: "k" }]);
  assert.equal((await ask({ fields })).actor.kind, "key");
  const other = signV2({ key: "k" }, [anyKey]).signature;
  await assert.rejects(
    ask({ fields: { ...fields, signature: other } }),
    isRefusal("SignatureDoesNotMatch"),
  );
  await assert.rejects(
    ask({ fields: { ...fields, awsaccesskeyid: "NOBODY" } }),
    isRefusal("InvalidAccessKeyId"),
  );
});

test("where version 2 is turned off, its forms are refused and those of version 4 are not", async (t) => {
  const ask = await startForms(t, { signatureV2: false });
  const v2 = signV2({ key: "k" }, [{ key: "k" }]);
  await assert.rejects(ask({ fields: v2 }), isRefusal("InvalidRequest", "AWS4-HMAC-SHA256"));
  const v4 = signV4({ key: "k" }, { conditions: [{ key: "k" }] });
  assert.equal((await ask({ fields: v4 })).actor.kind, "key");
});

test("conditions that hold let the form in", async (t) => {
  const ask = await startForms(t);
  const cases: readonly (readonly [Readonly<Record<string, string>>, readonly unknown[]])[] = [
    [{ key: "a/b" }, [{ key: "a/b" }]],
    [{ key: "a/b" }, [["eq", "$key", "a/b"]]],
    [{ key: "a/b" }, [["StArTs-WiTh", "$KeY", "a/"]]],
    [{ key: `a/${placeholder}` }, [["starts-with", "$key", "a/cat"]]],
    [{ key: `a/${placeholder}` }, [{ key: `a/${placeholder}` }]],
    [
      { key: "k", "content-type": "image/png, image/gif" },
      [anyKey, ["starts-with", "$Content-Type", "image/"]],
    ],
    [{ key: "k", "x-ignore-a": "1", "x-amz-checksum-crc32": "x" }, [anyKey]],
    [{ key: "k" }, [anyKey, ["starts-with", "$acl", ""]]],
    [{ key: "k", bucket: "demo" }, [anyKey]],
  ];
  for (const [fields, conditions] of cases) {
    await ask({ fields: signV4(fields, { conditions }) });
  }
});

test("content-length-range is told, the narrowest of several", async (t) => {
  const ask = await startForms(t);
  const conditions = [anyKey, ["content-length-range", 1, 10], ["content-length-range", "5", "20"]];
  const { lengthRange } = await ask({ fields: signV4({ key: "k" }, { conditions }) });
  assert.deepEqual(lengthRange, { min: 5, max: 10 });
});

test("a temporary key signs forms, if the policy says its token", async (t) => {
  const ask = await startForms(t);
  const scope = { bucket: "demo", prefix: "in/", actions: ["object:write"] } as const;
  const signer = { keyId: exampleKey.id, secret: exampleKey.secret };
  const token = signGrant(scope, signer, new Date("2013-05-24T02:00:00Z"));
  const secret = temporarySecret(token, exampleKey.secret);
  const said = [anyKey, { "x-amz-security-token": token }];
  const { actor } = await ask({
    fields: signV4({ key: "k" }, { conditions: said, secret, token }),
  });
  assert(actor.kind === "grant");
  assert.equal(actor.scope.prefix, "in/");
  await assert.rejects(
    ask({ fields: signV4({ key: "k" }, { conditions: [anyKey], secret, token }) }),
    isRefusal("AccessDenied", "x-amz-security-token"),
  );
});

describe("a form is refused", () => {
  const good = signV4({ key: "k" }, { conditions: [anyKey] });
  const without = (name: string) =>
    Object.fromEntries(Object.entries(good).filter(([field]) => field !== name));
  const withConditions = (conditions: unknown, fields = {}) =>
    signV4({ key: "k", ...fields }, { conditions });
  const cases: readonly (readonly [string, Given, string])[] = [
    ["without a policy", { fields: without("policy") }, "AccessDenied"],
    ["without a signature", { fields: without("x-amz-signature") }, "InvalidArgument"],
    ["without a credential", { fields: without("x-amz-credential") }, "InvalidArgument"],
    ["without an algorithm", { fields: without("x-amz-algorithm") }, "InvalidArgument"],
    ["without a date", { fields: without("x-amz-date") }, "InvalidArgument"],
    ["for V2 without its key", { fields: { ...good, signature: "x" } }, "InvalidArgument"],
    [
      "with a key of eight days ago",
      {
        fields: signV4({ key: "k" }, { conditions: [anyKey], expiration: "2014-01-01T00:00:00Z" }),
        now: new Date("2013-06-01T00:00:01Z"),
      },
      "AccessDenied",
    ],
    ["in another bucket", { fields: good, bucket: "other" }, "AccessDenied"],
    ["whose own bucket is another", { fields: { ...good, bucket: "other" } }, "AccessDenied"],
    ["with another key", { fields: withConditions([{ key: "other" }]) }, "AccessDenied"],
    [
      "with a key outside of the prefix",
      { fields: withConditions([["starts-with", "$key", "a/"]]) },
      "AccessDenied",
    ],
    [
      "with a field that no condition covers",
      { fields: { ...good, acl: "private" } },
      "AccessDenied",
    ],
    [
      "with metadata that no condition covers",
      { fields: { ...good, "x-amz-meta-a": "1" } },
      "AccessDenied",
    ],
    [
      "without a field that a condition wants",
      { fields: withConditions([anyKey, { acl: "private" }]) },
      "AccessDenied",
    ],
    [
      "with one type of two outside of the prefix",
      {
        fields: withConditions([anyKey, ["starts-with", "$content-type", "image/"]], {
          "content-type": "image/png,text/html",
        }),
      },
      "AccessDenied",
    ],
    ["whose key no condition covers", { fields: withConditions([]) }, "AccessDenied"],
    [
      "whose bucket no condition covers",
      {
        fields: signV4(
          { key: "k" },
          {
            document: JSON.stringify({ expiration: "2013-05-24T01:00:00Z", conditions: [anyKey] }),
          },
        ),
      },
      "AccessDenied",
    ],
  ];
  test("each of them, and the same form unchanged is not", async (t) => {
    const ask = await startForms(t);
    for (const [name, given, reason] of cases) {
      await ask({ fields: good });
      await assert.rejects(ask(given), isRefusal(reason), name);
    }
  });

  test("for a document that is none: InvalidPolicyDocument", async (t) => {
    const ask = await startForms(t);
    const expiration = "2013-05-24T01:00:00Z";
    const documents: readonly unknown[] = [
      [],
      {},
      { conditions: [] },
      { expiration },
      { EXPIRATION: expiration, conditions: [] },
      { expiration, CONDITIONS: [] },
      { expiration: "tomorrow", conditions: [] },
      { expiration: "2013-02-31T25:00:00Z", conditions: [] },
      { expiration, conditions: {} },
      ...[{}, "x", null, { a: 1 }, ["eq", "$key"], ["eq", "key", "x"], ["is", "$key", "x"]].map(
        (condition) => ({ expiration, conditions: [condition] }),
      ),
      ...[[0], [-1, 0], [0, 1.5], ["x", 1], [0, 1, 2]].map((range) => ({
        expiration,
        conditions: [["content-length-range", ...range]],
      })),
    ];
    for (const document of ["", "{", "\xff", ...documents.map((value) => JSON.stringify(value))]) {
      const fields = signV4({ key: "k" }, { document });
      const reason = fields.policy === "" ? "InvalidArgument" : "InvalidPolicyDocument";
      await assert.rejects(ask({ fields }), isRefusal(reason), document);
    }
  });
});

test("the file's own name takes the placeholder's place, whatever is in it", () => {
  assert.equal(formKey(`a/${placeholder}`, "C:\\x\\cat.jpg"), "a/cat.jpg");
  assert.equal(formKey(`a/${placeholder}-${placeholder}`, "../../$&"), "a/$&-$&");
  assert.equal(formKey("a", "cat.jpg"), "a");
});
