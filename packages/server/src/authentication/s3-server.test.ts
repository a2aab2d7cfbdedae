import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { type TestContext, test } from "node:test";
import {
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { signGrant } from "../core/grants.ts";
import { key as rootKey, startS3 } from "../protocols/s3/testing.ts";
import { temporarySecret } from "./signer.ts";
import { amzDate } from "./sigv4-key.ts";
import { frame, presign, type SignerOptions, sha256, signHeaders } from "./testing.ts";

const crc = "x-amz-checksum-crc32";
/** Of `hello`. */
const crcOfHello = "NhCmhg==";
const signedChunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const signedTrailer = `${signedChunks}-TRAILER`;
const unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

type Headers = Readonly<Record<string, string>>;

/** A whole server, asked by requests that are signed by hand and sent as they are. */
async function startRaw(t: TestContext) {
  const server = await startS3(t);
  const { host, hostname, port } = new URL(server.url);
  let aheadMs = 0;
  const signer = (): SignerOptions => ({
    id: rootKey.keyId,
    secret: rootKey.secret,
    date: amzDate(new Date(Date.now() + aheadMs)),
  });
  const send = async (method: string, path: string, headers: Headers, body: Buffer | string) => {
    const sized = { ...headers, "content-length": String(Buffer.byteLength(body)) };
    const sent = httpRequest({ hostname, port, method, path, headers: sized });
    sent.end(body);
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    return { status: response.statusCode ?? 0, code: /<Code>(.*?)<\/Code>/.exec(text)?.[1], text };
  };
  /** A framed put of five bytes; `body` gets the signature that the first chunk's follows. */
  const put = (
    path: string,
    hash: string,
    body: (seed: SignerOptions & { readonly seed: string }) => Buffer | string,
    extra: Headers = {},
  ) => {
    const by = signer();
    const query = Object.fromEntries(new URLSearchParams(path.split("?")[1] ?? ""));
    const trailer = hash.endsWith("-TRAILER") ? { "x-amz-trailer": crc } : {};
    const own = { host, "x-amz-decoded-content-length": "5", ...trailer, ...extra };
    const request = { method: "PUT", path: path.split("?")[0] ?? "", query, headers: own };
    const { headers, signature } = signHeaders(request, { ...by, hash });
    return send("PUT", path, headers, body({ ...by, seed: signature }));
  };
  const advance = (ms: number) => {
    aheadMs += ms;
    server.advance(ms);
  };
  return { server, host, signer, send, put, advance };
}

const changed = (body: Buffer, from: string | RegExp, to: string): string => {
  const text = body.toString("latin1");
  assert.notEqual(text.replace(from, to), text);
  return text.replace(from, to);
};

test("framed bodies are stored unframed, and one that is wrong leaves the object as it was", async (t) => {
  const { server, put } = await startRaw(t);
  const client = server.client();
  const object = { Bucket: "demo", Key: "k" };
  const read = async () =>
    (await client.send(new GetObjectCommand(object))).Body?.transformToString();
  const trailer = `${crc}:${crcOfHello}`;
  await client.send(new PutObjectCommand({ ...object, Body: "before" }));

  type Body = Parameters<typeof put>[2];
  const wrong: readonly (readonly [string, string, Body, string])[] = [
    [
      "altered data",
      signedChunks,
      (by) => changed(frame(["hello"], by), "hello", "hullo"),
      "SignatureDoesNotMatch",
    ],
    [
      "an altered last chunk",
      signedChunks,
      (by) => changed(frame(["hello"], by), /0;chunk-signature=./, "0;chunk-signature=g"),
      "IncompleteBody",
    ],
    [
      "another request's chunks",
      signedChunks,
      (by) => frame(["hello"], { ...by, seed: "0".repeat(64) }),
      "SignatureDoesNotMatch",
    ],
    [
      "an end before the last chunk",
      signedChunks,
      (by) => frame(["hello"], by).subarray(0, -90),
      "IncompleteBody",
    ],
    ["fewer bytes", signedChunks, (by) => frame(["hell"], by), "IncompleteBody"],
    ["more bytes", signedChunks, (by) => frame(["hello", "!"], by), "IncompleteBody"],
    ["no framing", signedChunks, () => "hello", "IncompleteBody"],
    [
      "a signed trailer that is wrong",
      signedTrailer,
      (by) => frame(["hello"], { ...by, trailer: `${crc}:AAAAAA==` }),
      "BadDigest",
    ],
    [
      "a trailer changed on the way",
      signedTrailer,
      (by) => changed(frame(["hello"], { ...by, trailer }), "NhCmhg", "AAAAAA"),
      "SignatureDoesNotMatch",
    ],
    [
      "an unsigned trailer that is wrong",
      unsignedTrailer,
      () => frame(["hello"], { trailer: `${crc}:AAAAAA==` }),
      "BadDigest",
    ],
    [
      "a trailer that is no checksum",
      unsignedTrailer,
      () => frame(["hello"], { trailer: `${crc}:AAAA` }),
      "InvalidRequest",
    ],
    ["no trailer", unsignedTrailer, () => frame(["hello"]), "MalformedTrailerError"],
    ["another body than signed", sha256("hello"), () => "hullo", "XAmzContentSHA256Mismatch"],
  ];
  for (const [name, hash, body, code] of wrong) {
    assert.equal((await put("/s3/demo/k", hash, body)).code, code, name);
    assert.equal(await read(), "before", name);
  }
  const right: readonly (readonly [string, Body])[] = [
    [signedChunks, (by) => frame(["hel", "lo"], by)],
    [signedTrailer, (by) => frame(["hel", "lo"], { ...by, trailer })],
    [unsignedTrailer, () => frame(["hel", "lo"], { trailer })],
  ];
  for (const [hash, body] of right) {
    await client.send(new PutObjectCommand({ ...object, Body: "before" }));
    const answer = await put("/s3/demo/k", hash, body, { "content-encoding": "aws-chunked" });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(await read(), "hello", hash);
  }
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: "demo" }));
  assert.deepEqual(
    Contents.map(({ Key }) => Key),
    ["k"],
  );
});

