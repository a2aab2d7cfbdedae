// A signature (SigV4) that names the body's SHA-256: it is held against every body of tus.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { signSigV4 } from "../../storage/s3/signatures/sigv4.ts";
import { bytesType, key, startTus, type TusServer } from "./testing.ts";

function signedHeaders(tus: TusServer, method: string, path: string, body: string) {
  const payloadHash = createHash("sha256").update(body).digest("hex");
  const at = new Date();
  const headers = {
    host: `127.0.0.1:${tus.port}`,
    "x-amz-content-sha256": payloadHash,
    "x-amz-date": `${at.toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`,
  };
  const credentials = { accessKeyId: key.keyId, secretAccessKey: key.secret };
  const { signature, names } = signSigV4(
    { method, path, query: [], headers, payloadHash },
    { credentials, region: "us-east-1", at },
  );
  const scope = `${key.keyId}/${headers["x-amz-date"].slice(0, 8)}/us-east-1/s3/aws4_request`;
  return {
    ...headers,
    authorization: `AWS4-HMAC-SHA256 Credential=${scope},SignedHeaders=${names},Signature=${signature}`,
  };
}

test("a body that is not the one that was signed is 460 and changes nothing", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "5" });
  const signed = signedHeaders(tus, "PATCH", path, "hello");
  const wrong = await tus.append(path, 0, "jello", signed);
  assert.equal(wrong.status, 460, wrong.text);
  assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "0");
  const right = await tus.append(path, 0, "hello", signed);
  assert.deepEqual([right.status, right.headers["upload-offset"]], [204, "5"]);
});

test("a signature is of the method as sent, and of no body where none is read", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "5" });
  const override = { "x-http-method-override": "PATCH", "upload-offset": "0" };
  const posted = await tus.call("POST", path, {
    headers: { ...override, "content-type": bytesType, ...signedHeaders(tus, "POST", path, "he") },
    body: "he",
  });
  assert.equal(posted.status, 204, posted.text);
  const head = signedHeaders(tus, "HEAD", path, "");
  assert.equal((await tus.call("HEAD", path, { headers: head })).status, 200);
  const odd = signedHeaders(tus, "DELETE", path, "something");
  assert.equal((await tus.call("DELETE", path, { headers: odd })).status, 460);
});
