/** minio-js: on the listener for S3 alone, since it takes no path in its address. */
import { strict as assert } from "node:assert";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { Agent as SecureAgent } from "node:https";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { TestContext } from "node:test";
import { Client, type ClientOptions, CopyDestinationOptions, CopySourceOptions } from "minio";
import { awkwardKey, type S3ClientTests, type Target } from "./client.ts";
import { sha256, sha256OfFile } from "./programs.ts";

const MiB = 1024 * 1024;

function openMinio(target: Target, more: Partial<ClientOptions> = {}): Client {
  const { hostname, port } = new URL(target.rootEndpoint);
  const at = { endPoint: hostname, port: Number(port), useSSL: false };
  const { accessKeyId: accessKey, secretAccessKey: secretKey } = target;
  return new Client({ ...at, accessKey, secretKey, ...more });
}

/** In parts of 5 MiB. */
const inParts = { partSize: 5 * MiB };

export const minioJs: S3ClientTests = {
  name: "minio-js",
  run: async (t, open) => {
    const target = await open();
    for (const [name, act] of Object.entries(cases)) {
      await t.test(name, (t) => act(openMinio(target), target, t));
    }
  },
};

const cases: Readonly<
  Record<string, (client: Client, target: Target, t: TestContext) => Promise<void>>
