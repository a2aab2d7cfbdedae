import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { eventually } from "../../../../../test/harness/process-usage.ts";
import { basic, type RestServer, startRest } from "./testing.ts";

const memory = (place: string, more: object = {}) => ({ driver: "memory", place, ...more });

async function withStorage(t: TestContext): Promise<RestServer> {
  const server = await startRest(t);
  const added = await server.call("PUT", "/v1/storages/other", { body: memory("other") });
  assert.equal(added.status, 201, added.text);
  return server;
}

const half = "x".repeat(100_000);

/** An upload that has sent half of its bytes; what it resolves to sends the rest. */
function slowUpload(server: RestServer, target: string) {
  const { port, key } = server;
  const headers = { authorization: basic(key), "content-length": "200000" };
  const sent = httpRequest({ port, host: "127.0.0.1", method: "PUT", path: target, headers });
  sent.write(half);
  return async () => {
    sent.end(half);
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  };
}

test("a storage is added, shown without its secrets, and takes what is placed on it", async (t) => {
  const { call, contentOf } = await startRest(t);
  const token = "very-secret-token";
  const added = await call("PUT", "/v1/storages/other", { body: memory("other", { token }) });
  assert.equal(added.status, 201, added.text);
  assert.equal(added.headers.location, "/v1/storages/other");
  const { status, createdAt, changedAt, ...rest } = added.json;
  assert.deepEqual(rest, {
    id: "other",
    driver: "memory",
    place: "other",
    token: "[redacted]",
    state: "active",
    default: false,
    revision: 1,
  });
  assert.equal(typeof createdAt, "string");
  assert.equal(changedAt, createdAt);
  assert.deepEqual(status, {
    builtIn: false,
    open: true,
    problem: null,
    breaker: "closed",
    uploadsRunning: 0,
    othersRunning: 0,
  });
  const got = await call("GET", "/v1/storages/other");
  assert.deepEqual(got.json, added.json);
  const listed = await call("GET", "/v1/storages");
  assert.ok(!listed.text.includes(token) && !got.text.includes(token));
  const storages = listed.json.storages as { id: string; default: boolean }[];
  assert.deepEqual(
    storages.map((storage) => [storage.id, storage.default]),
    [
      ["memory", true],
      ["other", false],
    ],
  );
  await call("PUT", "/v1/buckets/b", { body: { placement: "other" } });
  const put = await call("PUT", "/v1/objects/b/k", { body: "content" });
  assert.equal(put.json.storage, "other");
  assert.equal(contentOf("other").blobs.size, 1);
});

test("PUT on a storage that is there changes it; what is left out stays; an answer may be sent back", async (t) => {
  const { call } = await withStorage(t);
  const target = "/v1/storages/other";
  const changed = await call("PUT", target, { body: { driver: "memory", token: "t" } });
  assert.equal(changed.status, 200, changed.text);
  assert.equal(changed.json.place, "other");
  assert.equal(changed.json.token, "[redacted]");
  const back = await call("PUT", target, { body: changed.json });
  assert.equal(back.status, 200, back.text);
  assert.equal(back.json.revision, changed.json.revision, "nothing was to be done");
  const removed = await call("PATCH", target, { body: { token: null } });
  assert.equal(removed.json.token, undefined);
  const stale = await call("PUT", target, { body: { ...changed.json, state: "draining" } });
  assert.equal(stale.json.code, "precondition_failed");
  const refusals: readonly (readonly [object, number, string])[] = [
    [{ driver: "posix", root: "/tmp" }, 409, "already_exists"],
    [{ id: "another" }, 400, "invalid_request"],
    [{ state: "retired" }, 400, "invalid_request"],
    [{ nonsense: 1 }, 400, "invalid_request"],
    [{ place: "elsewhere" }, 503, "unavailable"],
  ];
  for (const [body, status, code] of refusals) {
    const answer = await call("PUT", target, { body });
    assert.equal(answer.status, status, answer.text);
    assert.equal(answer.json.code, code);
  }
  const headers = { "if-none-match": "*" };
  const exists = await call("PUT", target, { body: memory("other"), headers });
  assert.equal(exists.status, 412);
});

test("a new storage is refused for its id, its driver or its settings, by name", async (t) => {
  const { call } = await startRest(t);
  const refusals: readonly (readonly [string, object, RegExp])[] = [
    ["new", {}, /driver/],
    ["new", { driver: "tape" }, /"tape" is none of memory, posix, s3/],
    ["New_Storage", memory("new"), /id/],
    ["new", { driver: "memory" }, /place/],
    ["new", { driver: "memory", place: "new", color: "red" }, /color/],
    ["new", { driver: "posix", root: "relative/path" }, /root: is not an absolute path/],
    ["new", { driver: "s3", vendor: "nobody", bucket: "bucket" }, /vendor/],
  ];
  for (const [id, body, detail] of refusals) {
    const answer = await call("PUT", `/v1/storages/${id}`, { body });
    assert.equal(answer.status, 400, answer.text);
    assert.match(String(answer.json.detail), detail);
  }
  assert.equal((await call("GET", "/v1/storages/new")).status, 404);
  assert.equal((await call("PATCH", "/v1/storages/new", { body: {} })).status, 404);
  assert.equal((await call("DELETE", "/v1/storages/new")).status, 404);
  assert.equal((await call("POST", "/v1/storages/new/test")).status, 404);
});

