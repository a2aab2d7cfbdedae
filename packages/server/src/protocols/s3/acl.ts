/** The one access control list that there is: its owner may do everything, and nobody else is named. */
import { sendXml } from "./answer.ts";
import { requireKnownBucket } from "./bucket-access.ts";
import { refusal } from "./s3-codes.ts";
import type { Exchange, OperationRow, S3Services } from "./services.ts";

export function aclOperations(services: S3Services): readonly OperationRow[] {
  return [
    {
      method: "GET",
      on: "bucket",
      when: "acl",
      operation: "GetBucketAcl",
      handler: async (exchange) => {
        await requireKnownBucket(services, exchange);
        return sendAcl(services, exchange);
      },
    },
    {
      method: "PUT",
      on: "bucket",
      when: "acl",
      operation: "PutBucketAcl",
      handler: async (exchange) => {
        await services.buckets.change(exchange.caller.actor, exchange.bucket, {});
        return acceptCannedAcl(exchange);
      },
    },
    {
      method: "GET",
      on: "object",
      when: "acl",
      operation: "GetObjectAcl",
      handler: async (exchange) => {
        await services.objects.head(exchange.caller.actor, exchange);
        return sendAcl(services, exchange);
      },
    },
    {
      method: "PUT",
      on: "object",
      when: "acl",
      operation: "PutObjectAcl",
      handler: async (exchange) => {
        await services.objects.head(exchange.caller.actor, exchange);
        return acceptCannedAcl(exchange);
      },
    },
  ];
}

function sendAcl({ owner }: S3Services, exchange: Exchange) {
  const Owner = { ID: owner.id, DisplayName: owner.displayName };
  return sendXml(exchange, "AccessControlPolicy", {
    Owner,
    AccessControlList: {
      Grant: {
        Grantee: {
          "@xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
          "@xsi:type": "CanonicalUser",
          ...Owner,
        },
        Permission: "FULL_CONTROL",
      },
    },
  });
}

/** What `refuseHeaders` let through changes nothing; a document might. */
function acceptCannedAcl({ request, reply }: Exchange) {
  if (request.headers["x-amz-acl"] === undefined) {
    throw refusal("AccessControlListNotSupported", "access control lists are not offered");
  }
  return reply.code(200).send();
}