> = {
  "puts and gets bytes, streams and files": async (client, { bucket, small, folder }) => {
    const bytes = await readFile(small.path);
    const { etag } = await client.putObject(bucket, awkwardKey, bytes, bytes.length, {
      "content-type": "text/x-test",
      "x-amz-meta-name": "value",
    });
    assert.match(etag, /^[0-9a-f]{32}$/);
    const stat = await client.statObject(bucket, awkwardKey);
    assert.equal(stat.size, small.length);
    assert.equal(stat.metaData["content-type"], "text/x-test");
    assert.equal(stat.metaData.name, "value");
    const file = join(folder, "got");
    await client.fGetObject(bucket, awkwardKey, file);
    assert.equal(await sha256OfFile(file), small.sha256);
    await client.putObject(bucket, "stream", createReadStream(small.path));
    assert.equal(sha256(await collect(client.getObject(bucket, "stream"))), small.sha256);
    await client.putObject(bucket, "empty", "");
    assert.equal((await collect(client.getObject(bucket, "empty"))).length, 0);
  },

  "puts streams and files in parts, and reads parts of them": async (_client, target) => {
    const { bucket, large } = target;
    const client = openMinio(target, inParts);
    const { etag } = await client.putObject(bucket, "large", createReadStream(large.path));
    assert.match(etag, /^[0-9a-f]{32}-5$/);
    assert.equal(sha256(await collect(client.getObject(bucket, "large"))), large.sha256);
    await client.fPutObject(bucket, "large-file", large.path);
    assert.equal(sha256(await collect(client.getObject(bucket, "large-file"))), large.sha256);
    const bytes = await readFile(large.path);
    for (const [offset, length] of [
      [0, 10],
      [5 * MiB - 3, 7 * MiB],
      [large.length - 5, 5],
    ] as const) {
      const part = await collect(client.getPartialObject(bucket, "large", offset, length));
      assert.equal(sha256(part), sha256(bytes.subarray(offset, offset + length)));
    }
    const rest = await collect(client.getPartialObject(bucket, "large", large.length - 5));
    assert.deepEqual(rest, bytes.subarray(-5));
  },

  "over https": async (_client, target) => {
    const { hostname, port } = new URL(target.secureEndpoint);
    const transportAgent = new SecureAgent({ ca: await readFile(target.certificate) });
    const client = openMinio(target, {
      ...inParts,
      ...{ endPoint: hostname, port: Number(port), useSSL: true, transportAgent },
    });
    const { bucket, large, small } = target;
    await client.fPutObject(bucket, "secure", small.path);
    assert.equal(sha256(await collect(client.getObject(bucket, "secure"))), small.sha256);
    await client.putObject(bucket, "secure", createReadStream(large.path));
    assert.equal(sha256(await collect(client.getObject(bucket, "secure"))), large.sha256);
  },

  "lists more than a page, in order and by folders": async (client, { many }) => {
    for (const list of [
      client.listObjectsV2(many.bucket, "", true),
      client.listObjects(many.bucket, "", true),
    ]) {
      assert.deepEqual(await names(list), many.keys);
    }
    const top = await names(client.listObjectsV2(many.bucket, "", false));
    assert.deepEqual([...top].sort(), ["folder/", ...many.keys.slice(many.keys.length / 2)].sort());
  },

  "copies, and composes an object of others": async (client, { bucket, small, large }) => {
    await client.fPutObject(bucket, awkwardKey, small.path);
    await client.copyObject(bucket, "copy", `/${bucket}/${awkwardKey}`);
    assert.equal(sha256(await collect(client.getObject(bucket, "copy"))), small.sha256);
    await client.fPutObject(bucket, "first", large.path);
    const sources = ["first", "copy"].map((key) => {
      return new CopySourceOptions({ Bucket: bucket, Object: key });
    });
    const to = new CopyDestinationOptions({ Bucket: bucket, Object: "composed" });
    await client.composeObject(to, sources);
    const both = Buffer.concat([await readFile(large.path), await readFile(small.path)]);
    assert.equal(sha256(await collect(client.getObject(bucket, "composed"))), sha256(both));
  },

  "removes one and many, and tags": async (client, { bucket }) => {
    const keys = [awkwardKey, "a//b/", "plain"].map((key) => `removed/${key}`);
    for (const key of keys) await client.putObject(bucket, key, key);
    await client.setObjectTagging(bucket, "removed/plain", { name: "value" });
    const tags = await client.getObjectTagging(bucket, "removed/plain");
    assert.deepEqual(tags, [{ Key: "name", Value: "value" }]);
    const listed = await names(client.listObjectsV2(bucket, "removed/", true));
    assert.deepEqual([...listed].sort(), [...keys].sort());
    await client.removeObject(bucket, keys.pop() ?? "");
    assert.deepEqual(await client.removeObjects(bucket, [...keys, "removed/none"]), []);
    assert.deepEqual(await names(client.listObjectsV2(bucket, "removed/", true)), []);
  },

  "presigned: get, put and a form with a policy": async (client, { bucket, small }) => {
    const bytes = await readFile(small.path);
    const putUrl = await client.presignedPutObject(bucket, awkwardKey, 60);
    const put = await fetch(putUrl, { method: "PUT", body: bytes });
    assert.equal(put.status, 200, await put.text());
    const getUrl = await client.presignedGetObject(bucket, awkwardKey, 60, {
      "response-content-type": "text/x-other",
    });
    const got = await fetch(getUrl);
    assert.equal(got.headers.get("content-type"), "text/x-other");
    assert.equal(sha256(await got.bytes()), small.sha256);
    assert.equal(
      (await fetch(putUrl.replace("Expires=60", "Expires=61"), { method: "PUT" })).status,
      403,
    );

    const policy = client.newPostPolicy();
    policy.setBucket(bucket);
    policy.setKey("form");
    policy.setExpires(new Date(Date.now() + 60_000));
    policy.setContentType("text/x-test");
    policy.setContentLengthRange(1, 100_000);
    policy.setUserMetaData({ name: "value" });
    const { postURL, formData } = await client.presignedPostPolicy(policy);
    const post = async (body: Uint8Array<ArrayBuffer>): Promise<Response> => {
      const form = new FormData();
      for (const [name, value] of Object.entries(formData)) form.append(name, value);
      form.append("file", new Blob([body]), "name.bin");
      return fetch(postURL, { method: "POST", body: form });
    };
    const posted = await post(bytes);
    assert.equal(posted.status, 204, await posted.text());
    assert.equal(sha256(await collect(client.getObject(bucket, "form"))), small.sha256);
    const stat = await client.statObject(bucket, "form");
    assert.equal(stat.metaData.name, "value");
    const tooLarge = await post(Buffer.alloc(100_001));
    assert.equal(tooLarge.status, 400);
    assert.match(await tooLarge.text(), /EntityTooLarge/);
    assert.equal(sha256(await collect(client.getObject(bucket, "form"))), small.sha256);
  },

  "an upload that broke off is found, and removed": async (client, { bucket }) => {
    const headers = { "content-type": "text/plain" };
    const id = await client.initiateNewMultipartUpload(bucket, "broken", headers);
    assert.equal(await client.findUploadId(bucket, "broken"), id);
    await client.removeIncompleteUpload(bucket, "broken");
    assert.equal(await client.findUploadId(bucket, "broken"), undefined);
  },

  "makes, lists and removes buckets": async (client) => {
    const bucket = "minio-js-made";
    assert.equal(await client.bucketExists(bucket), false);
    await client.makeBucket(bucket);
    assert.equal(await client.bucketExists(bucket), true);
    assert.ok((await client.listBuckets()).some(({ name }) => name === bucket));
    await client.removeBucket(bucket);
    assert.equal(await client.bucketExists(bucket), false);
  },

  "is told what is wrong": async (client, target) => {
    const { bucket } = target;
    await assert.rejects(client.getObject(bucket, "none"), { code: "NoSuchKey" });
    await assert.rejects(client.statObject(bucket, "none"), { code: "NotFound" });
    await assert.rejects(client.getObject("no-such-bucket", "k"), { code: "NoSuchBucket" });
    const stranger = openMinio(target, { secretKey: "another" });
    await assert.rejects(stranger.getObject(bucket, "none"), { code: "SignatureDoesNotMatch" });
    await assert.rejects(stranger.putObject(bucket, "stranger", "x"), {
      code: "SignatureDoesNotMatch",
    });
    await assert.rejects(client.getObject(bucket, "stranger"), { code: "NoSuchKey" });
  },
};

async function collect(stream: Promise<Readable>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function names(
  items: AsyncIterable<{ readonly name?: string; readonly prefix?: string }>,
): Promise<(string | undefined)[]> {
  const found: (string | undefined)[] = [];
  for await (const { name, prefix } of items) found.push(name ?? prefix);
  return found;
}
