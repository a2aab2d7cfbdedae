/** What pages of allowed origins may send to `/v1`, and what their scripts may read of its answers. */
import type { FastifyRequest } from "fastify";
import type { Buckets } from "../../core/buckets.ts";
import { isOperationalError } from "../../core/errors.ts";
import type { CorsRule } from "../../core/ports/metadata-store.ts";
import type { CorsPolicy } from "../../http/index.ts";
import { basePath, bucketOf } from "./address.ts";

const uploadFields = [
  "Upload-Complete",
  "Upload-Incomplete",
  "Upload-Offset",
  "Upload-Length",
  "Upload-Draft-Interop-Version",
] as const;

export const restCors: CorsPolicy = {
  methods: ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"],
  requestHeaders: [
    ...["Authorization", "Cache-Control", "Content-Disposition", "Content-Encoding"],
    ...["Content-Digest", "Content-MD5", "Content-Type", "If-Match", "If-Modified-Since"],
    ...["If-None-Match", "If-Range", "If-Unmodified-Since", "Prefer", "Range", "Repr-Digest"],
    ...["Roma-Meta-*", "Roma-Request-Id", "Want-Content-Digest", "Want-Repr-Digest"],
    ...["X-Amz-Content-Sha256", "X-Amz-Date", "X-Request-Id", "X-Requested-With"],
    ...uploadFields,
  ],
  exposedHeaders: [
    ...["Accept-Patch", "Accept-Ranges", "Allow", "Content-Digest", "Content-Disposition"],
    ...["Content-Encoding", "Content-Length", "Content-Range", "Date", "ETag", "Location"],
    ...["Repr-Digest", "Retry-After", "Roma-Request-Id", "Roma-Version", "Upload-Limit"],
    ...uploadFields,
    // Roma-Meta-NAME: allows all, since no answer is given to a credential of the browser's own.
    "*",
  ],
};

/** Of the bucket whose objects the request is about. */
export async function corsRulesOf(
  { buckets }: { readonly buckets: Buckets },
  request: FastifyRequest,
): Promise<readonly CorsRule[] | null | undefined> {
  if (!(request.raw.url ?? "").startsWith(`${basePath}/objects/`)) return undefined;
  try {
    return (await buckets.find(bucketOf(request)))?.cors;
  } catch (error) {
    // What is wrong with the path is said by its route.
    if (isOperationalError(error, "invalid_request")) return undefined;
    throw error;
  }
}
