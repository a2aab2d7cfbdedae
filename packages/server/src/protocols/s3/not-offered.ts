/**
 * What is not offered and what is true without any state: configurations that no bucket has, and headers
 * that ask for more than is done. Nothing here ever answers as if it had done something.
 */
import type { FastifyRequest } from "fastify";
import { sendXml } from "./answer.ts";
import { requireKnownBucket } from "./bucket-access.ts";
import { notOffered } from "./dispatch.ts";
import { refusal, type S3Code } from "./s3-codes.ts";
import type { Handler, OperationRow, S3Services } from "./services.ts";
import type { XmlValue } from "./xml.ts";

/** What is asked of a bucket and never set. Clients go on with these answers. */
const absent: Readonly<Record<string, S3Code>> = {
  encryption: "ServerSideEncryptionConfigurationNotFoundError",
  lifecycle: "NoSuchLifecycleConfiguration",
  "object-lock": "ObjectLockConfigurationNotFoundError",
  ownershipControls: "OwnershipControlsNotFoundError",
  policy: "NoSuchBucketPolicy",
  publicAccessBlock: "NoSuchPublicAccessBlockConfiguration",
  replication: "ReplicationConfigurationNotFoundError",
  tagging: "NoSuchTagSet",
  website: "NoSuchWebsiteConfiguration",
};

interface Standing {
  readonly query: string;
  readonly operation: string;
  readonly root: string;
  readonly value: XmlValue;
}

/** True of every bucket. */
const standing: readonly Standing[] = [
  {
    query: "versioning",
    operation: "GetBucketVersioning",
    root: "VersioningConfiguration",
    value: {},
  },
  {
    query: "requestPayment",
    operation: "GetBucketRequestPayment",
    root: "RequestPaymentConfiguration",
    value: { Payer: "BucketOwner" },
  },
  { query: "logging", operation: "GetBucketLogging", root: "BucketLoggingStatus", value: {} },
  {
    query: "notification",
    operation: "GetBucketNotificationConfiguration",
    root: "NotificationConfiguration",
    value: {},
  },
  {
    query: "accelerate",
    operation: "GetBucketAccelerateConfiguration",
    root: "AccelerateConfiguration",
    value: {},
  },
];

export function standingOperations(services: S3Services): readonly OperationRow[] {
  const operationNames = Object.entries(absent).map(([query, code]): OperationRow => {
    const operation = `GetBucket ${query}`;
    const handler: Handler = async (exchange) => {
      await requireKnownBucket(services, exchange);
      throw refusal(code, `the bucket has none`, { fields: { BucketName: exchange.bucket } });
    };
    return { method: "GET", on: "bucket", when: query, operation, handler };
  });
  const truths = standing.map(({ query, operation, root, value }): OperationRow => {
    const handler: Handler = async (exchange) => {
      await requireKnownBucket(services, exchange);
      return sendXml(exchange, root, value);
    };
    return { method: "GET", on: "bucket", when: query, operation, handler };
  });
  return [...operationNames, ...truths];
}

const cannedAcls: ReadonlySet<string> = new Set(["private", "bucket-owner-full-control"]);

/** Headers that imply what is not done; a name that ends in `*` is a family. */
const refusedHeaders = [
  ...["x-amz-server-side-encryption*", "x-amz-copy-source-server-side-encryption-*"],
  ...["x-amz-object-lock-*", "x-amz-website-redirect-location", "x-amz-write-offset-bytes"],
  ...["x-amz-mfa", "x-amz-bypass-governance-retention"],
] as const;

/**
 * Before every operation, over headers and what a presigned query carries in their place. Ignoring one of
 * these would lose what its client believes.
 */
export function refuseHeaders(
  { headers }: FastifyRequest,
  hoisted: ReadonlyMap<string, string>,
  ownerId: string,
): void {
  const given = (name: string): string | undefined => {
    const value = headers[name];
    return typeof value === "string" ? value : hoisted.get(name);
  };
  const names = [...Object.keys(headers), ...hoisted.keys()];
  for (const name of names) {
    if (!name.startsWith("x-amz-")) continue;
    const refused = refusedHeaders.some((rule) =>
      rule.endsWith("*") ? name.startsWith(rule.slice(0, -1)) : name === rule,
    );
    if (refused) throw notOffered("what a header you provided implies", name);
  }
  const acl = given("x-amz-acl");
  const grants = names.some((name) => name.startsWith("x-amz-grant-"));
  if (grants || (acl !== undefined && !cannedAcls.has(acl))) {
    throw refusal("AccessControlListNotSupported", "access control lists are not offered");
  }
  const storageClass = given("x-amz-storage-class");
  if (storageClass !== undefined && storageClass !== "STANDARD") {
    throw refusal("InvalidStorageClass", "the only storage class is STANDARD");
  }
  const lock = given("x-amz-bucket-object-lock-enabled");
  if (lock !== undefined && lock.toLowerCase() !== "false") {
    throw notOffered("object lock", "x-amz-bucket-object-lock-enabled");
  }
  for (const name of ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"]) {
    const expected = given(name);
    if (expected !== undefined && expected !== ownerId) {
      throw refusal("AccessDenied", `the bucket is not the one of ${name}`);
    }
  }
}
