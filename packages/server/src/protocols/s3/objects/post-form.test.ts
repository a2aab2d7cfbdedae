/** Forms as browsers post them: stored only if every condition of the signed policy holds. */
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { test } from "node:test";
import { key as rootKey, type S3Server, startS3 } from "../testing.ts";

/** What stands for the file's name. */
const placeholder = ["$", "{filename}"].join("");

type Condition = object | readonly unknown[];

interface FormOptions {
  readonly fields?: Readonly<Record<string, string>>;
  /** Beside those of the bucket and every field that is sent. */
  readonly conditions?: readonly Condition[];
  /** Instead of those of every field. */
  readonly only?: readonly Condition[];
  readonly expiration?: string;
  readonly file?: string;
  readonly fileName?: string;
  readonly bucket?: string;
  readonly after?: Readonly<Record<string, string>>;
}

function signedFields(conditions: readonly Condition[], expiration: string) {
  const date = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const credential = `${rootKey.keyId}/${date.slice(0, 8)}/us-east-1/s3/aws4_request`;
  const policy = Buffer.from(JSON.stringify({ expiration, conditions })).toString("base64");
  const parts = [date.slice(0, 8), "us-east-1", "s3", "aws4_request", policy];
  const signature = parts.reduce<Buffer | string>(
    (secret, text) => createHmac("sha256", secret).update(text).digest(),
    `AWS4${rootKey.secret}`,
  );
  return {
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": credential,
    "x-amz-date": date,
    policy,
    "x-amz-signature": signature.toString("hex"),
  };
}

