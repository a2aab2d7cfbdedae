/** Applications that are configured: their keys, flags, buckets, limits, and sessions that a parse-server knows. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { asRoot, jsonUpload, key, startParse } from "./testing.ts";

const shop = {
  appId: "shop",
  masterKey: "master-key",
  accessKeyId: key.id,
  bucket: "shop-files",
} as const;
const id = { "x-parse-application-id": "shop" };
const master = { ...id, "x-parse-master-key": "master-key" };

test("each application has its bucket, made on first use, whose files anybody reads by their URLs alone", async (t) => {
  const other = { appId: "other", masterKey: "other-key", accessKeyId: key.id };
  const server = await startParse(t, { parse: { applications: [shop, other] } });
  const { call, keys } = server;
  const saved = await call("POST", "/parse/files/a.txt", { headers: master, body: "shop" });
  assert.equal(saved.status, 201, saved.text);
  assert.deepEqual(await keys("shop-files"), [saved.json.name]);
  const bucket = await call("GET", "/v1/buckets/shop-files", { headers: asRoot });
  assert.equal(Reflect.get(bucket.json, "visibility"), "private");
  assert.equal((await call("GET", saved.json.url)).text, "shop");
  const byJson = await call("POST", "/parse/files/b.txt", {
    body: jsonUpload(Buffer.from("other"), { _ApplicationId: "other", _MasterKey: "other-key" }),
  });
  assert.equal(byJson.status, 201, byJson.text);
  assert.deepEqual(await keys("parse"), [byJson.json.name]);
  assert.equal((await call("GET", byJson.json.url)).text, "other");
  const mixed = await call("POST", "/parse/files/b.txt", {
    headers: { ...master, "x-parse-application-id": "other" },
    body: "x",
  });
  assert.equal(mixed.status, 403);
  // An access key is no application where there are others.
  const asKey = { "x-parse-application-id": key.id, "x-parse-master-key": key.secret };
  assert.equal(
    (await call("POST", "/parse/files/b.txt", { headers: asKey, body: "x" })).status,
    403,
  );
});

test("a file is read without a client key, as a page shows it", async (t) => {
  const fileUpload = { enableForPublic: true };
  const { call } = await startParse(t, {
    parse: { applications: [{ ...shop, javascriptKey: "javascript", fileUpload }] },
  });
  const headers = { ...id, "x-parse-javascript-key": "javascript" };
  const saved = await call("POST", "/parse/files/a.txt", { headers, body: "shown" });
  const { name } = saved.json;
  assert.equal((await call("GET", `/parse/files/shop/${name}`)).text, "shown");
  assert.equal((await call("HEAD", `/parse/files/shop/${name}`)).status, 200);
  assert.equal((await call("GET", `/parse/files/shop/metadata/${name}`)).status, 200);
  const wrong = { "x-parse-javascript-key": "other" };
  assert.equal((await call("GET", `/parse/files/shop/${name}`, { headers: wrong })).status, 403);
  assert.equal((await call("POST", "/parse/files/b.txt", { headers: id, body: "x" })).status, 403);
});

test("a client key must fit where one is configured, whichever it is; the master key needs none", async (t) => {
  const fileUpload = { enableForPublic: true };
  const keys = {
    clientKey: "client",
    javascriptKey: "javascript",
    restAPIKey: "rest",
    dotNetKey: "net",
  };
  const { call } = await startParse(t, {
    parse: { applications: [{ ...shop, ...keys, fileUpload }] },
  });
  const post = async (headers: Record<string, string>) =>
    (await call("POST", "/parse/files/a.txt", { headers, body: "x" })).status;
  const good = [
    { "x-parse-client-key": "client" },
    { "x-parse-javascript-key": "javascript" },
    { "x-parse-rest-api-key": "rest" },
    { "x-parse-windows-key": "net" },
    { "x-parse-master-key": "master-key" },
  ];
  for (const one of good) assert.equal(await post({ ...id, ...one }), 201, JSON.stringify(one));
  const basic = Buffer.from("shop:javascript-key=javascript").toString("base64");
  assert.equal(await post({ authorization: `Basic ${basic}` }), 201);
  const bad = [{}, { "x-parse-client-key": "rest" }, { "x-parse-rest-api-key": "" }];
  for (const one of bad) assert.equal(await post({ ...id, ...one }), 403, JSON.stringify(one));
  const inJson = async (members: object) =>
    (
      await call("POST", "/parse/files/a.txt", {
        body: jsonUpload(Buffer.from("x"), {
          _ApplicationId: "shop",
          _MasterKey: undefined,
          ...members,
        }),
      })
    ).status;
  assert.equal(await inJson({ _JavaScriptKey: "javascript" }), 201);
  assert.equal(await inJson({ _JavaScriptKey: "wrong" }), 403);
  assert.equal(await inJson({}), 403);
});

test("what the application's access key does not permit is refused, whoever asks", async (t) => {
  const { call } = await startParse(t, {
    parse: { applications: [{ ...shop, accessKeyId: "no-such-key" }] },
  });
  const refused = await call("POST", "/parse/files/a.txt", { headers: master, body: "x" });
  assert.deepEqual([refused.status, refused.json.code], [403, 119]);
});

interface StubRequest {
  readonly token: string;
  readonly applicationId: string;
  readonly restApiKey: string;
}

/** As much of a parse-server as a session check asks of one. */
async function startStub(
  t: TestContext,
  answer: (token: string) => { status: number; body: string } | "hang",
) {
  const asked: StubRequest[] = [];
  const text = ({ headers }: IncomingMessage, name: string) => String(headers[name] ?? "");
  const stub = createServer((request, response) => {
    assert.equal(request.url, "/api/users/me");
    const token = text(request, "x-parse-session-token");
    asked.push({
      token,
      applicationId: text(request, "x-parse-application-id"),
      restApiKey: text(request, "x-parse-rest-api-key"),
    });
    const said = answer(token);
    if (said !== "hang") response.writeHead(said.status).end(said.body);
  });
  stub.listen(0, "127.0.0.1");
  await once(stub, "listening");
  t.after(() => {
    stub.closeAllConnections();
    stub.close();
  });
  const { port } = stub.address() as AddressInfo;
  return { serverURL: `http://127.0.0.1:${port}/api`, asked };
}

