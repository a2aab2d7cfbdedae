/**
 * Bodies that are not what was signed or declared, or not all of it: of a put the old object stays as it is, of
 * a part the old part, and nothing else appears.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { frame, sha256, signHeaders } from "../../../authentication/testing.ts";
import { key as rootKey, send, startS3 } from "../testing.ts";
import { amzDate, presigned } from "../testing-signature.ts";

type Headers = Readonly<Record<string, string>>;

const crc = "x-amz-checksum-crc32";
/** Of `hello`. */
const trailer = `${crc}:NhCmhg==`;
const plain = "UNSIGNED-PAYLOAD";
const signedChunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const signedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const md5 = (text: string) => createHash("md5").update(text).digest();

/** An object `k`, and an upload of the same key with a part 1, both of them `before`. */
async function startBefore(t: TestContext) {
  const s3 = await startS3(t);
  const { host, hostname, port } = new URL(s3.url);
  await s3.call("PUT", "/s3/demo/k", { body: "before" });
  const begun = await s3.call("POST", "/s3/demo/k?uploads");
  const uploadId = /<UploadId>([^<]+)/.exec(begun.text)?.[1] ?? "";
  const part = `/s3/demo/k?partNumber=1&uploadId=${uploadId}`;
  await s3.call("PUT", part, { body: "before" });

  /** A request of five bytes, signed; `bodyOf` gets the seed of chunk signatures. */
  const signed = (
    target: string,
    hash: string,
    bodyOf: (seed: string | undefined) => Buffer | string,
    extra: Headers = {},
  ) => {
    const by = { id: rootKey.keyId, secret: rootKey.secret, date: amzDate(new Date()) };
    const [path = "", text = ""] = target.split("?");
    const query = Object.fromEntries(new URLSearchParams(text));
    const framing: Headers = hash.startsWith("STREAMING")
      ? {
          "x-amz-decoded-content-length": "5",
          ...(hash.endsWith("TRAILER") ? { "x-amz-trailer": crc } : {}),
        }
      : {};
    const request = { method: "PUT", path, query, headers: { host, ...framing, ...extra } };
    const { headers, signature } = signHeaders(request, { ...by, hash });
    const isSigned = hash.startsWith("STREAMING-AWS4");
    return { headers, body: Buffer.from(bodyOf(isSigned ? signature : undefined)), by };
  };
  const ask = (method: string, path: string, headers: Headers, body: Buffer | string) =>
    send({ hostname, port, method, path }, { host, ...headers }, body);
  const framed = (seed: string | undefined, more: { trailer?: string } = {}) => {
    const by = { id: rootKey.keyId, secret: rootKey.secret, date: amzDate(new Date()) };
    return frame(["hel", "lo"], { ...by, ...more, ...(seed === undefined ? {} : { seed }) });
  };
  const assertBefore = async (what: string): Promise<void> => {
    const got = await s3.call("GET", "/s3/demo/k");
    assert.deepEqual([got.status, got.text], [200, "before"], what);
    const parts = await s3.call("GET", `/s3/demo/k?uploadId=${uploadId}`);
    assert.deepEqual(
      [...parts.text.matchAll(/<ETag>&quot;([0-9a-f]+)/g)].map(([, tag]) => tag),
      [md5("before").toString("hex")],
      what,
    );
  };
  return { ...s3, to: { hostname, port, host }, part, signed, ask, framed, assertBefore };
}

test("a framed body that ends at any of its bytes changes nothing", async (t) => {
  const { part, signed, ask, framed, assertBefore } = await startBefore(t);
  for (const [hash, more] of [
    [signedChunks, {}],
    [signedTrailer, { trailer }],
    [unsignedTrailer, { trailer }],
  ] as const) {
    for (const target of ["/s3/demo/k", part]) {
      const { headers, body } = signed(target, hash, (seed) => framed(seed, more));
      for (let length = 0; length < body.length; length += 1) {
        const cut = body.subarray(0, length);
        const answer = await ask("PUT", target, { ...headers, "content-length": `${length}` }, cut);
        const what = `${hash} after ${length} of ${body.length} bytes`;
        assert.deepEqual([answer.status, answer.code], [400, "IncompleteBody"], what);
      }
      await assertBefore(hash);
    }
  }
});

