/** What holds in every dialect: interruptions, progress, refusals, and who may do what. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import {
  type Fields,
  heard,
  pathOf,
  type ResumableServer,
  readAnswer,
  readUntil,
  startResumable,
} from "./resumable-testing.ts";
import { basic, exchangeRaw } from "./testing.ts";

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

test("a connection lost in the middle costs nothing but the rest", async (t) => {
  const server = await startResumable(t);
  const { say, begin, call } = server;
  const bytes = "0123456789abcdef".repeat(64 * 1024);
  const socket = begin("PUT", object, {
    ...spoken,
    ...last,
    "Content-Length": String(bytes.length),
    "Repr-Digest": sha256(bytes),
  });
  const head = await readUntil(socket, /\r\n\r\n$/);
  const path = /location: http:\/\/files\.example(\S+)/.exec(head)?.[1] ?? "";
  socket.write(bytes.slice(0, 300_000));
  await untilWriting(server);
  socket.destroy();
  const stopped = await say("HEAD", path, spoken);
  const offset = Number(stopped.fields["upload-offset"]);
  assert.equal(stopped.fields["upload-complete"], "?0");
  assert.equal(stopped.fields["upload-length"], String(bytes.length));
  assert.ok(offset <= 300_000, String(offset));
  assert.equal((await call("GET", object)).status, 404);
  const rest = await say(
    "PATCH",
    path,
    { ...partial, ...at(offset), ...last },
    bytes.slice(offset),
  );
  assert.equal(rest.status, 201, rest.body);
  assert.equal((await call("GET", object)).text, bytes);
});

test("104s tell durable offsets as they move, without Location, and not to the oldest dialects", async (t) => {
  const server = await startResumable(t);
  for (const version of ["4", "5", "8"]) {
    const socket = server.begin("PUT", `/v1/objects/b/${version}`, {
      ...last,
      "Upload-Draft-Interop-Version": version,
      "Content-Length": "200000",
    });
    const head = await readUntil(socket, /\r\n\r\n$/);
    const path = /location: http:\/\/files\.example(\S+)/.exec(head)?.[1] ?? "";
    const answer = readAnswer(socket);
    let sent = 10_000;
    socket.write("x".repeat(sent));
    // What came is made durable now and then, when more comes, and told at most once a second.
    let offset = 0;
    for (let times = 0; times < 2; ) {
      server.advance(11_000);
      socket.write("x".repeat(100));
      sent += 100;
      const { json } = await server.call("GET", path);
      if (Number(json.offset) > offset) times += 1;
      offset = Number(json.offset);
    }
    socket.write("x".repeat(200_000 - sent));
    const { status, informed: told } = await answer;
    socket.destroy();
    assert.equal(status, 201);
    const informed = [head, ...told];
    if (version === "4") {
      assert.equal(informed.length, 1);
      continue;
    }
    assert.ok(informed.length >= 2, head);
    for (const head of informed.slice(1)) {
      const found =
        /^HTTP\/1\.1 104 [^\r\n]+\r\nupload-draft-interop-version: (\d)\r\nupload-offset: (\d+)\r\n\r\n$/.exec(
          head,
        );
      assert.ok(found !== null, head);
      assert.equal(found[1], version);
      assert.ok(Number(found[2]) >= 10_000);
    }
  }
});

/** Until the storage has begun to take bytes. */
async function untilWriting({ content }: ResumableServer): Promise<void> {
  while (content.uploads.size === 0) await new Promise((resolve) => setImmediate(resolve));
}

test("100 (Continue) comes after the 104, and not at all where the headers are refused", async (t) => {
  const server = await startResumable(t);
  const waiting = { ...spoken, ...last, "Content-Length": "5", Expect: "100-continue" };
  const socket = server.begin("PUT", object, waiting);
  const before = await readUntil(socket, /100 Continue\r\n\r\n$/);
  assert.match(before, /^HTTP\/1\.1 104 [\s\S]+\r\n\r\nHTTP\/1\.1 100 Continue\r\n\r\n$/);
  socket.write("hello");
  assert.equal((await readAnswer(socket)).status, 201);
  const refused = await server.say("PUT", object, { ...waiting, "Upload-Length": "4" });
  assert.equal(refused.status, 400);
  assert.deepEqual(refused.informed, []);
});

