// Creation, creation-with-upload, creation-defer-length: what a POST may say, and what comes of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { base64, bytesType, type CallOptions, metadata, startTus } from "./testing.ts";

test("POST: exactly one way to say the length, read strictly", async (t) => {
  const tus = await startTus(t);
  const cases: readonly [CallOptions["headers"], number][] = [
    [{ "upload-length": "5" }, 201],
    [{ "upload-length": "0" }, 201],
    [{ "upload-defer-length": "1" }, 201],
    [{}, 400],
    [{ "upload-length": "5", "upload-defer-length": "1" }, 400],
    [{ "upload-defer-length": "0" }, 400],
    [{ "upload-defer-length": "true" }, 400],
    [{ "upload-defer-length": "01" }, 400],
    ...["-1", "+1", "0x5", "5e0", "5.0", "5 5", "five", ""].map(
      (text): [CallOptions["headers"], number] => [{ "upload-length": text }, 400],
    ),
    [{ "upload-length": ["5", "5"] }, 400],
    [{ "upload-length": "99999999999999999999" }, 400],
    [{ "upload-length": String(5 * 1024 ** 4 + 1) }, 413],
  ];
  for (const [headers, status] of cases) {
    const answered = await tus.call("POST", "/tus/demo", { headers });
    assert.equal(answered.status, status, `${JSON.stringify(headers)} ${answered.text}`);
    assert.equal(answered.headers.location === undefined, status !== 201);
  }
  // No length is too large for the protocol up to here; whether there is room for it says this machine's disk.
  const most = { "upload-length": String(5 * 1024 ** 4) };
  const { status, text } = await tus.call("POST", "/tus/demo", { headers: most });
  assert.ok(status === 201 || (status === 507 && text.includes("bytes were declared")), text);
});

test("Location is absolute, the same with a slash after the bucket, and right behind a proxy", async (t) => {
  const tus = await startTus(t);
  for (const target of ["/tus/demo", "/tus/demo/"]) {
    const headers = { "upload-length": "5" };
    const { headers: made } = await tus.call("POST", target, { headers });
    assert.match(String(made.location), new RegExp(`^${tus.url}/tus/demo/[0-9a-f]{32}$`));
  }
  const elsewhere = await startTus(t, { publicUrl: "https://files.example/up" });
  const { headers } = await elsewhere.call("POST", "/tus/demo", {
    headers: { "upload-length": "0", "upload-metadata": metadata({ key: "ä b" }) },
  });
  assert.match(String(headers.location), /^https:\/\/files\.example\/up\/tus\/demo\/[0-9a-f]{32}$/);
  assert.equal(headers["roma-object"], "https://files.example/up/v1/objects/demo/%C3%A4%20b");
});

test("Upload-Metadata comes back as it was sent, byte for byte", async (t) => {
  const tus = await startTus(t);
  for (const text of [
    metadata({ filename: "x", filetype: "text/plain" }),
    "a /wD+",
    "constructor YQ==,__proto__ YQ==,toString",
    "bare",
    "z YQ==,a Yg==,m",
    `k ${base64("\r\nX: y")}`,
    `big ${base64(Buffer.alloc(10_000, 1))}`,
    "a YQ==, b Yg==",
  ]) {
    const path = await tus.create({ "upload-length": "1", "upload-metadata": text });
    const head = await tus.call("HEAD", path);
    assert.equal(head.headers["upload-metadata"], text);
    assert.equal((await tus.append(path, 0, "x")).status, 204);
    assert.equal((await tus.call("HEAD", path)).headers["upload-metadata"], text);
  }
});

test("Upload-Metadata that breaks its grammar is 400 and makes nothing", async (t) => {
  const tus = await startTus(t);
  for (const text of [
    "a YQ",
    "a Y!==",
    "a YQ== YQ==",
    "a  YQ==",
    "a YQ==,a Yg==",
    ",a YQ==",
    "a YQ==,",
    "a YQ==,,b Yg==",
    "a =",
    "a ====",
  ]) {
    const headers = { "upload-length": "1", "upload-metadata": text };
    const answered = await tus.call("POST", "/tus/demo", { headers });
    assert.equal(answered.status, 400, text);
  }
  const { text } = await tus.call("GET", "/v1/uploads");
  assert.equal((text.match(/"id"/g) ?? []).length, 0);
});

