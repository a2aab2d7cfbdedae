// The settings of a storage of the S3 family.

import { z } from "zod";
import { bytes, secret } from "../../config/index.ts";
import { vendors } from "./providers.ts";

export const credentialKinds = ["static", "environment", "file", "container", "instance"] as const;

export const s3Config = z.strictObject({
  vendor: z.enum(vendors).describe("whose dialect the storage speaks"),
  endpoint: z
    .string()
    .min(1)
    .optional()
    .describe("address of the service, without the bucket; by default the vendor's for the region"),
  publicEndpoint: z
    .string()
    .min(1)
    .optional()
    .describe("where clients reach it with signed requests; by default where the server does"),
  publicAddressStyle: z
    .enum(["virtual", "path", "domain"])
    .optional()
    .describe("of publicEndpoint; domain: it is the bucket's own host; by default as addressStyle"),
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,40}$/i, { error: "must be the name of a region" })
    .optional()
    .describe("region that requests are signed for"),
  bucket: z.string().min(3).max(63).describe("bucket that holds the blobs"),
  keyPrefix: z
    .string()
    .max(512)
    .regex(/^(?!\/)[\x20-\x7e]*$/, { error: "must be plain text that does not begin with /" })
    .default("")
    .describe("put before every key, as in roma/"),
  credentials: z
    .enum(credentialKinds)
    .default("static")
    .describe("where keys come from; static: accessKeyId and secretAccessKey of these settings"),
  accessKeyId: z.string().min(1).optional().describe("key that requests are signed with"),
  secretAccessKey: secret().optional().describe("secret of the key"),
  sessionToken: secret().optional().describe("token of temporary credentials, as STS gives it"),
  credentialsFile: z
    .string()
    .min(1)
    .optional()
    .describe("with credentials file: the file, by default ~/.aws/credentials"),
  credentialsProfile: z.string().min(1).optional().describe("with credentials file: its section"),
  addressStyle: z
    .enum(["virtual", "path"])
    .optional()
    .describe("bucket in the host name or in the path; by default the vendor's way"),
  signature: z
    .enum(["s3", "native"])
    .default("s3")
    .describe("native: the vendor's own signature and headers (Alibaba OSS, Huawei OBS)"),
  etagIsMd5: z
    .boolean()
    .optional()
    .describe("false where the bucket encrypts with keys of its own; by default the vendor's way"),
  partBytes: bytes({ min: "100 KiB", max: "48 MiB" })
    .default("8 MiB")
    .describe("size of the parts of a long body"),
  streamBytesMax: bytes({ max: "5 GiB" })
    .default("1 GiB")
    .describe("longest body that goes out in one request, where its length is known"),
  connectionsMax: z
    .int()
    .min(1)
    .max(4096)
    .default(256)
    .describe("open connections at most; each blob that is being read holds one"),
});
export type S3Config = z.infer<typeof s3Config>;
