import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import {
  type Answered,
  basic,
  type CallOptions,
  formOf,
  type RestServer,
  startRest,
} from "./testing.ts";

const run = promisify(execFile);

/** Each guarded route, with a body that would be accepted. */
const routes: readonly (readonly [string, string, CallOptions?])[] = [
  ["GET", "/v1/buckets"],
  ["HEAD", "/v1/buckets"],
  ["GET", "/v1/buckets/b"],
  ["HEAD", "/v1/buckets/b"],
  ["PUT", "/v1/buckets/new"],
  ["PATCH", "/v1/buckets/b", { body: {} }],
  ["DELETE", "/v1/buckets/b"],
  ["GET", "/v1/objects/b"],
  ["HEAD", "/v1/objects/b"],
  ["POST", "/v1/objects/b", { body: "form" }],
  ["POST", "/v1/objects/b?delete", { body: { keys: ["k"] } }],
  ["GET", "/v1/objects/b/k"],
  ["HEAD", "/v1/objects/b/k"],
  ["PUT", "/v1/objects/b/k", { body: "x" }],
  ["DELETE", "/v1/objects/b/k"],
  ["PATCH", "/v1/objects/b/k", { body: { legalHold: true } }],
  ["GET", "/v1/trash/b"],
  ["HEAD", "/v1/trash/b"],
  ["POST", "/v1/trash/b/restore", { body: { prefix: "k" } }],
  ["POST", "/v1/trash/b/purge", { body: { prefix: "k" } }],
  ["GET", "/v1/audit"],
  ["HEAD", "/v1/audit"],
  ["GET", "/v1/audit/verify"],
  ["HEAD", "/v1/audit/verify"],
  [
    "POST",
    "/v1/copy",
    { body: { from: { bucket: "b", key: "k" }, to: { bucket: "b", key: "l" } } },
  ],
  [
    "POST",
    "/v1/move",
    { body: { from: { bucket: "b", key: "k" }, to: { bucket: "b", key: "l" } } },
  ],
  ["GET", "/v1/keys"],
  ["HEAD", "/v1/keys"],
  ["POST", "/v1/keys", { body: { name: "n", policy: [] } }],
  ["GET", "/v1/keys/ROOTKEY"],
  ["HEAD", "/v1/keys/ROOTKEY"],
  ["PATCH", "/v1/keys/ROOTKEY", { body: {} }],
  ["DELETE", "/v1/keys/OTHER"],
  ["POST", "/v1/grants", { body: { bucket: "b", key: "k", actions: ["object:read"] } }],
  ["POST", "/v1/bulk-deletes", { body: { bucket: "b", prefix: "p/" } }],
  ["GET", "/v1/bulk-deletes"],
  ["HEAD", "/v1/bulk-deletes"],
  ["GET", "/v1/bulk-deletes/none"],
  ["HEAD", "/v1/bulk-deletes/none"],
  [
    "POST",
    "/v1/bulk-deletes/none/confirm",
    { body: { bucket: "b", environment: null, digest: "d" } },
  ],
  ["POST", "/v1/bulk-deletes/none/stop"],
  ["POST", "/v1/bulk-deletes/none/undo"],
  ["GET", "/v1/environment"],
  ["HEAD", "/v1/environment"],
  ["GET", "/v1/storages"],
  ["HEAD", "/v1/storages"],
  ["GET", "/v1/storages/memory"],
  ["HEAD", "/v1/storages/memory"],
  ["PUT", "/v1/storages/new", { body: { driver: "memory", place: "new" } }],
  ["PATCH", "/v1/storages/memory", { body: {} }],
  ["DELETE", "/v1/storages/memory"],
  ["POST", "/v1/storages/memory/test"],
  ["GET", "/v1/storages/memory/cors"],
  ["HEAD", "/v1/storages/memory/cors"],
  ["PUT", "/v1/storages/memory/cors", { body: { origins: [] } }],
  ["GET", "/v1/uploads"],
  ["HEAD", "/v1/uploads"],
  ["GET", "/v1/uploads/none"],
  ["HEAD", "/v1/uploads/none"],
  ["PATCH", "/v1/uploads/none"],
  ["DELETE", "/v1/uploads/none"],
  ["POST", "/v1/uploads", { body: { bucket: "b", key: "k", length: 1 } }],
  ["POST", "/v1/uploads/none/requests", { body: {} }],
  ["POST", "/v1/uploads/none/proof", { body: { digests: ["0".repeat(64)] } }],
  ["POST", "/v1/uploads/none/complete", { body: {} }],
  ["PUT", "/v1/uploads/none/parts/1", { body: "x" }],
  ["POST", "/v1/uploads/none/form", { body: "x" }],
];

