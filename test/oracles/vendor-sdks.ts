// The SDKs that bring no types of their own, typed as far as they are asked. Nothing is taken from their
// answers but what these types name.

import { createHash } from "node:crypto";
import type { Agent } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

export interface OssOptions {
  readonly mime?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly disabledMD5?: boolean;
}

export interface OssClient {
  put(name: string, content: Buffer, options: OssOptions): Promise<unknown>;
  get(name: string, options: OssOptions): Promise<{ readonly content: Buffer }>;
  head(name: string): Promise<unknown>;
  delete(name: string): Promise<unknown>;
  listV2(query: Record<string, string>): Promise<unknown>;
  initMultipartUpload(name: string, options: OssOptions): Promise<{ readonly uploadId: string }>;
  uploadPart(
    ...part: readonly [string, string, number, Buffer, number, number, OssOptions]
  ): Promise<{ readonly etag: string }>;
  completeMultipartUpload(
    name: string,
    uploadId: string,
    parts: readonly { readonly number: number; readonly etag: string }[],
  ): Promise<unknown>;
  abortMultipartUpload(name: string, uploadId: string): Promise<unknown>;
  signatureUrlV4(
    method: string,
    expires: number,
    request: {
      readonly headers?: Readonly<Record<string, string>>;
      readonly queries?: Readonly<Record<string, string>>;
    },
    name: string,
    additionalHeaders?: readonly string[],
  ): Promise<string>;
}

/** `ali-oss` */
export const Oss: new (options: {
  readonly authorizationV4: true;
  readonly region: string;
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly agent: Agent;
}) => OssClient = require("ali-oss");

export interface ObsAnswer {
  readonly CommonMsg: { readonly Status: number; readonly Code: string };
  readonly InterfaceResult: {
    readonly Content?: string;
    readonly UploadId?: string;
    readonly ETag?: string;
  } | null;
}

export type ObsAction =
  | "putObject"
  | "getObject"
  | "getObjectMetadata"
  | "deleteObject"
  | "listObjects"
  | "initiateMultipartUpload"
  | "uploadPart"
  | "completeMultipartUpload"
  | "abortMultipartUpload";

export type ObsClient = {
  readonly [action in ObsAction]: (parameters: object) => Promise<ObsAnswer>;
} & {
  createSignedUrlSync(parameters: object): { readonly SignedUrl: string };
  close(): void;
};

/** `esdk-obs-nodejs` */
export const Obs: new (options: {
  readonly access_key_id: string;
  readonly secret_access_key: string;
  readonly server: string;
  readonly signature: "obs";
  readonly is_signature_negotiation: false;
  readonly max_retry_count: number;
  readonly http_agent: Agent;
}) => ObsClient = require("esdk-obs-nodejs");

export function md5Base64(text: string): string {
  return createHash("md5").update(text).digest("base64");
}
