/** Requests that meet: the key has one of the objects, whole, or none; never a mixture. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { test } from "node:test";
import { key, type S3Server, startS3 } from "../testing.ts";
import { signedHeaders } from "../testing-signature.ts";

const partBytes = 5 * 1024 * 1024;

/** An upload of two parts, and the document that completes it. */
async function twoParts(s3: S3Server, name: string) {
  const made = await s3.call("POST", `/s3/demo/${name}?uploads`);
  const target = `/s3/demo/${name}?uploadId=${/<UploadId>([^<]+)/.exec(made.text)?.[1]}`;
  const parts = [Buffer.alloc(partBytes, 1), Buffer.alloc(1000, 2)];
  const tags = await Promise.all(
    parts.map(async (body, index) => {
      const answer = await s3.call("PUT", `${target}&partNumber=${index + 1}`, { body });
      return `<Part><PartNumber>${index + 1}</PartNumber><ETag>${answer.headers.etag}</ETag></Part>`;
    }),
  );
  const document = `<CompleteMultipartUpload>${tags.join("")}</CompleteMultipartUpload>`;
  return { target, document, whole: Buffer.concat(parts) };
}

const hashOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

test("two completions at once answer the same", async (t) => {
  const s3 = await startS3(t);
  const { target, document, whole } = await twoParts(s3, "k");
  const complete = () => s3.call("POST", target, { body: document });
  const answers = await Promise.all([complete(), complete(), complete()]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200],
  );
  const tags = answers.map(({ text }) => /<ETag>([^<]+)/.exec(text)?.[1]);
  assert.equal(new Set(tags).size, 1);
  assert.equal((await complete()).status, 200);
  assert.equal(hashOf((await s3.call("GET", "/s3/demo/k")).body), hashOf(whole));
  await s3.call("PUT", "/s3/demo/k", { body: "other" });
  assert.equal((await complete()).code, "NoSuchUpload");
  assert.equal((await s3.call("GET", "/s3/demo/k")).text, "other");
});

test("a completion against giving up ends in one of the two", async (t) => {
  const s3 = await startS3(t);
  for (const round of [1, 2, 3, 4]) {
    const { target, document, whole } = await twoParts(s3, `k${round}`);
    const [completed, given] = await Promise.all([
      s3.call("POST", target, { body: document }),
      s3.call("DELETE", target),
    ]);
    const got = await s3.call("GET", `/s3/demo/k${round}`);
    if (completed.status === 200) {
      assert.deepEqual([given.code, got.status], ["NoSuchUpload", 200]);
      assert.equal(hashOf(got.body), hashOf(whole));
    } else {
      assert.deepEqual([given.status, got.status], [204, 404]);
    }
  }
});

test("puts and deletes of one key leave one whole object or none", async (t) => {
  const s3 = await startS3(t);
  const bodies = [1, 2, 3].map((fill) => Buffer.alloc(300_000 + fill, fill));
  await Promise.all([
    ...bodies.map((body) => s3.call("PUT", "/s3/demo/k", { body })),
    s3.call("DELETE", "/s3/demo/k"),
  ]);
  const got = await s3.call("GET", "/s3/demo/k");
  const hashes = bodies.map(hashOf);
  assert.ok(got.status === 404 || hashes.includes(hashOf(got.body)));
});

test("a completion against a part of the same number has the part it named, or does nothing", async (t) => {
  const s3 = await startS3(t);
  for (const round of [0, 1, 2, 3]) {
    const { target, document, whole } = await twoParts(s3, `k${round}`);
    const [replaced, completed] = await Promise.all([
      s3.call("PUT", `${target}&partNumber=2`, { body: "another" }),
      s3.call("POST", target, { body: document }),
    ]);
    const got = await s3.call("GET", `/s3/demo/k${round}`);
    if (completed.status === 200) {
      assert.equal(hashOf(got.body), hashOf(whole));
      assert.ok([404, 409].includes(replaced.status), replaced.text);
    } else {
      assert.deepEqual([completed.code, replaced.status, got.status], ["InvalidPart", 200, 404]);
      const listed = await s3.call("GET", target);
      assert.ok(listed.text.includes(createHash("md5").update("another").digest("hex")));
    }
  }
});

test("a part that is on its way when its upload is completed is none", async (t) => {
  const s3 = await startS3(t);
  const { target, document, whole } = await twoParts(s3, "k");
  const { hostname, port, host } = new URL(s3.url);
  const path = `${target}&partNumber=2`;
  const body = Buffer.alloc(300_000, 3);
  const signed = signedHeaders(
    { method: "PUT", target: path, headers: { host }, body },
    key,
    new Date(),
  );
  const headers = { ...signed, "content-length": `${body.length}` };
  const late = httpRequest({ hostname, port, method: "PUT", path, headers });
  const answered = once(late, "response");
  late.write(body.subarray(0, 200_000));
  assert.equal((await s3.call("POST", target, { body: document })).status, 200);
  late.end(body.subarray(200_000));
  const [response] = await answered;
  assert.equal(response.statusCode, 404);
  response.resume();
  assert.equal(hashOf((await s3.call("GET", "/s3/demo/k")).body), hashOf(whole));
});

test("a copy against a put of its source has the old bytes or the new, and is made", async (t) => {
  const s3 = await startS3(t);
  const source = { "x-amz-copy-source": "demo/source" };
  const bodies = [1, 2, 3, 4].map((fill) => Buffer.alloc(4_000_000 + fill, fill));
  const hashes = bodies.map(hashOf);
  for (const headers of [source, { ...source, "x-amz-checksum-algorithm": "SHA1" }]) {
    for (let round = 0; round < 4; round += 1) {
      await s3.call("PUT", "/s3/demo/source", { body: Buffer.alloc(4_000_000, 9) });
      const copies = ["copy/1", "copy/2", "copy/3"];
      const made = await Promise.all([
        ...bodies.map((body) => s3.call("PUT", "/s3/demo/source", { body })),
        ...copies.map((key) => s3.call("PUT", `/s3/demo/${key}`, { headers })),
      ]);
      assert.deepEqual(
        made.map(({ status, text }) => (status === 200 ? "" : text)),
        made.map(() => ""),
      );
      for (const [index, key] of copies.entries()) {
        const got = await s3.call("GET", `/s3/demo/${key}`);
        const hash = hashOf(got.body);
        assert.ok([...hashes, hashOf(Buffer.alloc(4_000_000, 9))].includes(hash));
        const told = made[bodies.length + index]?.text ?? "";
        assert.equal(got.headers.etag, `"${/<ETag>&quot;([0-9a-f]+)/.exec(told)?.[1]}"`);
        const sum = createHash("sha1").update(got.body).digest("base64");
        const isAsked = "x-amz-checksum-algorithm" in headers;
        assert.equal(/<ChecksumSHA1>([^<]+)/.exec(told)?.[1], isAsked ? sum : undefined);
      }
    }
  }
});
