/** Lists of objects through the S3 interface, by the AWS SDK and by plain requests. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  ListObjectsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  type S3Client,
} from "@aws-sdk/client-s3";
import { startS3 } from "./testing.ts";

const Bucket = "demo";

async function put(client: S3Client, keys: readonly string[]): Promise<void> {
  for (let start = 0; start < keys.length; start += 32) {
    const some = keys.slice(start, start + 32);
    await Promise.all(
      some.map((Key) => client.send(new PutObjectCommand({ Bucket, Key, Body: Key }))),
    );
  }
}

async function withKeys(t: TestContext, keys: readonly string[]) {
  const s3 = await startS3(t);
  const client = s3.client();
  await put(client, keys);
  return { s3, client };
}

const names = (rows: readonly { readonly Key?: string | undefined }[] = []) =>
  rows.map(({ Key = "" }) => Key);
const groups = (rows: readonly { readonly Prefix?: string | undefined }[] = []) =>
  rows.map(({ Prefix = "" }) => Prefix);

test("more than a page of keys comes in order of their bytes, each once", async (t) => {
  const keys = Array.from({ length: 1_030 }, (_, index) => `k/${String(index).padStart(5, "0")}`);
  const { client } = await withKeys(t, keys);
  const listed: string[] = [];
  const pages: number[] = [];
  for await (const page of paginateListObjectsV2({ client }, { Bucket })) {
    listed.push(...names(page.Contents));
    pages.push(page.KeyCount ?? 0);
  }
  assert.deepEqual(listed, keys);
  assert.deepEqual(pages, [1_000, 30]);
  const first = await client.send(new ListObjectsCommand({ Bucket }));
  assert.equal(first.IsTruncated, true);
  assert.equal(first.NextMarker, undefined);
  const marker = names(first.Contents).at(-1);
  const second = await client.send(new ListObjectsCommand({ Bucket, Marker: marker }));
  assert.deepEqual(names(second.Contents), keys.slice(1_000));
});

test("an object is listed with its size, its ETag in quotes, its time, and the owner if asked", async (t) => {
  const { client } = await withKeys(t, ["a"]);
  const plain = await client.send(new ListObjectsV2Command({ Bucket }));
  const [object] = plain.Contents ?? [];
  assert.equal(object?.Size, 1);
  // The MD5 of "a".
  assert.equal(object?.ETag, '"0cc175b9c0f1b6a831c399e269772661"');
  assert.equal(object?.StorageClass, "STANDARD");
  assert.ok(object?.LastModified instanceof Date);
  assert.equal(object?.Owner, undefined);
  const owned = await client.send(new ListObjectsV2Command({ Bucket, FetchOwner: true }));
  assert.match(owned.Contents?.[0]?.Owner?.ID ?? "", /^[0-9a-f]{64}$/);
  const old = await client.send(new ListObjectsCommand({ Bucket }));
  assert.ok(old.Contents?.[0]?.Owner?.ID);
});

test("groups count once, and pages skip the whole of them", async (t) => {
  const { client } = await withKeys(t, ["a", "b/1", "b/2", "b/3", "c", "d/1", "e"]);
  const rows: string[] = [];
  let token: string | undefined;
  do {
    const page = await client.send(
      new ListObjectsV2Command({ Bucket, Delimiter: "/", MaxKeys: 2, ContinuationToken: token }),
    );
    rows.push([...names(page.Contents), ...groups(page.CommonPrefixes)].join(" "));
    token = page.NextContinuationToken;
  } while (token !== undefined);
  assert.deepEqual(rows, ["a b/", "c d/", "e"]);
  const old = await client.send(new ListObjectsCommand({ Bucket, Delimiter: "/", MaxKeys: 2 }));
  assert.equal(old.NextMarker, "b/");
  const rest = await client.send(
    new ListObjectsCommand({ Bucket, Delimiter: "/", Marker: old.NextMarker }),
  );
  assert.deepEqual(names(rest.Contents), ["c", "e"]);
  assert.deepEqual(groups(rest.CommonPrefixes), ["d/"]);
});

test("start-after leaves out groups that are not above it", async (t) => {
  const { client } = await withKeys(t, ["a/1", "b/1", "b/2", "c/1"]);
  const page = await client.send(
    new ListObjectsV2Command({ Bucket, Delimiter: "/", StartAfter: "b/1" }),
  );
  assert.deepEqual(groups(page.CommonPrefixes), ["c/"]);
  assert.equal(page.StartAfter, "b/1");
  const flat = await client.send(new ListObjectsV2Command({ Bucket, StartAfter: "b/1" }));
  assert.deepEqual(names(flat.Contents), ["b/2", "c/1"]);
});

test("delimiters may be of any text, and an empty one is none", async (t) => {
  const { client, s3 } = await withKeys(t, ["a--1", "a--2", "b"]);
  const page = await client.send(new ListObjectsV2Command({ Bucket, Delimiter: "--" }));
  assert.deepEqual(groups(page.CommonPrefixes), ["a--"]);
  const { text } = await s3.call("GET", "/s3/demo/?list-type=2&delimiter=&prefix=a");
  assert.equal(text.match(/<Key>/g)?.length, 2);
  assert.doesNotMatch(text, /<Delimiter>/);
});

test("odd keys", async (t) => {
  const keys = [
    ...[
      "/",
      "//x",
      "a b",
      "a%2Fb",
      "a&b<c>\"'",
      "a+b",
      "a/",
      "a//b",
      "a?b#c",
      "a\r\nb",
      "a\u0001b",
    ],
    ...["ä", "\u{ffff}", "\u{1f600}", "k".repeat(1_024)],
  ].toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));

  const { s3, client } = await withKeys(t, keys);

  await t.test(
    "come back as they are with encoding-type=url, in order of their UTF-8 bytes",
    async () => {
      const page = await client.send(new ListObjectsV2Command({ Bucket, EncodingType: "url" }));
      assert.equal(page.EncodingType, "url");
      const decoded = names(page.Contents).map((name) => decodeURIComponent(name));
      assert.deepEqual(decoded, keys);
      assert.ok(names(page.Contents).every((name) => /^[A-Za-z0-9\-._~/%]*$/.test(name)));
    },
  );

  await t.test("stand in XML without an encoding, control characters as references", async () => {
    const { text } = await s3.call("GET", "/s3/demo?list-type=2");
    assert.match(text, /<Key>a&#13;&#10;b<\/Key>/);
    assert.match(text, /<Key>a&#1;b<\/Key>/);
    assert.match(text, /<Key>a&amp;b&lt;c&gt;&quot;'<\/Key>/);
    const page = await client.send(new ListObjectsV2Command({ Bucket, Prefix: "a" }));
    assert.ok(names(page.Contents).includes("a\r\nb"));
  });

  await t.test("are markers, prefixes and tokens as well", async () => {
    for (const key of keys) {
      const found = await client.send(
        new ListObjectsV2Command({ Bucket, Prefix: key, EncodingType: "url" }),
      );
      assert.ok(names(found.Contents).map(decodeURIComponent).includes(key), key);
      const after = await client.send(
        new ListObjectsV2Command({ Bucket, StartAfter: key, EncodingType: "url" }),
      );
      const expected = keys.slice(keys.indexOf(key) + 1);
      assert.deepEqual(names(after.Contents).map(decodeURIComponent), expected);
    }
  });
});

test("no keys at all are asked for: the page is empty and the last", async (t) => {
  const { client } = await withKeys(t, ["a"]);
  const page = await client.send(new ListObjectsV2Command({ Bucket, MaxKeys: 0 }));
  assert.equal(page.IsTruncated, false);
  assert.equal(page.KeyCount, 0);
  assert.equal(page.MaxKeys, 0);
});

test("numbers, tokens and encodings that are none are refused", async (t) => {
  const s3 = await startS3(t);
  for (const query of [
    "max-keys=-1",
    "max-keys=ten",
    "list-type=2&max-keys=1e3",
    "list-type=3",
    "list-type=2&continuation-token=abc",
    "list-type=2&continuation-token=",
    "encoding-type=base64",
    "versions&version-id-marker=null",
    "prefix=a&prefix=b",
  ]) {
    const { status, code } = await s3.call("GET", `/s3/demo?${query}`);
    assert.deepEqual([query, status, code], [query, 400, "InvalidArgument"]);
  }
  const large = await s3.call("GET", "/s3/demo?max-keys=5000");
  assert.match(large.text, /<MaxKeys>1000<\/MaxKeys>/);
});

test("each object is one version, which is the latest and called null", async (t) => {
  const { client } = await withKeys(t, ["a", "b/1", "b/2", "c"]);
  const page = await client.send(
    new ListObjectVersionsCommand({ Bucket, Delimiter: "/", MaxKeys: 2 }),
  );
  assert.deepEqual(names(page.Versions), ["a"]);
  assert.equal(page.Versions?.[0]?.VersionId, "null");
  assert.equal(page.Versions?.[0]?.IsLatest, true);
  assert.deepEqual(groups(page.CommonPrefixes), ["b/"]);
  assert.equal(page.NextKeyMarker, "b/");
  const rest = await client.send(
    new ListObjectVersionsCommand({
      Bucket,
      Delimiter: "/",
      KeyMarker: page.NextKeyMarker,
      VersionIdMarker: page.NextVersionIdMarker,
    }),
  );
  assert.deepEqual(names(rest.Versions), ["c"]);
});

test("a bucket that is not there, and a list that is not permitted", async (t) => {
  const s3 = await startS3(t);
  assert.equal((await s3.call("GET", "/s3/none?list-type=2")).code, "NoSuchBucket");
  assert.equal(
    (await s3.call("GET", "/s3/demo?list-type=2&max-keys=0", { as: "nobody" })).status,
    403,
  );
});
