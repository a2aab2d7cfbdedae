/** The audit log over REST: who may read it, pages and their cursors, lines, and verifying. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { startRest } from "./testing.ts";

const path = "/v1/audit";

test("pages, filters and the cursor that finds what comes later", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b", { body: {} });
  for (const key of ["a", "b", "a"]) await call("PUT", `/v1/objects/b/${key}`, { body: "1" });
  const facts = ({ json }: Awaited<ReturnType<typeof call>>) => {
    const { records } = json as unknown as { records: Record<string, unknown>[] };
    return records.map(({ action, key }) => [action, key].join(" "));
  };
  const all = await call("GET", `${path}?bucket=b`);
  assert.deepEqual(facts(all), [
    "bucket.created ",
    "object.created a",
    "object.created b",
    "object.replaced a",
  ]);
  assert.deepEqual(facts(await call("GET", `${path}?key=a&action=object.created`)), [
    "object.created a",
  ]);
  const first = await call("GET", `${path}?bucket=b&limit=3`);
  assert.deepEqual([facts(first).length, first.json.hasMore], [3, true]);
  const cursor = encodeURIComponent(String(first.json.cursor));
  const next = await call("GET", `${path}?bucket=b&limit=3&cursor=${cursor}`);
  assert.deepEqual([facts(next), next.json.hasMore], [["object.replaced a"], false]);
  await call("DELETE", "/v1/objects/b/a");
  const later = encodeURIComponent(String(next.json.cursor));
  assert.deepEqual(facts(await call("GET", `${path}?bucket=b&cursor=${later}`)), [
    "object.deleted a",
  ]);
  assert.deepEqual(facts(await call("GET", `${path}?since=2100-01-01T00:00:00Z`)), []);
  assert.ok(facts(await call("GET", `${path}?since=2020-01-01T00:00:00Z`)).length > 4);
});

test("the lines of an export are what the chain says, and a filter makes fewer", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b", { body: {} });
  await call("PUT", "/v1/objects/b/k", { body: "1" });
  const { headers, text } = await call("GET", `${path}?format=ndjson`);
  assert.equal(headers["content-type"], "application/x-ndjson");
  const lines = text.trimEnd().split("\n");
  let previous = "0".repeat(64);
  for (const line of lines) {
    const [, record, before, hash] = /^(\{.*),"previous":"(.*)","hash":"(.*)"\}$/.exec(line) ?? [];
    const bytes = Buffer.concat([Buffer.from(previous, "hex"), Buffer.from(`${record}}`)]);
    assert.equal(before, previous);
    previous = createHash("sha256").update(bytes).digest("hex");
    assert.equal(hash, previous);
  }
  const verified = await call("GET", `${path}/verify`);
  assert.deepEqual(verified.json, {
    checked: lines.length,
    problems: [],
    anchor: { sequence: 0, hash: "0".repeat(64) },
    head: { sequence: lines.length, hash: previous },
    cursor: null,
  });
  const some = await call("GET", `${path}?format=ndjson&key=k`);
  assert.equal(some.text.trimEnd().split("\n").length, 1);
  assert.equal((await call("GET", `${path}?format=ndjson&key=none`)).text, "");
  const head = await call("HEAD", `${path}?format=ndjson`);
  assert.deepEqual([head.status, head.text], [200, ""]);
});

test("only who may read the log of all buckets reads it, and bad parameters are named", async (t) => {
  const { call } = await startRest(t);
  const keyWith = async (buckets: readonly string[], actions: readonly string[]) => {
    const body = { name: "k", policy: [{ buckets, actions }] };
    const { id, secret } = (await call("POST", "/v1/keys", { body })).json as Record<
      string,
      string
    >;
    return { id: id ?? "", secret: secret ?? "" };
  };
  const auditor = await keyWith(["*"], ["audit:read"]);
  const ofOne = await keyWith(["b"], ["*"]);
  for (const target of [path, `${path}?format=ndjson`, `${path}/verify`]) {
    assert.equal((await call("GET", target, { as: auditor })).status, 200, target);
    assert.equal((await call("GET", target, { as: ofOne })).status, 403, target);
    assert.equal((await call("GET", target, { as: "nobody" })).status, 401, target);
  }
  const bad: readonly (readonly [string, string])[] = [
    ["since=yesterday", "since"],
    ["until=2026-01-01", "until"],
    ["limit=0", "limit"],
    ["limit=1001", "limit"],
    ["cursor=abc", "cursor"],
    ["bucket=a&bucket=b", "bucket"],
    ["format=xml", "format"],
  ];
  for (const [query, parameter] of bad) {
    const { status, json } = await call("GET", `${path}?${query}`);
    assert.deepEqual([status, json.parameter], [400, parameter], query);
  }
  const { json } = await call("GET", `${path}?limit=1`);
  const cursor = encodeURIComponent(String(json.cursor));
  assert.equal((await call("GET", `${path}?actor=other&cursor=${cursor}`)).status, 400);
});
