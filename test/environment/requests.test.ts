/** Requests that say which environment they mean, and requests to a server that is read-only, of every protocol. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DeleteObjectsCommand, S3Client, S3ServiceException } from "@aws-sdk/client-s3";
import { signGrant } from "../../packages/server/src/core/grants.ts";
import { presigned } from "../../packages/server/src/protocols/s3/testing-signature.ts";
import type { RunningServer } from "../../packages/server/src/server.ts";
import { source, waysIn } from "../grants/ways-in.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { type Answered, call, contentOf, listening, rootKey, start } from "./server.ts";

const signer = { keyId: rootKey.id, secret: rootKey.secret };
const tus = { "tus-resumable": "1.0.0" };

function grant(bucket = "demo"): string {
  const claims = { bucket, prefix: "", actions: ["object:write", "object:read"] as const };
  return signGrant(claims, signer, new Date(Date.now() + 60_000));
}

interface Request {
  readonly method: string;
  /** May depend on what `before` made. */
  readonly target: string | ((made: Answered & { readonly location: string }) => string);
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** As that protocol says `environment_mismatch`. */
  readonly refused: readonly [status: number, code: string];
}

const json = { "content-type": "application/json" };
const bearer = () => ({ authorization: `Bearer ${grant()}` });

const requests: Readonly<Record<string, () => Request>> = {
  "REST PUT": () => ({ ...rest("PUT", "/v1/objects/demo/new"), body: "x" }),
  "REST GET": () => rest("GET", "/v1/objects/demo/k"),
  "REST HEAD": () => ({ ...rest("HEAD", "/v1/objects/demo/k"), refused: [409, ""] }),
  "REST DELETE": () => rest("DELETE", "/v1/objects/demo/k"),
  "REST batch delete": () => ({
    ...rest("POST", "/v1/objects/demo?delete"),
    ...{ headers: json, body: JSON.stringify({ keys: ["k"] }) },
  }),
  "REST list": () => rest("GET", "/v1/objects/demo"),
  "REST bucket": () => ({ ...rest("PUT", "/v1/buckets/new"), body: "{}" }),
  "REST with a grant": () => ({
    ...rest("PUT", "/v1/objects/demo/new"),
    headers: bearer(),
    body: "x",
  }),
  "IETF resumable": () => ({
    ...rest("POST", "/v1/objects/demo?key=new"),
    ...{ headers: { "upload-complete": "?0" }, body: "x" },
  }),
  "tus creation": () => ({
    ...{ method: "POST", target: "/tus/demo", headers: { ...tus, "upload-length": "1" } },
    refused: [400, "environment_mismatch"],
  }),
  "S3 GET": () => s3("GET", "/s3/demo/k"),
  "S3 PUT": () => ({ ...s3("PUT", "/s3/demo/new"), body: "x" }),
  "S3 DELETE": () => s3("DELETE", "/s3/demo/k"),
  "Parse upload": () => ({
    ...{ method: "POST", target: "/parse/files/a.txt", headers: { "content-type": "text/plain" } },
    ...{ body: "x", refused: [400, ""] },
  }),
  "Parse upload in JSON": () => ({
    ...{ method: "POST", target: "/parse/files/a.txt", headers: { authorization: "" } },
    body: JSON.stringify({
      ...{ base64: "eA==", _ContentType: "text/plain" },
      ...{ _ApplicationId: rootKey.id, _MasterKey: rootKey.secret },
    }),
    refused: [400, ""],
  }),
  companion: () => ({
    ...{ method: "POST", target: "/companion/s3/multipart", headers: { ...json, ...bearer() } },
    body: JSON.stringify({ filename: "a.txt", type: "text/plain" }),
    refused: [400, "environment_mismatch"],
  }),
};

function rest(method: string, target: string): Request {
  return { method, target, refused: [409, "environment_mismatch"] };
}

/** Presigned: what was signed says nothing of the environment, and who sends it may. */
function s3(method: string, path: string): Request {
  const headers = { host: "" };
  return { method, target: path, headers, refused: [409, "EnvironmentMismatch"] };
}

async function send(
  server: RunningServer,
  { method, target, headers = {}, body }: Request,
  environment: string | undefined,
): Promise<Answered> {
  const named = environment === undefined ? {} : { "roma-environment": environment };
  const path = String(target);
  const init = body === undefined ? {} : { body };
  if (!path.startsWith("/s3/")) {
    return await call(server, method, path, { ...init, headers: { ...headers, ...named } });
  }
  const { host } = new URL(server.url);
  const signed = presigned({ method, target: path, headers: { host } }, signer);
  const answer = await fetch(new URL(signed, server.url), { ...init, method, headers: named });
  const text = await answer.text();
  const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? "";
  return { status: answer.status, environment: answer.headers.get("roma-environment"), text, code };
}