test("a deferred length is told with any later PATCH, and completes an upload that is at it", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({
    "upload-defer-length": "1",
    "upload-metadata": metadata({ key: "deferred" }),
  });
  const head = await tus.call("HEAD", path);
  assert.equal(head.headers["upload-defer-length"], "1");
  assert.equal(head.headers["upload-length"], undefined);
  assert.equal((await tus.append(path, 0, "abc")).status, 204);
  assert.equal((await tus.append(path, 3, "", { "upload-length": "2" })).status, 400);
  const tooLong = String(5 * 1024 ** 4 + 1);
  assert.equal((await tus.append(path, 3, "", { "upload-length": tooLong })).status, 413);
  assert.equal((await tus.append(path, 3, "", { "upload-length": "3, 4" })).status, 400);
  assert.equal((await tus.append(path, 3, "def", { "upload-length": "7" })).status, 204);
  const told = await tus.call("HEAD", path);
  assert.equal(told.headers["upload-length"], "7");
  assert.equal(told.headers["upload-defer-length"], undefined);
  assert.equal((await tus.append(path, 6, "", { "upload-length": "6" })).status, 400);
  const last = await tus.append(path, 6, "g", { "upload-length": "7" });
  assert.equal(last.status, 204);
  assert.equal((await tus.object("deferred")).text, "abcdefg");

  const empty = await tus.create({
    "upload-defer-length": "1",
    "upload-metadata": metadata({ key: "told-last" }),
  });
  assert.equal((await tus.append(empty, 0, "xyz")).headers["roma-object"], undefined);
  const finished = await tus.append(empty, 3, "", { "upload-length": "3" });
  assert.equal(finished.status, 204, finished.text);
  assert.equal((await tus.object("told-last")).text, "xyz");
});

test("an upload of length zero is an object at once", async (t) => {
  const tus = await startTus(t);
  const made = await tus.call("POST", "/tus/demo", {
    headers: { "upload-length": "0", "upload-metadata": metadata({ key: "nothing" }) },
  });
  assert.equal(made.status, 201);
  assert.equal(made.headers["roma-object"], `${tus.url}/v1/objects/demo/nothing`);
  const head = await tus.call("HEAD", String(made.headers.location));
  assert.equal(head.headers["upload-offset"], "0");
  assert.equal(head.headers["upload-length"], "0");
  const object = await tus.object("nothing");
  assert.deepEqual([object.status, object.text, object.headers.etag], [200, "", made.headers.etag]);
  const deferred = await tus.create({
    "upload-defer-length": "1",
    "upload-metadata": metadata({ key: "nothing-told-late" }),
  });
  assert.equal((await tus.append(deferred, 0, "", { "upload-length": "0" })).status, 204);
  assert.equal((await tus.object("nothing-told-late")).status, 200);
});

test("creation with upload stores what came, all of it or its beginning", async (t) => {
  const tus = await startTus(t);
  const whole = await tus.call("POST", "/tus/demo", {
    headers: {
      "upload-length": "5",
      "content-type": bytesType,
      "upload-metadata": metadata({ key: "at-once" }),
    },
    body: "hello",
  });
  assert.deepEqual([whole.status, whole.headers["upload-offset"]], [201, "5"]);
  assert.equal(whole.headers["roma-object"], `${tus.url}/v1/objects/demo/at-once`);
  assert.equal((await tus.object("at-once")).text, "hello");
  const part = await tus.call("POST", "/tus/demo", {
    headers: {
      "upload-length": "10",
      "content-type": bytesType,
      "transfer-encoding": "chunked",
      "upload-metadata": metadata({ key: "in-two" }),
    },
    body: "hello",
  });
  assert.deepEqual([part.status, part.headers["upload-offset"]], [201, "5"]);
  assert.ok(part.headers["upload-expires"]);
  const rest = await tus.append(String(part.headers.location), 5, "world");
  assert.equal(rest.status, 204);
  assert.equal((await tus.object("in-two")).text, "helloworld");
});

test("creation with upload: what is refused, and where the upload is kept", async (t) => {
  const tus = await startTus(t);
  const post = (headers: CallOptions["headers"], body?: string) =>
    tus.call("POST", "/tus/demo", { headers, ...(body === undefined ? {} : { body }) });
  const otherType = await post({ "upload-length": "5", "content-type": "text/plain" }, "hello");
  assert.equal(otherType.status, 415);
  assert.equal(otherType.headers.location, undefined);
  const noType = await post({ "upload-length": "5" }, "hello");
  assert.equal(noType.status, 415);
  const noBody = await post({ "upload-length": "5", "content-type": "application/json" });
  assert.equal(noBody.status, 201);
  assert.equal(noBody.headers["upload-offset"], undefined);
  const tooLong = await post({ "upload-length": "3", "content-type": bytesType }, "hello");
  assert.equal(tooLong.status, 413);
  const at = String(tooLong.headers.location);
  assert.equal((await tus.call("HEAD", at)).headers["upload-offset"], "0");
  assert.equal((await tus.append(at, 0, "abc")).status, 204);
  const wrong = await post(
    {
      "upload-length": "5",
      "content-type": bytesType,
      "upload-checksum": `sha1 ${base64(Buffer.alloc(20))}`,
    },
    "hello",
  );
  assert.deepEqual([wrong.status, wrong.statusMessage], [460, "Checksum Mismatch"]);
  const kept = String(wrong.headers.location);
  assert.equal((await tus.append(kept, 0, "hello")).status, 204);
});
