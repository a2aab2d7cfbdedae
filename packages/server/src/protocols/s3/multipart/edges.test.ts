/** Uploads in parts at the edges of what they may be: sizes, numbers, emptiness. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type TestContext, test } from "node:test";
import { startS3 } from "../testing.ts";

const MiB = 1024 * 1024;
const md5 = (bytes: Buffer) => createHash("md5").update(bytes).digest();
const uploadTag = (parts: readonly Buffer[]): string =>
  `"${md5(Buffer.concat(parts.map(md5))).toString("hex")}-${parts.length}"`;

async function startUploads(t: TestContext) {
  const { call } = await startS3(t);
  const begin = async (headers: Readonly<Record<string, string>> = {}): Promise<string> => {
    const { text } = await call("POST", "/s3/demo/k?uploads", { headers });
    return `/s3/demo/k?uploadId=${/<UploadId>([^<]+)/.exec(text)?.[1]}`;
  };
  const complete = (upload: string, tags: readonly (readonly [number, unknown])[]) => {
    const parts = tags.map(
      ([number, tag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${tag}</ETag></Part>`,
    );
    const body = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
    return call("POST", upload, { body });
  };
  const put = async (upload: string, number: number, body: Buffer) => {
    const answer = await call("PUT", `${upload}&partNumber=${number}`, { body });
    assert.equal(answer.status, 200, answer.text);
    return [number, answer.headers.etag] as const;
  };
  return { call, begin, complete, put };
}

test("a byte less than 5 MiB is enough for the last part alone", async (t) => {
  const { call, begin, complete, put } = await startUploads(t);
  const short = Buffer.alloc(5 * MiB - 1, 1);
  const whole = Buffer.alloc(5 * MiB, 2);
  const upload = await begin();
  const [one, two] = [await put(upload, 1, short), await put(upload, 2, whole)];
  const refused = await complete(upload, [one, two]);
  assert.deepEqual([refused.status, refused.code], [400, "EntityTooSmall"]);
  assert.equal((await call("HEAD", "/s3/demo/k")).status, 404);
  const again = await put(upload, 1, whole);
  const last = await put(upload, 10_000, short);
  assert.equal((await complete(upload, [again, two, last])).status, 200);
  const got = await call("GET", "/s3/demo/k");
  assert.equal(got.headers.etag, uploadTag([whole, whole, short]));
  assert.ok(got.body.equals(Buffer.concat([whole, whole, short])));
});

test("a part may be empty where it is the last, and an object of one of those is empty", async (t) => {
  const { call, begin, complete, put } = await startUploads(t);
  const none = Buffer.alloc(0);
  const whole = Buffer.alloc(5 * MiB, 1);
  const upload = await begin();
  const parts = [await put(upload, 1, whole), await put(upload, 2, none)];
  assert.equal((await complete(upload, parts)).status, 200);
  const got = await call("GET", "/s3/demo/k");
  assert.equal(got.headers.etag, uploadTag([whole, none]));
  assert.ok(got.body.equals(whole));
  const second = await call("GET", "/s3/demo/k?partNumber=2");
  assert.equal(second.headers["content-length"], "0");
  assert.equal(second.headers["x-amz-mp-parts-count"], "2");

  const empty = await begin();
  assert.equal((await complete(empty, [await put(empty, 7, none)])).status, 200);
  const nothing = await call("GET", "/s3/demo/k");
  assert.deepEqual([nothing.status, nothing.headers["content-length"]], [200, "0"]);
  assert.equal(nothing.headers.etag, uploadTag([none]));
  const range = await call("GET", "/s3/demo/k", { headers: { range: "bytes=0-" } });
  assert.deepEqual([range.status, range.headers["content-range"]], [416, "bytes */0"]);

  await call("PUT", "/s3/demo/empty");
  const copied = await begin();
  const headers = { "x-amz-copy-source": "demo/empty" };
  const part = await call("PUT", `${copied}&partNumber=1`, { headers });
  assert.equal(part.status, 200, part.text);
  assert.match(part.text, new RegExp(md5(none).toString("hex")));
});

