/** Objects by the AWS SDK with its defaults: what was put is what comes back, headers and all. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { key, startS3 } from "../testing.ts";

const Bucket = "demo";

const md5 = (bytes: Buffer | string): string => createHash("md5").update(bytes).digest("hex");

test("a put object comes back byte for byte, with its MD5 as the tag", async (t) => {
  const client = (await startS3(t)).client();
  for (const size of [0, 1, 70_000, 3_000_000]) {
    const body = randomBytes(size);
    const Key = `size/${size}`;
    const put = await client.send(new PutObjectCommand({ Bucket, Key, Body: body }));
    assert.equal(put.ETag, `"${md5(body)}"`);
    assert.ok(put.ChecksumCRC32 !== undefined, "the SDK sends a CRC-32 by itself");
    const got = await client.send(new GetObjectCommand({ Bucket, Key }));
    assert.deepEqual(Buffer.from((await got.Body?.transformToByteArray()) ?? []), body);
    assert.equal(got.ETag, put.ETag);
    assert.equal(got.ContentLength, size);
    assert.equal(got.AcceptRanges, "bytes");
    assert.ok(got.LastModified instanceof Date);
    const head = await client.send(new HeadObjectCommand({ Bucket, Key }));
    assert.equal(head.ContentLength, size);
    assert.equal(head.ETag, put.ETag);
  }
});

test("a stream comes in chunks with its checksum in the trailer, and is stored unframed", async (t) => {
  const client = (await startS3(t)).client();
  const pieces = Array.from({ length: 40 }, (_, index) => Buffer.from(`piece ${index};`));
  const whole = Buffer.concat(pieces);
  const Body = Readable.from(pieces);
  const put = { Bucket, Key: "stream", Body, ContentLength: whole.length, ContentEncoding: "gzip" };
  await client.send(new PutObjectCommand(put));
  const got = await client.send(new GetObjectCommand({ Bucket, Key: "stream" }));
  assert.equal(await got.Body?.transformToString(), whole.toString());
  assert.equal(got.ContentEncoding, "gzip");
});

test("headers, metadata and tags are given back as they were sent", async (t) => {
  const client = (await startS3(t)).client();
  await client.send(
    new PutObjectCommand({
      Bucket,
      Key: "described",
      Body: "x",
      ContentType: "text/bla; charset=x",
      CacheControl: "max-age=5",
      ContentDisposition: 'attachment; filename="a.txt"',
      ContentEncoding: "identity",
      ContentLanguage: "de",
      Expires: new Date("2030-01-02T03:04:05Z"),
      Metadata: { author: "somebody", empty: "" },
      Tagging: "a=1&b=%C3%BC",
    }),
  );
  for (const command of [GetObjectCommand, HeadObjectCommand]) {
    const got = await client.send(new command({ Bucket, Key: "described" }));
    assert.equal(got.ContentType, "text/bla; charset=x");
    assert.equal(got.CacheControl, "max-age=5");
    assert.equal(got.ContentDisposition, 'attachment; filename="a.txt"');
    assert.equal(got.ContentEncoding, "identity");
    assert.equal(got.ContentLanguage, "de");
    assert.equal(got.ExpiresString, "Wed, 02 Jan 2030 03:04:05 GMT");
    assert.deepEqual(got.Metadata, { author: "somebody", empty: "" });
    assert.equal(got.TagCount, 2);
  }
});

test("an object that was stored with a coding is read with it over REST too", async (t) => {
  const s3 = await startS3(t);
  const headers = { "content-encoding": "gzip", "content-disposition": "inline" };
  await s3.call("PUT", "/s3/demo/k", { headers, body: gzipSync("text") });
  const authorization = `Basic ${Buffer.from(`${key.keyId}:${key.secret}`).toString("base64")}`;
  const got = await fetch(`${s3.url}/v1/objects/demo/k`, { headers: { authorization } });
  assert.equal(await got.text(), "text");
  assert.equal(got.headers.get("content-disposition"), "inline");
  const link = `${s3.url}/v1/objects/demo/k?download=a.txt`;
  const download = await fetch(link, { headers: { authorization } });
  assert.match(download.headers.get("content-disposition") ?? "", /^attachment/);
});

test("more than 5 GiB in one request is refused before a byte of it", async (t) => {
  const s3 = await startS3(t);
  const headers = { "content-length": String(5 * 1024 ** 3 + 1) };
  const put = await s3.call("PUT", "/s3/demo/k", { headers });
  assert.deepEqual([put.status, put.code], [400, "EntityTooLarge"]);
  const made = await s3.call("POST", "/s3/demo/k?uploads");
  const uploadId = /<UploadId>([^<]+)/.exec(made.text)?.[1];
  const target = `/s3/demo/k?partNumber=1&uploadId=${uploadId}`;
  assert.equal((await s3.call("PUT", target, { headers })).code, "EntityTooLarge");
});

test("metadata comes back in the bytes in which it was sent", async (t) => {
  const { call } = await startS3(t);
  const value = Buffer.from("größe").toString("latin1");
  // Node would send the headers before a text as UTF-8.
  const body = Buffer.from("x");
  const put = await call("PUT", "/s3/demo/k", { headers: { "x-amz-meta-name": value }, body });
  assert.equal(put.status, 200);
  const got = await call("HEAD", "/s3/demo/k");
  assert.equal(got.headers["x-amz-meta-name"], value);
  const wrong = await call("PUT", "/s3/demo/k", { headers: { "x-amz-meta-name": "\xff" } });
  assert.equal(wrong.code, "InvalidArgument");
  const large = { "x-amz-meta-name": "x".repeat(2045) };
  assert.equal((await call("PUT", "/s3/demo/k", { headers: large })).code, "MetadataTooLarge");
});

test("a signed request may have other headers answered, and nobody else", async (t) => {
  const s3 = await startS3(t);
  await s3.call("PUT", "/s3/demo/k", { body: "x" });
  const target =
    "/s3/demo/k?response-content-type=text%2Fx&response-content-disposition=inline" +
    "&response-cache-control=no-cache&response-expires=never&response-content-language=fr" +
    "&response-content-encoding=deflate";
  const { headers } = await s3.call("GET", target);
  assert.equal(headers["content-type"], "text/x");
  assert.equal(headers["content-disposition"], "inline");
  assert.equal(headers["cache-control"], "no-cache");
  assert.equal(headers.expires, "never");
  assert.equal(headers["content-language"], "fr");
  assert.equal(headers["content-encoding"], "deflate");
  const split = await s3.call("GET", "/s3/demo/k?response-content-type=a%0D%0Ax:y");
  assert.equal(split.code, "InvalidArgument");
  assert.equal((await s3.call("GET", target, { as: "nobody" })).status, 403);
});

test("one range is sent as such, others as S3 has it", async (t) => {
  const { call } = await startS3(t);
  await call("PUT", "/s3/demo/k", { body: "0123456789" });
  await call("PUT", "/s3/demo/empty");
  const get = (range: string, target = "/s3/demo/k", method = "GET") =>
    call(method, target, { headers: { range } });
  const part = await get("bytes=2-4");
  assert.deepEqual(
    [part.status, part.text, part.headers["content-range"]],
    [206, "234", "bytes 2-4/10"],
  );
  const head = await get("bytes=2-4", "/s3/demo/k", "HEAD");
  assert.deepEqual([head.status, head.headers["content-length"]], [206, "3"]);
  assert.equal((await get("bytes=-3")).text, "789");
  assert.equal((await get("bytes=8-100")).text, "89");
  assert.deepEqual(
    [(await get("bytes=0-1,4-5")).status, (await get("bytes=5-2")).status],
    [200, 200],
  );
  const outside = await get("bytes=10-");
  assert.deepEqual([outside.status, outside.code], [416, "InvalidRange"]);
  assert.equal(outside.headers["content-range"], "bytes */10");
  assert.equal((await get("bytes=0-", "/s3/demo/empty")).status, 416);
});

