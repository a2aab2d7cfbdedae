/** The one access control list that there is: its owner may do everything, and nobody else is named. */
import { hasBody } from "../../http/index.ts";
import { sendXml } from "./answer.ts";
import { requireKnownBucket } from "./bucket-access.ts";
import { receiveXml } from "./objects/small-body.ts";
import { refusal } from "./s3-codes.ts";
import type { Exchange, OperationRow, S3Services } from "./services.ts";
import { childOf, childText, type XmlElement } from "./xml.ts";

const documentBytesMax = 64 * 1024;

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
        return acceptAcl(services, exchange);
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
        return acceptAcl(services, exchange);
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

/**
 * What changes nothing is accepted: a canned one that `refuseHeaders` let through, and the document that
 * `sendAcl` answers, which clients send to the copy that they made. All else might.
 */
async function acceptAcl({ owner }: S3Services, exchange: Exchange) {
  const { request, reply } = exchange;
  const isDocument = hasBody(request.raw);
  if (isDocument) {
    const limits = { bytesMax: documentBytesMax };
    const document = await receiveXml(exchange, limits, { checksumNeeded: false });
    if (!isOwners(document, owner.id)) throw notSupported();
  } else if (request.headers["x-amz-acl"] === undefined) {
    throw notSupported();
  }
  return reply.code(200).send();
}

function isOwners(document: XmlElement, ownerId: string): boolean {
  const owner = childOf(document, "Owner");
  const list = childOf(document, "AccessControlList");
  const [grant, ...others] = list?.children ?? [];
  if (grant === undefined || others.length > 0) return false;
  const grantee = childOf(grant, "Grantee");
  return (
    document.name === "AccessControlPolicy" &&
    (owner === undefined || childText(owner, "ID") === ownerId) &&
    grantee !== undefined &&
    childText(grantee, "ID") === ownerId &&
    childText(grant, "Permission") === "FULL_CONTROL"
  );
}

function notSupported() {
  return refusal("AccessControlListNotSupported", "access control lists are not offered");
}