test("a framed part counts once its chunks' signatures are right, and only on a part or an object", async (t) => {
  const { server, put } = await startRaw(t);
  const client = server.client();
  const object = { Bucket: "demo", Key: "k" };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(object));
  const parts = async () =>
    (await client.send(new ListPartsCommand({ ...object, UploadId }))).Parts ?? [];
  const target = `/s3/demo/k?partNumber=1&uploadId=${UploadId}`;
  const tampered = await put(target, signedChunks, (by) =>
    changed(frame(["hello"], by), "hello", "hullo"),
  );
  assert.equal(tampered.code, "SignatureDoesNotMatch");
  assert.deepEqual(await parts(), []);
  const good = await put(target, signedChunks, (by) => frame(["hello"], by));
  assert.equal(good.status, 200, good.text);
  assert.deepEqual(
    (await parts()).map(({ ETag, Size }) => [ETag, Size]),
    [['"5d41402abc4b2a76b9719d911017c592"', 5]],
  );
  const tagging = await put("/s3/demo/k?tagging=", signedChunks, (by) => frame(["hello"], by));
  assert.equal(tagging.status, 400, tagging.text);
});

test("a presigned put is good for its method, key, headers and time, and for nothing else", async (t) => {
  const { host, signer, send, advance } = await startRaw(t);
  const sign = (method = "PUT", path = "/s3/demo/k") =>
    presign({ method, path, headers: { host } }, { ...signer(), seconds: 600 });
  const target = sign();
  const refused: readonly (readonly [string, string, string, Headers, string])[] = [
    ["another key", "PUT", target.replace("/k?", "/l?"), {}, "SignatureDoesNotMatch"],
    ["another method", "DELETE", target, {}, "SignatureDoesNotMatch"],
    ["a sub-resource added", "PUT", `${target}&tagging`, {}, "SignatureDoesNotMatch"],
    ["an unsigned header", "PUT", target, { "x-amz-meta-a": "1" }, "AccessDenied"],
  ];
  for (const [name, method, path, headers, code] of refused) {
    assert.equal((await send(method, path, { host, ...headers }, "x")).code, code, name);
  }
  assert.equal((await send("PUT", target, { host }, "hello")).status, 200);
  advance(601_000);
  assert.equal((await send("PUT", target, { host }, "later")).code, "AccessDenied");
  const read = await send("GET", sign("GET"), { host }, "");
  assert.deepEqual([read.status, read.text], [200, "hello"]);
});

test("a temporary key writes what its grant allows, and not beside it", async (t) => {
  const { server } = await startRaw(t);
  const token = signGrant(
    { bucket: "demo", prefix: "in/", actions: ["object:write"], maxBytes: 5 },
    { keyId: rootKey.keyId, secret: rootKey.secret },
    new Date(Date.now() + 600_000),
  );
  const client = server.client({
    credentials: {
      accessKeyId: rootKey.keyId,
      secretAccessKey: temporarySecret(token, rootKey.secret),
      sessionToken: token,
    },
  });
  const put = (Key: string, Body: string) =>
    client.send(new PutObjectCommand({ Bucket: "demo", Key, Body }));
  await put("in/k", "hello");
  await assert.rejects(put("out/k", "hello"), { name: "AccessDenied" });
  await assert.rejects(put("in/l", "too long"), { name: "EntityTooLarge" });
  await assert.rejects(client.send(new GetObjectCommand({ Bucket: "demo", Key: "in/k" })), {
    name: "AccessDenied",
  });
  server.advance(601_000);
  await assert.rejects(put("in/k", "again"), { name: "ExpiredToken" });
});
