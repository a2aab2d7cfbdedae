/** Deleting many, copying, tags and attributes, by the AWS SDK. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import {
  CopyObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { startS3 } from "../testing.ts";

const Bucket = "demo";

async function put(client: S3Client, Key: string, Body = "x", more: object = {}): Promise<string> {
  const { ETag = "" } = await client.send(new PutObjectCommand({ Bucket, Key, Body, ...more }));
  return ETag;
}

test("many keys are deleted at once, each answered by itself", async (t) => {
  const client = (await startS3(t)).client();
  for (const key of ["a", "b&<", "c"]) await put(client, key);
  const { Deleted = [], Errors = [] } = await client.send(
    new DeleteObjectsCommand({
      Bucket,
      Delete: {
        Objects: [
          { Key: "a" },
          { Key: "b&<" },
          { Key: "missing" },
          { Key: "c", VersionId: "other" },
          { Key: "x".repeat(1025) },
        ],
      },
    }),
  );
  assert.deepEqual(Deleted.map(({ Key }) => Key).toSorted(), ["a", "b&<", "missing"]);
  assert.deepEqual(Errors.map(({ Code }) => Code).toSorted(), ["KeyTooLongError", "NoSuchVersion"]);
  const quiet = await client.send(
    new DeleteObjectsCommand({ Bucket, Delete: { Quiet: true, Objects: [{ Key: "c" }] } }),
  );
  assert.equal(quiet.Deleted, undefined);
  await assert.rejects(client.send(new HeadObjectCommand({ Bucket, Key: "c" })), {
    name: "NotFound",
  });
});

test("a key with a tag is deleted only while its object has that tag", async (t) => {
  const client = (await startS3(t)).client();
  const ETag = await put(client, "k");
  const del = (etag: string) =>
    client.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: "k", ETag: etag }] } }),
    );
  assert.equal((await del('"other"')).Errors?.[0]?.Code, "PreconditionFailed");
  assert.equal((await del(ETag)).Deleted?.[0]?.Key, "k");
});

test("a list of keys without a checksum, or with another, deletes nothing", async (t) => {
  const { call } = await startS3(t);
  await call("PUT", "/s3/demo/k", { body: "x" });
  const body = "<Delete><Object><Key>k</Key></Object></Delete>";
  const post = (headers: Record<string, string>, sent = body) =>
    call("POST", "/s3/demo?delete", { headers, body: sent });
  assert.equal((await post({})).code, "InvalidRequest");
  const md5 = createHash("md5").update("other").digest("base64");
  assert.equal((await post({ "content-md5": md5 })).code, "BadDigest");
  assert.equal((await call("HEAD", "/s3/demo/k")).status, 200);
  const good = (text: string) => ({
    "content-md5": createHash("md5").update(text).digest("base64"),
  });
  assert.equal((await post(good("<Delete/>"), "<Delete/>")).code, "MalformedXML");
  assert.equal((await post(good("<x>"), "<x>")).code, "MalformedXML");
  const many = `<Delete>${"<Object><Key>k</Key></Object>".repeat(1001)}</Delete>`;
  assert.equal((await post(good(many), many)).code, "MalformedXML");
  assert.equal((await post(good(body))).status, 200);
  assert.equal((await call("HEAD", "/s3/demo/k")).status, 404);
});

test("a copy keeps what the source has, or gets what is told", async (t) => {
  const client = (await startS3(t)).client();
  const described = {
    ContentType: "text/plain",
    CacheControl: "max-age=1",
    Metadata: { a: "1" },
    Tagging: "t=1",
  };
  const ETag = await put(client, "from +%/ü", "bytes", described);
  const CopySource = `${Bucket}/${encodeURIComponent("from +%/ü")}`;
  const { CopyObjectResult } = await client.send(
    new CopyObjectCommand({ Bucket, Key: "kept", CopySource }),
  );
  assert.equal(CopyObjectResult?.ETag, ETag);
  assert.ok(CopyObjectResult?.LastModified instanceof Date);
  const kept = await client.send(new GetObjectCommand({ Bucket, Key: "kept" }));
  assert.equal(await kept.Body?.transformToString(), "bytes");
  assert.deepEqual(kept.Metadata, { a: "1" });
  assert.deepEqual(
    [kept.CacheControl, kept.ContentType, kept.TagCount],
    ["max-age=1", "text/plain", 1],
  );
  await client.send(
    new CopyObjectCommand({
      Bucket,
      Key: "replaced",
      CopySource: `/${CopySource}?versionId=null`,
      MetadataDirective: "REPLACE",
      TaggingDirective: "REPLACE",
      Metadata: { b: "2" },
      ContentType: "text/css",
      Tagging: "u=2&v=3",
      ChecksumAlgorithm: "SHA256",
    }),
  );
  const replaced = await client.send(
    new HeadObjectCommand({ Bucket, Key: "replaced", ChecksumMode: "ENABLED" }),
  );
  assert.deepEqual(replaced.Metadata, { b: "2" });
  assert.deepEqual([replaced.CacheControl, replaced.ContentType], [undefined, "text/css"]);
  assert.equal(replaced.ChecksumSHA256, createHash("sha256").update("bytes").digest("base64"));
  const { TagSet } = await client.send(new GetObjectTaggingCommand({ Bucket, Key: "replaced" }));
  assert.deepEqual(TagSet, [
    { Key: "u", Value: "2" },
    { Key: "v", Value: "3" },
  ]);
});

test("a copy onto itself must change something", async (t) => {
  const client = (await startS3(t)).client();
  await put(client, "k");
  const copy = { Bucket, Key: "k", CopySource: `${Bucket}/k` };
  await assert.rejects(client.send(new CopyObjectCommand(copy)), { name: "InvalidRequest" });
  await client.send(
    new CopyObjectCommand({ ...copy, MetadataDirective: "REPLACE", Metadata: { n: "1" } }),
  );
  const { Metadata } = await client.send(new HeadObjectCommand({ Bucket, Key: "k" }));
  assert.deepEqual(Metadata, { n: "1" });
});

test("copies are judged by conditions on both ends", async (t) => {
  const client = (await startS3(t)).client();
  const ETag = await put(client, "k");
  const copy = (more: object) =>
    client.send(new CopyObjectCommand({ Bucket, Key: "to", CopySource: `${Bucket}/k`, ...more }));
  const failed = { name: "PreconditionFailed" };
  await assert.rejects(copy({ CopySourceIfMatch: '"x"' }), failed);
  await assert.rejects(copy({ CopySourceIfNoneMatch: ETag }), failed);
  await assert.rejects(copy({ CopySourceIfModifiedSince: new Date() }), failed);
  await assert.rejects(copy({ CopySourceIfUnmodifiedSince: new Date(0) }), failed);
  await copy({ CopySourceIfMatch: ETag, IfNoneMatch: "*" });
  await assert.rejects(copy({ IfNoneMatch: "*" }), failed);
});

test("a source that is not one is refused", async (t) => {
  const { call } = await startS3(t);
  const code = async (source: string) =>
    (await call("PUT", "/s3/demo/to", { headers: { "x-amz-copy-source": source } })).code;
  for (const source of ["", "/", "demo", "demo/", "/demo/", "demo/%ff"]) {
    assert.equal(await code(source), "InvalidArgument", source);
  }
  assert.equal(await code("demo/missing"), "NoSuchKey");
  assert.equal(await code("missing/k"), "NoSuchBucket");
  assert.equal(await code("demo/k?versionId=other"), "NoSuchVersion");
});

test("tags are set, read and removed without touching the object", async (t) => {
  const client = (await startS3(t)).client();
  await put(client, "k", "x", { Tagging: "old=1" });
  const before = await client.send(new HeadObjectCommand({ Bucket, Key: "k" }));
  const TagSet = [
    { Key: "a b", Value: "<&>".replace(/[<&>]/g, "=") },
    { Key: "ü", Value: "" },
  ];
  await client.send(new PutObjectTaggingCommand({ Bucket, Key: "k", Tagging: { TagSet } }));
  const got = await client.send(new GetObjectTaggingCommand({ Bucket, Key: "k" }));
  assert.deepEqual(got.TagSet, TagSet);
  const after = await client.send(new HeadObjectCommand({ Bucket, Key: "k" }));
  assert.deepEqual([after.ETag, after.LastModified], [before.ETag, before.LastModified]);
  assert.equal(after.TagCount, 2);
  await client.send(new DeleteObjectTaggingCommand({ Bucket, Key: "k" }));
  const none = await client.send(new GetObjectTaggingCommand({ Bucket, Key: "k" }));
  assert.deepEqual(none.TagSet, []);
  await assert.rejects(client.send(new GetObjectTaggingCommand({ Bucket, Key: "missing" })), {
    name: "NoSuchKey",
  });
});

test("tags that are too many, too long or double are refused", async (t) => {
  const client = (await startS3(t)).client();
  const tag = (TagSet: { Key: string; Value: string }[]) =>
    client.send(new PutObjectTaggingCommand({ Bucket, Key: "k", Tagging: { TagSet } }));
  await put(client, "k");
  const invalid = { name: "InvalidTag" };
  const eleven = Array.from({ length: 11 }, (_, index) => ({ Key: `${index}`, Value: "" }));
  await assert.rejects(tag(eleven), invalid);
  await assert.rejects(tag([{ Key: "x".repeat(129), Value: "" }]), invalid);
  await assert.rejects(tag([{ Key: "x", Value: "x".repeat(257) }]), invalid);
  await assert.rejects(tag([...eleven.slice(0, 1), ...eleven.slice(0, 1)]), invalid);
  await assert.rejects(put(client, "other", "x", { Tagging: "a=1&a=2" }), invalid);
  await tag([{ Key: "x".repeat(128), Value: "x".repeat(256) }, ...eleven.slice(0, 9)]);
});

test("attributes are those that were asked for", async (t) => {
  const { client: clientOf, call } = await startS3(t);
  const client = clientOf();
  const ETag = await put(client, "k", "123456789");
  const got = await client.send(
    new GetObjectAttributesCommand({
      Bucket,
      Key: "k",
      ObjectAttributes: ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"],
    }),
  );
  assert.equal(got.ETag, ETag.slice(1, -1));
  assert.equal(got.Checksum?.ChecksumCRC32, "y/Q5Jg==");
  assert.equal(got.Checksum?.ChecksumType, "FULL_OBJECT");
  assert.equal(got.ObjectParts, undefined);
  assert.deepEqual([got.StorageClass, got.ObjectSize], ["STANDARD", 9]);
  assert.ok(got.LastModified instanceof Date);
  const size = await client.send(
    new GetObjectAttributesCommand({ Bucket, Key: "k", ObjectAttributes: ["ObjectSize"] }),
  );
  assert.deepEqual([size.ETag, size.ObjectSize], [undefined, 9]);
  assert.equal((await call("GET", "/s3/demo/k?attributes")).code, "InvalidRequest");
});