test("a client of HTTP/1.0 is never sent a 104", async (t) => {
  const { port, key } = await startResumable(t);
  const fields = ["Upload-Draft-Interop-Version: 8", "Upload-Complete: ?1", "Content-Length: 5"];
  const head = [`PUT ${object} HTTP/1.0`, `Authorization: ${basic(key)}`, ...fields, "", "hello"];
  const answer = heard(await exchangeRaw(port, head.join("\r\n")));
  assert.deepEqual([answer.status, answer.informed], [201, []]);
  assert.equal(answer.fields["upload-complete"], "?1");
});

test("a HEAD stops the request that writes, and its offset is the one to go on from", async (t) => {
  const server = await startResumable(t);
  const path = await begun(server, { "Upload-Length": "400000" });
  const socket = server.begin("PATCH", path, {
    ...partial,
    ...at(0),
    ...last,
    "Content-Length": "400000",
  });
  socket.write("x".repeat(300_000));
  await untilWriting(server);
  const stopped = await server.say("HEAD", path, spoken);
  assert.equal(stopped.status, 204);
  const offset = Number(stopped.fields["upload-offset"]);
  const answer = await readAnswer(socket);
  assert.equal(answer.status, 423);
  assert.equal(answer.fields["retry-after"], "1");
  const rest = { ...partial, ...at(offset), ...last };
  const whole = await server.say("PATCH", path, rest, "x".repeat(400_000 - offset));
  assert.equal(whole.status, 201, whole.body);
  assert.equal((await server.call("GET", object)).text, "x".repeat(400_000));
});

test("without 104s a content that comes whole takes the ordinary way, and the answer says that it is all", async (t) => {
  const cases: readonly (readonly [object, Fields])[] = [
    [{ uploadResumptionSupported: false }, spoken],
    [{ uploadResumptionSupported: false }, { "Upload-Draft-Interop-Version": "6" }],
    [{}, {}],
    [{}, { "Upload-Draft-Interop-Version": "99" }],
  ];
  for (const [http, fields] of cases) {
    const { say, call } = await startResumable(t, { http });
    for (const status of [201, 200]) {
      const answer = await say("PUT", object, { ...fields, ...last }, "hello");
      assert.equal(answer.status, status);
      assert.deepEqual(answer.informed, []);
      assert.equal(answer.fields["upload-complete"], "?1");
      assert.equal(answer.fields["upload-offset"], "5");
      const isOlder = fields["Upload-Draft-Interop-Version"] === "6";
      if (isOlder) assert.equal(answer.fields.location, object);
    }
    const posted = await say("POST", "/v1/objects/b?key=posted", { ...fields, ...last }, "hello");
    assert.equal(posted.json.key, "posted");
    assert.deepEqual((await call("GET", "/v1/uploads")).json.uploads, []);
    const refused = await say("PUT", "/v1/objects/none/k", { ...fields, ...last }, "hello");
    assert.deepEqual([refused.status, refused.fields["upload-complete"]], [404, "?1"]);
    // In two steps it needs no 104.
    const made = await say("PUT", object, { ...fields, ...more }, "hello");
    assert.deepEqual([made.status, made.informed], [201, []]);
    const ended = await say("PATCH", pathOf(made), { ...partial, ...at(5), ...last }, "!");
    assert.equal(ended.status, 200);
  }
});