test("a range of a plain object never carries the checksum of the whole", async (t) => {
  const { call } = await startS3(t);
  await call("PUT", "/s3/demo/k", { body: "0123456789" });
  const asked = { "x-amz-checksum-mode": "ENABLED" };
  const part = await call("GET", "/s3/demo/k", { headers: { ...asked, range: "bytes=0-1" } });
  assert.equal(part.headers["x-amz-checksum-crc64nvme"], undefined);
  const whole = await call("GET", "/s3/demo/k", { headers: asked });
  assert.match(whole.headers["x-amz-checksum-crc64nvme"]?.toString() ?? "", /^.{11}=$/);
  assert.equal(whole.headers["x-amz-checksum-type"], "FULL_OBJECT");
  const unasked = await call("GET", "/s3/demo/k");
  assert.equal(unasked.headers["x-amz-checksum-crc64nvme"], undefined);
});

test("of an object that came whole, part 1 is all of it, and there is no other", async (t) => {
  const { call } = await startS3(t);
  await call("PUT", "/s3/demo/k", { body: "0123456789" });
  const one = await call("GET", "/s3/demo/k?partNumber=1");
  assert.deepEqual([one.status, one.text], [206, "0123456789"]);
  assert.equal(one.headers["x-amz-mp-parts-count"], undefined);
  assert.equal((await call("GET", "/s3/demo/k?partNumber=2")).code, "InvalidPart");
  assert.equal((await call("GET", "/s3/demo/k?partNumber=0")).code, "InvalidArgument");
  const both = await call("GET", "/s3/demo/k?partNumber=1", { headers: { range: "bytes=0-1" } });
  assert.equal(both.code, "InvalidRequest");
});

