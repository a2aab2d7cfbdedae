/** Sizes at which something inside begins or ends: nothing at all, blocks, buffers. Each comes back byte for byte. */
import assert from "node:assert/strict";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { test } from "node:test";
import { frame, signHeaders } from "../../../authentication/testing.ts";
import { key as rootKey, send, startS3 } from "../testing.ts";
import { amzDate, presigned } from "../testing-signature.ts";

const KiB = 1024;
/** Of socket reads, of blocks, and of parts that are given to a storage. */
const boundaries = [64 * KiB, 256 * KiB, 8192 * KiB];

const md5 = (bytes: Buffer | string) => createHash("md5").update(bytes).digest("hex");

test("objects around every inner boundary are read back whole, in ranges, and in the form they came", async (t) => {
  const s3 = await startS3(t);
  const { host, hostname, port } = new URL(s3.url);
  const by = { id: rootKey.keyId, secret: rootKey.secret, date: amzDate(new Date()) };
  for (const size of boundaries.flatMap((bytes) => [bytes - 1, bytes, bytes + 1])) {
    const body = randomBytes(size);
    const target = `/s3/demo/${size}`;
    const put = await s3.call("PUT", target, { body });
    assert.equal(put.headers.etag, `"${md5(body)}"`);
    const got = await s3.call("GET", target);
    assert.ok(got.body.equals(body), `${size}`);
    const ranges = boundaries
      .filter((bytes) => bytes < size)
      .flatMap((bytes) => [
        [bytes - 1, bytes],
        [0, bytes - 1],
        [bytes, size - 1],
      ]);
    for (const [first = 0, last = 0] of [[size - 1, size - 1], ...ranges]) {
      const range = { range: `bytes=${first}-${last}` };
      const part = await s3.call("GET", target, { headers: range });
      assert.equal(part.status, 206);
      assert.ok(part.body.equals(body.subarray(first, last + 1)), `${size} ${range.range}`);
    }
    // In signed chunks of a size of their own, without the length of what the connection carries.
    const extra = { host, "x-amz-decoded-content-length": String(size) };
    const hash = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    const request = { method: "PUT", path: `${target}/framed`, headers: extra };
    const { headers, signature } = signHeaders(request, { ...by, hash });
    const chunks = [body.subarray(0, 64 * KiB - 1), body.subarray(64 * KiB - 1)];
    const framed = frame(
      chunks.filter(({ length }) => length > 0),
      { ...by, seed: signature },
    );
    const to = { hostname, port, method: "PUT", path: request.path };
    const stored = await send(to, { ...headers, "transfer-encoding": "chunked" }, framed);
    assert.equal(stored.headers.etag, put.headers.etag, `${size} ${stored.text}`);
    assert.ok((await s3.call("GET", request.path)).body.equals(body), `${size} framed`);
  }
});

test("an object of no bytes is one, however it comes and wherever it goes", async (t) => {
  const s3 = await startS3(t);
  const { host, hostname, port } = new URL(s3.url);
  const by = { id: rootKey.keyId, secret: rootKey.secret, date: amzDate(new Date()) };
  const ask = (method: string, path: string, headers = {}, body: Buffer | string = "") =>
    send({ hostname, port, method, path }, { host, ...headers }, body);

  const put = await s3.call("PUT", "/s3/demo/put");
  const url = presigned(
    { method: "PUT", target: "/s3/demo/presigned", headers: { host } },
    rootKey,
  );
  await ask("PUT", url);
  await s3.call("PUT", "/s3/demo/streamed", {
    unsignedHeaders: { "transfer-encoding": "chunked" },
  });
  const hash = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
  const extra = { host, "x-amz-decoded-content-length": "0" };
  const request = { method: "PUT", path: "/s3/demo/framed", headers: extra };
  const { headers, signature } = signHeaders(request, { ...by, hash });
  await ask("PUT", request.path, headers, frame([], { ...by, seed: signature }));
  const conditions = [{ bucket: "demo" }, { key: "form" }, ["content-length-range", 0, 0]];
  const expiration = new Date(Date.now() + 60_000).toISOString();
  const policy = Buffer.from(JSON.stringify({ expiration, conditions })).toString("base64");
  const form = new FormData();
  form.append("key", "form");
  form.append("AWSAccessKeyId", rootKey.keyId);
  form.append("policy", policy);
  form.append("signature", createHmac("sha1", rootKey.secret).update(policy).digest("base64"));
  form.append("file", new File([], "f"));
  await fetch(`${s3.endpoint}/demo`, { method: "POST", body: form });
  const source = { "x-amz-copy-source": "demo/put" };
  await s3.call("PUT", "/s3/demo/copy", { headers: source });

  for (const name of ["put", "presigned", "streamed", "framed", "form", "copy"]) {
    const target = `/s3/demo/${name}`;
    const got = await s3.call("GET", target);
    assert.deepEqual([got.status, got.headers["content-length"], got.text], [200, "0", ""], name);
    assert.equal(got.headers.etag, put.headers.etag);
    assert.equal((await s3.call("HEAD", target)).headers["content-length"], "0");
    for (const range of ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=1-2"]) {
      const none = await s3.call("GET", target, { headers: { range } });
      assert.deepEqual([none.status, none.code], [416, "InvalidRange"], `${name} ${range}`);
      assert.equal(none.headers["content-range"], "bytes */0");
    }
    const checksum = await s3.call("GET", target, {
      headers: { "x-amz-checksum-mode": "ENABLED" },
    });
    assert.equal(checksum.headers["x-amz-checksum-crc64nvme"], "AAAAAAAAAAA=", name);
  }
  const one = await s3.call("GET", "/s3/demo/put?partNumber=1");
  assert.equal(one.headers["content-length"], "0");
});