test("a request that says nothing of it, or nothing that is a field, is an ordinary one", async (t) => {
  const { say, call } = await startResumable(t);
  for (const fields of [{}, { "Upload-Complete": "yes" }, { "Upload-Complete": "?1, ?1" }]) {
    const answer = await say("PUT", object, fields, "hello");
    assert.equal(answer.fields["upload-complete"], undefined);
    assert.equal(answer.fields["upload-offset"], undefined);
  }
  const form =
    '--x\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nhello\r\n--x--\r\n';
  const posted = await say(
    "POST",
    "/v1/objects/b",
    { ...spoken, ...last, "Content-Type": "multipart/form-data; boundary=x" },
    form,
  );
  assert.equal(posted.status, 201, posted.body);
  assert.equal(posted.fields["upload-complete"], undefined);
  const deleted = await say(
    "POST",
    "/v1/objects/b?delete",
    { ...spoken, ...last, "Content-Type": "application/json" },
    '{"keys":["a.txt"]}',
  );
  assert.deepEqual(deleted.json.deleted, ["a.txt"]);
  assert.deepEqual((await call("GET", "/v1/uploads")).json.uploads, []);
});

test("POST without a key makes one that nobody can guess", async (t) => {
  const { say, call } = await startResumable(t);
  const post = () => say("POST", "/v1/objects/b", { ...spoken, ...last }, "hello");
  const [one, other] = [await post(), await post()];
  assert.equal(one.status, 201, one.body);
  assert.match(String(one.json.key), /^[0-9a-f]{32}$/);
  assert.notEqual(one.json.key, other.json.key);
  assert.equal((await call("GET", String(one.json.url))).text, "hello");
});

test("what is refused at the creation leaves no upload", async (t) => {
  const { say, call } = await startResumable(t);
  await call("PUT", "/v1/buckets/small", { body: { maxObjectBytes: 3 } });
  await call("PUT", object, { body: "there" });
  const refused: readonly (readonly [string, Fields, string])[] = [
    ["/v1/objects/none/k", {}, "bucket_not_found"],
    ["/v1/objects/small/k", {}, "too_large"],
    [object, { "If-None-Match": "*" }, "precondition_failed"],
    [object, { "Content-Encoding": "gzip" }, "unsupported"],
    [object, { "Content-Range": "bytes 0-4/5" }, "invalid_request"],
    [object, { "Content-Type": "nonsense" }, "invalid_request"],
    [object, { "Repr-Digest": "sha-256=:YQ==:" }, "invalid_request"],
    [object, { "Want-Repr-Digest": "sha-256=11" }, "invalid_request"],
    ["/v1/objects/b/a/../b", {}, "invalid_key"],
  ];
  for (const [target, fields, code] of refused) {
    for (const [completeness, length] of [
      [last, {}],
      [more, { "Upload-Length": "5" }],
    ] as const) {
      const all = { ...spoken, ...completeness, ...length, ...fields };
      const answer = await say("PUT", target, all, "hello");
      assert.equal(answer.json.code, code, `${target} ${JSON.stringify(all)} ${answer.body}`);
      assert.deepEqual(answer.informed, []);
      assert.equal(answer.fields.location, undefined);
    }
  }
  assert.deepEqual((await call("GET", "/v1/uploads")).json.uploads, []);
});

test("a condition that fails only at the end ends the upload; nothing is replaced", async (t) => {
  const server = await startResumable(t);
  const path = await begun(server, { "If-None-Match": "*" }, "hello");
  await server.call("PUT", object, { body: "first" });
  const late = await server.say("PATCH", path, { ...partial, ...at(5), ...last }, "");
  assert.deepEqual([late.status, late.fields["upload-complete"]], [412, "?1"]);
  assert.equal((await server.say("HEAD", path, spoken)).status, 404);
  assert.equal((await server.call("GET", object)).text, "first");
});

test("after its time an upload is gone, and a complete one's address as well; the object stays", async (t) => {
  const server = await startResumable(t);
  const path = await begun(server, {}, "hello");
  const other = pathOf(await server.say("PUT", "/v1/objects/b/l", { ...spoken, ...more }, "hello"));
  await server.say("PATCH", other, { ...partial, ...at(5), ...last }, "");
  server.advance(25 * 3_600_000);
  for (const gone of [path, other]) {
    assert.equal((await server.say("HEAD", gone, spoken)).status, 404);
    assert.equal(
      (await server.say("PATCH", gone, { ...partial, ...at(5), ...last }, "")).status,
      404,
    );
  }
  assert.equal((await server.call("GET", "/v1/objects/b/l")).text, "hello");
});

