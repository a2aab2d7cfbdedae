/** Direct uploads by a form that OSS says by itself it has: what completes them, and what does not. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { type TestContext, test } from "node:test";
import type { DirectUploadJson, ObjectJson, SignedFormJson } from "@roma/contract";
import { type OssCall, OssStandIn } from "../../storage/s3/emulator/callbacks/testing.ts";
import { begin, complete, refused } from "./direct-testing.ts";
import { type Answered, type RestServer, startRest } from "./testing.ts";

/** A proxy takes the prefix off before the server sees the path. */
const prefix = "/p%C3%A9";
const publicUrl = `http://files.test${prefix}/`;
const file = "hello, OSS";

interface Started {
  readonly server: RestServer;
  readonly oss: OssStandIn;
  readonly send: (call: OssCall) => Promise<Answered>;
}

async function start(t: TestContext, settings: object = {}): Promise<Started> {
  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  const oss = opened.use(await new OssStandIn().listen());
  const kinds = { oss: oss.kind(settings) };
  const server = await startRest(t, { publicUrl, kinds, ossKeys: oss.keyOrigin });
  const made = await server.call("PUT", "/v1/storages/oss", { body: { driver: "oss" } });
  assert(made.status < 300, made.text);
  const bucket = { body: { placement: "oss" } };
  const there = await server.call("PUT", "/v1/buckets/b", bucket);
  assert.equal(there.status, 201, there.text);
  const send = async ({ url, headers, body }: OssCall) => {
    const path = url.pathname.replace(prefix, "") + url.search;
    return await server.call("POST", path, { as: "nobody", headers, body });
  };
  oss.reach = send;
  return { server, oss, send };
}

const asked = { length: file.length, form: true, callback: true };

function formOf({ transfer }: Pick<DirectUploadJson, "transfer">): SignedFormJson {
  assert(transfer.kind === "form", transfer.kind);
  return transfer.form;
}

function callbackOf({ fields }: SignedFormJson): Record<string, unknown> {
  return JSON.parse(Buffer.from(fields.callback ?? "", "base64").toString());
}

/** The bytes are at OSS, and nobody has been called. */
async function posted({ server, oss }: Started, more: object = {}): Promise<DirectUploadJson> {
  const upload = await begin(server, { ...asked, ...more });
  const { reach } = oss;
  oss.reach = async () => ({ status: 500, text: "" });
  assert.equal((await oss.post(formOf(upload), file)).status, 203);
  oss.reach = reach;
  return upload;
}

const staged = ({ emulator }: OssStandIn) =>
  [...emulator.objects.keys()].filter((key) => key.endsWith(".form"));

const isThere = async (server: RestServer) =>
  (await server.call("GET", "/v1/objects/b/k")).status === 200;

test("the form tells OSS whom to call, and the call makes the object", async (t) => {
  const { server, oss, send } = await start(t);
  const upload = await begin(server, { ...asked, contentType: "text/plain" });
  assert.equal(upload.via, "storage");
  const form = formOf(upload);
  const { callbackUrl, ...callback } = callbackOf(form);
  const address = `http://files.test${prefix}/v1/uploads/${upload.id}/oss-callback?signature=`;
  assert(String(callbackUrl).startsWith(address), String(callbackUrl));
  assert.deepEqual(callback, {
    callbackBody: `{"uploadId":"${upload.id}","bucket":\${bucket},"object":\${object},"etag":\${etag},"size":\${size}}`,
    callbackBodyType: "application/json",
    callbackSNI: true,
  });
  const other = { ...form, fields: { ...form.fields, callback: "e30=" } };
  assert.equal((await oss.post(other, file)).status, 403, "the policy names it");
  const answer = await oss.post(form, file);
  assert.deepEqual(
    [answer.status, JSON.parse(answer.text)],
    [200, { id: upload.id, status: "complete" }],
  );
  const [call] = oss.calls;
  assert(call !== undefined && oss.calls.length === 1);
  assert.deepEqual(Object.keys(JSON.parse(call.body)), [
    ...["uploadId", "bucket", "object", "etag", "size"],
  ]);
  const object = await server.call("GET", "/v1/objects/b/k");
  assert.deepEqual([object.text, object.headers["content-type"]], [file, "text/plain"]);
  assert.deepEqual(staged(oss), [], "what the form brought is gone");
  // Who asks as well is told the same object, and so is a call that comes again.
  const asWell = await complete(server, upload.id);
  assert.equal(asWell.status, 200, asWell.text);
  const again = await send(call);
  assert.deepEqual([again.status, again.json], [200, { id: upload.id, status: "complete" }]);
  const last = (await complete(server, upload.id)).json as unknown as ObjectJson;
  assert.equal(last.version, asWell.json.version);
  assert.equal(oss.keyRequests, 1, "the key is kept");
  // Not even a form that is posted later does anything.
  const late = { ...form };
  assert.equal((await oss.post(late, "HELLO, OSS")).status, 200);
  assert.equal((await server.call("GET", "/v1/objects/b/k")).text, file);
});

