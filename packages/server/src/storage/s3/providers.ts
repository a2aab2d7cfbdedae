// The vendors of the S3 family as data: what differs between them and nothing else. A new vendor is a
// new row; no other file asks for a vendor by name. A field that a vendor does not tell is set to the
// answer that cannot store wrong bytes, and the start-up check of a storage finds out the rest.

import { GiB, KiB, MiB } from "@roma/contract";
import { OperationalError } from "../../core/errors.ts";

export const vendors = [
  "aws-s3",
  "minio",
  "ceph-rgw",
  "alibaba-oss",
  "huawei-obs",
  "tencent-cos",
  "cloudflare-r2",
  "backblaze-b2",
  "gcs",
] as const;
export type Vendor = (typeof vendors)[number];

export type AddressStyle = "virtual" | "path";
export type SignatureName = "sigv4" | "oss-v4" | "obs";
/** A header that makes a write fail where the key is taken. */
export type CreateOnlyHeader = readonly [name: string, value: string];

/** How a vendor's own dialect differs from its S3 one; used where `signature: native` is set. */
export interface NativeDialect {
  readonly signature: Exclude<SignatureName, "sigv4">;
  /** In place of `x-amz-`. */
  readonly headerPrefix: string;
  readonly endpoint: string;
  readonly createOnlyHeader?: CreateOnlyHeader;
  readonly conditionalComplete: boolean;
  readonly bucketCors?: BucketCorsRow;
  readonly formCallback?: true;
}

/** Rules of a bucket for pages of other origins, by `GET` and `PUT ?cors`. */
export interface BucketCorsRow {
  /** In S3's own document; the bucket is not asked otherwise. */
  readonly kept: boolean;
  /** A rule keeps the name that it is given. */
  readonly named: boolean;
  /** Where else pages are allowed, for operators. */
  readonly hint?: string;
}

export interface Provider {
  readonly vendor: Vendor;
  readonly title: string;
  /** `{region}` stands for the region; without it the storage's settings name the endpoint. */
  readonly endpoint?: string;
  /** Where the settings name none; without it they must. */
  readonly region?: string;
  readonly addressStyle: AddressStyle;
  /** The vendor refuses, or half refuses, any other style. */
  readonly addressStyleOnly: boolean;
  readonly listVersion: 1 | 2;
  readonly listUrlEncode: boolean;
  /** What the vendor takes; this driver sends none. */
  readonly streamingSignature: "none" | "signed" | "trailer";
  /** `x-amz-checksum-*` is checked. */
  readonly checksumHeaders: boolean;
  /** A literal `x-amz-content-sha256` is compared with the body. */
  readonly checksContentSha256: boolean;
  readonly contentMd5OnDelete: boolean;
  readonly batchDelete: boolean;
  /** Of an object that was put as a whole. */
  readonly etagIsMd5: boolean;
  readonly partEtagIsMd5: boolean;
  /** `aws`: the MD5 of the parts' MD5s, a dash and their count. */
  readonly multipartEtagForm: "aws" | "opaque";
  readonly etagCase: "lower" | "upper";
  readonly createOnlyHeader?: CreateOnlyHeader;
  readonly conditionalComplete: boolean;
  readonly conditionalCopy: boolean;
  readonly equalParts: boolean;
  readonly partBytesMin: number;
  readonly partBytesMax: number;
  readonly partsMax: number;
  readonly putBytesMax: number;
  /** Of a copy by one request. */
  readonly copyBytesMax: number;
  /** Ranges of a blob can be copied as parts of an upload. */
  readonly partCopy: boolean;
  readonly keyBytesMax: number;
  /** Keys are paths of a file system: a segment that is empty, `.`, `..` or longer is refused. */
  readonly segmentBytesMax?: number;
  /** A write beside the delete that empties its folder may be answered `AccessDenied`: it passes. */
  readonly foldersRace?: true;
  /** The blob "a" can stand beside the blob "a/b". */
  readonly nestedKeys: boolean;
  /** Pending uploads are listed by a prefix of their keys; otherwise only all of them can be. */
  readonly pendingByPrefix: boolean;
  readonly postPolicy: boolean;
  /** A form's field `callback` makes the vendor call a server once it has the file. */
  readonly formCallback?: true;
  /** `response-content-disposition` of a presigned get is honoured. */
  readonly responseOverrides: boolean;
  readonly signAcceptEncoding: boolean;
  readonly bucketCors: BucketCorsRow;
  /** Names the CRC-64/ECMA-182 of what was written, as a decimal number. */
  readonly crc64EcmaHeader?: string;
  readonly native?: NativeDialect;
}

const ifNoneMatch: CreateOnlyHeader = ["if-none-match", "*"];

/** AWS's own answers; a row says what differs. */
const s3 = {
  addressStyle: "path",
  addressStyleOnly: false,
  listVersion: 2,
  listUrlEncode: true,
  streamingSignature: "none",
  checksumHeaders: false,
  checksContentSha256: true,
  contentMd5OnDelete: true,
  batchDelete: true,
  etagIsMd5: true,
  partEtagIsMd5: false,
  multipartEtagForm: "opaque",
  etagCase: "lower",
  conditionalComplete: false,
  conditionalCopy: false,
  equalParts: false,
  partBytesMin: 5 * MiB,
  partBytesMax: 5 * GiB,
  partsMax: 10_000,
  putBytesMax: 5 * GiB,
  copyBytesMax: 5 * GiB,
  partCopy: true,
  keyBytesMax: 1024,
  nestedKeys: true,
  pendingByPrefix: true,
  postPolicy: true,
  responseOverrides: true,
  signAcceptEncoding: false,
  bucketCors: { kept: true, named: true },
} as const satisfies Partial<Provider>;

