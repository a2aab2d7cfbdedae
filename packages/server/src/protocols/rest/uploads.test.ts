import assert from "node:assert/strict";
import { request } from "node:http";
import { type TestContext, test } from "node:test";
import { basic, type RestServer, startRest } from "./testing.ts";

const more = { "upload-complete": "?0" };

/** A plain PUT whose body does not end until the test does. */
async function running(t: TestContext, { port, key, call }: RestServer, name: string) {
  const sent = request({
    port,
    host: "127.0.0.1",
    method: "PUT",
    path: `/v1/objects/b/${name}`,
    headers: { authorization: basic(key), "content-length": "100000" },
  });
  t.after(() => sent.destroy());
  const answer = new Promise<number | undefined>((resolve) => {
    sent.on("response", (response) => resolve(response.statusCode));
    sent.on("error", () => resolve(undefined));
  });
  sent.write("x".repeat(10_000));
  for (;;) {
    const { json } = await call("GET", "/v1/uploads?limit=1000");
    const found = (json.uploads as { id: string; key: string }[]).find((one) => one.key === name);
    if (found !== undefined) return { id: found.id, answer };
  }
}

async function resumable({ call }: RestServer, key: string): Promise<string> {
  const made = await call("PUT", `/v1/objects/b/${key}`, {
    headers: { ...more, "content-type": "text/plain", "roma-meta-by": "me", "upload-length": "9" },
    body: "hello",
  });
  assert.equal(made.status, 201, made.text);
  return new URL(String(made.headers.location)).pathname.split("/").at(-1) ?? "";
}

test("GET shows uploads of both kinds: those that end with their request, and those that do not", async (t) => {
  const server = await startRest(t);
  const { call } = server;
  await call("PUT", "/v1/buckets/b");
  const kept = await resumable(server, "kept");
  const { json } = await call("GET", `/v1/uploads/${kept}`);
  const { createdAt, expiresAt, ...rest } = json;
  assert.deepEqual(rest, {
    id: kept,
    bucket: "b",
    key: "kept",
    kind: "object",
    protocol: "ietf",
    phase: "receiving",
    offset: 5,
    length: 9,
    contentType: "text/plain",
    metadata: { by: "me" },
    version: null,
  });
  const hours = (Date.parse(String(expiresAt)) - Date.parse(String(createdAt))) / 3_600_000;
  assert.ok(Math.abs(hours - 24) < 0.1, String(hours));

  const plain = await running(t, server, "plain");
  const shown = await call("GET", `/v1/uploads/${plain.id}`);
  assert.equal(shown.json.protocol, "rest");
  assert.equal(shown.json.length, 100_000);
  assert.equal(shown.json.expiresAt, null);
  assert.equal(shown.json.metadata, null);
  // It is not to be resumed: HEAD is that of the JSON, and there is nothing to append to.
  assert.equal((await call("HEAD", `/v1/uploads/${plain.id}`)).status, 200);
  const append = await call("PATCH", `/v1/uploads/${plain.id}`, {
    headers: { ...more, "upload-offset": "0", "content-type": "application/partial-upload" },
    body: "x",
  });
  assert.equal(append.status, 405);
  assert.equal(append.headers.allow, "DELETE, GET, HEAD, OPTIONS");
});

test("a GET disturbs nobody; with an interop version it says where to go on", async (t) => {
  const server = await startRest(t);
  const { call } = server;
  await call("PUT", "/v1/buckets/b");
  const id = await resumable(server, "k");
  const plain = await call("GET", `/v1/uploads/${id}`);
  assert.equal(plain.headers["upload-offset"], undefined);
  const headers = { "upload-draft-interop-version": "8" };
  const asked = await call("GET", `/v1/uploads/${id}`, { headers });
  assert.equal(asked.headers["upload-offset"], "5");
  assert.equal(asked.headers["upload-complete"], "?0");
  assert.equal(asked.headers["upload-length"], "9");
  assert.equal(asked.json.offset, 5);
});

test("cancelling: a PUT that runs is ended, a resumable upload is gone, a complete one's object stays", async (t) => {
  const server = await startRest(t);
  const { call, content } = server;
  await call("PUT", "/v1/buckets/b");
  const plain = await running(t, server, "plain");
  assert.equal((await call("DELETE", `/v1/uploads/${plain.id}`)).status, 204);
  assert.notEqual(await plain.answer, 201);
  const kept = await resumable(server, "kept");
  assert.equal((await call("DELETE", `/v1/uploads/${kept}`)).status, 204);
  assert.equal((await call("DELETE", `/v1/uploads/${kept}`)).json.code, "upload_not_found");
  assert.equal(content.uploads.size, 0, "the storage's own upload is cancelled as well");
  const done = await resumable(server, "done");
  await call("PATCH", `/v1/uploads/${done}`, {
    headers: {
      "upload-complete": "?1",
      "upload-offset": "5",
      "content-type": "application/partial-upload",
    },
    body: "bye!",
  });
  const shown = await call("GET", `/v1/uploads/${done}`);
  assert.equal(shown.json.phase, "complete");
  assert.match(String(shown.json.version), /^[0-9a-f]{32}$/);
  assert.equal((await call("DELETE", `/v1/uploads/${done}`)).status, 204);
  assert.equal((await call("GET", "/v1/objects/b/done")).text, "hellobye!");
  assert.deepEqual((await call("GET", "/v1/uploads")).json, { uploads: [], cursor: null });
});

test("the list is in order of ids, by pages over both kinds; a cursor belongs to its query", async (t) => {
  const server = await startRest(t);
  const { call } = server;
  await call("PUT", "/v1/buckets/b");
  await call("PUT", "/v1/buckets/c");
  const ids: string[] = [];
  for (const key of ["1", "2", "3", "4"]) ids.push(await resumable(server, key));
  for (const name of ["p", "q"]) ids.push((await running(t, server, name)).id);
  const seen: string[] = [];
  let cursor: unknown = null;
  do {
    const more = cursor === null ? "" : `&cursor=${cursor}`;
    const { json } = await call("GET", `/v1/uploads?limit=2${more}`);
    seen.push(...(json.uploads as { id: string }[]).map(({ id }) => id));
    cursor = json.cursor;
  } while (cursor !== null);
  assert.deepEqual(seen, ids.toSorted());
  const page = await call("GET", "/v1/uploads?limit=2&bucket=b");
  assert.equal((page.json.uploads as unknown[]).length, 2);
  const bent = await call("GET", `/v1/uploads?limit=2&cursor=${page.json.cursor}`);
  assert.equal(bent.json.code, "invalid_request");
  assert.deepEqual((await call("GET", "/v1/uploads?bucket=c")).json.uploads, []);
  assert.equal((await call("GET", "/v1/uploads?limit=0")).status, 400);
});

test("a key sees in the list what it may see", async (t) => {
  const server = await startRest(t);
  const { call } = server;
  await call("PUT", "/v1/buckets/b");
  const id = await resumable(server, "in/k");
  await resumable(server, "out/k");
  const policy = [{ buckets: ["b"], prefixes: ["in/"], actions: ["upload:read"] }];
  const { json } = await call("POST", "/v1/keys", { body: { name: "n", policy } });
  const as = { id: String(json.id), secret: String(json.secret) };
  const listed = await call("GET", "/v1/uploads", { as });
  assert.deepEqual(
    (listed.json.uploads as { id: string }[]).map((one) => one.id),
    [id],
  );
});
