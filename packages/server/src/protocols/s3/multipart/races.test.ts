/** Requests that meet: the key has one of the objects, whole, or none; never a mixture. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { type S3Server, startS3 } from "../testing.ts";

const partBytes = 5 * 1024 * 1024;

/** An upload of two parts, and the document that completes it. */
async function twoParts(s3: S3Server, key: string) {
  const made = await s3.call("POST", `/s3/demo/${key}?uploads`);
  const target = `/s3/demo/${key}?uploadId=${/<UploadId>([^<]+)/.exec(made.text)?.[1]}`;
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
