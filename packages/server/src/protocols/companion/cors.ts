/** What pages of other origins may do with the companion, and by which bucket's rules they are judged. */
import type { FastifyRequest } from "fastify";
import type { Buckets } from "../../core/buckets.ts";
import { claimedBucket } from "../../core/grants.ts";
import type { CorsRule } from "../../core/ports/metadata-store.ts";
import { type CorsPolicy, queryValue } from "../../http/index.ts";
import { grantOfPath } from "./path.ts";

export const companionCors: CorsPolicy = {
  methods: ["GET", "POST", "DELETE"],
  requestHeaders: [
    ...["Accept", "Authorization", "Content-Type", "X-Requested-With"],
    "Roma-Environment",
    // What other versions of Uppy's client send.
    ...["Uppy-Auth-Token", "Uppy-Credentials-Params", "Uppy-Versions"],
  ],
  exposedHeaders: ["ETag", "Location", "Retry-After", "Roma-Environment", "Roma-Request-Id"],
};

/**
 * Of the bucket that the grant names, verified or not: they are no secret. A preflight has no `Authorization`:
 * it is answered by `http.corsOrigins`, unless the grant is in the URL.
 */
export async function corsRulesOf(
  { buckets }: { readonly buckets: Buckets },
  request: FastifyRequest,
): Promise<readonly CorsRule[] | null | undefined> {
  const [, bearer] = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? "") ?? [];
  const grant = grantOfPath(request) ?? queryValue(request, "grant") ?? bearer;
  const bucket = grant === undefined ? undefined : claimedBucket(grant);
  return bucket === undefined ? undefined : (await buckets.find(bucket))?.cors;
}
