/**
 * Which operation a request means: by method, address, sub-resource and the headers that change what is
 * meant, and by exact match of all of them. A sub-resource that is not offered never falls through to a
 * plain read or write: `PUT /b/k?acl` must not store the ACL as the object.
 */
import type { FastifyRequest } from "fastify";
import type { Address } from "./address.ts";
import type { S3Query } from "./query.ts";
import { refusal } from "./s3-codes.ts";
import type { OperationRow, When } from "./services.ts";

/** Query names that say what is meant; all others are parameters. Closed. */
export const subResources: ReadonlySet<string> = new Set([
  ...["abac", "accelerate", "acl", "analytics", "annotation", "attributes", "cors", "delete"],
  ...["encryption", "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "list-type"],
  ...["location", "logging", "metadataConfiguration", "metadataInventoryTable"],
  ...["metadataJournalTable", "metadataTable", "metrics", "notification", "object-lock"],
  ...["ownershipControls", "policy", "policyStatus", "publicAccessBlock", "renameObject"],
  ...["replication", "requestPayment", "restore", "retention", "select", "session", "tagging"],
  ...["torrent", "uploadId", "uploads", "versioning", "versions", "website", "append"],
  ...["encryptionKey", "updateEncryption", "metadataAnnotationTable"],
]);

/** Headers that say what is meant. Closed. */
export const operationHeaders = ["x-amz-copy-source", "x-amz-rename-source"] as const;

/** Parameters that come without a value and change nothing. */
const plainParameters: ReadonlySet<string> = new Set([
  ...["prefix", "delimiter", "marker", "max-keys", "encoding-type", "start-after", "fetch-owner"],
  ...["continuation-token", "key-marker", "version-id-marker", "upload-id-marker", "max-uploads"],
  ...["part-number-marker", "max-parts", "max-buckets", "bucket-region", "versionId", "x-id"],
  ...["partNumber"],
]);

export class Dispatcher {
  readonly #rows = new Map<string, OperationRow>();

  /** Two rows for one request are a defect. */
  constructor(rows: readonly OperationRow[]) {
    for (const row of rows) {
      const when: When = typeof row.when === "string" ? { query: row.when } : (row.when ?? {});
      if (when.query !== undefined && !subResources.has(when.query)) {
        throw new Error(`${row.operation}: ${when.query} is not a sub-resource`);
      }
      const name = rowName(row.method, row.on, when);
      if (this.#rows.has(name)) throw new Error(`${row.operation}: there is another row for this`);
      this.#rows.set(name, row);
    }
  }

  /** `NotImplemented` names the sub-resource or header; `MethodNotAllowed`; `InvalidArgument`. */
  find(request: FastifyRequest, on: Address["on"], query: S3Query): OperationRow {
    const { method } = request;
    const asked = meant(request, query);
    const row = this.#rows.get(rowName(method, on, asked));
    if (row !== undefined) {
      assertNothingUnknown(method, query);
      return row;
    }
    if (asked.query !== undefined) throw notOffered(`${method} of the sub-resource ${asked.query}`);
    if (asked.header !== undefined) throw notOffered(asked.header, asked.header);
    const allowed = methods.filter((name) => this.#rows.has(rowName(name, on, asked)));
    throw refusal("MethodNotAllowed", `${method} is not a method of a ${on}`, {
      fields: { Method: method, ResourceType: on.toUpperCase(), Allow: allowed.join(", ") },
    });
  }
}

const methods = ["GET", "HEAD", "PUT", "POST", "DELETE"] as const;

function meant(request: FastifyRequest, query: S3Query): When {
  const [first, second] = query.names.filter((name) => subResources.has(name));
  if (second !== undefined) {
    throw refusal("InvalidArgument", `the query asks for ${first} and ${second} at once`, {
      fields: { ArgumentName: "ResourceType", ArgumentValue: `${first}` },
    });
  }
  const [header, other] = operationHeaders.filter((name) => name in request.headers);
  if (other !== undefined) throw notOffered(other, other);
  return {
    ...(first === undefined ? {} : { query: first }),
    ...(header === undefined ? {} : { header }),
  };
}

/** A bare name that nobody knows may be a sub-resource of tomorrow: no write is that of another. */
function assertNothingUnknown(method: string, query: S3Query): void {
  if (method === "GET" || method === "HEAD") return;
  const unknown = query.names.find((name) => {
    return !subResources.has(name) && !plainParameters.has(name) && query.get(name) === "";
  });
  if (unknown !== undefined) throw notOffered("a sub-resource of the query");
  // A part whose upload was left out would become the object.
  if (query.has("partNumber") && !query.has("uploadId")) {
    throw refusal("InvalidArgument", "partNumber needs an uploadId", {
      fields: { ArgumentName: "partNumber", ArgumentValue: query.get("partNumber") ?? "" },
    });
  }
}

/** The refusal of what no server of ours does. */
export function notOffered(what: string, header?: string) {
  return refusal("NotImplemented", `${what} is not offered`, {
    ...(header === undefined ? {} : { fields: { Header: header } }),
  });
}

function rowName(method: string, on: Address["on"], when: When): string {
  return `${method} ${on} ${when.query ?? ""} ${when.header ?? ""}`;
}