test("a form that is signed again calls as the first did", async (t) => {
  const { server, oss } = await start(t);
  const upload = await begin(server, asked);
  const seen = await server.call("GET", `/v1/uploads/${upload.id}?parts`);
  const ofView = formOf(seen.json as unknown as DirectUploadJson);
  assert.deepEqual(callbackOf(ofView), callbackOf(formOf(upload)));
  const again = await server.call("POST", `/v1/uploads/${upload.id}/requests`, { body: {} });
  const form = again.json.form as SignedFormJson;
  assert.deepEqual(callbackOf(form), callbackOf(formOf(upload)));
  assert.equal((await oss.post(form, file)).status, 200);
  assert(await isThere(server));
});

test("what OSS did not sign, or was not asked for, is refused in one way and completes nothing", async (t) => {
  const started = await start(t);
  const { server, oss, send } = started;
  const upload = await posted(started);
  const [good] = oss.calls;
  assert(good !== undefined);
  const { href } = good.url;
  const otherKey = generateKeyPairSync("rsa", { modulusLength: 512 }).privateKey;
  const otherId = "f".repeat(32);
  const hasKeyUrl = (url: string) => ({
    ...good,
    headers: { ...good.headers, "x-oss-pub-key-url": Buffer.from(url).toString("base64") },
  });
  const { authorization = "", "x-oss-pub-key-url": keyUrl = "", ...bare } = good.headers;
  const { host } = new URL(oss.keyUrl);
  const size = (bytes: number) => good.body.replace(/"size":\d+/, `"size":${bytes}`);
  const otherUpload = good.body.replace(upload.id, otherId);
  const unsigned = href.replace(/\?.*/, "");
  const cases: Readonly<Record<string, OssCall>> = {
    "another key": oss.call(href, good.body, otherKey),
    "a changed body": { ...good, body: size(1) },
    "a changed signature": { ...good, headers: { ...good.headers, authorization: keyUrl } },
    "no signature": { ...good, headers: { ...bare, "x-oss-pub-key-url": keyUrl } },
    "no key": { ...good, headers: { ...bare, authorization } },
    "no header": { ...good, headers: bare },
    "more in the query": { ...good, url: new URL(`${href}&x=1`) },
    "an address that another customer gave OSS": oss.call(unsigned, good.body),
    "an address that was not given out": oss.call(`${unsigned}?signature=x`, good.body),
    "the address of another upload": oss.call(href.replace(upload.id, otherId), otherUpload),
    "the body of another upload": oss.call(href, otherUpload),
    "an unknown upload": oss.call(`${unsigned.replace(upload.id, otherId)}`, otherUpload),
    "our credential": { ...good, headers: { ...good.headers, authorization: "Basic eDp5" } },
    "a key elsewhere": hasKeyUrl("http://127.0.0.2/callback_pub_key_v1.pem"),
    "a key's host as user": hasKeyUrl(`http://${host}@127.0.0.2/callback_pub_key_v1.pem`),
    "a user at the key's host": hasKeyUrl(`http://user@${host}/callback_pub_key_v1.pem`),
    "a host that begins so": hasKeyUrl(`http://${host}.evil.test/callback_pub_key_v1.pem`),
    "a host that ends so": hasKeyUrl(`http://evil${host}/callback_pub_key_v1.pem`),
    "a port": hasKeyUrl("http://127.0.0.1:1/callback_pub_key_v1.pem"),
    "another scheme": hasKeyUrl(`file://${host}/callback_pub_key_v1.pem`),
    "a backslash": hasKeyUrl(`http://127.0.0.2\\@${host}/callback_pub_key_v1.pem`),
    "a fragment": hasKeyUrl(`http://127.0.0.2#@${host}/callback_pub_key_v1.pem`),
    "a query": hasKeyUrl(`${oss.keyUrl}?x`),
    "no URL": hasKeyUrl("callback_pub_key_v1.pem"),
  };
  const answers = new Set<string>();
  for (const [name, call] of Object.entries(cases)) {
    const answer = await send(call);
    assert.equal(answer.status, 403, `${name}: ${answer.text}`);
    const { requestId: _id, instance: _instance, ...told } = answer.json;
    answers.add(JSON.stringify(told));
  }
  assert.equal(answers.size, 1, [...answers].join("\n"));
  assert.equal(await isThere(server), false);
  const huge = " ".repeat(16 * 1024);
  const tooLarge = await send(oss.call(href, good.body + huge));
  refused(tooLarge, 413, "too_large");
  refused(await send(oss.call(unsigned, good.body + huge)), 403, "access_denied");
  refused(await send(oss.call(href, "{")), 400, "invalid_request");
  refused(await send(oss.call(href, '{"uploadId":1}')), 400, "invalid_request");
  assert.equal(await isThere(server), false);
  // Nothing of that did any harm.
  assert.equal((await send(good)).status, 200);
  assert(await isThere(server));
});

