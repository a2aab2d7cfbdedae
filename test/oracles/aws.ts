// AWS's own SDK, asked for the same calls. It always signs by itself; where it would sign more than our
// driver does, its signer is told by its own options which headers to leave out.

import { Agent } from "node:http";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import type { StorageCalls, Target } from "./calls.ts";
import { lookup } from "./loopback.ts";
import { md5Base64 } from "./vendor-sdks.ts";

/** What the SDK signs and our driver does not, which it may: AWS demands the host and `x-amz-*` of a request. */
export const signedByTheSdkAlone: Readonly<Record<string, string>> = {
  "amz-sdk-invocation-id": "random, for the SDK's own statistics",
  "amz-sdk-request": "counts the SDK's tries",
  "x-amz-user-agent": "names the SDK",
  "content-length": "proxies frame bodies anew; the body's hash is signed",
  "content-type": "of a part only: the SDK invents one, our driver sends none",
  range: "a proxy may widen it; the driver compares the range in the answer",
};

export interface AwsOptions {
  /** Sends these without signing them, and leaves out the name of the operation. */
  readonly levelled: boolean;
}

type Signer = Awaited<ReturnType<S3Client["config"]["signer"]>>;
type Request = Parameters<Signer["sign"]>[0];
interface Presigner {
  presign(
    request: Request,
    options: {
      readonly signingRegion: string;
      readonly expiresIn: number;
      readonly unsignableHeaders: Set<string>;
      readonly unhoistableHeaders: Set<string>;
    },
  ): Promise<Request>;
}

/** The name of the operation, which the SDK repeats in the query and would sign. */
const operationName = "x-id";
const payloadHash = "x-amz-content-sha256";

export function awsCalls(target: Target, { levelled }: AwsOptions): StorageCalls {
  const { bucket: Bucket, region, endpoint, accessKeyId, secretAccessKey } = target;
  const agent = new Agent({ lookup, keepAlive: true });
  const client = new S3Client({
    region,
    endpoint,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    maxAttempts: 1,
    requestHandler: { httpAgent: agent },
  });
  let expiresIn: number | undefined;
  const signerOf = client.config.signer;
  client.config.signer = async (scheme) => {
    const signer = await signerOf(scheme);
    return {
      async sign(request, options) {
        if (expiresIn !== undefined) {
          return await presign(signer, request, { signingRegion: region, expiresIn });
        }
        if (!levelled) return await signer.sign(request, options);
        delete request.query?.[operationName];
        const unsignableHeaders = new Set(Object.keys(signedByTheSdkAlone));
        if (request.query?.partNumber === undefined) unsignableHeaders.delete("content-type");
        return await signer.sign(request, { ...options, unsignableHeaders });
      },
    };
  };
  return {
    async put(Key, text, ContentType) {
      const ContentMD5 = md5Base64(text);
      await client.send(
        new PutObjectCommand({ Bucket, Key, Body: Buffer.from(text), ContentType, ContentMD5 }),
      );
    },
    async get(Key, first, last) {
      const Range = `bytes=${first}-${last}`;
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key, Range }));
      return (await Body?.transformToString()) ?? "";
    },
    async head(Key) {
      await client.send(new HeadObjectCommand({ Bucket, Key }));
    },
    async delete(Key) {
      await client.send(new DeleteObjectCommand({ Bucket, Key }));
    },
    async list(Prefix) {
      await client.send(new ListObjectsV2Command({ Bucket, Prefix, EncodingType: "url" }));
    },
    async create(Key, ContentType) {
      const command = new CreateMultipartUploadCommand({ Bucket, Key, ContentType });
      return (await client.send(command)).UploadId ?? "";
    },
    async writePart(Key, UploadId, PartNumber, text) {
      const ContentMD5 = md5Base64(text);
      const part = { Bucket, Key, UploadId, PartNumber, ContentMD5 };
      const { ETag = "" } = await client.send(
        new UploadPartCommand({ ...part, Body: Buffer.from(text) }),
      );
      return { partNumber: PartNumber, etag: ETag, length: text.length };
    },
    async complete(Key, UploadId, parts) {
      const Parts = parts.map(({ partNumber, etag }) => ({ PartNumber: partNumber, ETag: etag }));
      const MultipartUpload = { Parts };
      await client.send(
        new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }),
      );
    },
    async abort(Key, UploadId) {
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
    },
    async presignedGet(Key, seconds, ResponseContentDisposition) {
      expiresIn = seconds;
      await client.send(new GetObjectCommand({ Bucket, Key, ResponseContentDisposition }));
      expiresIn = undefined;
    },
    async presignedPut(Key, seconds, { text, contentType }) {
      expiresIn = seconds;
      const content = { Body: Buffer.from(text), ContentType: contentType };
      await client.send(new PutObjectCommand({ Bucket, Key, ...content }));
      expiresIn = undefined;
    },
    async [Symbol.asyncDispose]() {
      client.destroy();
      agent.destroy();
    },
  };
}

/** As `getSignedUrl` of the SDK does it: only what an address needs is in it, and the body is not signed. */
async function presign(
  signer: Signer,
  request: Request,
  options: { readonly signingRegion: string; readonly expiresIn: number },
): Promise<Request> {
  if (!isPresigner(signer)) throw new Error("the SDK's signer makes no addresses");
  delete request.query?.[operationName];
  const kept = ["host", "content-type", "content-length"];
  const headers = Object.entries(request.headers).filter(([name]) => kept.includes(name));
  request.headers = { ...Object.fromEntries(headers), [payloadHash]: "UNSIGNED-PAYLOAD" };
  const unnamed = new Set([payloadHash]);
  const sets = { unsignableHeaders: unnamed, unhoistableHeaders: unnamed };
  const signed = await signer.presign(request, { ...options, ...sets });
  delete signed.headers[payloadHash];
  return signed;
}

function isPresigner(signer: Signer): signer is Signer & Presigner {
  return "presign" in signer && typeof signer.presign === "function";
}
