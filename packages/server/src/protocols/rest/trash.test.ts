import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { startRest } from "./testing.ts";

interface Entry {
  readonly id: string;
  readonly key: string;
  readonly reason: string;
  readonly deletedAt: string;
  readonly purgeAt: string;
  readonly deletedBy: { readonly kind: string; readonly id: string };
}

async function start(t: TestContext, settings: object = {}) {
  const rest = await startRest(t);
  const { call } = rest;
  await call("PUT", "/v1/buckets/b", { body: settings });
  const put = (key: string, body = `bytes of ${key}`) =>
    call("PUT", `/v1/objects/b/${key}`, { body });
  const list = async (query = "") =>
    (await call("GET", `/v1/trash/b?${query}`)).json.entries as readonly Entry[];
  const restore = (body: object) => call("POST", "/v1/trash/b/restore", { body });
  const purge = (body: object) => call("POST", "/v1/trash/b/purge", { body });
  return { ...rest, put, list, restore, purge };
}

test("what was deleted is listed and comes back byte for byte", async (t) => {
  const { call, put, list, restore } = await start(t);
  const { json: written } = await put("k");
  assert.equal((await call("DELETE", "/v1/objects/b/k")).status, 204);
  const [entry, ...more] = await list();
  assert.ok(entry !== undefined && more.length === 0);
  const { id, deletedAt, purgeAt, deletedBy, ...rest } = entry;
  const { url: _url, ...object } = written;
  assert.deepEqual(rest, { ...object, reason: "deleted", job: null });
  assert.deepEqual([deletedBy.kind, deletedBy.id], ["key", "ROOTKEY"]);
  const days = (Date.parse(purgeAt) - Date.parse(deletedAt)) / 86_400_000;
  assert.ok(Math.abs(days - 7) < 0.01, `${days} days`);
  const outcome = await restore({ ids: [id] });
  const expected = { restored: 1, bytes: 10, skipped: 0, missing: 0, cursor: null };
  assert.deepEqual([outcome.status, outcome.json], [200, expected]);
  const read = await call("GET", "/v1/objects/b/k");
  assert.equal(read.text, "bytes of k");
  assert.equal(read.headers.etag, written.etag);
  assert.deepEqual((await restore({ ids: [id] })).json.missing, 1);
});

test("a mistaken delete is undone by time and prefix; what came since stays unless asked", async (t) => {
  const { call, put, list, restore, advance } = await start(t);
  await put("old");
  await call("DELETE", "/v1/objects/b/old");
  advance(60_000);
  const keys = ["a/1", "a/2", "c"];
  for (const key of keys) await put(key);
  await call("POST", "/v1/objects/b?delete", { body: { keys } });
  const since = (await list("prefix=c"))[0]?.deletedAt;
  await put("a/2", "newer");
  const found = await restore({ prefix: "a/", deletedAfter: since });
  assert.deepEqual([found.json.restored, found.json.skipped], [1, 1]);
  assert.equal((await call("GET", "/v1/objects/b/a/2")).text, "newer");
  const rest = await restore({ deletedAfter: since, ifExists: "replace" });
  assert.deepEqual([rest.json.restored, rest.json.skipped], [2, 0]);
  assert.equal((await call("GET", "/v1/objects/b/a/2")).text, "bytes of a/2");
  assert.equal((await call("GET", "/v1/objects/b/old")).status, 404);
  const kept = (await list()).map(({ key, reason }) => `${key} ${reason}`);
  assert.deepEqual(kept, ["a/2 replaced", "old deleted"]);
});

