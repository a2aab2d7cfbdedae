// Where do bytes go when they go to a storage of the S3 family? Its address and keys, and one request
// to it, signed as Roma's driver signs.

import { unsignedPayload } from "../../packages/server/src/storage/s3/signatures/signature.ts";
import { sigV4 } from "../../packages/server/src/storage/s3/signatures/sigv4.ts";

export interface S3Place {
  readonly vendor: "ceph-rgw" | "minio";
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly bucket: string;
}

interface SignedPut {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Without a key: makes the bucket. */
export function signedPut(
  place: S3Place,
  { key, bytes }: { readonly key?: string; readonly bytes: number },
): SignedPut {
  const path = key === undefined ? `/${place.bucket}` : `/${place.bucket}/${key}`;
  const { endpoint, bucket, region, accessKeyId, secretAccessKey } = place;
  const headers = sigV4.headers(
    {
      ...{ method: "PUT", host: new URL(endpoint).host, path, query: [], bucket },
      headers: { "content-length": String(bytes) },
      payloadHash: unsignedPayload,
    },
    { credentials: { accessKeyId, secretAccessKey }, region, at: new Date() },
  );
  return { url: `${endpoint}${path}`, headers };
}