const users: Readonly<Record<string, object>> = {
  "r:user": { objectId: "u1", username: "ann", File: { __type: "File" } },
  "r:anonymous": { objectId: "u2", authData: { anonymous: { id: "x" } } },
};

function answerOf(token: string) {
  const user = users[token];
  if (token === "r:hang") return "hang";
  if (token === "r:broken") return { status: 502, body: "<html>" };
  if (token === "r:large") return { status: 200, body: "x".repeat(2_000_000) };
  return user === undefined
    ? { status: 400, body: '{"code":209,"error":"Invalid session token"}' }
    : { status: 200, body: JSON.stringify(user) };
}

test("a session is what the parse-server says it is, in every shape, and is asked for once in a while", async (t) => {
  const { serverURL, asked } = await startStub(t, answerOf);
  const applications = [{ ...shop, restAPIKey: "rest", serverURL }];
  const server = await startParse(t, {
    parse: { applications, sessionMsMax: "60 s", sessionCache: "1 h" },
  });
  const headers = { ...id, "x-parse-rest-api-key": "rest" };
  const post = (token: string, at = server) =>
    at.call("POST", "/parse/files/a.txt", {
      headers: { ...headers, "x-parse-session-token": token },
      body: "x",
    });
  for (let round = 0; round < 3; round++) assert.equal((await post("r:user")).status, 201);
  const together = await Promise.all(Array.from({ length: 5 }, () => post("r:user")));
  assert.deepEqual(
    together.map(({ status }) => status),
    [201, 201, 201, 201, 201],
  );
  assert.deepEqual(asked, [{ token: "r:user", applicationId: "shop", restApiKey: "rest" }]);
  server.advance(3_601_000);
  assert.equal((await post("r:user")).status, 201);
  assert.equal(asked.length, 2);

  const byAnonymous = await post("r:anonymous");
  assert.deepEqual(
    [byAnonymous.status, byAnonymous.json],
    [400, { code: 130, error: "File upload by anonymous user is disabled." }],
  );
  const wrong = await post("r:nobody");
  assert.deepEqual([wrong.status, wrong.json.code], [400, 209]);
  const impatient = await startParse(t, { parse: { applications, sessionMsMax: "500 ms" } });
  for (const [token, at] of [
    ["r:broken", server],
    ["r:large", server],
    ["r:hang", impatient],
  ] as const) {
    const failed = await post(token, at);
    assert.deepEqual([failed.status, failed.json.code], [503, 1], token);
  }
  const inJson = (token: string) =>
    server.call("POST", "/parse/files/a.txt", {
      body: jsonUpload(Buffer.from("x"), {
        _ApplicationId: "shop",
        _MasterKey: undefined,
        _SessionToken: token,
      }),
      headers,
    });
  // Its key and token belong together: the headers name the application, so the JSON would be the file.
  const stored = await inJson("r:user");
  assert.deepEqual([stored.status, stored.json.code], [400, 130]);
});