async function post(s3: S3Server, options: FormOptions) {
  const { fields = { key: "k" }, file = "the file", bucket = "demo", after = {} } = options;
  const covered = options.only ?? [
    { bucket },
    ...Object.entries(fields).map(([name]) => ["starts-with", `$${name}`, ""]),
    ...(options.conditions ?? []),
  ];
  const expiration = options.expiration ?? new Date(Date.now() + 60_000).toISOString();
  const form = new FormData();
  const signed = signedFields(covered, expiration);
  for (const [name, value] of Object.entries({ ...fields, ...signed })) form.append(name, value);
  form.append("file", new File([file], options.fileName ?? "C:\\a\\photo.jpg"));
  for (const [name, value] of Object.entries(after)) form.append(name, value);
  const response = await fetch(`${s3.endpoint}/demo`, {
    method: "POST",
    body: form,
    redirect: "manual",
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    code: /<Code>(.*?)</.exec(text)?.[1],
  };
}

async function nothingAt(s3: S3Server, key: string): Promise<void> {
  assert.equal((await s3.call("HEAD", `/s3/demo/${key}`)).status, 404);
}

test("a form is stored with what its fields say", async (t) => {
  const s3 = await startS3(t);
  const answer = await post(s3, {
    fields: {
      key: `user/${placeholder}`,
      "Content-Type": "image/x-test",
      "Cache-Control": "max-age=7",
      "x-amz-meta-name": "größe",
      tagging: "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>",
      acl: "private",
      "x-amz-checksum-sha256": createHash("sha256").update("the file").digest("base64"),
    },
    after: { ignored: "x", "x-amz-meta-late": "x" },
  });
  assert.deepEqual([answer.status, answer.text], [204, ""]);
  assert.equal(
    answer.headers.get("etag"),
    `"${createHash("md5").update("the file").digest("hex")}"`,
  );
  assert.equal(answer.headers.get("location"), `${s3.endpoint}/demo/user/photo.jpg`);
  const got = await s3.call("GET", "/s3/demo/user/photo.jpg");
  assert.equal(got.text, "the file");
  assert.equal(got.headers["content-type"], "image/x-test");
  assert.equal(got.headers["cache-control"], "max-age=7");
  assert.equal(got.headers["x-amz-meta-name"], Buffer.from("größe").toString("latin1"));
  assert.equal(got.headers["x-amz-meta-late"], undefined);
  assert.equal(got.headers["x-amz-tagging-count"], "1");
});

test("the form says how it is answered", async (t) => {
  const s3 = await startS3(t);
  const made = await post(s3, { fields: { key: "a&b", success_action_status: "201" } });
  assert.equal(made.status, 201);
  assert.match(made.text, /<PostResponse><Location>.*\/s3\/demo\/a%26b<\/Location>/);
  assert.match(made.text, /<Bucket>demo<\/Bucket><Key>a&amp;b<\/Key><ETag>&quot;/);
  const plain = await post(s3, { fields: { key: "a", success_action_status: "200" } });
  assert.equal(plain.status, 200);
  const odd = await post(s3, { fields: { key: "a", success_action_status: "500" } });
  assert.equal(odd.status, 204);
  const away = "https://app.example/done?x=1";
  const redirected = await post(s3, { fields: { key: "a", success_action_redirect: away } });
  assert.equal(redirected.status, 303);
  const location = new URL(redirected.headers.get("location") ?? "");
  assert.equal(location.href.startsWith(`${away}&bucket=demo&key=a&etag=%22`), true);
  const script = await post(s3, { fields: { key: "a", success_action_redirect: "javascript:x" } });
  assert.equal(script.status, 204);
});

test("a form that breaks its policy stores nothing", async (t) => {
  const s3 = await startS3(t);
  const refused = async (options: FormOptions, code: string) => {
    assert.equal((await post(s3, options)).code, code, JSON.stringify(options));
    await nothingAt(s3, "k");
  };
  await refused({ conditions: [["starts-with", "$key", "other/"]] }, "AccessDenied");
  await refused({ conditions: [{ key: "other" }] }, "AccessDenied");
  await refused(
    { fields: { key: "k", extra: "1" }, only: [{ bucket: "demo" }, { key: "k" }] },
    "AccessDenied",
  );
  await refused({ bucket: "other" }, "AccessDenied");
  await refused({ expiration: "2020-01-01T00:00:00Z" }, "AccessDenied");
  await refused({ conditions: [["content-length-range", 0, 7]] }, "EntityTooLarge");
  await refused({ conditions: [["content-length-range", 9, 100]] }, "EntityTooSmall");
  await refused({ fields: { key: "k", acl: "public-read" } }, "AccessControlListNotSupported");
  await refused(
    { fields: { key: "k", "x-amz-server-side-encryption": "AES256" } },
    "NotImplemented",
  );
  await refused({ fields: { key: "k", "x-amz-checksum-crc32": "AAAAAA==" } }, "BadDigest");
  await refused({ fields: { "x-amz-meta-a": "1" }, after: { key: "k" } }, "InvalidArgument");
  await refused(
    { fields: { key: "k", "x-amz-meta-a": "x".repeat(21_000) } },
    "MaxPostPreDataLengthExceeded",
  );
  const right = await post(s3, { conditions: [["content-length-range", 8, 8]] });
  assert.equal(right.status, 204);
});

test("what is no form, or has no policy or file, is refused", async (t) => {
  const s3 = await startS3(t);
  const send = async (type: string, body: string) => {
    const headers = { "content-type": type };
    return (await s3.call("POST", "/s3/demo", { as: "nobody", headers, body })).code;
  };
  const form = "multipart/form-data; boundary=b";
  const field = (name: string, value: string) =>
    `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  assert.equal(await send("application/json", "{}"), "PreconditionFailed");
  assert.equal(await send("multipart/form-data", ""), "MalformedPOSTRequest");
  assert.equal(await send(form, "--b\r\nno header\r\n\r\nx\r\n--b--"), "MalformedPOSTRequest");
  assert.equal(await send(form, `${field("key", "k")}--b--`), "InvalidArgument");
  assert.equal(await send(form, `${field("key", "k")}${field("file", "x")}--b--`), "AccessDenied");
  assert.equal(
    await send(form, `${field("key", "k")}${field("KEY", "x")}--b--`),
    "InvalidArgument",
  );
  await nothingAt(s3, "k");
});

test("a form whose fields no header could carry stores nothing", async (t) => {
  const s3 = await startS3(t);
  for (const fields of [
    { key: "k", "Content-Type": "text/html\r\nset-cookie: a=b" },
    { key: "k", "Content-Type": `text/${"x".repeat(5000)}` },
    { key: "k", "Cache-Control": "a\nb" },
    { key: "k", "x-amz-meta-a b": "1" },
    { key: "k", "x-amz-meta-a:b": "1" },
  ]) {
    const answer = await post(s3, { fields });
    assert.deepEqual(
      [answer.status, answer.code],
      [400, "InvalidArgument"],
      JSON.stringify(fields),
    );
  }
  assert.equal((await s3.call("HEAD", "/s3/demo/k")).status, 404);
});