test("the list goes on behind its cursor, which belongs to its query", async (t) => {
  const { call, put, restore } = await start(t);
  const keys = ["1", "2", "3"];
  for (const key of keys) await put(key);
  await call("POST", "/v1/objects/b?delete", { body: { keys } });
  const first = await call("GET", "/v1/trash/b?limit=2");
  const cursor = String(first.json.cursor);
  const second = await call("GET", `/v1/trash/b?limit=2&cursor=${cursor}`);
  const seen = [first, second].flatMap(({ json }) => json.entries as readonly Entry[]);
  assert.deepEqual(seen.map(({ key }) => key).sort(), keys);
  assert.equal(second.json.cursor, null);
  const foreign = await call("GET", `/v1/trash/b?prefix=1&cursor=${cursor}`);
  assert.match(String(foreign.json.detail), /cursor is not a cursor of this list/);
  assert.equal((await restore({ prefix: "1", cursor })).status, 400);
});

test("purging asks for what, and gives it up for good", async (t) => {
  const { call, put, list, purge } = await start(t);
  const keys = ["a/1", "a/2", "c"];
  for (const key of keys) await put(key);
  await call("POST", "/v1/objects/b?delete", { body: { keys } });
  const nothing = await purge({});
  assert.equal(nothing.status, 400);
  assert.match(String(nothing.json.detail), /only with "all": true/);
  assert.equal((await list()).length, 3);
  assert.deepEqual((await purge({ prefix: "a/" })).json, {
    purged: 2,
    bytes: 24,
    retained: 0,
    missing: 0,
    cursor: null,
  });
  assert.equal((await purge({ all: true })).json.purged, 1);
  assert.deepEqual(await list(), []);
});

test("wrong requests are refused with the name of what is wrong", async (t) => {
  const { call, restore, purge } = await start(t);
  for (const [body, what] of [
    [{ ids: [] }, /ids/],
    [{ ids: ["x"] }, /ids/],
    [{ ids: ["1"], prefix: "a" }, /ids stand alone/],
    [{ ids: ["1"], cursor: "a" }, /ids stand alone/],
    [{ deletedAfter: "yesterday" }, /deletedAfter/],
    [{ deletedBefore: "2026-03-01" }, /deletedBefore/],
    [{ prefix: "a\0" }, /prefix|NUL/],
    [{ cursor: "x" }, /cursor/],
    [{ ifExists: "rename" }, /ifExists/],
    [{ since: "14:00" }, /since/],
  ] as const) {
    const refused = await restore(body);
    assert.equal(refused.status, 400, JSON.stringify(body));
    assert.match(String(refused.json.detail), what);
  }
  assert.equal((await purge({ ids: Array(1001).fill("1") })).status, 400);
  assert.match((await call("GET", "/v1/trash/b?deletedAfter=14:00")).text, /deletedAfter/);
  assert.equal((await call("POST", "/v1/trash/none/restore", { body: {} })).status, 404);
});

test("each action is one of its own, and prefixes of a policy hold", async (t) => {
  const { call, put, list } = await start(t);
  await put("a/1");
  await put("c");
  await call("POST", "/v1/objects/b?delete", { body: { keys: ["a/1", "c"] } });
  const [c] = await list("prefix=c");
  const as = async (...actions: readonly string[]) => {
    const policy = [{ buckets: ["b"], prefixes: ["a/"], actions }];
    const { json } = await call("POST", "/v1/keys", { body: { name: "k", policy } });
    return { id: String(json.id), secret: String(json.secret) };
  };
  const deleter = await as("object:read", "object:write", "object:delete", "object:list");
  const reader = await as("trash:read");
  const restorer = await as("trash:restore");
  const prefix = { prefix: "a/" };
  assert.equal((await call("GET", "/v1/trash/b?prefix=a/", { as: deleter })).status, 403);
  assert.equal((await call("GET", "/v1/trash/b?prefix=a/", { as: reader })).status, 200);
  assert.equal((await call("GET", "/v1/trash/b", { as: reader })).status, 403);
  assert.equal((await call("GET", "/v1/trash/b", { as: "nobody" })).status, 401);
  const restore = (body: object, key = restorer) =>
    call("POST", "/v1/trash/b/restore", { as: key, body });
  assert.equal((await restore(prefix, reader)).status, 403);
  assert.equal((await restore({})).status, 403);
  assert.equal((await restore({ ids: [c?.id] })).status, 403);
  assert.equal((await restore(prefix)).json.restored, 1);
  const purge = { as: restorer, body: prefix };
  assert.equal((await call("POST", "/v1/trash/b/purge", purge)).status, 403);
});