test("a body that differs from what its request says changes nothing", async (t) => {
  const { part, signed, ask, framed, assertBefore } = await startBefore(t);
  const other = { md5: md5("other").toString("base64"), sha256: sha256("other") };
  const sum = (algorithm: string, text: string) =>
    createHash(algorithm).update(text).digest("base64");
  const changed = (from: RegExp, to: string, more = {}) => {
    return (seed: string | undefined) => {
      const text = framed(seed, more).toString("latin1");
      assert.notEqual(text.replace(from, to), text);
      return text.replace(from, to);
    };
  };
  type Case = readonly [
    string,
    string,
    (seed: string | undefined) => Buffer | string,
    Headers,
    string,
  ];
  const cases: readonly Case[] = [
    ["another body than signed", other.sha256, () => "hello", {}, "XAmzContentSHA256Mismatch"],
    ["another MD5", plain, () => "hello", { "content-md5": other.md5 }, "BadDigest"],
    ["a short MD5", plain, () => "hello", { "content-md5": "AAAA" }, "InvalidDigest"],
    ["another CRC", plain, () => "hello", { [crc]: "AAAAAA==" }, "BadDigest"],
    [
      "another SHA-1",
      plain,
      () => "hello",
      { "x-amz-checksum-sha1": sum("sha1", "x") },
      "BadDigest",
    ],
    [
      "another SHA-256, the signed one right",
      sha256("hello"),
      () => "hello",
      { "x-amz-checksum-sha256": sum("sha256", "x") },
      "BadDigest",
    ],
    ["altered data", signedChunks, changed(/hel/, "hal"), {}, "SignatureDoesNotMatch"],
    ["an altered size", signedChunks, changed(/^3/, "2"), {}, "SignatureDoesNotMatch"],
    [
      "the chunks the other way round",
      signedChunks,
      changed(/^(3;.*\r\nhel\r\n)(2;.*\r\nlo\r\n)/, "$2$1"),
      {},
      "SignatureDoesNotMatch",
    ],
    [
      "a chunk left out",
      signedChunks,
      changed(/^3;.*\r\nhel\r\n/, ""),
      {},
      "SignatureDoesNotMatch",
    ],
    [
      "an altered signature of the last chunk",
      signedChunks,
      (seed) => changed(/(0;chunk-signature=)(.)/, `$1${signedDigit(framed(seed))}`)(seed),
      {},
      "SignatureDoesNotMatch",
    ],
    ["more after its end", signedChunks, changed(/$/, "more"), {}, "IncompleteBody"],
    ["no framing", signedChunks, () => "hello", {}, "IncompleteBody"],
    [
      "a trailer altered on the way",
      signedTrailer,
      changed(/NhCmhg/, "AAAAAA", { trailer }),
      {},
      "SignatureDoesNotMatch",
    ],
    [
      "a wrong trailer",
      signedTrailer,
      (seed) => framed(seed, { trailer: `${crc}:AAAAAA==` }),
      {},
      "BadDigest",
    ],
    [
      "a wrong trailer of nobody",
      unsignedTrailer,
      () => framed(undefined, { trailer: `${crc}:AAAAAA==` }),
      {},
      "BadDigest",
    ],
    [
      "altered data, the trailer right",
      unsignedTrailer,
      changed(/hel/, "hal", { trailer }),
      {},
      "BadDigest",
    ],
    [
      "another trailer than named",
      unsignedTrailer,
      () => framed(undefined, { trailer: `x-amz-checksum-sha1:${sum("sha1", "hello")}` }),
      {},
      "MalformedTrailerError",
    ],
    ["no trailer", unsignedTrailer, () => framed(undefined), {}, "MalformedTrailerError"],
    [
      "fewer bytes than told",
      unsignedTrailer,
      () => framed(undefined, { trailer }),
      { "x-amz-decoded-content-length": "6" },
      "IncompleteBody",
    ],
    [
      "more bytes than told",
      unsignedTrailer,
      () => framed(undefined, { trailer }),
      { "x-amz-decoded-content-length": "4" },
      "IncompleteBody",
    ],
    [
      "a length that is none",
      unsignedTrailer,
      () => framed(undefined, { trailer }),
      { "x-amz-decoded-content-length": "5x" },
      "InvalidArgument",
    ],
    [
      "a checksum that is not offered",
      plain,
      () => "hello",
      { "x-amz-checksum-xxhash64": "AAAAAAAAAAA=" },
      "InvalidRequest",
    ],
  ];
  for (const [what, hash, bodyOf, extra, code] of cases) {
    for (const target of ["/s3/demo/k", part]) {
      const { headers, body } = signed(target, hash, bodyOf, extra);
      const answer = await ask("PUT", target, headers, body);
      assert.equal(answer.code, code, `${what}: ${target} ${answer.text}`);
      await assertBefore(what);
    }
  }
});