test("a folder is added as a storage; the folder of another storage is refused", async (t) => {
  const { call } = await startRest(t);
  const folder = await mkdtemp(join(tmpdir(), "roma-storages-"));
  // After the server, which has it open until then.
  t.after(() => rm(folder, { recursive: true }));
  const body = { driver: "posix", root: join(folder, "disk") };
  const added = await call("PUT", "/v1/storages/disk", { body });
  assert.equal(added.status, 201, added.text);
  const again = await call("PUT", "/v1/storages/second", { body });
  assert.equal(again.status, 503, again.text);
  assert.match(String(again.json.detail), /is the storage disk/);
});

test("a draining storage ends the uploads that run, refuses new ones, and is read; read-only runs none", async (t) => {
  const server = await withStorage(t);
  const { call } = server;
  await call("PUT", "/v1/buckets/b", { body: { placement: "other" } });
  await call("PUT", "/v1/objects/b/old", { body: "content" });
  const end = slowUpload(server, "/v1/objects/b/running");
  const running = async () => {
    const { json } = await call("GET", "/v1/storages/other");
    return (json.status as { uploadsRunning: number }).uploadsRunning;
  };
  await eventually("the upload runs", async () => (await running()) === 1);
  const drained = await call("PATCH", "/v1/storages/other", { body: { state: "draining" } });
  assert.equal(drained.json.state, "draining");
  const refused = await call("PUT", "/v1/objects/b/new", { body: "content" });
  assert.equal(refused.status, 503, refused.text);
  const early = await call("PATCH", "/v1/storages/other", { body: { state: "read-only" } });
  assert.equal(early.json.code, "locked");
  assert.equal((await call("GET", "/v1/objects/b/old")).text, "content");
  assert.equal(await end(), 201);
  assert.equal((await call("GET", "/v1/objects/b/running")).text, half + half);
  await eventually("no upload runs", async () => (await running()) === 0);
  const readOnly = await call("PUT", "/v1/storages/other", { body: { state: "read-only" } });
  assert.equal(readOnly.json.state, "read-only");
  assert.equal((await call("GET", "/v1/objects/b/old")).text, "content");
  const active = await call("PUT", "/v1/storages/other", { body: { state: "active" } });
  assert.equal(active.json.state, "active");
  assert.equal((await call("PUT", "/v1/objects/b/new", { body: "content" })).status, 201);
});

test("rules place by key, type and size; the fallback takes what a draining storage does not", async (t) => {
  const { call } = await withStorage(t);
  await call("PUT", "/v1/storages/third", { body: memory("third") });
  const placement = [
    { prefix: "in/", storage: "other", fallback: "third" },
    { minBytes: 10, storage: "third" },
  ];
  const bucket = await call("PUT", "/v1/buckets/b", { body: { placement } });
  assert.equal(bucket.status, 201, bucket.text);
  assert.deepEqual(bucket.json.placement, placement);
  const where = async (key: string, body: string) => {
    const { json, text } = await call("PUT", `/v1/objects/b/${key}`, { body });
    assert.equal(typeof json.storage, "string", text);
    return json.storage;
  };
  assert.equal(await where("in/a", "x"), "other");
  assert.equal(await where("a", "x".repeat(10)), "third");
  assert.equal(await where("a", "x"), "memory");
  await call("PATCH", "/v1/storages/other", { body: { state: "draining" } });
  assert.equal(await where("in/b", "x"), "third");
  assert.equal((await call("GET", "/v1/objects/b/in/a")).text, "x");
  const closed = await call("PUT", "/v1/buckets/c", { body: { placement: "other" } });
  assert.equal(closed.json.code, "invalid_request");
  const mirrored = [{ storage: "third", mirrors: ["memory"] }];
  const mirrors = await call("PUT", "/v1/buckets/c", { body: { placement: mirrored } });
  assert.equal(mirrors.json.code, "unsupported");
});

