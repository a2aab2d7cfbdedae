/** Idempotency-Key: one effect and one answer, whatever becomes of the first. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { type TestContext, test } from "node:test";
import { type CallOptions, startRest } from "./testing.ts";

async function start(t: TestContext, options: Parameters<typeof startRest>[1] = {}) {
  const rest = await startRest(t, options);
  await rest.call("PUT", "/v1/buckets/b", { body: {} });
  const keyed = (method: string, path: string, key: string, given: CallOptions = {}) =>
    rest.call(method, path, {
      ...given,
      headers: { "idempotency-key": key, ...given.headers },
    });
  const put = (key: string, body = "bytes", given: CallOptions = {}) =>
    keyed("PUT", "/v1/objects/b/k", key, { body, ...given });
  const version = async () => (await rest.call("HEAD", "/v1/objects/b/k")).headers["roma-version"];
  return { ...rest, keyed, put, version };
}

test("a repeat of a PUT gets the first one's answer, and makes no second version", async (t) => {
  const { put, version, call } = await start(t);
  const first = await put('"one"');
  assert.equal(first.status, 201);
  assert.equal(first.headers["idempotent-replayed"], undefined);
  const made = await version();
  const again = await put("one");
  assert.deepEqual([again.status, again.text], [201, first.text]);
  for (const name of ["etag", "location", "repr-digest", "content-type"]) {
    assert.equal(again.headers[name], first.headers[name], name);
  }
  assert.equal(again.headers["idempotent-replayed"], "true");
  assert.equal(await version(), made);
  // Replaced meanwhile: the answer is still the one of the first.
  await call("PUT", "/v1/objects/b/k", { body: "other" });
  assert.equal((await put("one")).text, first.text);
  assert.equal((await put("two")).status, 200, "another key is another request");
});

test("deletes, copies and administration are repeated as well", async (t) => {
  const { keyed, put, call } = await start(t);
  await put("p");
  const copy = { from: { bucket: "b", key: "k" }, to: { bucket: "b", key: "copy" } };
  const copied = await keyed("POST", "/v1/copy", "c", { body: copy });
  assert.equal((await keyed("POST", "/v1/copy", "c", { body: copy })).text, copied.text);
  assert.equal((await keyed("DELETE", "/v1/objects/b/k", "d")).status, 204);
  await call("PUT", "/v1/objects/b/k", { body: "again" });
  assert.equal((await keyed("DELETE", "/v1/objects/b/k", "d")).status, 204);
  assert.equal((await call("HEAD", "/v1/objects/b/k")).status, 200, "it was deleted once");
  const made = await keyed("POST", "/v1/keys", "k", { body: { name: "n", policy: [] } });
  assert.equal(made.status, 201, made.text);
  assert.equal(
    (await keyed("POST", "/v1/keys", "k", { body: { name: "n", policy: [] } })).text,
    made.text,
  );
});

test("the same key for another request is 422, a malformed one 400; nobody's is not looked at", async (t) => {
  const { put, keyed } = await start(t);
  await put("one");
  const other = await put("one", "longer bytes");
  assert.deepEqual([other.status, other.json.header], [422, "Idempotency-Key"]);
  const elsewhere = await keyed("PUT", "/v1/objects/b/elsewhere", "one", { body: "bytes" });
  assert.equal(elsewhere.status, 422);
  const meta = await put("one", "bytes", { headers: { "roma-meta-a": "1" } });
  assert.equal(meta.status, 422);
  for (const key of ["", " ", '"', "a b", "k".repeat(256)]) {
    const refused = await put(key);
    assert.deepEqual([refused.status, refused.json.header], [400, "Idempotency-Key"], key);
  }
});

test("while the first is under way a repeat is 409 with Retry-After, and the first is not disturbed", async (t) => {
  const { put, port, key } = await start(t);
  const authorization = `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString("base64")}`;
  const headers = {
    authorization,
    "idempotency-key": "slow",
    "content-length": "5",
    expect: "100-continue",
  };
  const first = request({
    port,
    host: "127.0.0.1",
    method: "PUT",
    path: "/v1/objects/b/k",
    headers,
  });
  const answered = new Promise<number>((done) => {
    first.on("response", (response) => {
      response.resume();
      done(response.statusCode ?? 0);
    });
  });
  // The server asks for the body: it has taken the key.
  const asked = once(first, "continue");
  first.flushHeaders();
  await asked;
  const again = await put("slow");
  assert.equal(again.status, 409);
  assert.equal(again.headers["retry-after"], "1");
  first.end("bytes");
  assert.equal(await answered, 201);
  assert.equal((await put("slow")).headers["idempotent-replayed"], "true");
});

test("what failed without effect may be tried again", async (t) => {
  const { put, call } = await start(t);
  const given = { headers: { "if-none-match": "*" } };
  await call("PUT", "/v1/objects/b/k", { body: "there" });
  assert.equal((await put("one", "bytes", given)).status, 412);
  await call("DELETE", "/v1/objects/b/k");
  assert.equal((await put("one", "bytes", given)).status, 201);
  assert.equal((await put("one", "bytes", given)).status, 201);
});

test("a server that ends between the change and its answer: the repeat is answered from the change", async (t) => {
  let answersLost = true;
  const { put, keyed, version, call } = await start(t, { answersLost: () => answersLost });
  assert.equal((await put("one")).status, 503);
  const made = await version();
  assert.ok(made !== undefined, "it took effect");
  answersLost = false;
  const again = await put("one");
  assert.deepEqual([again.status, again.json.version], [201, made]);
  assert.equal(again.headers["idempotent-replayed"], "true");
  assert.equal(await version(), made);

  answersLost = true;
  assert.equal((await keyed("DELETE", "/v1/objects/b/k", "d")).status, 503);
  await call("PUT", "/v1/objects/b/k", { body: "again" });
  answersLost = false;
  assert.equal((await keyed("DELETE", "/v1/objects/b/k", "d")).status, 204);
  assert.equal((await call("HEAD", "/v1/objects/b/k")).status, 200);

  answersLost = true;
  const bucket = { body: { quotaBytes: 1000 } };
  assert.equal((await keyed("PATCH", "/v1/buckets/b", "q", bucket)).status, 503);
  answersLost = false;
  const lost = await keyed("PATCH", "/v1/buckets/b", "q", bucket);
  assert.deepEqual([lost.status, lost.json.outcome], [409, "effective"]);
});

test("a key is forgotten after a day, and an access key has no more than its number", async (t) => {
  const { put, keyed, advance } = await start(t);
  await put("one");
  for (let index = 1; index < 100; index++) {
    await keyed("DELETE", `/v1/objects/b/none-${index}`, `n${index}`);
  }
  const over = await keyed("DELETE", "/v1/objects/b/none", "over");
  assert.deepEqual([over.status, over.json.limit], [429, "idempotencyKeysMax"]);
  assert.ok(Number(over.headers["retry-after"]) > 0);
  advance(25 * 60 * 60 * 1000);
  const fresh = await put("one");
  assert.deepEqual([fresh.status, fresh.headers["idempotent-replayed"]], [200, undefined]);
});
