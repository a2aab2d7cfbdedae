// Direct uploads at a whole server on a local disk: over a restart, and from pages of other origins.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import type { DirectUploadJson } from "@roma/contract";
import { signedHeaders } from "../../packages/server/src/protocols/s3/testing-signature.ts";
import { get, send } from "../harness/http-client.ts";
import { rootKey, type ServerProcess, startServer } from "../harness/server-process.ts";

const partBytes = 5 * 1024 ** 2;

async function begin(server: ServerProcess, request: object): Promise<DirectUploadJson> {
  const body = JSON.stringify({ bucket: "demo", key: "k", ...request });
  const answer = await send(server, "POST", "/v1/uploads", { body });
  assert.equal(answer.status, 201, answer.body.toString());
  return JSON.parse(answer.body.toString()) as DirectUploadJson;
}

test("what was signed and sent before a kill is good after it", async (t) => {
  const server = await startServer(t);
  const bytes = randomBytes(partBytes + 1);
  const upload = await begin(server, { length: bytes.length, partBytes });
  assert(upload.transfer.kind === "parts");
  const { requests } = upload.transfer;
  // The port is another after the restart.
  const put = async (number: number) => {
    const { pathname, search } = new URL(requests[number]?.url ?? "");
    const body = bytes.subarray((number - 1) * partBytes, number * partBytes);
    return await fetch(`${server.url}${pathname}${search}`, { method: "PUT", body });
  };
  assert.equal((await put(1)).status, 200);
  await server.kill();
  await server.start();
  assert.equal((await put(2)).status, 200);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const body = JSON.stringify({ checksums: { sha256 } });
  const done = await send(server, "POST", `/v1/uploads/${upload.id}/complete`, { body });
  assert.equal(done.status, 201, done.body.toString());
  assert.ok((await get(server, "k")).body.equals(bytes));
});

test("a bucket's own rules decide which pages may send its parts", async (t) => {
  const server = await startServer(t);
  const [keyId = "", secret = ""] = rootKey.split(":");
  const rule =
    "<AllowedOrigin>https://app.example</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>";
  const document = `<CORSConfiguration><CORSRule>${rule}</CORSRule></CORSConfiguration>`;
  const unsigned = {
    method: "PUT",
    target: "/s3/demo?cors",
    headers: {
      host: new URL(server.url).host,
      "content-md5": createHash("md5").update(document).digest("base64"),
    },
    body: document,
  };
  const headers = signedHeaders(unsigned, { keyId, secret }, new Date());
  const options = { headers, body: document, authorization: null };
  const set = await send(server, "PUT", unsigned.target, options);
  assert.equal(set.status, 200, set.body.toString());
  const upload = await begin(server, { length: 3 });
  assert(upload.transfer.kind === "put");
  const { url } = upload.transfer.request;
  const preflight = async (origin: string) => {
    const asked = { origin, "access-control-request-method": "PUT" };
    return (await fetch(url, { method: "OPTIONS", headers: asked })).headers;
  };
  const allowed = await preflight("https://app.example");
  assert.equal(allowed.get("access-control-allow-origin"), "https://app.example");
  assert.match(allowed.get("access-control-allow-methods") ?? "", /PUT/);
  const others = await preflight("https://other.example");
  assert.equal(others.get("access-control-allow-origin"), null);
  const origin = { origin: "https://app.example" };
  const sent = await fetch(url, { method: "PUT", headers: origin, body: "abc" });
  assert.equal(sent.status, 200);
  assert.match(sent.headers.get("access-control-expose-headers") ?? "", /ETag/);
  assert.equal(sent.headers.get("etag"), `"${createHash("md5").update("abc").digest("hex")}"`);
});