export const providers: Readonly<Record<Vendor, Provider>> = {
  "aws-s3": {
    ...s3,
    vendor: "aws-s3",
    title: "AWS S3",
    endpoint: "https://s3.{region}.amazonaws.com",
    addressStyle: "virtual",
    streamingSignature: "trailer",
    checksumHeaders: true,
    partEtagIsMd5: true,
    multipartEtagForm: "aws",
    createOnlyHeader: ifNoneMatch,
    conditionalComplete: true,
    conditionalCopy: true,
  },
  minio: {
    ...s3,
    vendor: "minio",
    title: "MinIO",
    region: "us-east-1",
    streamingSignature: "signed",
    checksumHeaders: true,
    partEtagIsMd5: true,
    multipartEtagForm: "aws",
    createOnlyHeader: ifNoneMatch,
    segmentBytesMax: 255,
    foldersRace: true,
    nestedKeys: false,
    // A list with a prefix finds the uploads of exactly that key. One without is what this server
    // remembers; it cancels all uploads after 24 h by itself (api stale_uploads_expiry).
    pendingByPrefix: false,
    // The public releases answer NotImplemented, and no rules to whoever asks; AIStor keeps them.
    bucketCors: {
      kept: true,
      named: true,
      hint:
        "MinIO allows pages of any origin unless cors_allow_origin of its api settings " +
        "(MINIO_API_CORS_ALLOW_ORIGIN) names some, for the whole cluster",
    },
  },
  "ceph-rgw": {
    ...s3,
    vendor: "ceph-rgw",
    title: "Ceph RGW",
    region: "us-east-1",
    streamingSignature: "signed",
    partEtagIsMd5: true,
    multipartEtagForm: "aws",
    createOnlyHeader: ifNoneMatch,
  },
  "alibaba-oss": {
    ...s3,
    vendor: "alibaba-oss",
    title: "Alibaba OSS",
    endpoint: "https://s3.oss-{region}.aliyuncs.com",
    addressStyle: "virtual",
    addressStyleOnly: true,
    checksContentSha256: false,
    partEtagIsMd5: true,
    etagCase: "upper",
    partBytesMin: 100 * KiB,
    keyBytesMax: 1023,
    crc64EcmaHeader: "x-oss-hash-crc64ecma",
    bucketCors: {
      kept: false,
      named: false,
      hint: "OSS keeps them behind its own API: set them in its console, or give the storage signature native",
    },
    native: {
      signature: "oss-v4",
      headerPrefix: "x-oss-",
      endpoint: "https://oss-{region}.aliyuncs.com",
      createOnlyHeader: ["x-oss-forbid-overwrite", "true"],
      conditionalComplete: true,
      bucketCors: { kept: true, named: false },
      formCallback: true,
    },
  },
  "huawei-obs": {
    ...s3,
    vendor: "huawei-obs",
    title: "Huawei OBS",
    endpoint: "https://obs.{region}.myhuaweicloud.com",
    addressStyle: "virtual",
    addressStyleOnly: true,
    listVersion: 1,
    listUrlEncode: false,
    checksContentSha256: false,
    partBytesMin: 100 * KiB,
    native: {
      signature: "obs",
      headerPrefix: "x-obs-",
      endpoint: "https://obs.{region}.myhuaweicloud.com",
      conditionalComplete: false,
    },
  },
  "tencent-cos": {
    ...s3,
    vendor: "tencent-cos",
    title: "Tencent COS",
    endpoint: "https://cos.{region}.myqcloud.com",
    addressStyle: "virtual",
    addressStyleOnly: true,
    listVersion: 1,
    checksContentSha256: false,
    partBytesMin: MiB,
    keyBytesMax: 850,
    crc64EcmaHeader: "x-cos-hash-crc64ecma",
  },
  "cloudflare-r2": {
    ...s3,
    vendor: "cloudflare-r2",
    title: "Cloudflare R2",
    region: "auto",
    checksContentSha256: false,
    createOnlyHeader: ifNoneMatch,
    conditionalComplete: true,
    equalParts: true,
    postPolicy: false,
    responseOverrides: false,
  },
  "backblaze-b2": {
    ...s3,
    vendor: "backblaze-b2",
    title: "Backblaze B2",
    endpoint: "https://s3.{region}.backblazeb2.com",
    checksContentSha256: false,
    postPolicy: false,
  },
  gcs: {
    ...s3,
    vendor: "gcs",
    title: "Google Cloud Storage",
    endpoint: "https://storage.googleapis.com",
    region: "auto",
    checksContentSha256: false,
    batchDelete: false,
    partCopy: false,
    bucketCors: {
      kept: false,
      named: false,
      hint: "set them with gcloud storage buckets update gs://NAME --cors-file=FILE",
    },
  },
};

/** The row as it is spoken: with `native`, the vendor's own dialect laid over it. */
export interface Dialect extends Omit<Provider, "native"> {
  readonly signature: SignatureName;
  readonly headerPrefix: string;
}

/** `invalid_request` where the vendor has no dialect of its own. */
export function dialectOf(provider: Provider, signature: "s3" | "native"): Dialect {
  const { native, ...row } = provider;
  if (signature === "s3") return { ...row, signature: "sigv4", headerPrefix: "x-amz-" };
  if (native === undefined)
    throw invalidSetting(`signature: ${provider.title} has none of its own`);
  return { ...row, ...native };
}

/** A setting that cannot be; the message begins with its name. */
export function invalidSetting(message: string): OperationalError {
  return new OperationalError("invalid_request", message);
}