test("flags decide who uploads and who downloads", async (t) => {
  const { serverURL } = await startStub(t, answerOf);
  const fileDownload = { enableForPublic: false, enableForAnonymousUser: false };
  const fileUpload = { enableForAnonymousUser: true, enableForAuthenticatedUser: false };
  const server = await startParse(t, {
    parse: {
      applications: [{ ...shop, serverURL, fileDownload, fileUpload }],
      sessionMsMax: "60 s",
    },
  });
  const as = (token: string) => ({ ...id, "x-parse-session-token": token });
  const post = async (headers: Record<string, string>) =>
    (await server.call("POST", "/parse/files/a.txt", { headers, body: "x" })).status;
  assert.equal(await post(as("r:anonymous")), 201);
  assert.equal(await post(as("r:user")), 400);
  const saved = await server.call("POST", "/parse/files/a.txt", { headers: master, body: "x" });
  const get = async (headers: Record<string, string>) =>
    server.call("GET", saved.json.url, { headers });
  const refused = await get({});
  assert.deepEqual([refused.status, refused.json.code], [403, 119]);
  assert.equal((await get(as("r:anonymous"))).status, 403);
  assert.equal((await get(as("r:user"))).status, 200);
  assert.equal((await get(master)).status, 200);
  assert.equal((await get(asRoot)).status, 200);
  const basic = Buffer.from(`${key.id}:${key.secret}`).toString("base64");
  assert.equal((await get({ authorization: `Basic ${basic}` })).status, 200);
  const wrong = Buffer.from(`${key.id}:wrong`).toString("base64");
  assert.equal((await get({ authorization: `Basic ${wrong}` })).status, 403);
});

test("names are kept as they are, and URLs begin, where the application says so", async (t) => {
  const server = await startParse(t, {
    parse: {
      applications: [
        {
          ...shop,
          preserveFileName: true,
          publicServerURL: "https://shop.example/api/",
          maxUploadSize: 10,
        },
      ],
    },
  });
  const post = (body: string) =>
    server.call("POST", "/parse/files/a%20b.txt", { headers: master, body });
  const saved = await post("one");
  assert.deepEqual(saved.json, {
    name: "a b.txt",
    url: "https://shop.example/api/files/shop/a%20b.txt",
  });
  assert.equal((await post("two")).status, 201);
  assert.equal((await server.call("GET", "/parse/files/shop/a%20b.txt")).text, "two");
  assert.equal((await post("01234567890")).status, 413);
  const inJson = await server.call("POST", "/parse/files/c.txt", {
    body: jsonUpload(Buffer.from("01234567890"), {
      _ApplicationId: "shop",
      _MasterKey: "master-key",
    }),
  });
  assert.equal(inJson.status, 413);
});