test("reads are judged by their conditions", async (t) => {
  const { call } = await startS3(t);
  const { headers: put } = await call("PUT", "/s3/demo/k", { body: "x" });
  const etag = put.etag ?? "";
  const get = (headers: Record<string, string>) => call("GET", "/s3/demo/k", { headers });
  assert.equal((await get({ "if-match": etag })).status, 200);
  assert.equal((await get({ "if-match": etag.slice(1, -1) })).status, 200);
  assert.deepEqual([(await get({ "if-match": '"x"' })).code], ["PreconditionFailed"]);
  const same = await get({ "if-none-match": etag });
  assert.deepEqual([same.status, same.text, same.headers.etag], [304, "", etag]);
  assert.ok(same.headers["last-modified"] !== undefined);
  const past = "Thu, 01 Jan 2015 00:00:00 GMT";
  assert.equal((await get({ "if-unmodified-since": past })).status, 412);
  assert.equal((await get({ "if-match": etag, "if-unmodified-since": past })).status, 200);
  assert.equal((await get({ "if-modified-since": past })).status, 200);
});

test("writes are judged by their conditions", async (t) => {
  const { call } = await startS3(t);
  const put = (target: string, headers: Record<string, string>) =>
    call("PUT", target, { headers, body: "y" });
  assert.equal((await put("/s3/demo/new", { "if-match": '"x"' })).code, "NoSuchKey");
  assert.equal((await put("/s3/demo/new", { "if-none-match": "*" })).status, 200);
  const there = await put("/s3/demo/new", { "if-none-match": "*" });
  assert.deepEqual([there.status, there.code], [412, "PreconditionFailed"]);
  const etag = (await call("HEAD", "/s3/demo/new")).headers.etag ?? "";
  assert.equal((await put("/s3/demo/new", { "if-match": '"other"' })).code, "PreconditionFailed");
  assert.equal((await put("/s3/demo/new", { "if-match": etag })).status, 200);
  assert.equal((await put("/s3/demo/new", { "if-none-match": '"a"' })).code, "NotImplemented");
  const del = (headers: Record<string, string>) => call("DELETE", "/s3/demo/new", { headers });
  assert.equal((await del({ "if-match": '"other"' })).code, "PreconditionFailed");
  assert.equal((await del({ "if-match": "*" })).status, 204);
});

test("of writers who all ask that the key be free, one wins", async (t) => {
  const { call } = await startS3(t);
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      call("PUT", "/s3/demo/race", { headers: { "if-none-match": "*" }, body: `${index}` }),
    ),
  );
  const statuses = answers.map(({ status }) => status);
  assert.equal(statuses.filter((status) => status === 200).length, 1);
  assert.ok(
    statuses.every((status) => [200, 409, 412].includes(status)),
    String(statuses),
  );
  const winner = statuses.indexOf(200);
  assert.equal((await call("GET", "/s3/demo/race")).text, `${winner}`);
});

test("deleting answers the same whether or not there was an object", async (t) => {
  const client = (await startS3(t)).client();
  await client.send(new PutObjectCommand({ Bucket, Key: "gone", Body: "x" }));
  for (let round = 0; round < 2; round += 1) {
    const { $metadata } = await client.send(new DeleteObjectCommand({ Bucket, Key: "gone" }));
    assert.equal($metadata.httpStatusCode, 204);
  }
  await assert.rejects(client.send(new GetObjectCommand({ Bucket, Key: "gone" })), {
    name: "NoSuchKey",
  });
});

test("odd keys are other keys, each with its own bytes", async (t) => {
  const client = (await startS3(t)).client();
  const keys = [
    ...["/", "//", "a//b", "/a", "a/", "a b", "a+b", "a%2Fb", "a%b", "a?b", "a&b", "a#b", "a=b"],
    ...["ü", "😀", "\u0001\t", "a\\b", "*'()!", "x".repeat(1024), "é".repeat(512), "a;b:c@d,e$f"],
  ];
  for (const Key of keys) {
    await client.send(new PutObjectCommand({ Bucket, Key, Body: `body of ${Key}` }));
  }
  for (const Key of keys) {
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
    assert.equal(await Body?.transformToString(), `body of ${Key}`);
  }
  await assert.rejects(
    client.send(new PutObjectCommand({ Bucket, Key: "x".repeat(1025), Body: "x" })),
    { name: "KeyTooLongError" },
  );
});

test("whatever type is shown, what a browser would run is in a sandbox", async (t) => {
  const { call } = await startS3(t);
  const types = ["text/html", "text/plain, text/html", "text/plain; a=b, text/html"];
  for (const type of types) {
    await call("PUT", "/s3/demo/k", { headers: { "content-type": type }, body: "plain" });
    const { headers } = await call("GET", "/s3/demo/k");
    assert.equal(headers["content-type"], type);
    assert.match(headers["content-security-policy"]?.toString() ?? "", /^sandbox/, type);
    assert.equal(headers["x-content-type-options"], "nosniff");
  }
  await call("PUT", "/s3/demo/k", { headers: { "content-type": "text/plain" }, body: "plain" });
  const overridden = await call("GET", "/s3/demo/k?response-content-type=a%2Fb,text%2Fhtml");
  assert.match(overridden.headers["content-security-policy"]?.toString() ?? "", /^sandbox/);
  const plain = await call("GET", "/s3/demo/k");
  assert.equal(plain.headers["content-security-policy"], undefined);
});