/** Answered with what the caller may see, which is nothing, or is for everybody with a credential. */
const filtered = new Set(
  ["GET", "HEAD"].flatMap((method) => [
    ...[`${method} /v1/buckets`, `${method} /v1/uploads`, `${method} /v1/environment`],
    `${method} /v1/bulk-deletes`,
  ]),
);

async function withObject(t: Parameters<typeof startRest>[0]): Promise<RestServer> {
  const server = await startRest(t);
  await server.call("PUT", "/v1/buckets/b");
  await server.call("PUT", "/v1/objects/b/k", { body: "content" });
  return server;
}

async function newKey({ call }: RestServer, policy: unknown) {
  const { status, json, text } = await call("POST", "/v1/keys", { body: { name: "n", policy } });
  assert.equal(status, 201, text);
  return { id: String(json.id), secret: String(json.secret) };
}

function assertCode(method: string, answer: Answered, status: number, code: string, note: string) {
  assert.equal(answer.status, status, `${note} ${answer.text}`);
  if (method !== "HEAD") assert.equal(answer.json.code, code, note);
}

test("the table of routes above is the table that is registered", async (t) => {
  const { registered } = await startRest(t);
  // What needs no credential of ours; who calls back for OSS is judged in `oss-callback.test.ts`.
  const known = new Set(registered.filter((name) => !/openapi|docs|oss-callback/.test(name)));
  for (const [method, target] of routes) {
    const path = (target.split("?")[0] ?? "").split("/").slice(1);
    const [, group = "", id, ...rest] = path;
    const ofBucket = ["buckets", "objects", "trash"].includes(group);
    const name = group === "audit" ? "verify" : ofBucket ? ":bucket" : ":id";
    const last = rest.join("/").replace(/parts\/\d+/, "parts/:number");
    const below = ["storages", "uploads", "bulk-deletes", "trash"].includes(group)
      ? `/${last}`
      : "/*";
    const route = `${method} /v1/${group}${id === undefined ? "" : `/${name}`}${rest.length > 0 ? below : ""}`;
    assert.ok(registered.includes(route), route);
    known.delete(route);
  }
  assert.deepEqual([...known], []);
});

test("every route × no credential, a wrong secret, an unknown key, a bad scheme, a key that may nothing", async (t) => {
  const server = await withObject(t);
  const weak = await newKey(server, []);
  const elsewhere = await newKey(server, [
    { buckets: ["other"], actions: ["object:read", "object:write"] },
  ]);
  for (const [method, target, options = {}] of routes) {
    const note = `${method} ${target}`;
    const as = (given: CallOptions["as"], headers: Record<string, string> = {}) =>
      server.call(method, target, { ...options, as: given ?? "nobody", headers });
    const nobody = await as("nobody");
    assertCode(method, nobody, 401, "unauthenticated", note);
    assert.match(String(nobody.headers["www-authenticate"]), /^Basic realm="roma".*, Bearer/);
    const wrong: readonly string[] = [
      basic({ ...server.key, secret: "not-the-secret" }),
      basic({ id: "UNKNOWN", secret: "not-the-secret" }),
      `Bearer ${server.key.id}.not-the-secret`,
      "Bearer nonsense",
      "Basic !!!!",
      "Digest x",
      "Bearer eyJhbGciOiJub25lIn0.e30.",
      "Bearer eyJhbGciOiJub25lIiwia2lkIjoiUk9PVEtFWSJ9.eyJleHAiOjk5OTk5OTk5OTl9.AAAA",
    ];
    for (const authorization of wrong) {
      assertCode(
        method,
        await as("nobody", { authorization }),
        401,
        "unauthenticated",
        `${note} ${authorization}`,
      );
    }
    for (const key of [weak, elsewhere]) {
      const answer = await as(key);
      if (filtered.has(note)) assert.equal(answer.status, 200, note);
      else if (/\/parts\/|\/form$/.test(target))
        assertCode(method, answer, 403, "access_denied", note);
      else if (target.startsWith("/v1/uploads/")) assert.equal(answer.status, 404, note);
      else if (target === "/v1/objects/b" && method === "POST")
        assert.equal(answer.status, 400, note);
      else if (target.endsWith("?delete")) assert.deepEqual(answer.json.deleted, [], note);
      else assertCode(method, answer, 403, "access_denied", note);
    }
  }
  // Nothing of all that changed anything.
  assert.equal((await server.call("GET", "/v1/objects/b/k")).text, "content");
  const form = await formOf([["f", new File(["x"], "x")]]);
  const refused = await server.call("POST", "/v1/objects/b", { ...form, as: weak });
  assert.equal(refused.status, 403);
  assert.equal((await server.call("GET", "/v1/openapi.json", { as: "nobody" })).status, 200);
  assert.equal((await server.call("GET", "/v1/docs", { as: "nobody" })).status, 200);
});