test("a storage is retired when it is drained, unnamed and empty; the refusal says how much it holds", async (t) => {
  const { call } = await withStorage(t);
  const target = "/v1/storages/other";
  await call("PUT", "/v1/buckets/b", { body: { placement: "other" } });
  for (const key of ["k", "l"]) await call("PUT", `/v1/objects/b/${key}`, { body: "content" });
  const active = await call("DELETE", target);
  assert.equal(active.status, 412, active.text);
  assert.match(String(active.json.detail), /drain it first/);
  await call("PATCH", target, { body: { state: "draining" } });
  assert.match((await call("DELETE", target)).text, /is named by the placement of b/);
  await call("PATCH", "/v1/buckets/b", { body: { placement: "memory" } });
  const holds = await call("DELETE", target);
  assert.equal(holds.status, 409, holds.text);
  assert.equal(holds.json.code, "not_empty");
  assert.equal(holds.json.blobs, 2);
  assert.match(String(holds.json.detail), /still holds 2 blobs/);
  assert.equal((await call("DELETE", "/v1/storages/memory")).status, 412);

  await call("PUT", "/v1/storages/empty", { body: memory("empty") });
  await call("PATCH", "/v1/storages/empty", { body: { state: "read-only" } });
  assert.equal((await call("DELETE", "/v1/storages/empty")).status, 204);
  assert.equal((await call("DELETE", "/v1/storages/empty")).status, 204);
  assert.equal((await call("GET", "/v1/storages/empty")).json.state, "retired");
  const taken = await call("PUT", "/v1/storages/empty", { body: memory("empty") });
  assert.equal(taken.json.code, "already_exists");
  assert.equal((await call("DELETE", "/v1/storages/empty?forget")).status, 204);
  assert.equal((await call("GET", "/v1/storages/empty")).status, 404);
  const anew = await call("PUT", "/v1/storages/empty", { body: memory("empty") });
  assert.equal(anew.status, 201, anew.text);
});

test("the default moves to a storage that says so, and cannot be drained or merely taken away", async (t) => {
  const { call } = await withStorage(t);
  const moved = await call("PATCH", "/v1/storages/other", { body: { default: true } });
  assert.equal(moved.json.default, true);
  await call("PUT", "/v1/buckets/b", { body: { placement: [] } });
  const put = await call("PUT", "/v1/objects/b/k", { body: "x" });
  assert.equal(put.json.storage, "other");
  for (const body of [{ state: "draining" }, { default: false }]) {
    const refused = await call("PATCH", "/v1/storages/other", { body });
    assert.equal(refused.json.code, "precondition_failed", refused.text);
  }
  const drained = await call("PATCH", "/v1/storages/memory", { body: { state: "draining" } });
  assert.equal(drained.status, 200, drained.text);
});

test("the test of a storage answers what it can do, as JSON and as Markdown, and leaves nothing", async (t) => {
  const { call, contentOf } = await withStorage(t);
  const tested = await call("POST", "/v1/storages/other/test");
  assert.equal(tested.status, 200, tested.text);
  assert.equal(tested.json.ok, true, tested.text);
  assert.equal(tested.json.storage, "other");
  const steps = tested.json.steps as { name: string; outcome: string }[];
  assert.ok(steps.length > 5);
  assert.ok(steps.every(({ outcome }) => outcome !== "failed"));
  const capabilities = tested.json.capabilities as { name: string }[];
  assert.ok(capabilities.some(({ name }) => name === "conditionalPut"));
  const headers = { accept: "text/markdown" };
  const text = await call("POST", "/v1/storages/other/test", { headers });
  assert.equal(text.headers["content-type"], "text/markdown; charset=utf-8");
  assert.match(text.text, /^## Storage test: passed/);
  assert.equal(contentOf("other").blobs.size, 0);
});

test("settings are shown only to who may read storages; who may only write sees what was done", async (t) => {
  const server = await withStorage(t);
  const { call } = server;
  const keyFor = async (...actions: readonly string[]) => {
    const body = { name: "n", policy: [{ buckets: ["*"], actions }] };
    const { json } = await call("POST", "/v1/keys", { body });
    return { id: String(json.id), secret: String(json.secret) };
  };
  const reader = await keyFor("storage:read");
  const writer = await keyFor("storage:write");
  const others = await keyFor("object:read", "object:write", "bucket:read", "bucket:write");
  assert.equal((await call("GET", "/v1/storages/other", { as: reader })).json.place, "other");
  const body = { state: "read-only" };
  assert.equal((await call("PATCH", "/v1/storages/other", { body, as: reader })).status, 403);
  assert.equal((await call("GET", "/v1/storages/other", { as: writer })).status, 403);
  assert.equal((await call("POST", "/v1/storages/other/test", { as: writer })).status, 403);
  const written = await call("PATCH", "/v1/storages/other", { body, as: writer });
  assert.equal(written.json.state, "read-only");
  assert.ok(!("place" in written.json));
  for (const [method, target] of [
    ["GET", "/v1/storages"],
    ["GET", "/v1/storages/other"],
    ["DELETE", "/v1/storages/other"],
    ["POST", "/v1/storages/other/test"],
  ] as const) {
    assert.equal((await call(method, target, { as: others })).status, 403, `${method} ${target}`);
  }
});