test("under a grant it stays what the grant allowed, with its context", async (t) => {
  const { server, oss } = await start(t);
  const terms = { bucket: "b", key: "k", actions: ["object:write"], context: { order: 7 } };
  const grant = await server.call("POST", "/v1/grants", { body: { ...terms, maxBytes: 100 } });
  assert.equal(grant.status, 201, grant.text);
  const headers = { authorization: `Bearer ${grant.json.grant}` };
  const upload = await begin(server, asked, { as: "nobody", headers });
  assert.equal((await oss.post(formOf(upload), file)).status, 200);
  const object = await server.call("GET", "/v1/objects/b/k");
  assert.equal(object.text, file);
  assert.equal(object.headers["roma-context"], '{"order":7}');
});

test("a call before there is anything, of a cancelled upload, or for who may not write any more", async (t) => {
  const started = await start(t);
  const { server, oss, send } = started;
  const early = await begin(server, asked);
  const url = String(callbackOf(formOf(early)).callbackUrl);
  const told = { bucket: "bucket", object: "k", etag: "E", size: file.length };
  const body = JSON.stringify({ uploadId: early.id, ...told });
  refused(await send(oss.call(url, body)), 400, "invalid_part");
  assert.equal((await server.call("DELETE", `/v1/uploads/${early.id}`)).status, 204);
  refused(await send(oss.call(url, body)), 404, "upload_not_found");
  // An upload that nobody asked to be called for has no such address.
  const plain = await begin(server, { length: file.length, form: true });
  assert.equal(formOf(plain).fields.callback, undefined);

  const policy = [{ buckets: ["b"], actions: ["object:write"] }];
  const key = (await server.call("POST", "/v1/keys", { body: { name: "n", policy } })).json;
  const as = { id: String(key.id), secret: String(key.secret) };
  const made = await begin(server, asked, { as });
  const off = { body: { enabled: false } };
  const changed = await server.call("PATCH", `/v1/keys/${as.id}`, off);
  assert.equal(changed.status, 200, changed.text);
  const answer = await oss.post(formOf(made), file);
  assert.equal(answer.status, 203, "OSS has the file all the same");
  assert.equal(await isThere(server), false);
});

test("bytes that are not what was declared are refused to OSS, which tells who posted them", async (t) => {
  const { server, oss } = await start(t);
  const checksums = { sha256: "0".repeat(64) };
  const upload = await begin(server, { ...asked, checksums });
  const answer = await oss.post(formOf(upload), file);
  assert.equal(answer.status, 203, answer.text);
  assert.match(answer.text, /CallbackFailed.*400/);
  refused(await complete(server, upload.id), 404, "upload_not_found");
  assert.deepEqual(staged(oss), []);
});

test("a completion that takes longer than OSS waits goes on, and is told to who asks", async (t) => {
  const { server, oss } = await start(t);
  const upload = await begin(server, asked);
  // The blob is read back only after OSS would have given up.
  const ossMs = 5_000;
  oss.emulator.delayMs = ({ method, operation }) =>
    method === "GET" && operation === "object" ? ossMs + 500 : 0;
  using stalls = watchStalls();
  const since = performance.now();
  const answer = await oss.post(formOf(upload), file);
  const ms = performance.now() - since - stalls.ms;
  assert.deepEqual(
    [answer.status, JSON.parse(answer.text)],
    [200, { id: upload.id, status: "completing" }],
  );
  assert(ms < ossMs, `${ms} ms`);
  const done = await complete(server, upload.id);
  assert(done.status === 200 || done.status === 201, done.text);
  assert.equal((await server.call("HEAD", "/v1/objects/b/k")).status, 200);
});

/** How long this process, in which the server is, has not run meanwhile. */
function watchStalls() {
  const tickMs = 10;
  let ms = 0;
  let before = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    ms += Math.max(0, now - before - tickMs);
    before = now;
  }, tickMs);
  return {
    get ms() {
      return ms;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

test("a callback is refused where nothing would call", async (t) => {
  const { server } = await start(t);
  const ask = async (body: object, at: RestServer = server) =>
    await at.call("POST", "/v1/uploads", { body: { bucket: "b", key: "k", ...asked, ...body } });
  const formless = await ask({ form: false });
  refused(formless, 400, "invalid_request");
  assert.equal(formless.json.field, "callback");
  for (const body of [{ via: "server" }, { length: 0 }]) {
    const answer = await ask(body);
    refused(answer, 501, "unsupported");
    assert.equal(answer.json.field, "callback");
  }
  const memory = await server.call("PUT", "/v1/buckets/memory", {
    body: { placement: "memory" },
  });
  assert.equal(memory.status, 201, memory.text);
  refused(await ask({ bucket: "memory" }), 501, "unsupported");
  const nowhere = await startRest(t);
  assert.equal((await nowhere.call("PUT", "/v1/buckets/b", { body: {} })).status, 201);
  const answer = await ask({}, nowhere);
  refused(answer, 501, "unsupported");
  assert.match(String(answer.json.detail), /publicUrl/);
});

test("OSS by its S3 endpoint has no callbacks", async (t) => {
  const { server } = await start(t, { signature: "s3" });
  const body = { bucket: "b", key: "k", ...asked };
  refused(await server.call("POST", "/v1/uploads", { body }), 501, "unsupported");
});