test("parts are numbered from 1 to 10,000, whichever way they come", async (t) => {
  const { call, begin } = await startUploads(t);
  await call("PUT", "/s3/demo/source", { body: "source" });
  const upload = await begin();
  const copying = { "x-amz-copy-source": "demo/source" };
  for (const number of ["0", "10001", "-1", "1.0", "01x", "", "1e3", "9".repeat(30)]) {
    for (const headers of [{}, copying]) {
      const { status, code } = await call("PUT", `${upload}&partNumber=${number}`, { headers });
      assert.deepEqual([status, code], [400, "InvalidArgument"], number);
    }
  }
  // Of no upload it is no part; and it must not become the object.
  for (const query of ["?partNumber=1", "?partNumber", "?partNumber=1&x-id=UploadPart"]) {
    const { status, code } = await call("PUT", `/s3/demo/k${query}`, { body: "a part" });
    assert.deepEqual([status, code], [400, "InvalidArgument"], query);
  }
  assert.equal((await call("HEAD", "/s3/demo/k")).status, 404);
  for (const number of ["1", "10000"]) {
    for (const headers of [{}, copying]) {
      const { status } = await call("PUT", `${upload}&partNumber=${number}`, { headers });
      assert.equal(status, 200, number);
    }
  }
  const listed = await call("GET", upload);
  assert.deepEqual(
    [...listed.text.matchAll(/<PartNumber>(\d+)/g)].map(([, number]) => number),
    ["1", "10000"],
  );
});

test("a part of more than 5 GiB is refused before a byte of it, framed or not", async (t) => {
  const { call, begin } = await startUploads(t);
  const upload = await begin();
  const bytes = String(5 * 1024 ** 3 + 1);
  const framing = {
    "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "x-amz-decoded-content-length": bytes,
  };
  for (const target of [`${upload}&partNumber=1`, "/s3/demo/k"]) {
    for (const headers of [{ "content-length": bytes }, framing]) {
      const asked = { ...headers, expect: "100-continue" };
      const { status, code } = await call("PUT", target, { headers: asked });
      assert.deepEqual([status, code], [400, "EntityTooLarge"], target);
    }
  }
  assert.equal((await call("GET", upload)).text.includes("<Part>"), false);
});

test("a part's checksum is told with the part, and listed where the upload has an algorithm", async (t) => {
  const { call, begin } = await startUploads(t);
  /** Of `hello`. */
  const sums = {
    crc32: "NhCmhg==",
    crc32c: "mnG7TA==",
    crc64nvme: "M3eFcAZSQlc=",
    sha1: createHash("sha1").update("hello").digest("base64"),
    sha256: createHash("sha256").update("hello").digest("base64"),
  };
  await call("PUT", "/s3/demo/source", { body: "hello" });
  for (const [name, sum] of Object.entries(sums)) {
    const algorithm = name.toUpperCase();
    const upload = await begin({ "x-amz-checksum-algorithm": algorithm });
    const headers = { [`x-amz-checksum-${name}`]: sum };
    const told = await call("PUT", `${upload}&partNumber=1`, { headers, body: "hello" });
    assert.equal(told.headers[`x-amz-checksum-${name}`], sum, name);
    // Nothing was said of these two; the upload's algorithm is computed all the same.
    await call("PUT", `${upload}&partNumber=2`, { body: "hello" });
    const copying = { "x-amz-copy-source": "demo/source" };
    await call("PUT", `${upload}&partNumber=3`, { headers: copying });
    const listed = await call("GET", upload);
    const shown = [...listed.text.matchAll(new RegExp(`<Checksum${algorithm}>([^<]+)`, "g"))];
    assert.deepEqual(
      shown.map(([, value]) => value),
      [sum, sum, sum],
      `${name} ${listed.text}`,
    );
    assert.match(listed.text, new RegExp(`<ChecksumAlgorithm>${algorithm}<`));
  }
  const upload = await begin();
  const told = await call("PUT", `${upload}&partNumber=1`, { body: "hello" });
  assert.equal(told.headers["x-amz-checksum-crc32"], undefined);
  assert.equal((await call("GET", upload)).text.includes("<Checksum"), false);
});
