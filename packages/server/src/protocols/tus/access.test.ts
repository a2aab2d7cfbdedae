// Who may make and continue uploads, and what pages of other origins see.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesType, metadata, startTus } from "./testing.ts";

test("nobody may do anything, and is not told what is there", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "3" });
  for (const [method, target] of [
    ["POST", "/tus/demo"],
    ["POST", "/tus/no-such-bucket"],
    ["HEAD", path],
    ["PATCH", path],
    ["DELETE", path],
    ["GET", path],
    ["HEAD", "/tus/demo/AAAAAAAAAAAAAAAAAAAAAA"],
  ] as const) {
    const headers = { authorization: null, "upload-length": "x", "upload-offset": "x" };
    const answered = await tus.call(method, target, { headers });
    assert.equal(answered.status, 401, `${method} ${target}`);
    assert.ok(answered.headers["www-authenticate"]);
    assert.equal(answered.headers["tus-resumable"], "1.0.0");
  }
});

test("another key sees no upload that it may not write", async (t) => {
  const tus = await startTus(t);
  const made = await tus.call("POST", "/v1/keys", {
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      name: "other",
      policy: [
        { buckets: ["demo"], prefixes: ["theirs/"], actions: ["object:write", "object:read"] },
      ],
    }),
  });
  assert.equal(made.status, 201, made.text);
  const { id, secret } = JSON.parse(made.text) as { id: string; secret: string };
  const authorization = `Bearer ${id}.${secret}`;
  const path = await tus.create({
    "upload-length": "3",
    "upload-metadata": metadata({ key: "ours/x" }),
  });
  const part = await tus.create({ "upload-length": "3", "upload-concat": "partial" }, "abc");
  for (const target of [path, part]) {
    for (const method of ["HEAD", "PATCH", "DELETE", "GET"]) {
      const headers = { authorization, "upload-offset": "0", "content-type": bytesType };
      assert.equal((await tus.call(method, target, { headers })).status, 404, method);
    }
  }
  const concat = { authorization, "upload-concat": `final;${part}` };
  const theirs = { ...concat, "upload-metadata": metadata({ key: "theirs/y" }) };
  assert.equal((await tus.call("POST", "/tus/demo", { headers: theirs })).status, 404);
  const elsewhere = {
    authorization,
    "upload-length": "3",
    "upload-metadata": metadata({ key: "z" }),
  };
  assert.equal((await tus.call("POST", "/tus/demo", { headers: elsewhere })).status, 403);
  const good = { ...elsewhere, "upload-metadata": metadata({ key: "theirs/z" }) };
  assert.equal((await tus.call("POST", "/tus/demo", { headers: good })).status, 201);
  assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "0");
});

test("a grant for a key makes that object, from the header and from the URL", async (t) => {
  const tus = await startTus(t);
  const actions = ["object:write"] as const;
  const grant = tus.grant({ bucket: "demo", key: "granted/one", actions, maxBytes: 10 });
  const bearer = { authorization: `Bearer ${grant}` };
  const made = await tus.call("POST", "/tus/demo", {
    headers: {
      ...bearer,
      "upload-length": "4",
      "upload-metadata": metadata({ filename: "a.txt" }),
    },
  });
  assert.equal(made.status, 201, made.text);
  const path = String(made.headers.location);
  assert.doesNotMatch(path, /grant/);
  assert.equal((await tus.append(path, 0, "ab", bearer)).status, 204);
  assert.equal((await tus.call("HEAD", path, { headers: bearer })).headers["upload-offset"], "2");
  assert.equal((await tus.append(path, 2, "cd", bearer)).status, 204);
  assert.equal((await tus.object("granted/one")).text, "abcd");
  const tooLong = await tus.call("POST", "/tus/demo", {
    headers: { ...bearer, "upload-length": "11" },
  });
  assert.equal(tooLong.status, 413);

  const inUrl = await tus.call("POST", `/tus/demo?grant=${grant}`, {
    headers: { authorization: null, "upload-length": "4" },
  });
  assert.equal(inUrl.status, 201, inUrl.text);
  // A client that only follows the URL can go on by it.
  const location = String(inUrl.headers.location);
  const appended = await tus.append(location, 0, "efgh", { authorization: null });
  assert.equal(appended.status, 204, appended.text);
  assert.equal((await tus.object("granted/one")).text, "efgh");
});

