/** What pages of allowed origins may send to `/v1`, and what their scripts may read of its answers. */
import type { FastifyRequest } from "fastify";
import type { Buckets } from "../../core/buckets.ts";
import type { DirectUploads } from "../../core/direct/index.ts";
import { isOperationalError } from "../../core/errors.ts";
import type { CorsRule } from "../../core/ports/metadata-store.ts";
import type { CorsPolicy } from "../../http/index.ts";
import { basePath, bucketOf, idOf } from "./address.ts";

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
    ...[
      "Idempotency-Key",
      "If-None-Match",
      "If-Range",
      "If-Unmodified-Since",
      "Prefer",
      "Range",
      "Repr-Digest",
    ],
    ...[
      "Roma-Environment",
      "Roma-Meta-*",
      "Roma-Request-Id",
      "Roma-Timeout",
      "Want-Content-Digest",
      "Want-Repr-Digest",
    ],
    ...["X-Amz-Content-Sha256", "X-Amz-Date", "X-Request-Id", "X-Requested-With"],
    ...uploadFields,
  ],
  exposedHeaders: [
    ...["Accept-Patch", "Accept-Ranges", "Allow", "Content-Digest", "Content-Disposition"],
    ...["Content-Encoding", "Content-Length", "Content-Range", "Date", "ETag", "Location"],
    ...[
      "Repr-Digest",
      "Retry-After",
      "Roma-Environment",
      "Roma-Request-Id",
      "Roma-Version",
      "Upload-Limit",
    ],
    ...uploadFields,
    // Roma-Meta-NAME: allows all, since no answer is given to a credential of the browser's own.
    "*",
  ],
};

/** What pages send without a credential: parts and forms of direct uploads. */
const signedPath = new RegExp(`^${basePath}/uploads/[^/]+/(?:parts/|form$)`);

/** Of the bucket whose objects the request is about, or the upload whose part it is. */
export async function corsRulesOf(
  { buckets, direct }: { readonly buckets: Buckets; readonly direct: DirectUploads },
  request: FastifyRequest,
): Promise<readonly CorsRule[] | null | undefined> {
  const path = request.raw.url ?? "";
  const isPart = signedPath.test(path);
  if (!isPart && !path.startsWith(`${basePath}/objects/`)) return undefined;
  try {
    const bucket = isPart ? await direct.bucketOf(idOf(request)) : bucketOf(request);
    return bucket === undefined ? undefined : (await buckets.find(bucket))?.cors;
  } catch (error) {
    // What is wrong with the path is said by its route.
    if (isOperationalError(error, "invalid_request")) return undefined;
    throw error;
  }
}
