/** Every kind of change with every kind of credential: who did it is in the audit log, and no secret of it. */
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { temporarySecret } from "../../packages/server/src/authentication/index.ts";
import { signGrant } from "../../packages/server/src/core/grants.ts";
import { key, send, startS3 } from "../../packages/server/src/protocols/s3/testing.ts";
import {
  presigned,
  presignedV2,
} from "../../packages/server/src/protocols/s3/testing-signature.ts";
import { eventually } from "../harness/process-usage.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";

interface RecordJson {
  readonly action: string;
  readonly result: string;
  readonly actor: { readonly kind: string; readonly id?: string; readonly grant?: string };
  readonly address?: string;
  readonly via?: string;
  readonly protocol?: string;
  readonly requestId?: string;
  readonly permission?: string;
  readonly bucket?: string;
  readonly key?: string;
  readonly repeated?: number;
  readonly context?: unknown;
}

async function start(t: TestContext) {
  const data = await temporaryFolder(t);
  const s3 = await startS3(t, { data });
  /** All that anybody should never find in the log. */
  const secrets = new Set<string>([key.secret]);
  /** Credentials of each request are remembered as secrets, in whatever place they are. */
  const ask = async (
    method: string,
    target: string,
    headers: Readonly<Record<string, string>> = {},
    body: string | Buffer = "",
  ) => {
    const { hostname, port, host } = new URL(s3.url);
    const { authorization = "" } = headers;
    secrets.add(authorization.split(" ").at(-1) ?? "");
    for (const [name, value] of new URLSearchParams(target.split("?")[1] ?? "")) {
      if (/signature|credential|grant|token/i.test(name)) secrets.add(value);
    }
    return await send({ hostname, port, method, path: target }, { host, ...headers }, body);
  };
  const rows = (): readonly string[] => {
    const database = new DatabaseSync(join(data, "metadata.sqlite"), { readOnly: true });
    const all = database.prepare("select record from audit order by sequence").all();
    database.close();
    return all.map(({ record }) => String(record));
  };
  return { s3, ask, rows, secrets };
}

const basic = `Basic ${Buffer.from(`${key.keyId}:${key.secret}`).toString("base64")}`;
const bearer = `Bearer ${key.keyId}.${key.secret}`;

function grantFor(objectKey: string): string {
  return signGrant(
    {
      ...{ bucket: "demo", key: objectKey, actions: ["object:write", "object:delete"] },
      ...{ jti: `grant of ${objectKey}`.replaceAll(" ", "-"), context: { user: 7 } },
    },
    key.keyId === "" ? { keyId: "", secret: "" } : key,
    new Date(Date.now() + 600_000),
  );
}

/** A form whose policy permits any key. */
function formFor(objectKey: string, secrets: Set<string>) {
  const date = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const expiration = new Date(Date.now() + 60_000).toISOString();
  const conditions = [{ bucket: "demo" }, ["starts-with", "$key", ""]];
  const policy = Buffer.from(JSON.stringify({ expiration, conditions })).toString("base64");
  const steps = [date.slice(0, 8), "us-east-1", "s3", "aws4_request", policy];
  const signature = steps.reduce<Buffer | string>(
    (secret, text) => createHmac("sha256", secret).update(text).digest(),
    `AWS4${key.secret}`,
  );
  secrets.add(Buffer.from(signature).toString("hex")).add(policy);
  const form = new FormData();
  form.append("key", objectKey);
  form.append("policy", policy);
  form.append("x-amz-algorithm", "AWS4-HMAC-SHA256");
  form.append("x-amz-credential", `${key.keyId}/${date.slice(0, 8)}/us-east-1/s3/aws4_request`);
  form.append("x-amz-date", date);
  form.append("x-amz-signature", Buffer.from(signature).toString("hex"));
  form.append("file", new File(["of a form"], "f"));
  return form;
}

