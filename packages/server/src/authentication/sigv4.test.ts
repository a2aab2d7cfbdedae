import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { isOperationalError } from "../core/errors.ts";
import type { SignedRequest } from "./canonical-request.ts";
import { verifySigV4 } from "./sigv4.ts";

const keyId = "AKIAIOSFODNN7EXAMPLE";
const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const now = new Date("2013-05-24T00:00:00Z");
const emptyHash = createHash("sha256").digest("hex");

function verify(
  request: SignedRequest,
  options: { readonly at?: Date; readonly known?: boolean } = {},
) {
  const signerOf = async (id: string) =>
    id === keyId && options.known !== false ? { secret } : undefined;
  return verifySigV4(request, { signerOf, now: options.at ?? now });
}

function signed(
  method: string,
  target: string,
  headers: Readonly<Record<string, string>>,
  signature: string,
): SignedRequest {
  const all: Record<string, string> = {
    host: "examplebucket.s3.amazonaws.com",
    "x-amz-content-sha256": emptyHash,
    "x-amz-date": "20130524T000000Z",
    ...headers,
  };
  const names = Object.keys(all).sort().join(";");
  const credential = `${keyId}/20130524/us-east-1/s3/aws4_request`;
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential},SignedHeaders=${names},Signature=${signature}`;
  return { method, target, rawHeaders: Object.entries({ ...all, authorization }).flat() };
}

const getFile = (headers: Readonly<Record<string, string>> = {}, target = "/test.txt") =>
  signed(
    "GET",
    target,
    { range: "bytes=0-9", ...headers },
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  );

describe("AWS's published check values verify", () => {
  const vectors: Readonly<Record<string, SignedRequest>> = {
    "GET of an object with a range": getFile(),
    "PUT with a dollar sign in the path and a signed Date": signed(
      "PUT",
      "/test$file.text",
      {
        date: "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-content-sha256": createHash("sha256").update("Welcome to Amazon S3.").digest("hex"),
      },
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "GET with a parameter without value": signed(
      "GET",
      "/?lifecycle",
      {},
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "GET with parameters": signed(
      "GET",
      "/?prefix=J&max-keys=2",
      {},
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
  };
  for (const [name, request] of Object.entries(vectors)) {
    test(name, async () => {
      assert.equal((await verify(request)).keyId, keyId);
    });
  }
});

describe("a request that differs from what was signed is refused", () => {
  const drop = (request: SignedRequest, name: string): SignedRequest => ({
    ...request,
    rawHeaders: request.rawHeaders.filter(
      (_, index) => request.rawHeaders[index - (index % 2)] !== name,
    ),
  });
  const add = (request: SignedRequest, ...headers: readonly string[]): SignedRequest => ({
    ...request,
    rawHeaders: [...request.rawHeaders, ...headers],
  });
  const change = (request: SignedRequest, from: string, to: string): SignedRequest => ({
    ...request,
    rawHeaders: request.rawHeaders.map((text) => text.replace(from, to)),
  });
  const refusals: readonly (readonly [string, SignedRequest, string])[] = [
    ["another path", getFile({}, "/other.txt"), "unauthenticated"],
    ["another query", getFile({}, "/test.txt?x"), "unauthenticated"],
    ["another method", { ...getFile(), method: "HEAD" }, "unauthenticated"],
    ["another range", change(getFile(), "bytes=0-9", "bytes=0-8"), "unauthenticated"],
    [
      "an x-amz header that is not signed",
      add(getFile(), "x-amz-acl", "public"),
      "unauthenticated",
    ],
    ["host not signed", change(getFile(), "host;", ""), "unauthenticated"],
    ["no payload hash", drop(getFile(), "x-amz-content-sha256"), "invalid_request"],
    ["no date", drop(getFile(), "x-amz-date"), "invalid_request"],
    ["two dates", add(getFile(), "x-amz-date", "20130524T000000Z"), "invalid_request"],
    ["another service", change(getFile(), "/s3/", "/sns/"), "invalid_request"],
    ["another day in the scope", change(getFile(), "20130524/", "20130525/"), "invalid_request"],
    ["a short signature", change(getFile(), "f0e8bdb8", ""), "invalid_request"],
    [
      "chunk signatures of SigV4A",
      change(getFile(), emptyHash, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"),
      "unsupported",
    ],
    ["another word as payload hash", change(getFile(), emptyHash, "SIGNED"), "invalid_request"],
  ];
  for (const [name, request, code] of refusals) {
    test(`${name}: ${code}`, async () => {
      await assert.rejects(
        verify(request),
        (error) => isOperationalError(error) && error.code === code,
      );
    });
  }

  test("an unknown key and a date 16 minutes off: unauthenticated", async () => {
    const isRefused = (error: unknown) => isOperationalError(error, "unauthenticated");
    await assert.rejects(verify(getFile(), { known: false }), isRefused);
    for (const minutes of [-16, 16]) {
      const at = new Date(now.getTime() + minutes * 60_000);
      await assert.rejects(verify(getFile(), { at }), isRefused);
    }
  });
});