test("one key works as Basic and as Bearer; two credentials at once are refused", async (t) => {
  const { call, key } = await withObject(t);
  const bearer = `Bearer ${key.id}.${key.secret}`;
  const get = (target: string, headers: Record<string, string | string[]>) =>
    call("GET", target, { as: "nobody", headers });
  assert.equal((await get("/v1/objects/b/k", { authorization: bearer })).text, "content");
  assert.equal(
    (await get("/v1/objects/b/k", { authorization: bearer.replace("Bearer", "bEARER") })).status,
    200,
  );
  assert.equal(
    (await get("/v1/objects/b/k?grant=x", { authorization: bearer })).json.code,
    "invalid_request",
  );
  assert.equal(
    (await get("/v1/objects/b/k", { authorization: [bearer, basic(key)] })).json.code,
    "invalid_request",
  );
  assert.equal((await get("/v1/objects/b/k?grant=nonsense", {})).status, 401);
  assert.equal((await get("/v1/objects/b/k?grant=a&grant=b", {})).status, 400);
});

test("access keys: made, shown without secret, changed, disabled, deleted", async (t) => {
  const server = await withObject(t);
  const { call } = server;
  const policy = [{ buckets: ["b"], prefixes: ["in/"], actions: ["object:write", "object:read"] }];
  const key = await newKey(server, policy);
  const shown = await call("GET", `/v1/keys/${key.id}`);
  assert.deepEqual(shown.json.policy, policy);
  for (const { text } of [shown, await call("GET", "/v1/keys")]) {
    assert.ok(!text.includes(key.secret) && !text.includes("ealed"));
  }
  assert.equal((await call("PUT", "/v1/objects/b/in/x", { body: "x", as: key })).status, 201);
  assert.equal((await call("PUT", "/v1/objects/b/out/x", { body: "x", as: key })).status, 403);
  assert.equal((await call("GET", "/v1/objects/b", { as: key })).status, 403);
  const renamed = await call("PATCH", `/v1/keys/${key.id}`, {
    body: { name: "other", enabled: false },
  });
  assert.equal(renamed.json.name, "other");
  assert.equal((await call("GET", "/v1/objects/b/in/x", { as: key })).status, 401);
  assert.equal((await call("DELETE", `/v1/keys/${key.id}`)).status, 204);
  assert.equal((await call("GET", `/v1/keys/${key.id}`)).json.code, "key_not_found");
  assert.equal((await call("PATCH", "/v1/keys/ROOTKEY", { body: { enabled: false } })).status, 403);
  const bad = [
    { name: "n" },
    { name: "", policy: [] },
    { name: "n", policy: [{ buckets: ["b"], actions: ["fly"] }] },
    { name: "n", policy: [], id: "x" },
  ];
  for (const body of bad)
    assert.equal((await call("POST", "/v1/keys", { body })).json.code, "invalid_request");
});

