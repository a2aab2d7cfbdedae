// Alibaba's own SDK with its version 4 signatures, asked for the same calls.

import { Agent } from "node:http";
import type { StorageCalls, Target } from "./calls.ts";
import { lookup, send } from "./loopback.ts";
import { md5Base64, Oss } from "./vendor-sdks.ts";

export function ossCalls(target: Target): StorageCalls {
  const { secretAccessKey: accessKeySecret, ...others } = target;
  const agent = new Agent({ lookup, keepAlive: true });
  const client = new Oss({ ...others, accessKeySecret, authorizationV4: true, agent });
  return {
    async put(key, text, mime) {
      await client.put(key, Buffer.from(text), { mime });
    },
    async get(key, first, last) {
      const headers = { Range: `bytes=${first}-${last}` };
      return (await client.get(key, { headers })).content.toString();
    },
    async head(key) {
      await client.head(key);
    },
    async delete(key) {
      await client.delete(key);
    },
    async list(prefix) {
      await client.listV2({ prefix, "encoding-type": "url" });
    },
    async create(key, mime) {
      return (await client.initMultipartUpload(key, { mime })).uploadId;
    },
    async writePart(key, upload, partNumber, text) {
      const options = { headers: { "Content-MD5": md5Base64(text) } };
      const bytes = Buffer.from(text);
      const part = [key, upload, partNumber, bytes, 0, bytes.length, options] as const;
      const { etag } = await client.uploadPart(...part);
      return { partNumber, etag, length: bytes.length };
    },
    async complete(key, upload, parts) {
      const listed = parts.map(({ partNumber, etag }) => ({ number: partNumber, etag }));
      await client.completeMultipartUpload(key, upload, listed);
    },
    async abort(key, upload) {
      await client.abortMultipartUpload(key, upload);
    },
    async presignedGet(key, seconds, contentDisposition) {
      const queries = { "response-content-disposition": contentDisposition };
      const url = await client.signatureUrlV4("GET", seconds, { queries }, key);
      await send("GET", url, { headers: {} });
    },
    async presignedPut(key, seconds, { text, contentType }) {
      const headers = { "content-length": String(text.length), "content-type": contentType };
      const also = ["content-length"];
      const url = await client.signatureUrlV4("PUT", seconds, { headers }, key, also);
      await send("PUT", url, { headers, text });
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
    },
  };
}