test("whoever changes something is put down with it, and no secret, signature or token is", async (t) => {
  const { s3, ask, rows, secrets } = await start(t);
  const expect = async (status: number, answer: ReturnType<typeof ask>) => {
    const { status: found, text } = await answer;
    assert.equal(found, status, text);
    return text;
  };
  const forwarded = { "x-forwarded-for": "192.0.2.7", "roma-request-id": "my-request-1" };
  // Access keys, through REST.
  const one = "/v1/objects/demo/basic?password=hunter2";
  await expect(201, ask("PUT", one, { authorization: basic, ...forwarded }, "1"));
  await expect(201, ask("PUT", "/v1/objects/demo/bearer", { authorization: bearer }, "1"));
  // Signatures: header, URLs of both versions, a form, and a temporary key.
  await s3.call("PUT", "/s3/demo/sigv4", { body: "1" });
  const { host } = new URL(s3.url);
  const v4 = presigned({ method: "PUT", target: "/s3/demo/url-v4", headers: { host } }, key);
  await expect(200, ask("PUT", v4, {}, "1"));
  const until = Math.floor(Date.now() / 1000) + 60;
  const unsigned = { method: "PUT", resource: "/demo/url-v2", target: "/s3/demo/url-v2" };
  await expect(200, ask("PUT", presignedV2(unsigned, key, until), {}, "1"));
  const posted = await fetch(`${s3.endpoint}/demo`, {
    method: "POST",
    body: formFor("form", secrets),
  });
  assert.equal(posted.status, 204);
  const token = grantFor("temporary");
  const temporary = { keyId: key.keyId, secret: temporarySecret(token, key.secret) };
  secrets.add(token).add(temporary.secret);
  const withToken = { headers: { "x-amz-security-token": token }, body: "1" };
  const put = await s3.call("PUT", "/s3/demo/temporary", { as: temporary, ...withToken });
  assert.equal(put.status, 200, put.text);
  // Grants in the header, in the URL, and through tus.
  const inHeader = `Bearer ${grantFor("in-header")}`;
  await expect(201, ask("PUT", "/v1/objects/demo/in-header", { authorization: inHeader }, "1"));
  await expect(201, ask("PUT", `/v1/objects/demo/in-url?grant=${grantFor("in-url")}`, {}, "1"));
  const tus = {
    authorization: `Bearer ${grantFor("tus")}`,
    "tus-resumable": "1.0.0",
    "upload-length": "3",
    "upload-metadata": `key ${Buffer.from("tus").toString("base64")}`,
    "content-type": "application/offset+octet-stream",
  };
  await expect(201, ask("POST", "/tus/demo", tus, "abc"));
  // Other changes.
  const json = { authorization: basic, "content-type": "application/json" };
  const copy = { from: { bucket: "demo", key: "basic" }, to: { bucket: "demo", key: "copied" } };
  await expect(201, ask("POST", "/v1/copy", json, JSON.stringify(copy)));
  const move = { from: copy.to, to: { bucket: "demo", key: "moved" } };
  await expect(201, ask("POST", "/v1/move", json, JSON.stringify(move)));
  const tagging =
    "<Tagging><TagSet><Tag><Key>k</Key><Value>tag-value</Value></Tag></TagSet></Tagging>";
  const md5 = createHash("md5").update(tagging).digest("base64");
  const tagged = await s3.call("PUT", "/s3/demo/moved?tagging", {
    headers: { "content-md5": md5 },
    body: tagging,
  });
  assert.equal(tagged.status, 200, tagged.text);
  secrets.add("tag-value");
  await expect(200, ask("PUT", "/v1/objects/demo/basic", { authorization: basic }, "22"));
  const gone = { keys: ["basic", "bearer"] };
  await expect(200, ask("POST", "/v1/objects/demo?delete", json, JSON.stringify(gone)));
  const removing = ask("DELETE", `/v1/objects/demo/in-url?grant=${grantFor("in-url")}`);
  await expect(204, removing);
  const initiated = (await s3.call("POST", "/s3/demo/parts?uploads")).text;
  const uploadId = /<UploadId>([^<]+)/.exec(initiated)?.[1] ?? "";
  const part = await s3.call("PUT", `/s3/demo/parts?partNumber=1&uploadId=${uploadId}`, {
    body: "part",
  });
  const complete = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers.etag}</ETag></Part></CompleteMultipartUpload>`;
  await s3.call("POST", `/s3/demo/parts?uploadId=${uploadId}`, { body: complete });
  await expect(201, ask("PUT", "/v1/buckets/other", json, "{}"));
  await expect(200, ask("PATCH", "/v1/buckets/other", json, '{"visibility":"public-read"}'));
  await expect(204, ask("DELETE", "/v1/buckets/other", json));
  const policy = [{ buckets: ["demo"], actions: ["object:read"] }];
  const made = JSON.parse(
    await expect(201, ask("POST", "/v1/keys", json, JSON.stringify({ name: "reader", policy }))),
  );
  secrets.add(made.secret);
  await expect(200, ask("PATCH", `/v1/keys/${made.id}`, json, '{"name":"still a reader"}'));
  // What is refused: a wrong secret, a wrong signature, a permission that is not there, twice.
  const wrong = `Bearer ${key.keyId}.wrong-secret-of-somebody`;
  await expect(401, ask("GET", "/v1/buckets", { authorization: wrong }));
  secrets.add("wrong-secret-of-somebody");
  const misplaced = `Bearer ${key.secret}.${key.keyId}`;
  await expect(401, ask("GET", "/v1/buckets", { authorization: misplaced }));
  const unsignedUrl = { method: "PUT", target: "/s3/demo/url-v5", headers: { host } };
  const signedUrl = presigned(unsignedUrl, { keyId: made.id, secret: made.secret });
  await expect(403, ask("PUT", signedUrl.replace("url-v5", "url-v6"), {}, "1"));
  const reader = { authorization: `Bearer ${made.id}.${made.secret}` };
  await expect(403, ask("DELETE", "/v1/objects/demo/sigv4", reader));
  await expect(403, ask("DELETE", "/v1/objects/demo/form", reader));
  const batch = { ...json, ...reader };
  await expect(200, ask("POST", "/v1/objects/demo?delete", batch, '{"keys":["form"]}'));
  // Who is refused waits for no record, so it comes a little later.
  await eventually("the last refusal is recorded", () =>
    rows().some((row) => row.includes('"result":"access_denied"')),
  );
  await expect(204, ask("DELETE", `/v1/keys/${made.id}`, json));

  const records = rows().map((row): RecordJson => JSON.parse(row));
  const facts = records.map(({ action, actor, protocol, key: name, result }) =>
    [action, actor.kind, actor.grant, protocol, name, result === "done" ? undefined : result]
      .filter((fact) => fact !== undefined)
      .join(" "),
  );
  const own = facts.slice(facts.findIndex((fact) => fact.includes("basic")));
  assert.deepEqual(own, [
    "object.created key rest basic",
    "object.created key rest bearer",
    "object.created key s3 sigv4",
    "object.created key s3 url-v4",
    "object.created key s3 url-v2",
    "object.created key s3 form",
    "object.created grant grant-of-temporary s3 temporary",
    "object.created grant grant-of-in-header rest in-header",
    "object.created grant grant-of-in-url rest in-url",
    "object.created grant grant-of-tus tus tus",
    "object.copied key rest copied",
    "object.moved key rest moved",
    "object.changed key s3 moved",
    "object.replaced key rest basic",
    "object.deleted key rest basic",
    "object.deleted key rest bearer",
    "object.deleted grant grant-of-in-url rest in-url",
    "object.created key s3 parts",
    "bucket.created key rest",
    "bucket.changed key rest",
    "bucket.deleted key rest",
    "key.created key rest",
    "key.changed key rest",
    "request.refused key rest unauthenticated",
    "request.refused key s3 unauthenticated",
    "request.refused key rest sigv4 access_denied",
    "key.deleted key rest",
  ]);
  const [first] = records.filter(({ key: name }) => name === "basic");
  assert.deepEqual(
    [first?.address, first?.via, first?.requestId],
    ["192.0.2.7", "127.0.0.1", "my-request-1"],
  );
  const written = records.filter(({ key: name }) => name === "in-url" || name === "tus");
  assert.deepEqual(
    written.map(({ context }) => context),
    [{ user: 7 }, { user: 7 }, { user: 7 }],
  );
  const refused = records.filter(({ result }) => result === "access_denied");
  assert.deepEqual(
    refused.map(({ actor, permission, bucket }) => [actor.id, permission, bucket]),
    [[made.id, "object:delete", "demo"]],
  );
  secrets.delete("");
  assert.ok(secrets.size > 12);
  const all = rows().join("\n");
  for (const secret of secrets) {
    assert.ok(!all.includes(secret), `${secret} is in the log`);
    assert.ok(!all.includes(encodeURIComponent(secret)), `${secret} is in the log, encoded`);
  }
  for (const word of ["hunter2", "X-Amz-", "Signature", "password", "?"]) {
    assert.ok(!all.includes(word), `${word} is in the log`);
  }
});
