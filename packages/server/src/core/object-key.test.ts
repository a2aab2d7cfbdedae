import assert from "node:assert/strict";
import { test } from "node:test";
import { isOperationalError } from "./errors.ts";
import { parseBucketName, parseKey, parseNewBucketName, parsePrefix } from "./object-key.ts";

const kept = [
  "a",
  "a/b",
  "a//b",
  "/a",
  "a/",
  "//",
  ".a",
  "a.",
  "...",
  "..a/b",
  "a/..b",
  "%2e%2e",
  "a+b c",
  "a\\..\\b",
  "ü",
  "u\u0308",
  "中.txt",
  "😀",
  "\u202Egnp.exe",
  "constructor",
  "__proto__",
  "\x01\x7f",
  "\r\n",
  "\ufeff",
  "x".repeat(1024),
  "中".repeat(341),
];

for (const key of kept) {
  test(`key ${JSON.stringify(key).slice(0, 40)} is kept as it is`, () => {
    assert.equal(parseKey(key), key);
  });
}

const refused: readonly [key: string, word: RegExp][] = [
  ["", /empty/],
  ["..", /segment/],
  ["../a", /segment/],
  ["a/../b", /segment/],
  ["a/./b", /segment/],
  ["a/..", /segment/],
  ["a\0b", /NUL/],
  ["a\ud800", /surrogate/],
  ["\udc00b", /surrogate/],
  ["x".repeat(1025), /1025 bytes.*1024/],
  ["中".repeat(342), /1026 bytes.*1024/],
];

for (const [key, word] of refused) {
  test(`key ${JSON.stringify(key).slice(0, 40)} is refused and told why`, () => {
    assert.throws(
      () => parseKey(key),
      (error) => isOperationalError(error, "invalid_key") && word.test(error.message),
    );
  });
}

test("a prefix may be empty or end inside a segment", () => {
  for (const prefix of ["", "a/.", "a/..", "a//"]) assert.equal(parsePrefix(prefix), prefix);
  assert.throws(
    () => parsePrefix("a\0"),
    (error) => isOperationalError(error, "invalid_key"),
  );
});

test("bucket names: what is a name, and what is not", () => {
  for (const name of [
    "a",
    "photos",
    "File",
    "__proto__",
    "constructor",
    "a-b.c_d",
    "9",
    "x".repeat(63),
  ]) {
    assert.equal(parseBucketName(name), name);
  }
  for (const name of [
    "",
    ".",
    "..",
    "a..b",
    "-a",
    ".a",
    "a/b",
    "a b",
    "ü",
    "x".repeat(64),
    "a\n",
  ]) {
    assert.throws(
      () => parseBucketName(name),
      (error) => isOperationalError(error, "invalid_request"),
    );
  }
});

test("no bucket is made with the name that begins the paths of S3, and one that is there keeps it", () => {
  assert.throws(
    () => parseNewBucketName("s3"),
    (error) => isOperationalError(error, "invalid_request") && /S3 interface/.test(error.message),
  );
  assert.equal(parseBucketName("s3"), "s3");
  for (const name of ["S3", "s33", "s3.example"]) assert.equal(parseNewBucketName(name), name);
});
