/** Objects, listings and buckets by the AWS SDK for JavaScript. */
import { strict as assert } from "node:assert";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { Agent } from "node:http";
import { Agent as SecureAgent } from "node:https";
import type { LookupFunction } from "node:net";
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectTaggingCommand,
  paginateListObjectsV2,
  type S3Client,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { awkwardKey } from "../client.ts";
import { type AwsSdkCases, openAwsSdk, sha256Got } from "./sdk.ts";

export const objectCases: AwsSdkCases = {
  "puts and gets bytes and streams, over http and https": async (t, { client, target }) => {
    const { bucket: Bucket, small } = target;
    const ca = await readFile(target.certificate);
    const secure = openAwsSdk(t, target, {
      endpoint: target.secureEndpoint,
      requestHandler: { httpsAgent: new SecureAgent({ ca, keepAlive: true }) },
    });
    for (const [Key, by] of Object.entries({ plain: client, secure })) {
      const whole = await by.send(
        new PutObjectCommand({ Bucket, Key, Body: await readFile(small.path) }),
      );
      assert.match(whole.ETag ?? "", /^"[0-9a-f]{32}"$/);
      assert.equal(await sha256Got(by, target, Key), small.sha256);
      await by.send(new PutObjectCommand({ Bucket, Key, Body: createReadStream(small.path) }));
      assert.equal(await sha256Got(by, target, Key), small.sha256);
    }
    await client.send(new PutObjectCommand({ Bucket, Key: "empty" }));
    const empty = await client.send(new GetObjectCommand({ Bucket, Key: "empty" }));
    assert.equal((await empty.Body?.transformToByteArray())?.length, 0);
  },

  "finds the bucket in the host, as it does by default": async (t, { target }) => {
    const { bucket: Bucket, small } = target;
    const lookup: LookupFunction = (_host, _options, found) => {
      found(null, [{ address: "127.0.0.1", family: 4 }]);
    };
    const client = openAwsSdk(t, target, {
      endpoint: target.virtualEndpoint,
      forcePathStyle: false,
      requestHandler: { httpAgent: new Agent({ lookup }) },
    });
    const Key = `${awkwardKey} virtual`;
    const Body = await readFile(small.path);
    await client.send(new PutObjectCommand({ Bucket, Key, Body }));
    assert.equal(await sha256Got(client, target, Key), small.sha256);
    const listed = await client.send(new ListObjectsV2Command({ Bucket, Prefix: Key }));
    assert.deepEqual(
      listed.Contents?.map(({ Key }) => Key),
      [Key],
    );
    const url = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key }));
    assert.match(url, /^http:\/\/aws-sdk-js\.s3\.test:\d+\/gr%C3%B6/);
  },

  "gives back metadata, headers and tags": async (_t, { client, target: { bucket: Bucket } }) => {
    const Key = awkwardKey;
    const headers = {
      ContentType: "text/x-test; charset=utf-8",
      CacheControl: "max-age=60",
      ContentDisposition: "attachment; filename*=UTF-8''%C3%A9",
      ContentLanguage: "de",
      Metadata: { "some-name": "some value" },
    };
    await client.send(
      new PutObjectCommand({ Bucket, Key, Body: "x", ...headers, Tagging: "a=1&b=%C3%A9+e" }),
    );
    const head = await client.send(new HeadObjectCommand({ Bucket, Key }));
    for (const [name, value] of Object.entries(headers)) {
      assert.deepEqual(head[name as keyof typeof headers], value, name);
    }
    const TagSet = [
      { Key: "a", Value: "1" },
      { Key: "b", Value: "é e" },
    ];
    const tags = await client.send(new GetObjectTaggingCommand({ Bucket, Key }));
    assert.deepEqual(tags.TagSet, TagSet);
    const Tagging = { TagSet: TagSet.slice(1) };
    await client.send(new PutObjectTaggingCommand({ Bucket, Key, Tagging }));
    const fewer = await client.send(new GetObjectTaggingCommand({ Bucket, Key }));
    assert.deepEqual(fewer.TagSet, Tagging.TagSet);
  },

  "reads ranges": async (_t, { client, target }) => {
    const { bucket: Bucket, small } = target;
    const Key = "ranges";
    const bytes = await readFile(small.path);
    await client.send(new PutObjectCommand({ Bucket, Key, Body: bytes }));
    const ranges: Readonly<Record<string, Buffer>> = {
      "bytes=0-0": bytes.subarray(0, 1),
      "bytes=1000-65999": bytes.subarray(1000, 66_000),
      "bytes=70000-": bytes.subarray(70_000),
      "bytes=-5": bytes.subarray(-5),
      "bytes=60000-999999": bytes.subarray(60_000),
    };
    for (const [Range, expected] of Object.entries(ranges)) {
      const got = await client.send(new GetObjectCommand({ Bucket, Key, Range }));
      assert.deepEqual(Buffer.from((await got.Body?.transformToByteArray()) ?? []), expected);
    }
    const past = new GetObjectCommand({ Bucket, Key, Range: "bytes=70001-" });
    await assert.rejects(client.send(past), { name: "InvalidRange" });
  },

  "lists more than a page, in order and by folders": async (_t, { client, target: { many } }) => {
    const Bucket = many.bucket;
    for (const pageSize of [1000, 300]) {
      const keys: (string | undefined)[] = [];
      const pages = paginateListObjectsV2({ client, pageSize }, { Bucket });
      for await (const { Contents = [] } of pages) keys.push(...Contents.map(({ Key }) => Key));
      assert.deepEqual(keys, many.keys);
    }
    const top = await client.send(new ListObjectsV2Command({ Bucket, Delimiter: "/" }));
    assert.deepEqual(top.CommonPrefixes, [{ Prefix: "folder/" }]);
    assert.equal(top.KeyCount, many.keys.length / 2 + 1);
    const first = await client.send(new ListObjectsCommand({ Bucket }));
    assert.equal(first.IsTruncated, true);
    const Marker = first.Contents?.at(-1)?.Key;
    const rest = await client.send(new ListObjectsCommand({ Bucket, Marker }));
    const both = [...(first.Contents ?? []), ...(rest.Contents ?? [])].map(({ Key }) => Key);
    assert.deepEqual(both, many.keys);
  },

  "copies, and replaces metadata in place": async (_t, { client, target }) => {
    const { bucket: Bucket, small } = target;
    const Key = `${awkwardKey} source`;
    const Body = await readFile(small.path);
    await client.send(new PutObjectCommand({ Bucket, Key, Body, Metadata: { a: "1" } }));
    const CopySource = `${Bucket}/${encodeURIComponent(Key)}`;
    await client.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource }));
    assert.equal(await sha256Got(client, target, "copy"), small.sha256);
    const replacing = { MetadataDirective: "REPLACE", Metadata: { b: "2" } } as const;
    await client.send(new CopyObjectCommand({ Bucket, Key, CopySource, ...replacing }));
    const head = await client.send(new HeadObjectCommand({ Bucket, Key }));
    assert.deepEqual(head.Metadata, { b: "2" });
    assert.equal(await sha256Got(client, target, Key), small.sha256);
    const missing = { Bucket, Key: "copy", CopySource: `${Bucket}/none` };
    await assert.rejects(client.send(new CopyObjectCommand(missing)), { name: "NoSuchKey" });
    assert.equal(await sha256Got(client, target, "copy"), small.sha256);
  },

  "deletes one and many": async (_t, { client, target: { bucket: Bucket } }) => {
    const keys = [awkwardKey, "line\nbreak", "a//b/", "plain"].map((key) => `deleted/${key}`);
    for (const Key of keys) await client.send(new PutObjectCommand({ Bucket, Key, Body: Key }));
    const list = () => client.send(new ListObjectsV2Command({ Bucket, Prefix: "deleted/" }));
    assert.deepEqual((await list()).Contents?.map(({ Key }) => Key).sort(), [...keys].sort());
    await client.send(new DeleteObjectCommand({ Bucket, Key: keys.pop() }));
    await client.send(new DeleteObjectCommand({ Bucket, Key: "deleted/none" }));
    const Objects = [...keys, "deleted/none"].map((Key) => ({ Key }));
    const { Deleted, Errors } = await client.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects } }),
    );
    assert.equal(Deleted?.length, Objects.length);
    assert.equal(Errors, undefined);
    assert.equal((await list()).KeyCount, 0);
  },

  "writes under conditions": async (_t, { client, target: { bucket: Bucket } }) => {
    const Key = "conditions";
    const put = (more: object) =>
      client.send(new PutObjectCommand({ Bucket, Key, Body: "x", ...more }));
    const { ETag } = await put({ IfNoneMatch: "*" });
    await assert.rejects(put({ IfNoneMatch: "*" }), { name: "PreconditionFailed" });
    await assert.rejects(put({ IfMatch: `"${"0".repeat(32)}"` }), { name: "PreconditionFailed" });
    await put({ IfMatch: ETag, Body: "y" });
    const stale = new GetObjectCommand({ Bucket, Key, IfMatch: ETag });
    await assert.rejects(client.send(stale), { name: "PreconditionFailed" });
    const racers = Array.from({ length: 5 }, () => {
      const racer = { Bucket, Key: "race", Body: "x", IfNoneMatch: "*" };
      return client.send(new PutObjectCommand(racer));
    });
    const won = (await Promise.allSettled(racers)).filter(({ status }) => status === "fulfilled");
    assert.equal(won.length, 1);
  },

  "makes, lists and removes buckets": async (_t, { client, target: { region } }) => {
    const Bucket = "aws-sdk-js-made";
    await client.send(new CreateBucketCommand({ Bucket }));
    const again = client.send(new CreateBucketCommand({ Bucket }));
    await assert.rejects(again, { name: "BucketAlreadyOwnedByYou" });
    const { Buckets = [] } = await client.send(new ListBucketsCommand({}));
    assert.ok(Buckets.some(({ Name }) => Name === Bucket));
    const { LocationConstraint } = await client.send(new GetBucketLocationCommand({ Bucket }));
    assert.equal(LocationConstraint ?? "us-east-1", region);
    await client.send(new PutObjectCommand({ Bucket, Key: "k", Body: "x" }));
    const early = client.send(new DeleteBucketCommand({ Bucket }));
    await assert.rejects(early, { name: "BucketNotEmpty" });
    await client.send(new DeleteObjectCommand({ Bucket, Key: "k" }));
    await client.send(new DeleteBucketCommand({ Bucket }));
  },

  "is told what is wrong": async (t, { client, target }) => {
    const { bucket: Bucket, accessKeyId, secretAccessKey } = target;
    const get = (by: S3Client, more: object) =>
      by.send(new GetObjectCommand({ Bucket, Key: "none", ...more }));
    await assert.rejects(get(client, {}), { name: "NoSuchKey" });
    await assert.rejects(get(client, { Bucket: "no-such-bucket" }), { name: "NoSuchBucket" });
    await assert.rejects(client.send(new HeadObjectCommand({ Bucket, Key: "none" })), {
      name: "NotFound",
    });
    const wrong = { accessKeyId, secretAccessKey: `${secretAccessKey}x` };
    const stranger = openAwsSdk(t, target, { credentials: wrong });
    await assert.rejects(get(stranger, {}), { name: "SignatureDoesNotMatch" });
    const put = { Bucket, Key: "stranger", Body: "x" };
    await assert.rejects(stranger.send(new PutObjectCommand(put)), {
      name: "SignatureDoesNotMatch",
    });
    await assert.rejects(get(client, { Key: "stranger" }), { name: "NoSuchKey" });
  },
};
