// Huawei's own SDK with the signature of OBS, asked for the same calls.

import { Agent } from "node:http";
import { setImmediate } from "node:timers/promises";
import type { StorageCalls, Target } from "./calls.ts";
import { lookup, send } from "./loopback.ts";
import { md5Base64, Obs, type ObsAction, type ObsAnswer } from "./vendor-sdks.ts";

export function obsCalls(target: Target): StorageCalls {
  const { bucket: Bucket, endpoint, accessKeyId, secretAccessKey } = target;
  const agent = new Agent({ lookup, keepAlive: true });
  const client = new Obs({
    access_key_id: accessKeyId,
    secret_access_key: secretAccessKey,
    server: endpoint,
    signature: "obs",
    is_signature_negotiation: false,
    max_retry_count: 0,
    http_agent: agent,
  });
  // It sets itself up a moment later and does not say when.
  const ready = setImmediate();
  const ask = async (action: ObsAction, parameters: object) => {
    await ready;
    const answer: ObsAnswer = await client[action]({ Bucket, ...parameters });
    const { Status, Code } = answer.CommonMsg;
    if (Status >= 300) throw new Error(`${Status} ${Code}`);
    return answer.InterfaceResult ?? {};
  };
  const signed = async (Method: string, parameters: object) => {
    await ready;
    return client.createSignedUrlSync({ Method, Bucket, ...parameters }).SignedUrl;
  };
  return {
    async put(Key, Body, ContentType) {
      await ask("putObject", { Key, Body, ContentType, ContentMD5: md5Base64(Body) });
    },
    async get(Key, first, last) {
      return (await ask("getObject", { Key, Range: `bytes=${first}-${last}` })).Content ?? "";
    },
    async head(Key) {
      await ask("getObjectMetadata", { Key });
    },
    async delete(Key) {
      await ask("deleteObject", { Key });
    },
    async list(Prefix) {
      await ask("listObjects", { Prefix });
    },
    async create(Key, ContentType) {
      return (await ask("initiateMultipartUpload", { Key, ContentType })).UploadId ?? "";
    },
    async writePart(Key, UploadId, PartNumber, Body) {
      const part = { Key, UploadId, PartNumber, Body, ContentMD5: md5Base64(Body) };
      const { ETag: etag = "" } = await ask("uploadPart", part);
      return { partNumber: PartNumber, etag, length: Body.length };
    },
    async complete(Key, UploadId, parts) {
      const Parts = parts.map(({ partNumber, etag }) => ({ PartNumber: partNumber, ETag: etag }));
      await ask("completeMultipartUpload", { Key, UploadId, Parts });
    },
    async abort(Key, UploadId) {
      await ask("abortMultipartUpload", { Key, UploadId });
    },
    async presignedGet(Key, Expires, contentDisposition) {
      const QueryParams = { "response-content-disposition": contentDisposition };
      await send("GET", await signed("GET", { Key, Expires, QueryParams }), { headers: {} });
    },
    async presignedPut(Key, Expires, { text, contentType }) {
      const headers = { "content-type": contentType, "content-length": String(text.length) };
      const url = await signed("PUT", { Key, Expires, Headers: { "Content-Type": contentType } });
      await send("PUT", url, { headers, text });
    },
    async [Symbol.asyncDispose]() {
      client.close();
      agent.destroy();
    },
  };
}