test("a grant for a prefix makes objects under it, also of partials", async (t) => {
  const tus = await startTus(t);
  const grant = tus.grant({ bucket: "demo", prefix: "inbox/", actions: ["object:write"] });
  const bearer = { authorization: `Bearer ${grant}` };
  const made = await tus.call("POST", "/tus/demo", {
    headers: {
      ...bearer,
      "upload-length": "2",
      "content-type": bytesType,
      "upload-metadata": metadata({ filename: "a.txt" }),
    },
    body: "ab",
  });
  assert.match(
    String(made.headers["roma-object"]),
    /\/v1\/objects\/demo\/inbox\/[0-9a-f]{32}\/a\.txt$/,
  );
  const outside = await tus.call("POST", "/tus/demo", {
    headers: { ...bearer, "upload-length": "2", "upload-metadata": metadata({ key: "outbox/x" }) },
  });
  assert.equal(outside.status, 403);
  const part = await tus.call("POST", "/tus/demo", {
    headers: {
      ...bearer,
      "upload-length": "2",
      "upload-concat": "partial",
      "content-type": bytesType,
    },
    body: "cd",
  });
  assert.equal(part.status, 201, part.text);
  const joined = await tus.call("POST", "/tus/demo", {
    headers: {
      ...bearer,
      "upload-concat": `final;${part.headers.location}`,
      "upload-metadata": metadata({ key: "inbox/joined" }),
    },
  });
  assert.equal(joined.status, 201, joined.text);
  assert.equal((await tus.object("inbox/joined")).text, "cd");
});

test("a grant's methods are judged by the method that counts, and its end is 403, not 410", async (t) => {
  const tus = await startTus(t);
  const scope = { bucket: "demo", key: "k", actions: ["object:write"] as const };
  const limited = tus.grant({ ...scope, methods: ["POST"] });
  const bearer = { authorization: `Bearer ${limited}` };
  const made = await tus.call("POST", "/tus/demo", {
    headers: { ...bearer, "upload-length": "2" },
  });
  assert.equal(made.status, 201);
  const overridden = await tus.call("POST", String(made.headers.location), {
    headers: {
      ...bearer,
      "x-http-method-override": "PATCH",
      "upload-offset": "0",
      "content-type": bytesType,
    },
    body: "ab",
  });
  assert.equal(overridden.status, 403);
  const short = tus.grant(scope, 30_000);
  tus.advance(60_000);
  const late = await tus.call("HEAD", String(made.headers.location), {
    headers: { authorization: `Bearer ${short}` },
  });
  assert.equal(late.status, 403);
});

test("pages of other origins see every field, of refusals too, and their preflights pass", async (t) => {
  const tus = await startTus(t);
  const origin = "https://app.example";
  const preflight = await tus.call("OPTIONS", "/tus/demo", {
    headers: {
      authorization: null,
      "tus-resumable": null,
      origin,
      "access-control-request-method": "PATCH",
      "access-control-request-headers": "upload-offset,tus-resumable",
    },
  });
  assert.equal(preflight.status, 200);
  assert.equal(preflight.headers["tus-version"], "1.0.0");
  assert.match(String(preflight.headers["access-control-allow-methods"]), /PATCH.*DELETE/);
  const allowed = String(preflight.headers["access-control-allow-headers"])
    .toLowerCase()
    .split(", ");
  for (const name of [
    "authorization",
    "content-type",
    "tus-resumable",
    "upload-length",
    "upload-offset",
    "upload-metadata",
    "upload-defer-length",
    "upload-concat",
    "upload-checksum",
    "x-http-method-override",
    "x-requested-with",
    "x-request-id",
  ]) {
    assert.ok(allowed.includes(name), name);
  }
  for (const [method, target, status, headers] of [
    ["POST", "/tus/demo", 201, { "upload-length": "1" }],
    ["POST", "/tus/demo", 401, { authorization: null }],
    ["POST", "/tus/demo", 400, {}],
    ["POST", "/tus/demo", 412, { "tus-resumable": null }],
    ["HEAD", "/tus/demo/x", 404, {}],
    ["GET", "/tus/demo/x", 404, {}],
    ["POST", "/tus/demo/a/b", 404, {}],
  ] as const) {
    const answered = await tus.call(method, target, { headers: { origin, ...headers } });
    assert.equal(answered.status, status);
    assert.ok(answered.headers["access-control-allow-origin"], `${method} ${status}`);
    const exposed = String(answered.headers["access-control-expose-headers"]).split(", ");
    for (const name of [
      "Location",
      "Upload-Offset",
      "Upload-Length",
      "Upload-Metadata",
      "Upload-Defer-Length",
      "Upload-Concat",
      "Upload-Expires",
      "Tus-Version",
      "Tus-Resumable",
      "Tus-Max-Size",
      "Tus-Extension",
      "Tus-Checksum-Algorithm",
      "Roma-Object",
      "Roma-Version",
      "ETag",
    ]) {
      assert.ok(exposed.includes(name), name);
    }
  }
});