/** One that is not the first digit of the last chunk's signature. */
function signedDigit(body: Buffer): string {
  return /0;chunk-signature=0/.test(body.toString("latin1")) ? "1" : "0";
}

test("a presigned length is the length of the body, and no other", async (t) => {
  const { part, ask, to, call, assertBefore } = await startBefore(t);
  for (const target of ["/s3/demo/k", part]) {
    const headers = { host: to.host, "content-length": "5" };
    const url = presigned({ method: "PUT", target, headers }, rootKey);
    const refused = "SignatureDoesNotMatch";
    assert.equal((await ask("PUT", url, {}, "larger")).code, refused);
    assert.equal((await ask("PUT", url, {}, "less")).code, refused);
    const streamed = await ask("PUT", url, { "transfer-encoding": "chunked" }, "hello");
    assert.equal(streamed.code, refused);
    await assertBefore(target);
  }
  const headers = { host: to.host, "content-length": "5" };
  const url = presigned({ method: "PUT", target: "/s3/demo/k", headers }, rootKey);
  assert.equal((await ask("PUT", url, {}, "hello")).status, 200);
  assert.equal((await call("GET", "/s3/demo/k")).text, "hello");
});

test("a connection that ends in the middle of a body changes nothing, and lists no part", async (t) => {
  const { part, signed, to, framed, assertBefore, call } = await startBefore(t);
  const large = Buffer.alloc(3_000_000, 7);
  const other = part.replace("partNumber=1", "partNumber=2");
  for (const target of ["/s3/demo/k", part, other, "/s3/demo/new"]) {
    const bodies: readonly (readonly [string, (seed?: string) => Buffer, Headers])[] = [
      [plain, () => large, {}],
      [sha256(large), () => large, {}],
      [signedChunks, (seed) => framed(seed), {}],
      [unsignedTrailer, () => framed(undefined, { trailer }), {}],
    ];
    for (const [hash, bodyOf, extra] of bodies) {
      const { headers, body } = signed(target, hash, bodyOf, extra);
      for (const share of [0, 0.4, 0.99]) {
        const head = Object.entries({ ...headers, "content-length": `${body.length}` });
        const lines = head.map(([name, value]) => `${name}: ${value}\r\n`).join("");
        const socket = connect({ host: to.hostname, port: Number(to.port) });
        socket.on("error", () => undefined);
        await once(socket, "connect");
        socket.write(`PUT ${target} HTTP/1.1\r\n${lines}\r\n`);
        const sent = body.subarray(0, Math.floor(body.length * share));
        await new Promise((resolve) => socket.write(sent, resolve));
        if (share === 0.4) socket.resetAndDestroy();
        else socket.destroy();
      }
      await assertBefore(`${target} ${hash}`);
    }
  }
  // The server is done with all of them once it has answered one that waits for the same.
  await call("PUT", "/s3/demo/last", { body: large });
  await assertBefore("in the end");
  assert.equal((await call("HEAD", "/s3/demo/new")).status, 404);
});