test("deletes stop at a bucket's cap, one by one and in batches", async (t) => {
  const { call, put } = await start(t, { deletesPerHour: 3 });
  const keys = ["1", "2", "3", "4", "5"];
  for (const key of keys) await put(key);
  assert.equal((await call("DELETE", "/v1/objects/b/1")).status, 204);
  const batch = await call("POST", "/v1/objects/b?delete", { body: { keys: keys.slice(1, 4) } });
  assert.deepEqual(batch.json.deleted, ["2", "3"]);
  const [failure] = batch.json.failed as readonly { key: string; code: string }[];
  assert.deepEqual([failure?.key, failure?.code], ["4", "delete_cap_reached"]);
  const refused = await call("DELETE", "/v1/objects/b/5");
  assert.deepEqual([refused.status, refused.json.code], [403, "delete_cap_reached"]);
  assert.equal(refused.json.retryable, false);
  assert.match(String(refused.json.detail), /deleted 3 objects of bucket "b" within an hour/);
  assert.equal((await call("GET", "/v1/objects/b/5")).status, 200);
});

test("a bucket of the environment production is capped unless it says otherwise", async (t) => {
  const { call, put } = await start(t, { environment: "production" });
  await put("k");
  for (const [settings, status] of [
    [{ deletesPerHour: 0 }, 403],
    [{ deletesPerHour: null }, 204],
  ] as const) {
    await call("PATCH", "/v1/buckets/b", { body: settings });
    assert.equal((await call("DELETE", "/v1/objects/b/k")).status, status);
  }
});

test("what is held is deleted, replaced and moved by nobody, the root key neither", async (t) => {
  const { call, put } = await start(t);
  await put("k");
  const retainUntil = new Date(Date.now() + 3_600_000).toISOString();
  const hold = (body: object) => call("PATCH", "/v1/objects/b/k", { body });
  assert.equal((await hold({ retainUntil })).json.retainUntil, retainUntil);
  assert.equal((await hold({ legalHold: true })).json.legalHold, true);
  const earlier = await hold({ retainUntil: new Date().toISOString() });
  assert.deepEqual([earlier.status, earlier.json.code], [403, "object_retained"]);
  assert.equal((await hold({})).status, 400);
  const refused = async () => {
    const move = { from: { bucket: "b", key: "k" }, to: { bucket: "b", key: "m" } };
    return [
      await call("DELETE", "/v1/objects/b/k"),
      await put("k", "other"),
      await call("POST", "/v1/move", { body: move }),
    ].map(({ json }) => json.code);
  };
  assert.deepEqual(await refused(), Array(3).fill("object_retained"));
  const { json } = await call("GET", "/v1/objects/b?prefix=k");
  const [shown] = json.objects as readonly Record<string, unknown>[];
  assert.deepEqual([shown?.retainUntil, shown?.legalHold], [retainUntil, true]);
  assert.equal((await call("GET", "/v1/objects/b/k")).text, "bytes of k");
  assert.equal("legalHold" in (await hold({ legalHold: false })).json, false);
  assert.deepEqual(await refused(), Array(3).fill("object_retained"), "the retention is there");
  const policy = [{ buckets: ["*"], actions: ["object:write", "object:delete"] }];
  const { json: key } = await call("POST", "/v1/keys", { body: { name: "w", policy } });
  const as = { id: String(key.id), secret: String(key.secret) };
  const body = { legalHold: true };
  assert.equal((await call("PATCH", "/v1/objects/b/k", { as, body })).status, 403);
});
