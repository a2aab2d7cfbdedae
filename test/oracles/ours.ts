// Our driver, asked for the calls that the SDKs are asked for.

import { MiB } from "@roma/contract";
import { type Clock, systemClock } from "../../packages/server/src/core/ports/clock.ts";
import { S3Client } from "../../packages/server/src/storage/s3/client.ts";
import { s3Config } from "../../packages/server/src/storage/s3/config.ts";
import { cachedCredentials } from "../../packages/server/src/storage/s3/credentials/credentials.ts";
import { staticCredentials } from "../../packages/server/src/storage/s3/credentials/sources.ts";
import { openS3Storage } from "../../packages/server/src/storage/s3/driver.ts";
import {
  dialectOf,
  providers,
  type Vendor,
} from "../../packages/server/src/storage/s3/providers.ts";
import type { StorageCalls, Target } from "./calls.ts";
import { lookup, send } from "./loopback.ts";

export interface Speech {
  readonly vendor: Vendor;
  readonly signature: "s3" | "native";
}

export function ourCalls(speech: Speech, target: Target, clock: Clock = systemClock): StorageCalls {
  const driver = openS3Storage({
    id: "oracle",
    ...s3Config.parse({ ...speech, ...target }),
    lookup,
    clock,
  });
  const { presign, parts: writes } = driver;
  if (presign === undefined || writes === undefined) throw new Error("not a driver of this family");
  /** The driver gives none, since the signature cannot bind a length; the client could. */
  const obsPutUrl = async (key: string, seconds: number, contentType: string) => {
    const dialect = dialectOf(providers[speech.vendor], speech.signature);
    const credentials = cachedCredentials(staticCredentials(target), { clock });
    const client = new S3Client({ ...target, dialect, credentials, clock, connectionsMax: 1 });
    const request = { method: "PUT", key, query: [], headers: { "content-type": contentType } };
    const url = await client.presign(request, { ...call, expiresSeconds: seconds });
    await client.close();
    return url;
  };
  const call = { signal: new AbortController().signal };
  const inSeconds = (seconds: number) => new Date(clock.now().getTime() + seconds * 1000);
  return {
    async put(key, text, contentType) {
      const options = { ...call, length: text.length, metadata: { contentType } };
      await driver.put(key, chunks(text), options);
    },
    async get(key, firstByte, lastByte) {
      const { body } = await driver.get(key, { ...call, firstByte, lastByte });
      let text = "";
      for await (const chunk of body) text += Buffer.from(chunk).toString();
      return text;
    },
    async head(key) {
      await driver.head(key, call);
    },
    async delete(key) {
      await driver.delete(key, call);
    },
    async list(prefix) {
      for await (const item of driver.list(prefix, call)) void item;
    },
    async create(key, contentType) {
      const options = { ...call, metadata: { contentType }, partBytes: 5 * MiB };
      return (await writes.create(key, options)).token;
    },
    async writePart(key, token, partNumber, text) {
      const options = { ...call, digests: {} };
      const bytes = Buffer.from(text);
      return await writes.writePart({ key, token }, partNumber, bytes, options);
    },
    async complete(key, token, parts) {
      const given = parts.map((part) => ({ ...part, digests: {} }));
      await writes.complete({ key, token }, given, call);
    },
    async abort(key, token) {
      await writes.cancel({ key, token }, call);
    },
    async presignedGet(key, seconds, contentDisposition) {
      const grant = {
        verb: "get",
        key,
        expiresAt: inSeconds(seconds),
        contentDisposition,
      } as const;
      const { url } = await presign(grant, call);
      await send("GET", url, { headers: {} });
    },
    async presignedPut(key, seconds, { text, contentType }) {
      const headers = { "content-type": contentType, "content-length": String(text.length) };
      if (speech.vendor === "huawei-obs") {
        await send("PUT", await obsPutUrl(key, seconds, contentType), { headers, text });
        return;
      }
      const terms = { length: text.length, contentType, expiresAt: inSeconds(seconds) };
      const { url } = await presign({ verb: "put", key, ...terms }, call);
      await send("PUT", url, { headers, text });
    },
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  };
}

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(Buffer.from(text));
}
