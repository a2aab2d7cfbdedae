/** Options of the S3 interface. */
import { z } from "zod";

/** A host name of at least one label, in lower case, without a port. */
const domainPattern = /^(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/;

export const s3Config = z.strictObject({
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,64}$/)
    .default("us-east-1")
    .describe(
      "region that clients are told and may sign for; us-east-1 and auto are taken as well",
    ),
  port: z
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .describe(
      "port of a listener for S3 alone, at its root; 0 picks a free one. Left out: only /s3 on the port",
    ),
  host: z.string().min(1).optional().describe("address of that listener; left out: host"),
  domains: z
    .array(z.string().regex(domainPattern))
    .max(100)
    .default([])
    .describe(
      "host names under which a bucket is a label of the host: with s3.example, " +
        "BUCKET.s3.example is a bucket. Other hosts, and addresses, have the bucket in the path",
    ),
  signatureV2: z
    .boolean()
    .default(true)
    .describe(
      "takes presigned URLs and forms that are signed by version 2, as boto3, aws-cli 1 and s3cmd make them " +
        "unless told otherwise; false where SHA-1 is forbidden",
    ),
});

export type S3Config = z.infer<typeof s3Config>;
