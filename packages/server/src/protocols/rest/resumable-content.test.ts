/** What a client says of its content, in every dialect: lengths and digests. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { type Fields, pathOf, type ResumableServer, startResumable } from "./resumable-testing.ts";

const spoken: Fields = { "Upload-Draft-Interop-Version": "8" };
const partial: Fields = { ...spoken, "Content-Type": "application/partial-upload" };
const more: Fields = { "Upload-Complete": "?0" };
const last: Fields = { "Upload-Complete": "?1" };
const at = (offset: number): Fields => ({ "Upload-Offset": String(offset) });
const types = "https://iana.org/assignments/http-problem-types#";
const object = "/v1/objects/b/k";

const sha256 = (text: string): string =>
  `sha-256=:${createHash("sha256").update(text).digest("base64")}:`;

async function begun({ say }: ResumableServer, fields: Fields = {}, body?: string) {
  const made = await say("PUT", object, { ...spoken, ...more, ...fields }, body);
  assert.equal(made.status, 201, made.body);
  return pathOf(made);
}

test("indications of the length that contradict each other are 400, and store nothing", async (t) => {
  const server = await startResumable(t);
  const { say, call } = server;
  const creations: readonly (readonly [Fields, string])[] = [
    [{ ...last, "Upload-Length": "6" }, "hello"],
    [{ ...last, "Upload-Length": "4" }, "hello"],
    [{ ...more, "Upload-Length": "3" }, "hello"],
  ];
  for (const [fields, body] of creations) {
    const answer = await say("PUT", object, { ...spoken, ...fields }, body);
    assert.equal(answer.status, 400);
    assert.equal(answer.json.type, `${types}inconsistent-upload-length`);
    assert.deepEqual(answer.informed, []);
  }
  const path = await begun(server, { "Upload-Length": "8" }, "hello");
  const chunked = { "Transfer-Encoding": "chunked" };
  const appends: readonly (readonly [Fields, string])[] = [
    [{ ...more, "Upload-Length": "9" }, "x"],
    [{ ...last, "Upload-Length": "9" }, "xxx"],
    [last, "xx"],
    [more, "xxxx"],
    [last, "xxxx"],
    [{ ...last, ...chunked }, "2\r\nxx\r\n0\r\n\r\n"],
  ];
  for (const [fields, body] of appends) {
    const answer = await say("PATCH", path, { ...partial, ...at(5), ...fields }, body);
    assert.equal(answer.status, 400, `${JSON.stringify(fields)} ${body} ${answer.body}`);
    assert.equal(answer.json.type, `${types}inconsistent-upload-length`);
    assert.equal(answer.fields["upload-complete"], "?0");
  }
  const settled = await say("HEAD", path, spoken);
  assert.equal(settled.fields["upload-length"], "8");
  assert.equal((await call("GET", object)).status, 404);
});

test("bytes beyond the length in a chunked append are not taken for the end of the upload", async (t) => {
  const server = await startResumable(t);
  const { say, call } = server;
  const path = await begun(server, { "Upload-Length": "8" }, "hello");
  const fields = { ...partial, ...at(5), ...last, "Transfer-Encoding": "chunked" };
  const answer = await say("PATCH", path, fields, "5\r\nxxxxx\r\n0\r\n\r\n");
  assert.equal(answer.status, 400, answer.body);
  assert.equal(answer.json.type, `${types}inconsistent-upload-length`);
  assert.equal((await call("GET", object)).status, 404);
});

test("malformed fields of an append are 400, and what is no field is none", async (t) => {
  const server = await startResumable(t);
  const path = await begun(server);
  for (const value of ["-1", "1.0", "0x0", "0, 0", "", "1e1"]) {
    const fields = { ...partial, ...more, "Upload-Offset": value };
    assert.equal((await server.say("PATCH", path, fields, "x")).status, 400, value);
  }
  // `Upload-Length` is not an integer, so it is not there.
  const fields = { ...partial, ...at(0), ...more, "Upload-Length": "many" };
  assert.equal((await server.say("PATCH", path, fields, "x")).status, 204);
  // Without the completeness field more may follow.
  const unsaid = await server.say("PATCH", path, { ...partial, ...at(1) }, "y");
  assert.equal(unsaid.fields["upload-complete"], "?0");
});

test("an append of interop 5 that does not say so ends an upload that is as long as it shall be", async (t) => {
  const server = await startResumable(t);
  const five = { "Upload-Draft-Interop-Version": "5" };
  const path = await begun(server, {}, "hello");
  const unsaid = await server.say("PATCH", path, { ...five, ...at(5) }, "!");
  assert.deepEqual([unsaid.status, unsaid.fields["upload-complete"]], [201, "?0"]);
  const told = { ...five, ...at(6), "Upload-Length": "6" };
  const ended = await server.say("PATCH", path, told, "");
  assert.deepEqual([ended.status, ended.fields["upload-complete"]], [201, "?1"]);
  assert.equal((await server.call("GET", object)).text, "hello!");
});

test("Repr-Digest is of the whole, however it came; a wrong one ends the upload", async (t) => {
  const server = await startResumable(t);
  const { say, call } = server;
  const digest = { "Repr-Digest": `xxh64=:YQ==:, ${sha256("hello world")}` };
  const path = await begun(server, digest, "hello ");
  const rest = { ...partial, ...at(6), ...last };
  const bad = await say("PATCH", path, { ...rest, "Want-Repr-Digest": "sha-256=11" }, "world");
  assert.equal(bad.status, 400, "refused before anything is stored");
  const whole = await say("PATCH", path, { ...rest, "Want-Repr-Digest": "sha-256=1" }, "world");
  assert.equal(whole.status, 201, whole.body);
  assert.ok(whole.fields["repr-digest"]?.includes(sha256("hello world")));

  const other = await begun(server, { "Repr-Digest": sha256("something else") }, "hello ");
  const wrong = await say("PATCH", other, rest, "world");
  assert.equal(wrong.status, 400);
  assert.equal(wrong.json.code, "checksum_mismatch");
  assert.equal(wrong.fields["upload-complete"], "?1");
  assert.equal((await say("HEAD", other, spoken)).status, 404);
  assert.equal((await call("GET", object)).text, "hello world");
});

test("Content-Digest is of one request: nothing of a body that differs counts", async (t) => {
  const server = await startResumable(t);
  const { say, call } = server;
  const wrongAtOnce = await say(
    "PUT",
    object,
    { ...spoken, ...more, "Content-Digest": sha256("other") },
    "hello",
  );
  assert.equal(wrongAtOnce.json.code, "checksum_mismatch");
  assert.equal(wrongAtOnce.fields["upload-offset"], "0");
  assert.ok(wrongAtOnce.fields.location !== undefined);
  const path = await begun(server, { "Content-Digest": sha256("hello ") }, "hello ");
  const rest = { ...partial, ...at(6), ...last };
  for (const fields of [{ "Content-Digest": sha256("hello world") }, { "Content-MD5": "AAAA" }]) {
    const wrong = await say("PATCH", path, { ...rest, ...fields }, "world");
    assert.equal(wrong.status, 400);
    assert.equal(wrong.fields["upload-complete"], "?0");
    assert.equal(wrong.fields["upload-offset"], "6");
  }
  const right = { ...rest, "Content-Digest": sha256("world") };
  assert.equal((await say("PATCH", path, right, "world")).status, 201);
  assert.equal((await call("GET", object)).text, "hello world");
});

test("zero length: complete with ?1, and at once where it was told to be 0", async (t) => {
  const server = await startResumable(t);
  const { say, call } = server;
  const whole = await say("PUT", object, { ...spoken, ...last }, "");
  assert.equal(whole.status, 201);
  assert.equal(whole.json.size, 0);
  assert.equal(whole.fields["upload-complete"], "?1");
  const told = await say("PUT", "/v1/objects/b/l", { ...spoken, ...more, "Upload-Length": "0" });
  assert.deepEqual([told.status, told.fields["upload-complete"]], [201, "?0"]);
  assert.equal((await call("GET", "/v1/objects/b/l")).status, 200);
  const path = await begun(server);
  const ended = await say("PATCH", path, { ...partial, ...at(0), ...last }, "");
  assert.equal(ended.status, 200, "the object of the first upload is replaced");
  assert.equal(ended.json.size, 0);
});

test("unknown length: chunked creations and appends, ended by ?1", async (t) => {
  const server = await startResumable(t);
  const { say, call } = server;
  const chunked = { "Transfer-Encoding": "chunked" };
  const whole = await say(
    "PUT",
    object,
    { ...spoken, ...last, ...chunked },
    "5\r\nhello\r\n0\r\n\r\n",
  );
  assert.equal(whole.status, 201, whole.body);
  const path = await begun(server, chunked, "6\r\nhello \r\n0\r\n\r\n");
  const head = await say("HEAD", path, spoken);
  assert.equal(head.fields["upload-offset"], "6");
  assert.equal(head.fields["upload-length"], undefined);
  const ended = await say(
    "PATCH",
    path,
    { ...partial, ...chunked, ...at(6), ...last },
    "5\r\nworld\r\n0\r\n\r\n",
  );
  assert.equal(ended.status, 200, ended.body);
  assert.equal((await call("GET", object)).text, "hello world");
});

test("5 TiB may be announced; more is refused with the limit", async (t) => {
  const { say } = await startResumable(t);
  const most = await say("PUT", object, { ...spoken, ...more, "Upload-Length": "5497558138880" });
  assert.equal(most.status, 201, most.body);
  const over = await say("PUT", object, { ...spoken, ...more, "Upload-Length": "5497558138881" });
  assert.equal(over.status, 413);
  assert.equal(over.fields["upload-limit"], "max-size=5497558138880");
  assert.equal(over.json.code, "too_large");
});
