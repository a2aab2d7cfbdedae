import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import type { ChallengeJson, DirectUploadJson } from "@roma/contract";
import { begin, complete, hash, refused, requestOf, sendSigned } from "./direct-testing.ts";
import { type CallOptions, type RestServer, startRest } from "./testing.ts";

type Context = Parameters<typeof startRest>[0];

/** The bucket `b` with the object `known`, whose SHA-256 is known. */
async function start(t: Context, bytes: Buffer): Promise<RestServer> {
  const server = await startRest(t);
  await server.call("PUT", "/v1/buckets/b", { body: {} });
  await put(server, "known", bytes);
  return server;
}

async function put(server: RestServer, key: string, body: Buffer): Promise<void> {
  const headers = { "want-repr-digest": "sha-256=1", "content-type": "text/x-test" };
  const answer = await server.call("PUT", `/v1/objects/b/${key}`, { body, headers });
  assert.ok(answer.status < 300, answer.text);
}

const asking = (bytes: Buffer) => ({
  key: "instant",
  length: bytes.length,
  instant: true,
  checksums: { sha256: hash("sha256", bytes) },
});

function challengeOf({ transfer }: DirectUploadJson): ChallengeJson {
  assert(transfer.kind === "proof", transfer.kind);
  return transfer.challenge;
}

function digestsOf({ nonce, ranges }: ChallengeJson, bytes: Buffer): string[] {
  return ranges.map(({ firstByte, lastByte }) =>
    createHash("sha256")
      .update(Buffer.from(nonce, "hex"))
      .update(bytes.subarray(firstByte, lastByte + 1))
      .digest("hex"),
  );
}

const prove = (
  server: RestServer,
  id: string,
  digests: readonly string[],
  options: CallOptions = {},
) => server.call("POST", `/v1/uploads/${id}/proof`, { ...options, body: { digests } });

test("who proves to have bytes that are known need not send them", async (t) => {
  for (const length of [3, 1_000, 1_000_000]) {
    const bytes = randomBytes(length);
    const server = await start(t, bytes);
    const before = server.content.blobs.size;
    const upload = await begin(server, { ...asking(bytes), metadata: { a: "1" } });
    const challenge = challengeOf(upload);
    assert.ok(challenge.ranges.length >= Math.min(4, length));
    const done = await prove(server, upload.id, digestsOf(challenge, bytes));
    assert.equal(done.status, 201, done.text);
    assert.deepEqual([done.json.key, done.json.size], ["instant", length]);
    assert.deepEqual(done.json.metadata, { a: "1" });
    assert.equal(server.content.blobs.size, before, "no other blob");
    assert.deepEqual((await server.call("GET", "/v1/objects/b/instant")).body, bytes);
    // Asked for again, in either way.
    const again = await prove(server, upload.id, digestsOf(challenge, bytes));
    assert.deepEqual([again.status, again.json], [200, done.json]);
    assert.deepEqual((await complete(server, upload.id)).json, done.json);
    await server.call("DELETE", "/v1/objects/b/known");
    assert.deepEqual((await server.call("GET", "/v1/objects/b/instant")).body, bytes);
  }
});

test("a wrong proof is refused, uses the challenge up, and the bytes can be sent", async (t) => {
  const bytes = randomBytes(300_000);
  const server = await start(t, bytes);
  const attempts: ((right: string[]) => string[])[] = [
    (right) => [...right.slice(1), "0".repeat(64)],
    (right) => right.toReversed(),
    (right) => right.slice(1),
    (right) => [...right, ...right],
    // The hash that anybody may know.
    (right) => right.map(() => hash("sha256", bytes)),
  ];
  for (const attempt of attempts) {
    const upload = await begin(server, asking(bytes));
    const right = digestsOf(challengeOf(upload), bytes);
    refused(await prove(server, upload.id, attempt(right)), 403, "access_denied");
    refused(await prove(server, upload.id, right), 403, "access_denied");
    assert.equal((await server.call("GET", "/v1/objects/b/instant")).status, 404);
  }
  const upload = await begin(server, asking(bytes));
  refused(await prove(server, upload.id, ["xy"]), 400, "invalid_request");
  refused(await prove(server, upload.id, ["0".repeat(64)]), 403, "access_denied");
  const signed = await server.call("POST", `/v1/uploads/${upload.id}/requests`, { body: {} });
  const { requests } = signed.json as { requests: Record<string, never> };
  const sent = await sendSigned(server, requests.put ?? assert.fail(), bytes);
  assert.equal(sent.status, 200, sent.text);
  assert.equal((await complete(server, upload.id)).status, 201);
});

