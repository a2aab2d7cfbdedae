/** URLs presigned by the AWS SDK for JavaScript, used by `fetch`. */
import { strict as assert } from "node:assert";
import { readFile } from "node:fs/promises";
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { awkwardKey } from "../client.ts";
import { sha256 } from "../programs.ts";
import { type AwsSdkCases, openAwsSdk, sha256Got } from "./sdk.ts";

async function failed(url: string, init: RequestInit = {}): Promise<string> {
  const response = await fetch(url, init);
  return `${response.status} ${/<Code>(\w*)/.exec(await response.text())?.[1]}`;
}

export const presignedCases: AwsSdkCases = {
  "presigned: get, put with metadata, and a part": async (_t, { client, target }) => {
    const { bucket: Bucket, small } = target;
    const body = await readFile(small.path);
    const Key = `${awkwardKey} presigned`;
    const given = { Bucket, Key, Metadata: { author: "é" }, ContentType: "text/x-test" };
    const putUrl = await getSignedUrl(client, new PutObjectCommand(given), { expiresIn: 60 });
    const put = await fetch(putUrl, {
      method: "PUT",
      body,
      headers: { "content-type": "text/x-test" },
    });
    assert.equal(put.status, 200, await put.text());
    assert.equal(await sha256Got(client, target, Key), small.sha256);
    const head = await client.send(new HeadObjectCommand({ Bucket, Key }));
    assert.equal(head.ContentType, "text/x-test");
    assert.ok(head.Metadata?.author !== undefined);
    const get = new GetObjectCommand({ Bucket, Key, ResponseContentDisposition: "inline" });
    const got = await fetch(await getSignedUrl(client, get));
    assert.equal(got.headers.get("content-disposition"), "inline");
    assert.equal(sha256(await got.bytes()), small.sha256);
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const at = { Bucket, Key, UploadId };
    const partUrl = await getSignedUrl(client, new UploadPartCommand({ ...at, PartNumber: 1 }));
    const part = await fetch(partUrl, { method: "PUT", body });
    assert.equal(part.status, 200, await part.text());
    const Parts = [{ PartNumber: 1, ETag: part.headers.get("etag") ?? "" }];
    const MultipartUpload = { Parts };
    await client.send(new CompleteMultipartUploadCommand({ ...at, MultipartUpload }));
    assert.equal(await sha256Got(client, target, Key), small.sha256);
  },

  "presigned: refused when changed, used otherwise, or too late": async (t, { client, target }) => {
    const { bucket: Bucket } = target;
    const Key = "presigned";
    await client.send(new PutObjectCommand({ Bucket, Key, Body: "x" }));
    const get = new GetObjectCommand({ Bucket, Key });
    const url = await getSignedUrl(client, get);
    assert.equal(await failed(url.replace("/presigned", "/other")), "403 SignatureDoesNotMatch");
    assert.equal(await failed(url, { method: "PUT", body: "y" }), "403 SignatureDoesNotMatch");
    const hourAgo = new Date(Date.now() - 3_600_000);
    const late = await getSignedUrl(client, get, { expiresIn: 60, signingDate: hourAgo });
    assert.equal(await failed(late), "403 AccessDenied");
    const { accessKeyId } = target;
    const credentials = { accessKeyId, secretAccessKey: "another" };
    const strangers = await getSignedUrl(openAwsSdk(t, target, { credentials }), get);
    assert.equal(await failed(strangers), "403 SignatureDoesNotMatch");
    const missing = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: "none" }));
    assert.equal(await failed(missing), "404 NoSuchKey");
    assert.equal(await (await fetch(url)).text(), "x");
  },
};
