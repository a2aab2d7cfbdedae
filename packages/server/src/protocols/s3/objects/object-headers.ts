/** The headers of an object, as `GET` and `HEAD` show them. */
import type { BucketVisibility } from "@roma/contract";
import type { ObjectRecord } from "../../../core/ports/metadata-store.ts";
import { contentPolicy } from "../../../http/content-policy.ts";
import { etagField, storedHeaders } from "../../../http/index.ts";
import type { Exchange } from "../services.ts";
import { contentTypeAttribute, hasControls, metadataHeaders } from "./described.ts";
import { invalidArgument, invalidRequest } from "./refusals.ts";
import { tagsOf } from "./tags.ts";

/** What a signed request may ask to be answered instead of what was stored. */
const overrides = {
  "response-content-type": "content-type",
  "response-content-language": "content-language",
  "response-expires": "expires",
  "response-cache-control": "cache-control",
  "response-content-disposition": "content-disposition",
  "response-content-encoding": "content-encoding",
} as const;

export function objectHeaders(
  exchange: Exchange,
  object: ObjectRecord,
  visibility: BucketVisibility | undefined,
): Readonly<Record<string, string>> {
  const { attributes } = object;
  const shown: Record<string, string> = {
    "content-type": shownType(object),
    ...storedHeaders(object),
    ...overriding(exchange),
  };
  const tagCount = tagsOf(attributes).length;
  // A header that the client did not store would be copied on as if it had.
  const { "cache-control": _unset, ...policy } = contentPolicy(shown["content-type"] ?? "", {
    visibility,
    linked: false,
  });
  return {
    ...policy,
    ...shown,
    etag: etagField(object),
    "last-modified": object.createdAt.toUTCString(),
    "accept-ranges": "bytes",
    ...(tagCount === 0 ? {} : { "x-amz-tagging-count": String(tagCount) }),
    ...metadataHeaders(object.userMetadata),
  };
}

/** As declared; where nothing was, what the bytes show; where they show nothing, what S3 calls that. */
export function shownType({ attributes, contentType }: ObjectRecord): string {
  const declared = attributes[contentTypeAttribute];
  if (declared !== undefined) return declared;
  return contentType === "application/octet-stream" ? "binary/octet-stream" : contentType;
}

function overriding({ query, caller }: Exchange): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [parameter, header] of Object.entries(overrides)) {
    const value = query.get(parameter);
    if (value === undefined) continue;
    if (caller.actor.kind === "anonymous") {
      throw invalidRequest(
        "Request specific response headers cannot be used for anonymous GET requests.",
      );
    }
    const bytes = Buffer.from(value).toString("latin1");
    if (hasControls(bytes)) {
      throw invalidArgument("Header value cannot be represented", {
        ArgumentName: parameter,
      });
    }
    headers[header] = bytes;
  }
  return headers;
}
