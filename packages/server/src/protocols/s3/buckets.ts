/** The operations on the service and on buckets themselves. */
import { hasBody } from "../../http/index.ts";
import { assertNewBucketName } from "./address.ts";
import { sendXml } from "./answer.ts";
import { requireKnownBucket } from "./bucket-access.ts";
import { notOffered } from "./dispatch.ts";
import { pageToken, parsePageToken } from "./list-token.ts";
import { receiveXml } from "./objects/small-body.ts";
import { refusal } from "./s3-codes.ts";
import type { Exchange, Handler, OperationRow, S3Services } from "./services.ts";
import { childText, malformed, type XmlElement } from "./xml.ts";

const bucketsOnPageMax = 10_000;
const configurationBytesMax = 64 * 1024;

export function bucketOperations(services: S3Services): readonly OperationRow[] {
  return [
    {
      method: "GET",
      on: "service",
      operation: "ListBuckets",
      handler: listBuckets(services),
    },
    { method: "PUT", on: "bucket", operation: "CreateBucket", handler: createBucket(services) },
    { method: "HEAD", on: "bucket", operation: "HeadBucket", handler: headBucket(services) },
    { method: "DELETE", on: "bucket", operation: "DeleteBucket", handler: deleteBucket(services) },
    {
      method: "GET",
      on: "bucket",
      when: "location",
      operation: "GetBucketLocation",
      handler: bucketLocation(services),
    },
  ];
}

const listBuckets =
  ({ buckets, owner, region }: S3Services): Handler =>
  async (exchange) => {
    const { caller, query } = exchange;
    const prefix = query.get("prefix") ?? "";
    const limit = query.integer("max-buckets", {
      min: 1,
      max: bucketsOnPageMax,
      otherwise: bucketsOnPageMax,
    });
    const token = query.get("continuation-token");
    const after = token === undefined ? "" : parsePageToken("buckets", token);
    const asked = query.get("bucket-region") ?? region;
    const all = asked === region ? await buckets.list(caller.actor) : [];
    const found = all.filter(({ name }) => name.startsWith(prefix) && name > after);
    const page = found.slice(0, limit);
    const last = page.at(-1);
    return sendXml(exchange, "ListAllMyBucketsResult", {
      Owner: { ID: owner.id, DisplayName: owner.displayName },
      Buckets: {
        Bucket: page.map(({ name, createdAt }) => ({
          Name: name,
          CreationDate: createdAt,
          BucketRegion: region,
        })),
      },
      Prefix: prefix === "" ? undefined : prefix,
      ContinuationToken:
        last !== undefined && page.length < found.length
          ? pageToken("buckets", last.name)
          : undefined,
    });
  };

/** `BucketAlreadyOwnedByYou` also where nothing would change: its settings may be others. */
const createBucket =
  (services: S3Services): Handler =>
  async (exchange) => {
    const { caller, bucket, reply } = exchange;
    assertNewBucketName(bucket);
    await assertConfiguration(services, exchange);
    await services.buckets.create(caller.actor, bucket, {});
    return reply.code(200).header("location", `/${bucket}`).send();
  };

async function assertConfiguration(services: S3Services, exchange: Exchange): Promise<void> {
  const { request } = exchange;
  const ownership = request.headers["x-amz-object-ownership"];
  if (ownership !== undefined && ownership !== "BucketOwnerEnforced") {
    throw refusal("AccessControlListNotSupported", "every object is its bucket owner's");
  }
  if (!hasBody(request.raw)) return;
  const root = await receiveXml(
    exchange,
    { bytesMax: configurationBytesMax },
    { checksumNeeded: false },
  );
  assertRoot(root, "CreateBucketConfiguration");
  const unknown = root.children.find(({ name }) => name !== "LocationConstraint");
  if (unknown !== undefined) throw notOffered(`${unknown.name} of a new bucket`);
  const place = childText(root, "LocationConstraint") ?? "";
  if (![services.region, "", "us-east-1", "auto"].includes(place)) {
    throw refusal(
      "IllegalLocationConstraintException",
      `the location constraint is not the region ${services.region}`,
    );
  }
}

export function assertRoot(root: XmlElement, name: string): void {
  if (root.name !== name) throw malformed(`is not a ${name}`);
}

const headBucket =
  (services: S3Services): Handler =>
  async (exchange) => {
    await requireKnownBucket(services, exchange);
    const { reply } = exchange;
    reply.headers({ "x-amz-bucket-region": services.region, "x-amz-access-point-alias": "false" });
    return reply.code(200).type("application/xml").send();
  };

const deleteBucket =
  ({ buckets }: S3Services): Handler =>
  async ({ caller, bucket, reply }) => {
    await buckets.delete(caller.actor, bucket);
    return reply.code(204).send();
  };

/** Empty for the oldest region, which has no name here. */
const bucketLocation =
  (services: S3Services): Handler =>
  async (exchange) => {
    await requireKnownBucket(services, exchange);
    const { region } = services;
    return sendXml(exchange, "LocationConstraint", region === "us-east-1" ? "" : region);
  };
