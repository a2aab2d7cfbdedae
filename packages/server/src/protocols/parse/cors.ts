/** What pages of other origins may do with Parse's files, and by which bucket's rules they are judged. */
import type { FastifyRequest } from "fastify";
import type { Buckets } from "../../core/buckets.ts";
import { isOperationalError } from "../../core/errors.ts";
import type { CorsRule } from "../../core/ports/metadata-store.ts";
import type { CorsPolicy } from "../../http/index.ts";
import { fileAddress } from "./address.ts";
import type { Applications } from "./applications.ts";

export const parseCors: CorsPolicy = {
  methods: ["GET", "HEAD", "POST", "DELETE", "OPTIONS"],
  requestHeaders: [
    ...["Authorization", "Content-Type", "Content-MD5", "X-Requested-With", "Pragma"],
    ...["Cache-Control", "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Range"],
    // Every one that SDKs send; parse-server leaves out those of streams and of installations.
    "X-Parse-*",
    "Roma-Environment",
  ],
  exposedHeaders: [
    ...["Location", "ETag", "Last-Modified", "Accept-Ranges", "Content-Range", "Content-Length"],
    ...["Content-Disposition", "Retry-After", "Repr-Digest", "Roma-Version", "Roma-Request-Id"],
    ...["X-Parse-Job-Status-Id", "X-Parse-Push-Status-Id"],
  ],
  // Parse's own answer to OPTIONS is 200 with a body.
  preflights: "routed",
};

/** Of the bucket of the application that the URL names, else of the one where files most likely go. */
export async function corsRulesOf(
  { buckets, applications }: { readonly buckets: Buckets; readonly applications: Applications },
  request: FastifyRequest,
): Promise<readonly CorsRule[] | null | undefined> {
  const named = await applications.find(applicationNamed(request) ?? "");
  const bucket = named?.config.bucket ?? applications.likelyBucket;
  return (await buckets.find(bucket))?.cors;
}

function applicationNamed(request: FastifyRequest): string | undefined {
  const header = request.headers["x-parse-application-id"];
  if (typeof header === "string") return header;
  if (request.method !== "GET" && request.method !== "HEAD") return undefined;
  try {
    return fileAddress(request).applicationId;
  } catch (error) {
    if (isOperationalError(error)) return undefined;
    throw error;
  }
}
