/** Buckets through the S3 interface: by the AWS SDK, and by plain requests where it cannot say it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { startS3 } from "./testing.ts";

test("a bucket is made, listed, found and deleted", async (t) => {
  const s3 = await startS3(t);
  const client = s3.client();
  await client.send(new CreateBucketCommand({ Bucket: "new-one" }));
  const { Buckets = [], Owner } = await client.send(new ListBucketsCommand({}));
  assert.deepEqual(
    Buckets.map(({ Name }) => Name),
    ["demo", "new-one"],
  );
  assert.ok(Buckets[0]?.CreationDate instanceof Date);
  assert.match(Owner?.ID ?? "", /^[0-9a-f]{64}$/);
  const head = await client.send(new HeadBucketCommand({ Bucket: "new-one" }));
  assert.equal(head.BucketRegion, "us-east-1");
  await client.send(new DeleteBucketCommand({ Bucket: "new-one" }));
  await assert.rejects(client.send(new HeadBucketCommand({ Bucket: "new-one" })), {
    name: "NotFound",
  });
});

test("a bucket that is there is refused as one's own, and one that is not as missing", async (t) => {
  const { client: clientOf } = await startS3(t);
  const client = clientOf();
  await assert.rejects(client.send(new CreateBucketCommand({ Bucket: "demo" })), {
    name: "BucketAlreadyOwnedByYou",
  });
  await assert.rejects(client.send(new DeleteBucketCommand({ Bucket: "not-there" })), {
    name: "NoSuchBucket",
  });
});

test("a bucket that holds an object is not deleted", async (t) => {
  const client = (await startS3(t)).client();
  await client.send(new PutObjectCommand({ Bucket: "demo", Key: "a", Body: "x" }));
  await assert.rejects(client.send(new DeleteBucketCommand({ Bucket: "demo" })), {
    name: "BucketNotEmpty",
  });
});

test("the region is told as S3 tells it, and asked for again", async (t) => {
  const s3 = await startS3(t, { s3: { region: "eu-central-7" } });
  const client = s3.client({ region: "eu-central-7" });
  await client.send(new CreateBucketCommand({ Bucket: "in-region" }));
  const { LocationConstraint } = await client.send(
    new GetBucketLocationCommand({ Bucket: "in-region" }),
  );
  assert.equal(LocationConstraint, "eu-central-7");
  const wrong = await s3.call("PUT", "/s3/elsewhere", {
    body: "<CreateBucketConfiguration><LocationConstraint>mars</LocationConstraint></CreateBucketConfiguration>",
  });
  assert.equal(wrong.status, 400);
  assert.equal(wrong.code, "IllegalLocationConstraintException");
  assert.equal((await s3.call("HEAD", "/s3/elsewhere")).status, 404);
});

test("us-east-1 has no name in a location", async (t) => {
  const s3 = await startS3(t);
  for (const target of ["/s3/demo?location", "/s3/demo/?location", "/s3/demo?location="]) {
    const { status, text } = await s3.call("GET", target);
    assert.equal(status, 200);
    assert.match(text, /<LocationConstraint xmlns="[^"]+"><\/LocationConstraint>$/);
  }
});

test("names that S3 does not have are refused, and stand for no bucket", async (t) => {
  const s3 = await startS3(t);
  for (const name of ["ab", "Upper", "under_score", "192.168.0.1", "a..b", "-ab", "ab-", ".ab"]) {
    const { status, code } = await s3.call("PUT", `/s3/${name}`);
    assert.deepEqual({ name, status, code }, { name, status: 400, code: "InvalidBucketName" });
  }
});

test("lists of buckets go on by token, and by prefix", async (t) => {
  const client = (await startS3(t)).client();
  for (const Bucket of ["aaa", "aab", "bbb"])
    await client.send(new CreateBucketCommand({ Bucket }));
  const names: string[] = [];
  let token: string | undefined;
  do {
    const page = await client.send(
      new ListBucketsCommand({ MaxBuckets: 2, ContinuationToken: token }),
    );
    names.push(...(page.Buckets ?? []).map(({ Name = "" }) => Name));
    token = page.ContinuationToken;
  } while (token !== undefined);
  assert.deepEqual(names, ["aaa", "aab", "bbb", "demo"]);
  const some = await client.send(new ListBucketsCommand({ Prefix: "aa" }));
  assert.deepEqual(
    some.Buckets?.map(({ Name }) => Name),
    ["aaa", "aab"],
  );
});

test("nobody sees, makes or deletes a bucket", async (t) => {
  const s3 = await startS3(t);
  const as = "nobody";
  for (const [method, target] of [
    ["GET", "/s3/"],
    ["GET", "/s3"],
    ["PUT", "/s3/mine"],
    ["HEAD", "/s3/demo"],
    ["GET", "/s3/demo?location"],
    ["GET", "/s3/demo?cors"],
    ["GET", "/s3/demo?acl"],
    ["GET", "/s3/demo"],
    ["DELETE", "/s3/demo"],
  ] as const) {
    const { status, code } = await s3.call(method, target, { as });
    const expected = method === "HEAD" ? undefined : "AccessDenied";
    assert.deepEqual({ target, status, code }, { target, status: 403, code: expected });
  }
});

test("what buckets never have is answered truthfully", async (t) => {
  const s3 = await startS3(t);
  const { Status } = await s3.client().send(new GetBucketVersioningCommand({ Bucket: "demo" }));
  assert.equal(Status, undefined);
  for (const [name, code] of [
    ["policy", "NoSuchBucketPolicy"],
    ["lifecycle", "NoSuchLifecycleConfiguration"],
    ["encryption", "ServerSideEncryptionConfigurationNotFoundError"],
    ["tagging", "NoSuchTagSet"],
    ["cors", "NoSuchCORSConfiguration"],
    ["website", "NoSuchWebsiteConfiguration"],
    ["replication", "ReplicationConfigurationNotFoundError"],
    ["object-lock", "ObjectLockConfigurationNotFoundError"],
    ["publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"],
    ["ownershipControls", "OwnershipControlsNotFoundError"],
  ]) {
    const answered = await s3.call("GET", `/s3/demo?${name}`);
    assert.deepEqual([answered.status, answered.code], [404, code]);
    assert.equal((await s3.call("GET", `/s3/none?${name}`)).code, "NoSuchBucket");
  }
  const payer = await s3.call("GET", "/s3/demo?requestPayment");
  assert.match(payer.text, /<Payer>BucketOwner<\/Payer>/);
  for (const name of ["logging", "notification", "accelerate"]) {
    assert.equal((await s3.call("GET", `/s3/demo?${name}`)).status, 200);
  }
});
