import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { isOperationalError } from "../core/errors.ts";
import {
  formatDigestHeader,
  parseContentMd5,
  parseDigestHeader,
  parseWantDigest,
  requestDigests,
} from "./digest-headers.ts";

const sha256 = new Uint8Array(createHash("sha256").update("hello").digest());
const md5 = new Uint8Array(createHash("md5").update("hello").digest());
const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

function refused(run: () => unknown, pattern: RegExp): void {
  assert.throws(run, (error) => {
    assert.ok(isOperationalError(error, "invalid_request"), String(error));
    assert.match(error.message, pattern);
    return true;
  });
}

test("known digests are read, unknown algorithms and parameters are passed over", () => {
  const header = `sha-256=:${b64(sha256)}:;a=1;b="x,\\"y", unixsum=:AAA=:,  md5=:${b64(md5)}:, x=(1 "a" tok;q=?1);z, y, w=1.5`;
  assert.deepEqual(parseDigestHeader(header, "Repr-Digest"), { sha256, md5 });
  assert.deepEqual(parseDigestHeader(undefined, "Repr-Digest"), {});
  assert.deepEqual(parseDigestHeader("", "Repr-Digest"), {});
  assert.deepEqual(parseDigestHeader("crc64nvme=:AAAAAAAAAAE=:", "Content-Digest"), {
    crc64nvme: new Uint8Array([0, 0, 0, 0, 0, 0, 0, 1]),
  });
});

test("the later member of one name wins", () => {
  const header = `md5=:${b64(new Uint8Array(16))}:, md5=:${b64(md5)}:`;
  assert.deepEqual(parseDigestHeader(header, "Repr-Digest"), { md5 });
});

test("what is malformed is refused by its header's name", () => {
  for (const bad of [
    "sha-256",
    "sha-256=",
    "sha-256=abc",
    "sha-256=:abc",
    "sha-256=:a*b:",
    `sha-256=:${b64(md5)}:`,
    `sha-256=:${b64(sha256)}:,`,
    `sha-256=:${b64(sha256)}: md5=:AA==:`,
    "SHA-256=:AA==:",
    "=:AA==:",
    'x="open',
    'x="open\\',
    "x=(1 2",
    "x=((1))",
    "x=?2",
    "x=-",
    "x=1.",
    "x=1234567890123456",
    ",",
    "é=1",
    "x".repeat(10_000),
  ]) {
    refused(() => parseDigestHeader(bad, "Content-Digest"), /^Content-Digest is malformed: /);
  }
  for (const bad of ["x", b64(sha256), "!!!!", `${b64(md5)},${b64(md5)}`]) {
    refused(() => parseContentMd5(bad), /^Content-MD5 is malformed: /);
  }
});

test("headers that contradict each other are refused, others are joined", () => {
  const good = { "content-md5": b64(md5), "repr-digest": `sha-256=:${b64(sha256)}:` };
  assert.deepEqual(requestDigests(good), { md5, sha256 });
  const wrong = `md5=:${b64(new Uint8Array(16))}:`;
  refused(() => requestDigests({ ...good, "content-digest": wrong }), /contradicts/);
});

test("wanted digests come by weight, unwanted and unknown ones are left out", () => {
  const want = (text: string) => parseWantDigest(text, "Want-Repr-Digest");
  assert.deepEqual(want("md5=1, sha-256=10, sha=0, adler=9"), ["sha256", "md5"]);
  assert.deepEqual(want("sha-512=3"), []);
  for (const bad of ["md5=11", "md5=-1", "md5=0.5", "md5"]) {
    refused(() => want(bad), /^Want-Repr-Digest is malformed: /);
  }
});

test("digests are written as they are read", () => {
  const header = formatDigestHeader({ sha256, md5 });
  assert.equal(header, `sha-256=:${b64(sha256)}:, md5=:${b64(md5)}:`);
  assert.deepEqual(parseDigestHeader(header, "Repr-Digest"), { sha256, md5 });
  assert.equal(formatDigestHeader({ crc32: md5 }), undefined);
  assert.equal(formatDigestHeader({ sha256, md5 }, ["md5"]), `md5=:${b64(md5)}:`);
});
