// Concatenation: partial uploads, and final ones made of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesType, type CallOptions, metadata, startTus, type TusServer } from "./testing.ts";

async function partial(tus: TusServer, text: string): Promise<string> {
  const headers = { "upload-length": String(text.length), "upload-concat": "partial" };
  return tus.create(headers, text === "" ? undefined : text);
}

const final = (tus: TusServer, concat: string, headers: CallOptions["headers"] = {}) =>
  tus.call("POST", "/tus/demo", { headers: { "upload-concat": concat, ...headers } });

test("parts in the order listed, twice and in several finals; URLs absolute and relative", async (t) => {
  const tus = await startTus(t);
  const [a, b] = [await partial(tus, "aaa"), await partial(tus, "bb")];
  const cases: readonly [string, string][] = [
    [`${a} ${b}`, "aaabb"],
    [`${b} ${a} ${b}`, "bbaaabb"],
    [`${a}`, "aaa"],
    [`${tus.url}${a} https://another.example/prefix${b}?grant=x`, "aaabb"],
    [`${a.replace("/tus/", "../tus/")} ${b.replace("/tus/", "")}`, "aaabb"],
  ];
  for (const [at, [urls, text]] of cases.entries()) {
    const made = await final(tus, `final;${urls}`, {
      "upload-metadata": metadata({ key: `whole-${at}`, filetype: "text/plain" }),
    });
    assert.equal(made.status, 201, made.text);
    assert.equal(made.headers["roma-object"], `${tus.url}/v1/objects/demo/whole-${at}`);
    assert.equal((await tus.object(`whole-${at}`)).text, text);
    const head = await tus.call("HEAD", String(made.headers.location));
    assert.equal(head.headers["upload-concat"], `final;${urls}`);
    assert.equal(head.headers["upload-length"], String(text.length));
    assert.equal(head.headers["upload-offset"], String(text.length));
  }
});

test("a partial is an upload like others, and no object", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({
    "upload-defer-length": "1",
    "upload-concat": "partial",
    "upload-metadata": metadata({ key: "not-inherited", filename: "x" }),
  });
  assert.equal((await tus.append(path, 0, "abc")).status, 204);
  const head = await tus.call("HEAD", path);
  assert.equal(head.headers["upload-concat"], "partial");
  assert.equal(head.headers["upload-offset"], "3");
  assert.equal((await tus.call("GET", path)).status, 404);
  const last = await tus.append(path, 3, "", { "upload-length": "3" });
  assert.deepEqual([last.status, last.headers["roma-object"]], [204, undefined]);
  assert.equal((await tus.call("GET", path)).status, 404);
  const listed = await tus.call("GET", "/v1/objects/demo");
  assert.deepEqual((JSON.parse(listed.text) as { objects: unknown[] }).objects, []);
  const made = await final(tus, `final;${path}`, { "upload-metadata": metadata({ key: "own" }) });
  assert.equal(made.status, 201);
  assert.equal((await tus.object("not-inherited")).status, 404);
  assert.equal((await tus.object("own")).text, "abc");
});

test("a final of nothing but empty parts is an empty object", async (t) => {
  const tus = await startTus(t);
  const empty = await partial(tus, "");
  const made = await final(tus, `final;${empty} ${empty}`, {
    "upload-metadata": metadata({ key: "empty" }),
  });
  assert.equal(made.status, 201, made.text);
  assert.equal((await tus.object("empty")).text, "");
});