test("every protocol does what is meant for its environment, and refuses what is meant for another", async (t) => {
  const data = await temporaryFolder(t);
  const { log } = listening();
  await using server = await start(data, { log, environment: "production" });
  const restore = async () => {
    for (const target of ["/v1/objects/demo/new", "/v1/buckets/new"]) {
      await call(server, "DELETE", target);
    }
    await call(server, "PUT", "/v1/objects/demo/k", { body: "content" });
  };
  for (const [name, make] of Object.entries(requests)) {
    await t.test(name, async () => {
      await restore();
      const before = await call(server, "GET", "/v1/objects/demo/k");
      const [status, code] = make().refused;
      const refused = await send(server, make(), "development");
      assert.deepEqual([refused.status, refused.code], [status, code], refused.text);
      assert.equal(refused.environment, "production", "the refusal says where it comes from");
      if (refused.text !== "")
        assert.match(refused.text, /means development, and this is production/);
      const after = await call(server, "GET", "/v1/objects/demo/k");
      assert.deepEqual(after, before, "nothing was done");
      assert.equal((await call(server, "HEAD", "/v1/objects/demo/new")).status, 404);
      const malformed = await send(server, make(), "Not a label");
      assert.equal(malformed.status, 400);
      for (const stated of ["production", undefined]) {
        await restore();
        const done = await send(server, make(), stated);
        assert.ok(done.status < 300, `${name}: ${done.status} ${done.text}`);
        assert.equal(done.environment, "production");
      }
    });
  }
});

test("a bucket with an environment of its own is meant by that one, however it is named", async (t) => {
  const data = await temporaryFolder(t);
  await using server = await start(data, { log: listening().log, environment: "development" });
  const body = JSON.stringify({ environment: "production" });
  assert.equal((await call(server, "PUT", "/v1/buckets/live", { body })).status, 201);
  await call(server, "PUT", "/v1/objects/demo/k", { body: "content" });
  await call(server, "PUT", "/v1/objects/live/k", { body: "content" });
  const at = (bucket: string, key: string) => ({ bucket, key });
  const asLive = { authorization: `Bearer ${grant("live")}` };
  const writes: Readonly<Record<string, Request>> = {
    put: { ...rest("PUT", "/v1/objects/live/a"), body: "x" },
    "copy into it": jsonOf("/v1/copy", { from: at("demo", "k"), to: at("live", "b") }),
    "move into it": jsonOf("/v1/move", { from: at("demo", "k"), to: at("live", "c") }),
    direct: jsonOf("/v1/uploads", { bucket: "live", length: 1, key: "d" }),
    grant: jsonOf("/v1/grants", { bucket: "live", key: "k", actions: ["object:read"] }),
    change: { ...rest("PATCH", "/v1/buckets/live"), headers: json, body: "{}" },
    tus: { ...rest("POST", "/tus/live"), headers: { ...tus, "upload-length": "1" } },
    s3: { ...s3("PUT", "/s3/live/e"), body: "x" },
    companion: {
      ...rest("POST", "/companion/s3/multipart"),
      headers: { ...json, ...asLive },
      body: JSON.stringify({ filename: "a.txt", type: "text/plain" }),
    },
  };
  for (const [name, request] of Object.entries(writes)) {
    const refused = await send(server, request, "development");
    assert.match(refused.code, /mismatch$/i, `${name}: ${refused.text}`);
    assert.match(refused.text, /means development, and this is production/);
    assert.equal(refused.environment, "production");
  }
  const listed = JSON.parse((await call(server, "GET", "/v1/objects/live")).text);
  assert.deepEqual(
    listed.objects.map(({ key }: { readonly key: string }) => key),
    ["k"],
  );
  for (const [name, request] of Object.entries(writes)) {
    // Of two buckets, one is not what is meant.
    if (/copy|move/.test(name)) continue;
    const done = await send(server, request, "production");
    assert.ok(done.status < 300, `${name}: ${done.text}`);
  }
  const labels: readonly (readonly [string, string])[] = [
    ["", "development"],
    ["?bucket=live", "production"],
    ["?bucket=demo", "development"],
    ["?bucket=none", "development"],
  ];
  for (const [query, environment] of labels) {
    const told = JSON.parse((await call(server, "GET", `/v1/environment${query}`)).text);
    assert.equal(told.environment, environment, query);
  }
  const nobody = await fetch(`${server.url}/v1/objects/live/k`);
  assert.equal(nobody.status, 401);
  assert.equal(nobody.headers.get("roma-environment"), "development", "nobody learns of a bucket");
});

