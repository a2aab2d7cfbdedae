import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { basic, startRest } from "./testing.ts";

const paths = [
  "/v1/objects/b/k",
  "/v1/objects/b",
  "/v1/buckets/b",
  "/v1/keys/k",
  "/v1/uploads/u",
  "/v1/copy",
  "/v1/grants",
  "/v1/objects/b?delete",
  "/v1/docs",
];
const queries = ["grant", "prefix", "delimiter", "cursor", "limit", "download", "delete", "bucket"];
const fields = [
  "authorization",
  "range",
  "if-range",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
  "content-type",
  "content-md5",
  "content-digest",
  "repr-digest",
  "want-repr-digest",
  "content-encoding",
  "content-range",
  "roma-meta-x",
  "roma-request-id",
  "x-amz-content-sha256",
  "x-amz-date",
  "origin",
  "expect",
];
const methods = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];
const pieces = [
  "",
  "0",
  "-1",
  "99999999999999999999",
  '"',
  '""',
  "W/",
  "*",
  ",",
  ";",
  "=",
  ":",
  "%",
  "%00",
  "%zz",
  "%ff",
  "%F0%9F%98%80",
  "bytes=",
  "0-",
  "-5",
  "sha-256",
  "crc64nvme=:AAAAAAAAAAA=:",
  ":",
  "(",
  "?1",
  "\\",
  "é",
  "\xff",
  "\t",
  " ",
  "..",
  "/",
  "//",
  "__proto__",
  "constructor",
  "Basic ",
  "Bearer ",
  "eyJhbGciOiJIUzI1NiJ9.e30.AA",
  "AWS4-HMAC-SHA256 Credential=a/20260101/r/s3/aws4_request",
  ", SignedHeaders=host, Signature=",
  "multipart/form-data; boundary=",
  "application/json",
  "Sun, 06 Nov 1994 08:49:37 GMT",
  "{",
  "[]",
  '{"keys":[',
  "x".repeat(3000),
];
const bodies = [
  "",
  "{}",
  "[]",
  "null",
  '{"keys":[null]}',
  "--\r\n\r\n",
  "\xff\xfe",
  '{"from":{"bucket":1}}',
  '{"bucket":"b","key":"\\ud800","actions":["object:read"]}',
];

test("no header, parameter or body makes a 500, however it is put together", async (t) => {
  const seed = randomInt(2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const next = mulberry32(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const nonsense = () =>
    Array.from({ length: 1 + Math.floor(next() * 3) }, () => pick(pieces)).join("");
  const server = await startRest(t, { http: { bodyIdleMsMax: 500, lingerMsMax: 100 } });
  await server.call("PUT", "/v1/buckets/b");
  await server.call("PUT", "/v1/objects/b/k", { body: "0123456789" });
  const one = async () => {
    const headers: Record<string, string> =
      next() < 0.8 ? { authorization: basic(server.key) } : {};
    for (let count = Math.floor(next() * 4); count > 0; count--) {
      const field = pick(fields);
      headers[field] = field === "expect" ? "100-continue" : nonsense().trim();
    }
    const query = next() < 0.5 ? "" : `${pick(queries)}=${encodeURI(nonsense())}`;
    const path = pick(paths);
    const target = query === "" ? path : `${path}${path.includes("?") ? "&" : "?"}${query}`;
    const method = pick(methods);
    const body = next() < 0.6 ? pick(bodies) : nonsense();
    const asked = server.call(method, target, { as: "nobody", headers, body });
    const answer = await asked.catch((error: NodeJS.ErrnoException) => {
      // Who sends without the 100 that he asked for may lose the refusal to a reset.
      if (headers.expect !== undefined && error.code === "ECONNRESET") return undefined;
      throw error;
    });
    if (answer === undefined) return;
    const said = `${method} ${target} ${JSON.stringify(headers)} ${JSON.stringify(body)}: ${answer.text}`;
    assert.ok(answer.status < 500 || answer.status === 501, said);
    if (answer.status < 400 || method === "HEAD") return;
    assert.equal(answer.headers["content-type"], "application/problem+json", said);
    assert.doesNotMatch(answer.text, /node:|\.ts:|\/packages\//, said);
  };
  for (let round = 0; round < 60; round++) await Promise.all(Array.from({ length: 25 }, one));
});

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