test("a final: what is refused, and a refusal makes nothing", async (t) => {
  const tus = await startTus(t);
  const whole = await partial(tus, "abc");
  const unfinished = await tus.create({ "upload-length": "3", "upload-concat": "partial" });
  const ordinary = await tus.create({ "upload-length": "3" }, "abc");
  const other = await final(tus, `final;${whole}`);
  const { headers } = await tus.call("PUT", "/v1/buckets/other", {
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  assert.ok(headers);
  const foreign = await tus.call("POST", "/tus/other", {
    headers: { "upload-length": "1", "upload-concat": "partial", "content-type": bytesType },
    body: "x",
  });
  const foreignPath = new URL(String(foreign.headers.location)).pathname;
  const id = foreignPath.split("/").at(-1);
  const cases: readonly [string, string, number, CallOptions["headers"]?][] = [
    ["no URL", "final;", 400],
    ["only spaces", "final;  ", 400],
    ["neither word", "whole", 400],
    ["upper case", "Partial", 400],
    ["an unfinished part", `final;${unfinished}`, 400],
    ["a part that is an upload of its own", `final;${ordinary}`, 400],
    ["a part that is final", `final;${new URL(String(other.headers.location)).pathname}`, 400],
    ["an unknown part", "final;/tus/demo/AAAAAAAAAAAAAAAAAAAAAA", 404],
    ["a path that is none", "final;/etc/passwd", 404],
    ["another bucket's part", `final;${foreignPath}`, 404],
    ["another bucket's part under this one", `final;/tus/demo/${id}`, 400],
    ["a malformed URL", "final;http://[", 400],
    ["a length", `final;${whole}`, 400, { "upload-length": "3" }],
    ["a deferred length", `final;${whole}`, 400, { "upload-defer-length": "1" }],
  ];
  const before = (await tus.call("GET", "/v1/objects/demo")).text;
  for (const [what, concat, status, more] of cases) {
    const answered = await final(tus, concat, more);
    assert.equal(answered.status, status, `${what}: ${answered.text}`);
  }
  const withBody = await tus.call("POST", "/tus/demo", {
    headers: { "upload-concat": `final;${whole}`, "content-type": bytesType },
    body: "abc",
  });
  assert.equal(withBody.status, 400);
  assert.equal((await tus.call("GET", "/v1/objects/demo")).text, before);
});

test("a final takes no bytes: 403, and neither it nor its parts change", async (t) => {
  const tus = await startTus(t);
  const part = await partial(tus, "abc");
  const made = await final(tus, `final;${part}`, { "upload-metadata": metadata({ key: "f" }) });
  const path = String(made.headers.location);
  assert.equal((await tus.append(path, 3, "d")).status, 403);
  assert.equal((await tus.append(path, 0, "d")).status, 403);
  assert.equal((await tus.object("f")).text, "abc");
  assert.equal((await tus.call("HEAD", part)).headers["upload-offset"], "3");
});

test("parts and finals do not need each other once the final is made", async (t) => {
  const tus = await startTus(t);
  const [a, b] = [await partial(tus, "aaa"), await partial(tus, "bb")];
  const made = await final(tus, `final;${a} ${b}`, { "upload-metadata": metadata({ key: "w" }) });
  assert.equal((await tus.call("DELETE", a)).status, 204);
  assert.equal((await tus.call("HEAD", a)).status, 404);
  assert.equal((await tus.object("w")).text, "aaabb");
  assert.equal((await tus.call("GET", String(made.headers.location))).text, "aaabb");
  assert.equal((await tus.call("DELETE", String(made.headers.location))).status, 204);
  assert.equal((await tus.object("w")).text, "aaabb");
  const again = await final(tus, `final;${b} ${b}`, { "upload-metadata": metadata({ key: "x" }) });
  assert.equal(again.status, 201);
  assert.equal((await tus.object("x")).text, "bbbb");
  assert.equal((await final(tus, `final;${a} ${b}`)).status, 404);
});

test("the sum of the parts is held against the bucket's limit", async (t) => {
  const tus = await startTus(t);
  await tus.call("PUT", "/v1/buckets/small", {
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ maxObjectBytes: 5 }),
  });
  const made = await tus.call("POST", "/tus/small", {
    headers: { "upload-length": "3", "upload-concat": "partial", "content-type": bytesType },
    body: "abc",
  });
  const path = new URL(String(made.headers.location)).pathname;
  const concat = { "upload-concat": `final;${path} ${path}` };
  assert.equal((await tus.call("POST", "/tus/small", { headers: concat })).status, 413);
});