function jsonOf(target: string, value: object): Request {
  return { ...rest("POST", target), headers: json, body: JSON.stringify(value) };
}

test("a server without an environment is none that a request can mean", async (t) => {
  const data = await temporaryFolder(t);
  await using server = await start(data, { log: listening().log });
  const headers = { "roma-environment": "development" };
  const refused = await call(server, "PUT", "/v1/objects/demo/k", { headers, body: "x" });
  assert.deepEqual([refused.status, refused.code], [409, "environment_mismatch"]);
  assert.match(refused.text, /this has no environment/);
  assert.equal(refused.environment, null);
});

test("a read-only server takes no byte on any way in, deletes nothing, and reads and signs grants", async (t) => {
  const data = await temporaryFolder(t);
  const { log } = listening();
  {
    await using server = await start(data, { log, environment: "production" });
    const body = JSON.stringify({ visibility: "public-read" });
    await call(server, "PUT", `/v1/buckets/${source.bucket}`, { body });
    await call(server, "PUT", `/v1/objects/${source.bucket}/${source.key}`, { body: "copied" });
    await call(server, "PUT", "/v1/objects/demo/k", { body: "content" });
    const headers = { ...tus, "upload-length": "9" };
    const made = await call(server, "POST", "/tus/demo", { headers });
    assert.equal(made.status, 201);
  }
  const before = await contentOf(data);
  {
    await using server = await start(data, { log, environment: "development" });
    for (const way of waysIn) {
      const given = { url: server.url, ...signer, token: grant(), bucket: "demo", text: "hello" };
      const key = way.keys === "names" ? { key: `in/${way.name}` } : {};
      assert.equal(await way.write({ ...given, ...key }), false, way.name);
    }
    const uploads = JSON.parse((await call(server, "GET", "/v1/uploads")).text).uploads;
    assert.equal(uploads.length, 1);
    const at = `/tus/demo/${uploads[0].id}`;
    const head = await call(server, "HEAD", at, { headers: tus });
    assert.equal(head.status, 200, "where an upload is can be read");
    const deletions: readonly (readonly [string, string, RequestInit?])[] = [
      ["DELETE", "/v1/objects/demo/k"],
      ["POST", "/v1/objects/demo?delete", { headers: json, body: '{"keys":["k"]}' }],
      ["DELETE", "/v1/buckets/open"],
      ["DELETE", at, { headers: tus }],
      ["DELETE", `/v1/uploads/${uploads[0].id}`],
      ["POST", "/v1/keys", { headers: json, body: '{"name":"k","policy":[]}' }],
      ["DELETE", "/parse/files/k"],
      ["POST", "/parse/files/a.txt", { headers: { "content-type": "text/plain" }, body: "x" }],
      ["PATCH", "/v1/buckets/demo", { headers: json, body: '{"quotaBytes":1}' }],
      ["POST", "/v1/storages/local/test"],
      ["POST", at, { headers: { ...tus, "x-http-method-override": "DELETE" } }],
    ];
    for (const [method, target, init] of deletions) {
      const refused = await call(server, method, target, init);
      assert.match(refused.text, /nothing is changed: the server's data is/, `${method} ${target}`);
      assert.ok(refused.status >= 403, `${method} ${target}: ${refused.status}`);
    }
    const client = new S3Client({
      ...{
        endpoint: `${server.url}/s3`,
        region: "us-east-1",
        forcePathStyle: true,
        maxAttempts: 1,
      },
      credentials: { accessKeyId: signer.keyId, secretAccessKey: signer.secret },
    });
    t.after(() => client.destroy());
    const Delete = { Objects: [{ Key: "k" }] };
    await assert.rejects(
      client.send(new DeleteObjectsCommand({ Bucket: "demo", Delete })),
      (error) => error instanceof S3ServiceException && error.name === "ReadOnly",
    );
    const signed = await call(server, "POST", "/v1/grants", {
      headers: json,
      body: JSON.stringify({
        bucket: "demo",
        key: "k",
        actions: ["object:read"],
        expiresIn: "1 min",
      }),
    });
    assert.equal(signed.status, 201, signed.text);
    assert.equal((await call(server, "GET", "/v1/objects/demo/k")).text, "content");
  }
  assert.deepEqual(await contentOf(data), before, "not a byte and not a row has changed");
});
