/** Uploads in parts by the AWS SDK: whatever the order of the parts, the object is right or is not there. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { startS3 } from "../testing.ts";

const Bucket = "demo";
const MiB = 1024 * 1024;

const md5 = (bytes: Buffer): Buffer => createHash("md5").update(bytes).digest();

function multipartTag(parts: readonly Buffer[]): string {
  return `"${md5(Buffer.concat(parts.map(md5))).toString("hex")}-${parts.length}"`;
}

async function begin(
  client: S3Client,
  Key: string,
  more: Partial<CreateMultipartUploadCommandInput> = {},
): Promise<string> {
  const made = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ...more }));
  assert.equal(made.Key, Key);
  return made.UploadId ?? "";
}

async function bytesOf(client: S3Client, Key: string): Promise<Buffer> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

test("parts in any order, with gaps and repeated, become the object", async (t) => {
  const client = (await startS3(t)).client();
  const Key = "dir/whole +";
  const UploadId = await begin(client, Key, {
    ContentType: "text/plain",
    Metadata: { a: "1" },
    CacheControl: "max-age=3",
    Tagging: "t=1",
  });
  const parts = [randomBytes(5 * MiB), randomBytes(6 * MiB), randomBytes(77)];
  const numbers = [2, 5, 9];
  const send = (PartNumber: number, Body: Buffer) =>
    client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }));
  await send(5, randomBytes(5 * MiB));
  await send(7, randomBytes(10));
  const tags = await Promise.all(
    [2, 1, 0].map(async (index) => {
      const { ETag } = await send(numbers[index] ?? 0, parts[index] ?? Buffer.alloc(0));
      return { PartNumber: numbers[index] ?? 0, ETag };
    }),
  );
  const Parts = tags.toSorted((a, b) => a.PartNumber - b.PartNumber);
  assert.equal(Parts[0]?.ETag, `"${md5(parts[0] ?? Buffer.alloc(0)).toString("hex")}"`);
  const complete = { Bucket, Key, UploadId, MultipartUpload: { Parts } };
  const made = await client.send(new CompleteMultipartUploadCommand(complete));
  assert.equal(made.ETag, multipartTag(parts));
  assert.match(made.Location ?? "", /^http:.*\/s3\/demo\/dir\/whole%20%2B$/);
  assert.deepEqual(await bytesOf(client, Key), Buffer.concat(parts));
  const head = await client.send(new HeadObjectCommand({ Bucket, Key }));
  assert.deepEqual([head.ContentType, head.CacheControl], ["text/plain", "max-age=3"]);
  assert.deepEqual([head.Metadata, head.TagCount], [{ a: "1" }, 1]);
  const again = await client.send(new CompleteMultipartUploadCommand(complete));
  assert.equal(again.ETag, made.ETag);
});

test("each part can be read by its number", async (t) => {
  const client = (await startS3(t)).client();
  const Key = "k";
  const UploadId = await begin(client, Key);
  const parts = [randomBytes(5 * MiB), randomBytes(3)];
  const Parts = [];
  for (const [index, Body] of parts.entries()) {
    const part = { Bucket, Key, UploadId, PartNumber: index + 1, Body };
    const { ETag } = await client.send(new UploadPartCommand(part));
    Parts.push({ ETag, PartNumber: index + 1 });
  }
  await client.send(
    new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
  );
  const second = await client.send(new GetObjectCommand({ Bucket, Key, PartNumber: 2 }));
  assert.deepEqual(Buffer.from((await second.Body?.transformToByteArray()) ?? []), parts[1]);
  assert.equal(second.PartsCount, 2);
  assert.equal(second.ContentRange, `bytes ${5 * MiB}-${5 * MiB + 2}/${5 * MiB + 3}`);
  const head = await client.send(new HeadObjectCommand({ Bucket, Key, PartNumber: 1 }));
  assert.equal(head.ContentLength, 5 * MiB);
  await assert.rejects(client.send(new GetObjectCommand({ Bucket, Key, PartNumber: 3 })), {
    name: "InvalidPart",
  });
  const { ObjectParts } = await client.send(
    new GetObjectAttributesCommand({ Bucket, Key, ObjectAttributes: ["ObjectParts"], MaxParts: 1 }),
  );
  assert.equal(ObjectParts?.TotalPartsCount, 2);
  assert.equal(ObjectParts?.IsTruncated, true);
  const { ChecksumCRC64NVME, ...first } = ObjectParts?.Parts?.[0] ?? {};
  assert.deepEqual([first, ChecksumCRC64NVME?.length], [{ PartNumber: 1, Size: 5 * MiB }, 12]);
});

test("what is asked of a completion is checked, and the upload goes on", async (t) => {
  const { client: clientOf, call } = await startS3(t);
  const client = clientOf();
  const Key = "k";
  const UploadId = await begin(client, Key);
  const send = async (PartNumber: number, Body: Buffer) => {
    const part = { Bucket, Key, UploadId, PartNumber, Body };
    return (await client.send(new UploadPartCommand(part))).ETag ?? "";
  };
  const [one, two] = [await send(1, Buffer.alloc(10)), await send(2, Buffer.alloc(5 * MiB, 1))];
  const complete = (...parts: readonly (readonly [number, string])[]) => {
    const Parts = parts.map(([PartNumber, ETag]) => ({ PartNumber, ETag }));
    const asked = { Bucket, Key, UploadId, MultipartUpload: { Parts } };
    return client.send(new CompleteMultipartUploadCommand(asked));
  };
  await assert.rejects(complete([2, two], [1, one]), { name: "InvalidPartOrder" });
  await assert.rejects(complete([1, one], [1, one]), { name: "InvalidPartOrder" });
  await assert.rejects(complete([1, one], [2, two]), { name: "EntityTooSmall" });
  await assert.rejects(complete([1, two]), { name: "InvalidPart" });
  await assert.rejects(complete([3, one]), { name: "InvalidPart" });
  await assert.rejects(complete(), { name: "MalformedXML" });
  const target = `/s3/demo/k?uploadId=${UploadId}`;
  const document = `<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>${two.replaceAll('"', "")}</ETag></Part></CompleteMultipartUpload>`;
  const size = { "x-amz-mp-object-size": "5" };
  const wrong = await call("POST", target, { body: document, headers: size });
  assert.equal(wrong.code, "InvalidRequest");
  const crc = { "x-amz-checksum-crc64nvme": "AAAAAAAAAAA=" };
  const bad = await call("POST", target, { body: document, headers: crc });
  assert.equal(bad.code, "BadDigest");
  const exists = { "if-match": '"x"' };
  assert.equal((await call("POST", target, { body: document, headers: exists })).code, "NoSuchKey");
  assert.equal((await call("HEAD", "/s3/demo/k")).status, 404);
  const good = await call("POST", target, { body: document, headers: { "if-none-match": "*" } });
  assert.equal(good.status, 200);
  assert.deepEqual(await bytesOf(client, Key), Buffer.alloc(5 * MiB, 1));
});

test("a part that differs from what was declared of it is not one", async (t) => {
  const { call } = await startS3(t);
  const made = await call("POST", "/s3/demo/k?uploads");
  const uploadId = /<UploadId>([^<]+)/.exec(made.text)?.[1] ?? "";
  const put = (headers: Record<string, string>, number = "1") =>
    call("PUT", `/s3/demo/k?partNumber=${number}&uploadId=${uploadId}`, { headers, body: "x" });
  const md5Other = createHash("md5").update("y").digest("base64");
  assert.equal((await put({ "content-md5": md5Other })).code, "BadDigest");
  assert.equal((await put({ "x-amz-checksum-crc32": "AAAAAA==" })).code, "BadDigest");
  const signed = { "x-amz-content-sha256": createHash("sha256").update("y").digest("hex") };
  assert.equal((await put(signed)).code, "XAmzContentSHA256Mismatch");
  assert.equal((await put({}, "0")).code, "InvalidArgument");
  assert.equal((await put({}, "10001")).code, "InvalidArgument");
  assert.equal((await call("PUT", `/s3/demo/k?uploadId=${uploadId}`)).code, "InvalidArgument");
  const listed = await call("GET", `/s3/demo/k?uploadId=${uploadId}`);
  assert.equal(listed.text.includes("<Part>"), false);
  assert.equal((await put({}, "10000")).status, 200);
  const other = await call("GET", `/s3/demo/other?uploadId=${uploadId}`);
  assert.deepEqual([other.status, other.code], [404, "NoSuchUpload"]);
});

test("parts and uploads are listed a page at a time", async (t) => {
  const client = (await startS3(t)).client();
  const Key = "a/k";
  const UploadId = await begin(client, Key, { ChecksumAlgorithm: "CRC32" });
  for (const PartNumber of [1, 3, 4]) {
    const Body = Buffer.alloc(PartNumber);
    await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }));
  }
  const list = { Bucket, Key, UploadId, MaxParts: 2 };
  const first = await client.send(new ListPartsCommand(list));
  assert.deepEqual(
    first.Parts?.map(({ PartNumber, Size }) => [PartNumber, Size]),
    [
      [1, 1],
      [3, 3],
    ],
  );
  assert.deepEqual([first.IsTruncated, first.NextPartNumberMarker], [true, "3"]);
  assert.equal(first.ChecksumAlgorithm, "CRC32");
  const zero = Buffer.alloc(4);
  zero.writeUInt32BE(crc32(Buffer.alloc(1)));
  assert.equal(first.Parts?.[0]?.ChecksumCRC32, zero.toString("base64"));
  const rest = await client.send(
    new ListPartsCommand({ ...list, PartNumberMarker: first.NextPartNumberMarker }),
  );
  assert.deepEqual([rest.Parts?.[0]?.PartNumber, rest.IsTruncated], [4, false]);

  const ids = [await begin(client, "a/l"), await begin(client, "b"), await begin(client, "b")];
  const all = await client.send(new ListMultipartUploadsCommand({ Bucket }));
  assert.deepEqual(
    all.Uploads?.map((upload) => [upload.Key, upload.UploadId]),
    [
      ["a/k", UploadId],
      ["a/l", ids[0]],
      ["b", ids[1]],
      ["b", ids[2]],
    ],
  );
  const page = await client.send(new ListMultipartUploadsCommand({ Bucket, MaxUploads: 3 }));
  assert.equal(page.IsTruncated, true);
  const next = await client.send(
    new ListMultipartUploadsCommand({
      Bucket,
      KeyMarker: page.NextKeyMarker,
      UploadIdMarker: page.NextUploadIdMarker,
    }),
  );
  assert.deepEqual(
    next.Uploads?.map((upload) => upload.UploadId),
    [ids[2]],
  );
  const grouped = await client.send(new ListMultipartUploadsCommand({ Bucket, Delimiter: "/" }));
  assert.deepEqual(grouped.CommonPrefixes, [{ Prefix: "a/" }]);
  assert.equal(grouped.Uploads?.length, 2);
  const below = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: "a/l" }));
  assert.deepEqual(
    below.Uploads?.map((upload) => upload.UploadId),
    [ids[0]],
  );
});

test("an upload that is given up is gone, with its parts", async (t) => {
  const client = (await startS3(t)).client();
  const Key = "k";
  const UploadId = await begin(client, Key);
  const { ETag } = await client.send(
    new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: "x" }),
  );
  const { $metadata } = await client.send(
    new AbortMultipartUploadCommand({ Bucket, Key, UploadId }),
  );
  assert.equal($metadata.httpStatusCode, 204);
  const gone = { name: "NoSuchUpload" };
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
  for (const command of [
    new AbortMultipartUploadCommand({ Bucket, Key, UploadId }),
    new ListPartsCommand({ Bucket, Key, UploadId }),
    new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: "x" }),
    new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }),
  ]) {
    await assert.rejects(client.send(command as ListPartsCommand), gone);
  }
  await assert.rejects(client.send(new HeadObjectCommand({ Bucket, Key })), { name: "NotFound" });
});

test("parts are copied from objects, whole or a range", async (t) => {
  const client = (await startS3(t)).client();
  const source = randomBytes(6 * MiB);
  const put = { Bucket, Key: "source +", Body: source };
  const { ETag: sourceTag } = await client.send(new PutObjectCommand(put));
  const Key = "k";
  const UploadId = await begin(client, Key);
  const CopySource = `${Bucket}/${encodeURIComponent("source +")}`;
  const copy = async (PartNumber: number, more: object = {}) => {
    const part = { Bucket, Key, UploadId, PartNumber, CopySource, ...more };
    return (await client.send(new UploadPartCopyCommand(part))).CopyPartResult;
  };
  const one = await copy(1, { CopySourceIfMatch: sourceTag });
  const two = await copy(2, { CopySourceRange: "bytes=10-19" });
  assert.ok(one?.LastModified instanceof Date);
  const wrong = { name: "InvalidArgument" };
  await assert.rejects(copy(3, { CopySourceRange: `bytes=0-${6 * MiB}` }), wrong);
  await assert.rejects(copy(3, { CopySourceRange: "bytes=5-" }), wrong);
  await assert.rejects(copy(3, { CopySourceRange: "bytes=5-4" }), wrong);
  await assert.rejects(copy(3, { CopySourceIfNoneMatch: "*" }), { name: "PreconditionFailed" });
  await assert.rejects(copy(3, { CopySource: `${Bucket}/missing` }), { name: "NoSuchKey" });
  const Parts = [
    { PartNumber: 1, ETag: one?.ETag },
    { PartNumber: 2, ETag: two?.ETag },
  ];
  const complete = { Bucket, Key, UploadId, MultipartUpload: { Parts } };
  await client.send(new CompleteMultipartUploadCommand(complete));
  assert.deepEqual(await bytesOf(client, Key), Buffer.concat([source, source.subarray(10, 20)]));
});

test("checksums of the whole are of all bytes, or of those of the parts", async (t) => {
  const client = (await startS3(t)).client();
  const parts = [randomBytes(5 * MiB), randomBytes(1000)];
  const crcOf = (bytes: Buffer): Buffer => {
    const value = Buffer.alloc(4);
    value.writeUInt32BE(crc32(bytes));
    return value;
  };
  const composite = `${crcOf(Buffer.concat(parts.map(crcOf))).toString("base64")}-2`;
  const full = crcOf(Buffer.concat(parts)).toString("base64");
  for (const ChecksumType of ["COMPOSITE", "FULL_OBJECT"] as const) {
    const Key = ChecksumType;
    const UploadId = await begin(client, Key, { ChecksumAlgorithm: "CRC32", ChecksumType });
    const Parts = [];
    for (const [index, Body] of parts.entries()) {
      const part = { Bucket, Key, UploadId, PartNumber: index + 1, Body };
      const sent = await client.send(
        new UploadPartCommand({ ...part, ChecksumAlgorithm: "CRC32" }),
      );
      assert.equal(sent.ChecksumCRC32, crcOf(Body).toString("base64"));
      const { ETag, ChecksumCRC32 } = sent;
      Parts.push({ ETag, ChecksumCRC32, PartNumber: index + 1 });
    }
    const complete = { Bucket, Key, UploadId, MultipartUpload: { Parts }, ChecksumType };
    const made = await client.send(new CompleteMultipartUploadCommand(complete));
    const value = ChecksumType === "COMPOSITE" ? composite : full;
    assert.deepEqual([made.ChecksumCRC32, made.ChecksumType], [value, ChecksumType]);
    const got = await client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
    assert.deepEqual([got.ChecksumCRC32, got.ChecksumType], [value, ChecksumType]);
    const { ObjectParts } = await client.send(
      new GetObjectAttributesCommand({ Bucket, Key, ObjectAttributes: ["ObjectParts"] }),
    );
    assert.deepEqual(
      ObjectParts?.Parts,
      parts.map((bytes, index) => ({
        PartNumber: index + 1,
        Size: bytes.length,
        ChecksumCRC32: crcOf(bytes).toString("base64"),
      })),
    );
    for (const Command of [GetObjectCommand, HeadObjectCommand]) {
      const part = { Bucket, Key, PartNumber: 2, ChecksumMode: "ENABLED" } as const;
      const second = await client.send(new Command(part));
      assert.equal(second.ChecksumCRC32, crcOf(parts[1] ?? Buffer.of()).toString("base64"));
    }
  }
  const pair = { ChecksumAlgorithm: "SHA1", ChecksumType: "FULL_OBJECT" } as const;
  await assert.rejects(begin(client, "k", pair), { name: "InvalidRequest" });
  await assert.rejects(begin(client, "k", { ChecksumType: "COMPOSITE" }), {
    name: "InvalidRequest",
  });
});

test("lib-storage's own uploads arrive whole", async (t) => {
  const client = (await startS3(t)).client();
  const Body = randomBytes(17 * MiB + 5);
  const upload = new Upload({ client, params: { Bucket, Key: "lib", Body }, queueSize: 4 });
  await upload.done();
  assert.deepEqual(await bytesOf(client, "lib"), Body);
});
