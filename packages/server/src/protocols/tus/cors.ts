/** What pages of other origins may do with tus: all of it. One answer is discovery and preflight. */
import type { FastifyRequest } from "fastify";
import type { Buckets } from "../../core/buckets.ts";
import { bucketNamePattern } from "../../core/object-key.ts";
import type { CorsRule } from "../../core/ports/metadata-store.ts";
import type { CorsPolicy } from "../../http/index.ts";
import { basePath } from "./path.ts";

export const tusCors: CorsPolicy = {
  methods: ["POST", "GET", "HEAD", "PATCH", "DELETE", "OPTIONS"],
  requestHeaders: [
    "Authorization",
    "Content-Type",
    "Tus-Resumable",
    "Upload-Length",
    "Upload-Offset",
    "Upload-Metadata",
    "Upload-Defer-Length",
    "Upload-Concat",
    "Upload-Checksum",
    "X-HTTP-Method-Override",
    "X-Requested-With",
    "X-Request-ID",
    "Roma-Environment",
    "Roma-Request-Id",
    "Roma-Timeout",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
    "Range",
    "Want-Repr-Digest",
    // Of the IETF's protocol: a client that tries both sends them here too.
    "Upload-Complete",
    "Upload-Draft-Interop-Version",
  ],
  exposedHeaders: [
    "Location",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Defer-Length",
    "Upload-Concat",
    "Upload-Expires",
    "Tus-Version",
    "Tus-Resumable",
    "Tus-Max-Size",
    "Tus-Extension",
    "Tus-Checksum-Algorithm",
    "Roma-Object",
    "Roma-Version",
    "Roma-Environment",
    "Roma-Request-Id",
    "ETag",
    "Repr-Digest",
    "Retry-After",
    "Content-Range",
    "Content-Disposition",
    "Accept-Ranges",
    "Allow",
    "Upload-Complete",
    "Upload-Limit",
    "Upload-Draft-Interop-Version",
  ],
  preflights: "routed",
};

/** Of the bucket that the path names. */
export async function corsRulesOf(
  { buckets }: { readonly buckets: Buckets },
  request: FastifyRequest,
): Promise<readonly CorsRule[] | null | undefined> {
  const path = (request.raw.url ?? "").split("?", 1)[0] ?? "";
  const [name = ""] = path.slice(basePath.length + 1).split("/", 1);
  return bucketNamePattern.test(name) ? (await buckets.find(name))?.cors : undefined;
}