test("an object that was replaced since is not answered for another: 410", async (t) => {
  const server = await startResumable(t);
  const path = await begun(server, {}, "hello");
  const end = { ...partial, ...at(5), ...last };
  assert.equal((await server.say("PATCH", path, end, "")).status, 201);
  await server.call("PUT", object, { body: "other" });
  const again = await server.say("PATCH", path, end, "");
  assert.deepEqual([again.status, again.json.type], [410, `${types}completed-upload`]);
});

test("a foreign key neither sees nor continues an upload; a grant for the key does both", async (t) => {
  const server = await startResumable(t);
  const { call, say } = server;
  const key = async (policy: unknown) => {
    const { json } = await call("POST", "/v1/keys", { body: { name: "n", policy } });
    return `Bearer ${json.id}.${json.secret}`;
  };
  const path = await begun(server, {}, "hello");
  const foreign = await key([{ buckets: ["other"], actions: ["*"] }]);
  const reader = await key([{ buckets: ["b"], actions: ["upload:read", "object:read"] }]);
  const append = { ...partial, ...at(5), ...more };
  for (const method of ["HEAD", "GET", "PATCH", "DELETE"]) {
    const fields = method === "PATCH" ? append : {};
    const answer = await say(method, path, { ...fields, Authorization: foreign });
    assert.equal(answer.status, 404, method);
    assert.equal(answer.fields["upload-offset"], undefined);
  }
  assert.equal((await say("HEAD", path, { Authorization: reader })).fields["upload-offset"], "5");
  assert.equal((await say("PATCH", path, { ...append, Authorization: reader }, "x")).status, 404);
  assert.equal((await say("DELETE", path, { Authorization: reader })).status, 404);
  for (const method of ["HEAD", "PATCH", "DELETE"]) {
    assert.equal((await call(method, path, { as: "nobody" })).status, 401, method);
  }

  const made = await call("POST", "/v1/grants", {
    body: { bucket: "b", key: "k", actions: ["object:write"] },
  });
  const { grant, url } = made.json as { grant: string; url: string };
  const bearer = { Authorization: `Bearer ${grant}` };
  assert.equal((await say("PATCH", path, { ...append, ...bearer }, "!")).status, 204);
  // A grant in the query is in the upload's address too.
  const headers = { ...spoken, ...more };
  const viaUrl = await call("PUT", url, { as: "nobody", headers, body: "hello" });
  assert.equal(viaUrl.status, 201, viaUrl.text);
  const { pathname, search } = new URL(String(viaUrl.headers.location));
  assert.equal(new URLSearchParams(search).get("grant"), grant);
  const ended = await call("PATCH", pathname + search, {
    as: "nobody",
    headers: { ...partial, ...at(5), ...last },
    body: "!",
  });
  assert.equal(ended.status, 201, ended.text);
});

test("OPTIONS tells what can be resumed, and a bucket's limit only to who may write there", async (t) => {
  const { call } = await startResumable(t);
  await call("PUT", "/v1/buckets/small", { body: { maxObjectBytes: 3 } });
  const limits: readonly (readonly [string, "nobody" | undefined, string | undefined])[] = [
    ["/v1/objects/small/k", undefined, "max-size=3"],
    ["/v1/objects/small", undefined, "max-size=3"],
    ["/v1/objects/small/k", "nobody", "max-size=5497558138880"],
    ["/v1/objects/none/k", "nobody", "max-size=5497558138880"],
    ["/v1/uploads/x", "nobody", undefined],
  ];
  for (const [target, as, limit] of limits) {
    const answer = await call("OPTIONS", target, as === undefined ? {} : { as });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers["accept-patch"], "application/partial-upload");
    assert.equal(answer.headers["upload-limit"], limit);
  }
  const other = await call("OPTIONS", "/v1/keys", { as: "nobody" });
  assert.equal(other.headers["accept-patch"], undefined);
});