test("grants allow what they say, as long as they say, and nothing else", async (t) => {
  const server = await withObject(t);
  const { call } = server;
  const grant = async (body: object, as?: { id: string; secret: string }) => {
    const answer = await call("POST", "/v1/grants", as === undefined ? { body } : { body, as });
    assert.equal(answer.status, 201, answer.text);
    return answer.json as { grant: string; url: string | null; expiresAt: string };
  };
  const anon = (method: string, target: string, options: CallOptions = {}) =>
    call(method, target, { ...options, as: "nobody" });

  const read = await grant({ bucket: "b", key: "k", actions: ["object:read"], methods: ["get"] });
  assert.match(String(read.url), /^\/v1\/objects\/b\/k\?grant=eyJ/);
  const viaUrl = await anon("GET", String(read.url));
  assert.equal(viaUrl.text, "content");
  assert.equal(viaUrl.headers["cross-origin-resource-policy"], "cross-origin");
  assert.equal((await anon("HEAD", String(read.url))).status, 200);
  assert.equal(
    (await anon("GET", "/v1/objects/b/k", { headers: { authorization: `Bearer ${read.grant}` } }))
      .status,
    200,
  );
  const refused: readonly (readonly [string, string])[] = [
    ["PUT", "/v1/objects/b/k"],
    ["DELETE", "/v1/objects/b/k"],
    ["GET", "/v1/objects/b/other"],
    ["GET", "/v1/objects/b"],
    ["GET", "/v1/keys"],
    ["POST", "/v1/grants"],
  ];
  for (const [method, target] of refused) {
    const answer = await anon(
      method,
      `${target}?grant=${read.grant}`,
      method === "POST" ? { body: { bucket: "b", key: "k", actions: ["object:read"] } } : {},
    );
    assert.equal(answer.status, 403, `${method} ${target} ${answer.text}`);
  }
  const putOnly = await grant({
    bucket: "b",
    key: "m",
    actions: ["object:read", "object:write", "object:delete"],
    methods: ["PUT"],
  });
  assert.equal((await anon("PUT", String(putOnly.url), { body: "x" })).status, 201);
  for (const method of ["GET", "HEAD", "DELETE"]) {
    assert.equal((await anon(method, String(putOnly.url))).status, 403, method);
  }
  const [header, claims, signature = ""] = read.grant.split(".");
  const more = Buffer.from(
    JSON.stringify({
      ...JSON.parse(Buffer.from(claims ?? "", "base64url").toString()),
      key: "other",
    }),
  ).toString("base64url");
  const forged = createHmac("sha256", "guess").update(`${header}.${claims}`).digest("base64url");
  for (const token of [
    `${header}.${more}.${signature}`,
    `${header}.${claims}.${forged}`,
    `${header}.${claims}.`,
  ]) {
    assert.equal((await anon("GET", `/v1/objects/b/k?grant=${token}`)).status, 401, token);
  }

  const write = await grant({
    bucket: "b",
    key: "up",
    actions: ["object:write"],
    minBytes: 3,
    maxBytes: 6,
    contentTypes: ["text/*"],
    expiresIn: "1 h",
  });
  const put = (body: string, headers: Record<string, string> = {}) =>
    anon("PUT", String(write.url), { body, headers });
  assert.equal((await put("1234567")).json.code, "too_large");
  assert.equal((await put("12")).json.code, "too_small");
  assert.equal((await put("1234567", { "transfer-encoding": "chunked" })).json.code, "too_large");
  assert.equal((await put("%PDF-1")).json.code, "content_type_refused");
  assert.equal((await put("hello")).status, 201);
  assert.equal((await anon("GET", String(write.url))).status, 403);

  const prefix = await grant({
    bucket: "b",
    prefix: "in/",
    actions: ["object:write", "object:list"],
  });
  assert.equal(prefix.url, null);
  const form = await formOf([
    ["prefix", "in/"],
    ["f", new File(["x"], "x")],
    ["prefix", "out/"],
    ["f", new File(["x"], "x")],
  ]);
  const posted = await anon("POST", `/v1/objects/b?grant=${prefix.grant}`, form);
  assert.equal(posted.status, 403);
  assert.deepEqual(posted.json.stored, ["in/x"]);
  assert.equal((await anon("GET", `/v1/objects/b?prefix=in/&grant=${prefix.grant}`)).status, 200);
  assert.equal((await anon("GET", `/v1/objects/b?grant=${prefix.grant}`)).status, 403);

  const limited = await newKey(server, [
    { buckets: ["b"], prefixes: ["in/"], actions: ["object:read"] },
  ]);
  for (const body of [
    { bucket: "b", key: "k", actions: ["object:read"] },
    { bucket: "b", key: "in/x", actions: ["object:write"] },
    { bucket: "b", prefix: "", actions: ["object:read"] },
  ]) {
    assert.equal(
      (await call("POST", "/v1/grants", { body, as: limited })).json.code,
      "access_denied",
    );
  }
  const byLimited = await grant({ bucket: "b", key: "in/x", actions: ["object:read"] }, limited);
  assert.equal((await anon("GET", String(byLimited.url))).status, 200);
  await call("PATCH", `/v1/keys/${limited.id}`, { body: { policy: [] } });
  assert.equal((await anon("GET", String(byLimited.url))).status, 403);
  await call("DELETE", `/v1/keys/${limited.id}`);
  assert.equal((await anon("GET", String(byLimited.url))).status, 401);

  const bad: readonly object[] = [
    { bucket: "b", actions: ["object:read"] },
    { bucket: "b", key: "k", prefix: "k", actions: ["object:read"] },
    { bucket: "b", key: "k", actions: [] },
    { bucket: "b", key: "k", actions: ["key:write"] },
    { bucket: "b", key: "k", actions: ["object:read"], expiresIn: "8 days" },
    { bucket: "b", key: "k", actions: ["object:read"], expiresIn: "900" },
    { bucket: "b", key: "k", actions: ["object:read"], minBytes: 2, maxBytes: 1 },
    { bucket: "b", key: "k", actions: ["object:read"], contentTypes: ["text"] },
    { bucket: "b", key: "../k", actions: ["object:read"] },
  ];
  for (const body of bad)
    assert.equal((await call("POST", "/v1/grants", { body })).status, 400, JSON.stringify(body));

  server.advance(16 * 60_000);
  const late = await anon("GET", String(read.url));
  assert.equal(late.status, 403);
  assert.equal(late.json.code, "expired");
  assert.equal((await put("hello")).status, 200);
});

