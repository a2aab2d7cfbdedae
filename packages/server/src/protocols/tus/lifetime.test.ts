// Expiration, termination, and GET: how an upload's address ends, and what it shows.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { eventually } from "../../../../../test/harness/process-usage.ts";
import { bytesType, metadata, rootAuthorization, startTus } from "./testing.ts";

const minute = 60_000;

test("an unfinished upload expires a while after its last byte, and not by the sweeper alone", async (t) => {
  const tus = await startTus(t);
  await tus.call("PUT", "/v1/buckets/short", {
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ uploadExpiry: "10 min" }),
  });
  const made = await tus.call("POST", "/tus/short", { headers: { "upload-length": "3" } });
  const path = String(made.headers.location);
  const first = Date.parse(String(made.headers["upload-expires"]));
  assert.match(String(made.headers["upload-expires"]), /^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/);
  assert.ok(Math.abs(first - Date.now() - 10 * minute) < minute);
  tus.advance(8 * minute);
  const appended = await tus.append(path, 0, "a");
  const second = Date.parse(String(appended.headers["upload-expires"]));
  assert.ok(Math.abs(second - first - 8 * minute) < minute);
  assert.ok((await tus.call("HEAD", path)).headers["upload-expires"]);
  tus.advance(8 * minute);
  assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "1");
  tus.advance(3 * minute);
  for (const [method, headers] of [
    ["HEAD", {}],
    ["PATCH", { "upload-offset": "1", "content-type": bytesType }],
    ["DELETE", {}],
    ["GET", {}],
  ] as const) {
    const answered = await tus.call(method, path, { headers });
    assert.ok([404, 410].includes(answered.status), `${method} ${answered.status}`);
    assert.equal(answered.headers["upload-offset"], undefined);
  }
});

test("a complete upload does not expire into anything: its object stays", async (t) => {
  const tus = await startTus(t);
  const made = await tus.call("POST", "/tus/demo", {
    headers: {
      "upload-length": "3",
      "content-type": bytesType,
      "upload-metadata": metadata({ key: "kept" }),
    },
    body: "abc",
  });
  assert.equal(made.headers["upload-expires"], undefined);
  tus.advance(72 * 60 * minute);
  assert.equal((await tus.object("kept")).text, "abc");
});

test("DELETE ends an upload for good, whatever state it is in", async (t) => {
  const tus = await startTus(t);
  const fresh = await tus.create({ "upload-length": "3" });
  const begun = await tus.create({ "upload-length": "3" }, "a");
  const done = await tus.create(
    { "upload-length": "3", "upload-metadata": metadata({ key: "d" }) },
    "abc",
  );
  for (const path of [fresh, begun, done]) {
    const deleted = await tus.call("DELETE", path);
    assert.deepEqual([deleted.status, deleted.text], [204, ""]);
    assert.equal(deleted.headers["tus-resumable"], "1.0.0");
    for (const method of ["HEAD", "GET", "DELETE"]) {
      assert.equal((await tus.call(method, path)).status, 404, method);
    }
    assert.equal((await tus.append(path, 1, "bc")).status, 404);
  }
  assert.equal((await tus.object("d")).text, "abc");
});

test("DELETE stops a PATCH that runs, and its late bytes bring nothing back", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({
    "upload-length": "10",
    "upload-metadata": metadata({ key: "never" }),
  });
  const socket = connect({ port: tus.port, host: "127.0.0.1" });
  t.after(() => socket.destroy());
  socket.on("error", () => undefined);
  socket.write(patch(path));
  let told = "";
  socket.setEncoding("latin1").on("data", (text: string) => {
    told += text;
  });
  const continued = "HTTP/1.1 100 Continue\r\n\r\n";
  await eventually("the upload is being written", () => told === continued, 60_000);
  socket.write("01234");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  assert.equal((await tus.call("DELETE", path)).status, 204);
  socket.write("56789");
  await closed;
  assert.doesNotMatch(told, /^HTTP\/1\.1 2/m);
  assert.equal((await tus.call("HEAD", path)).status, 404);
  assert.equal((await tus.object("never")).status, 404);
});

test("GET of a complete upload is its object's: ranges, conditions, policy, and no version needed", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create(
    { "upload-length": "18", "upload-metadata": metadata({ key: "p.html", name: "日本\r\nx" }) },
    "<html>hello</html>",
  );
  const get = (headers: Record<string, string>) =>
    tus.call("GET", path, { headers: { "tus-resumable": null, ...headers } });
  const whole = await get({});
  assert.deepEqual([whole.status, whole.text], [200, "<html>hello</html>"]);
  assert.equal(whole.headers["x-content-type-options"], "nosniff");
  assert.match(String(whole.headers["content-security-policy"]), /sandbox/);
  assert.equal(whole.headers["tus-resumable"], "1.0.0");
  const range = await get({ range: "bytes=6-10" });
  assert.deepEqual([range.status, range.text], [206, "hello"]);
  const etag = String(whole.headers.etag);
  assert.equal((await get({ "if-none-match": etag })).status, 304);
  assert.equal((await get({ "if-match": '"x"' })).status, 412);
  const beyond = await get({ range: "bytes=99-" });
  assert.deepEqual([beyond.status, beyond.headers["content-range"]], [416, "bytes */18"]);
  await tus.call("PUT", "/v1/objects/demo/p.html", { body: "other" });
  assert.equal((await get({})).status, 404);
});

test("GET of an upload that is not complete shows none of its bytes", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "10" }, "hello");
  const answered = await tus.call("GET", path);
  assert.equal(answered.status, 404);
  assert.doesNotMatch(answered.text, /hello/);
});

function patch(path: string): string {
  return [
    `PATCH ${path} HTTP/1.1`,
    "Host: localhost",
    "Connection: close",
    "Tus-Resumable: 1.0.0",
    `Authorization: ${rootAuthorization}`,
    `Content-Type: ${bytesType}`,
    "Upload-Offset: 0",
    "Content-Length: 10",
    "Expect: 100-continue",
    "",
    "",
  ].join("\r\n");
}
