/** How refusals look on the wire. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GetObjectCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { startS3 } from "./testing.ts";

test("an error is XML without a namespace, with the request's id and what it is about", async (t) => {
  const s3 = await startS3(t);
  const { status, headers, text } = await s3.call("GET", "/s3/demo/a%20%26/b?x-id=GetObject");
  assert.equal(status, 404);
  assert.equal(headers["content-type"], "application/xml");
  const id = headers["x-amz-request-id"];
  assert.ok(typeof id === "string" && id !== "");
  assert.equal(
    text,
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>' +
      "<Message>there is no such object</Message><Key>a &amp;/b</Key>" +
      `<Resource>/s3/demo/a%20%26/b</Resource><RequestId>${id}</RequestId><HostId>${id}</HostId></Error>`,
  );
});

test("the error of a HEAD has a status and no body", async (t) => {
  const s3 = await startS3(t);
  const { status, body, headers } = await s3.call("HEAD", "/s3/demo/none");
  assert.equal(status, 404);
  assert.equal(body.length, 0);
  assert.ok(headers["x-amz-request-id"]);
});

test("answers that are no errors carry the request's id too", async (t) => {
  const s3 = await startS3(t);
  assert.ok((await s3.call("GET", "/s3/demo")).headers["x-amz-request-id"]);
});

test("the SDK reads code, bucket and key", async (t) => {
  const client = (await startS3(t)).client();
  await assert.rejects(client.send(new GetObjectCommand({ Bucket: "demo", Key: "none" })), {
    name: "NoSuchKey",
    Key: "none",
  });
  await assert.rejects(client.send(new ListObjectsV2Command({ Bucket: "none" })), {
    name: "NoSuchBucket",
    BucketName: "none",
  });
});

test("paths that name nothing are refused as such", async (t) => {
  const s3 = await startS3(t);
  for (const [target, status, code] of [
    ["/s3/demo/%ff", 400, "InvalidURI"],
    ["/s3/demo/%zz", 400, "InvalidURI"],
    [`/s3/demo/${"k".repeat(1025)}`, 400, "KeyTooLongError"],
    ["/s3/demo/a%00b", 400, "InvalidArgument"],
    ["/s3/demo/a/../b", 400, "InvalidArgument"],
    ["/s3//key", 400, "InvalidBucketName"],
    ["/s3/?continuation-token=wrong", 400, "InvalidArgument"],
    [`/s3/demo/${"k".repeat(20_000)}`, 400, "KeyTooLongError"],
    ["/s3/demo?prefix=%ff", 400, "InvalidURI"],
  ] as const) {
    const answered = await s3.call("GET", target, { as: "nobody" });
    const start = target.slice(0, 40);
    assert.deepEqual([start, answered.status, answered.code], [start, status, code]);
    assert.equal(answered.headers["content-type"], "application/xml");
  }
});