test("curl signs requests with SigV4, and what is changed on the way is refused", async (t) => {
  const server = await withObject(t);
  const { id, secret } = server.key;
  const folder = await mkdtemp(join(tmpdir(), "roma-sigv4-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "file");
  await writeFile(path, "signed content");
  const curl = async (...args: readonly string[]) => {
    const { stdout } = await run("curl", ["-sS", "--path-as-is", "-w", "\n%{http_code}", ...args]);
    const end = stdout.lastIndexOf("\n");
    return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) };
  };
  const sign = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", `${id}:${secret}`];
  const unsigned = [...sign, "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"];
  const url = `${server.url}/v1/objects/b`;
  const put = await curl(...unsigned, "-T", path, `${url}/dir/a%20b`);
  assert.equal(put.status, 201, put.body);
  assert.equal((await curl(...unsigned, `${url}/dir/a%20b`)).body, "signed content");
  const listed = await curl(...unsigned, `${url}?limit=5&prefix=dir%2F`);
  assert.equal(listed.status, 200, listed.body);
  const hash = "5bd7af6d5aa63ae2d9a9b5f0f0d0b1d0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f6";
  const other = await curl(
    ...sign,
    "-H",
    `x-amz-content-sha256: ${hash}`,
    "-T",
    path,
    `${url}/wrong`,
  );
  assert.equal(JSON.parse(other.body).code, "checksum_mismatch", other.body);
  const json = await curl(
    ...sign,
    "-H",
    `x-amz-content-sha256: ${hash}`,
    "-X",
    "PUT",
    "-d",
    "{}",
    `${server.url}/v1/buckets/signed`,
  );
  assert.equal(JSON.parse(json.body).code, "checksum_mismatch", json.body);
  // As curl does it by itself, with the hash in newer versions and without in older ones.
  assert.equal((await curl(...sign, "-T", path, `${url}/plain`)).status, 201);
  assert.equal((await curl(...sign, `${url}/plain`)).body, "signed content");
  const form = await curl(...unsigned, "-F", `f=@${path}`, url);
  assert.equal(form.status, 201, form.body);
  const wrong = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", `${id}:not-the-secret`];
  const refused = await curl(...wrong, "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", `${url}/k`);
  assert.equal(refused.status, 401, refused.body);
  server.advance(20 * 60_000);
  assert.equal((await curl(...unsigned, `${url}/k`)).status, 401);
});

test("a grant's URL works in plain curl, both ways", async (t) => {
  const server = await withObject(t);
  const { json } = await server.call("POST", "/v1/grants", {
    body: { bucket: "b", key: "é/ü", actions: ["object:read", "object:write"] },
  });
  const folder = await mkdtemp(join(tmpdir(), "roma-curl-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "file");
  await writeFile(path, "x".repeat(100_000));
  const url = `${server.url}${json.url}`;
  await run("curl", ["-sSf", "-T", path, url]);
  const { stdout } = await run("curl", ["-sSf", url]);
  assert.equal(stdout.length, 100_000);
});