test("a challenge is for one upload, two minutes, and never the same again", async (t) => {
  const bytes = randomBytes(5_000_000);
  const server = await start(t, bytes);
  const [one, two] = [await begin(server, asking(bytes)), await begin(server, asking(bytes))];
  const [first, second] = [challengeOf(one), challengeOf(two)];
  assert.notEqual(first.nonce, second.nonce);
  assert.notDeepEqual(first.ranges, second.ranges);
  refused(await prove(server, two.id, digestsOf(first, bytes)), 403, "access_denied");
  server.advance(2 * 60 * 1000);
  refused(await prove(server, one.id, digestsOf(first, bytes)), 403, "access_denied");
  const other = await begin(server, { key: "other", length: 3 });
  refused(await prove(server, other.id, digestsOf(first, bytes)), 403, "access_denied");
});

test("an object that changed since is no source, and what is known elsewhere or otherwise is none", async (t) => {
  const bytes = randomBytes(10_000);
  const server = await start(t, bytes);
  const upload = await begin(server, asking(bytes));
  await put(server, "known", Buffer.from("something else"));
  const proof = digestsOf(challengeOf(upload), bytes);
  refused(await prove(server, upload.id, proof), 403, "access_denied");
  const kindOf = async (request: object, options: CallOptions = {}) =>
    (await begin(server, request, options)).transfer.kind;
  assert.equal(await kindOf(asking(bytes)), "put");
  await put(server, "known", bytes);
  assert.equal(await kindOf(asking(bytes)), "proof");
  assert.equal(await kindOf({ ...asking(bytes), instant: false }), "put");
  assert.equal(await kindOf({ ...asking(bytes), length: bytes.length - 1 }), "put");
  const { checksums } = asking(bytes);
  const contradicted = { ...checksums, crc64nvme: "0".repeat(16) };
  assert.equal(await kindOf({ ...asking(bytes), checksums: contradicted }), "put");
  const unknown = { ...checksums, md5: "0".repeat(32) };
  assert.equal(await kindOf({ ...asking(bytes), checksums: unknown }), "put");
  await server.call("PUT", "/v1/buckets/other", { body: {} });
  assert.equal(await kindOf({ ...asking(bytes), bucket: "other" }), "put");
});

test("who may not read the object is told the same as if nobody had the bytes", async (t) => {
  const bytes = randomBytes(10_000);
  const server = await start(t, bytes);
  const grant = async (actions: readonly string[], prefix: string) => {
    const body = { bucket: "b", prefix, actions };
    const { json } = await server.call("POST", "/v1/grants", { body });
    return { as: "nobody", headers: { authorization: `Bearer ${String(json.grant)}` } } as const;
  };
  const shapeOf = async (options: CallOptions, of = bytes) => {
    const upload = await begin(server, asking(of), options);
    return { kind: upload.transfer.kind, members: Object.keys(upload), upload };
  };
  const writer = await grant(["object:write"], "");
  const elsewhere = await grant(["object:read", "object:write"], "inst");
  for (const options of [writer, elsewhere]) {
    const { kind, members, upload } = await shapeOf(options);
    const unknown = await shapeOf(options, randomBytes(10_000));
    assert.deepEqual([kind, members], ["put", unknown.members]);
    refused(await prove(server, upload.id, ["0".repeat(64)], options), 403, "access_denied");
    const sent = await sendSigned(server, requestOf(upload), bytes);
    assert.equal(sent.status, 200);
  }
  const reader = await grant(["object:read", "object:write"], "");
  const offered = await shapeOf(reader);
  assert.equal(offered.kind, "proof");
  const right = digestsOf(challengeOf(offered.upload), bytes);
  // The permission is judged again with the proof, and used up by who has it not.
  refused(await prove(server, offered.upload.id, right, writer), 403, "access_denied");
  const again = await shapeOf(reader);
  const proof = digestsOf(challengeOf(again.upload), bytes);
  assert.equal((await prove(server, again.upload.id, proof, reader)).status, 201);
});

test("limits and conditions hold for bytes that are not sent", async (t) => {
  const bytes = randomBytes(10_000);
  const server = await start(t, bytes);
  const only = await begin(server, { ...asking(bytes), createOnly: true });
  const right = digestsOf(challengeOf(only), bytes);
  await server.call("PUT", "/v1/objects/b/instant", { body: "first" });
  refused(await prove(server, only.id, right), 412, "precondition_failed");
  assert.equal((await server.call("GET", "/v1/objects/b/instant")).text, "first");
  const typed = await begin(server, asking(bytes));
  await server.call("PATCH", "/v1/buckets/b", { body: { contentTypes: ["image/*"] } });
  const proof = digestsOf(challengeOf(typed), bytes);
  refused(await prove(server, typed.id, proof), 415, "content_type_refused");
});
