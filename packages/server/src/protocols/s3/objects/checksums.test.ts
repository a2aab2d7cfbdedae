/** Checksums of requests: compared, kept, shown; and what is wrong stores nothing. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import {
  type ChecksumAlgorithm,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { type S3Server, startS3 } from "../testing.ts";

const Bucket = "demo";
const digits = "123456789";

/** Of the digits; the CRCs are the catalogue's check values. */
const expected: Readonly<Record<string, string>> = {
  CRC32: Buffer.from("cbf43926", "hex").toString("base64"),
  CRC32C: Buffer.from("e3069283", "hex").toString("base64"),
  CRC64NVME: Buffer.from("ae8b14860a799888", "hex").toString("base64"),
  SHA1: createHash("sha1").update(digits).digest("base64"),
  SHA256: createHash("sha256").update(digits).digest("base64"),
};

async function storedNothing(s3: S3Server, key: string): Promise<void> {
  assert.equal((await s3.call("HEAD", `/s3/demo/${key}`)).status, 404);
}

test("every checksum that the SDK makes is compared, kept and shown again", async (t) => {
  const client = (await startS3(t)).client();
  for (const [algorithm, value] of Object.entries(expected)) {
    const name = `Checksum${algorithm}` as "ChecksumCRC32";
    for (const kind of ["header", "trailer"]) {
      const Key = `${algorithm}/${kind}`;
      const Body = kind === "header" ? digits : Readable.from([Buffer.from(digits)]);
      const put = await client.send(
        new PutObjectCommand({
          Bucket,
          Key,
          Body,
          ContentLength: digits.length,
          ChecksumAlgorithm: algorithm as ChecksumAlgorithm,
        }),
      );
      assert.equal(put[name], value, Key);
      assert.equal(put.ChecksumType, "FULL_OBJECT");
      const head = await client.send(
        new HeadObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }),
      );
      assert.equal(head[name], value, Key);
      const { Body: got } = await client.send(new GetObjectCommand({ Bucket, Key }));
      assert.equal(await got?.transformToString(), digits);
    }
  }
});

test("without a checksum from the client the object has CRC-64/NVME", async (t) => {
  const { call } = await startS3(t);
  const { headers } = await call("PUT", "/s3/demo/k", { body: digits });
  assert.equal(headers["x-amz-checksum-crc64nvme"], expected.CRC64NVME);
  assert.equal(headers["x-amz-checksum-type"], "FULL_OBJECT");
});

test("a wrong checksum in a header is a bad digest, and stores nothing", async (t) => {
  const s3 = await startS3(t);
  for (const [algorithm, value] of Object.entries(expected)) {
    const name = `x-amz-checksum-${algorithm.toLowerCase()}`;
    const other = Buffer.from(value, "base64");
    other[0] = (other[0] ?? 0) ^ 1;
    const headers = { [name]: other.toString("base64") };
    const { status, code } = await s3.call("PUT", "/s3/demo/bad", { headers, body: digits });
    assert.deepEqual([status, code], [400, "BadDigest"], name);
  }
  const md5 = createHash("md5").update("other").digest("base64");
  const wrong = await s3.call("PUT", "/s3/demo/bad", {
    headers: { "content-md5": md5 },
    body: digits,
  });
  assert.deepEqual([wrong.status, wrong.code], [400, "BadDigest"]);
  await storedNothing(s3, "bad");
});

test("what is no checksum at all is refused before the body", async (t) => {
  const s3 = await startS3(t);
  const code = async (headers: Record<string, string>) =>
    (await s3.call("PUT", "/s3/demo/bad", { headers, body: digits })).code;
  const crc = expected.CRC32 ?? "";
  assert.equal(await code({ "content-md5": "abc" }), "InvalidDigest");
  assert.equal(await code({ "x-amz-checksum-crc32": "AAAA" }), "InvalidRequest");
  assert.equal(await code({ "x-amz-checksum-crc32": "not base64" }), "InvalidRequest");
  assert.equal(await code({ "x-amz-checksum-md5": "AAAA" }), "InvalidRequest");
  assert.equal(await code({ "x-amz-sdk-checksum-algorithm": "CRC32" }), "InvalidRequest");
  assert.equal(
    await code({ "x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": crc }),
    "InvalidRequest",
  );
  assert.equal(
    await code({ "x-amz-checksum-crc32c": expected.CRC32C ?? "", "x-amz-checksum-crc32": crc }),
    "InvalidRequest",
  );
  await storedNothing(s3, "bad");
});

test("a body other than the signed one is refused, and stores nothing", async (t) => {
  const s3 = await startS3(t);
  const headers = { "x-amz-content-sha256": createHash("sha256").update("other").digest("hex") };
  const { status, code } = await s3.call("PUT", "/s3/demo/bad", { headers, body: digits });
  assert.deepEqual([status, code], [400, "XAmzContentSHA256Mismatch"]);
  await storedNothing(s3, "bad");
});

/** Unsigned chunks of the digits and a trailer. */
function chunked(trailer: string): string {
  return `4\r\n${digits.slice(0, 4)}\r\n5\r\n${digits.slice(4)}\r\n0\r\n${trailer}\r\n`;
}

test("a trailer is compared, and stores nothing where it is wrong", async (t) => {
  const s3 = await startS3(t);
  const put = async (trailer: string, named = "x-amz-checksum-crc32", length = "9") =>
    s3.call("PUT", "/s3/demo/bad", {
      headers: {
        "content-encoding": "aws-chunked",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": length,
        "x-amz-trailer": named,
      },
      body: chunked(trailer),
    });
  const wrong = await put("x-amz-checksum-crc32:AAAAAA==\r\n");
  assert.deepEqual([wrong.status, wrong.code], [400, "BadDigest"]);
  assert.equal((await put("x-amz-checksum-crc32:AAAA\r\n")).code, "InvalidRequest");
  assert.equal((await put("")).code, "MalformedTrailerError");
  assert.equal((await put("x-amz-checksum-sha1:AAAA\r\n")).code, "MalformedTrailerError");
  const good = `x-amz-checksum-crc32:${expected.CRC32}\r\n`;
  assert.equal((await put(good, "x-amz-checksum-crc32", "8")).code, "IncompleteBody");
  await storedNothing(s3, "bad");
  assert.equal((await put(good)).status, 200);
  const got = await s3.call("GET", "/s3/demo/bad");
  assert.equal(got.text, digits);
  assert.equal(got.headers["content-encoding"], undefined);
  assert.equal(crc32(got.body), 0xcbf43926);
});
