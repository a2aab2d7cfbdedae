/** Who may learn of a bucket that it is there, which is less than what `bucket:read` shows. */
import { type Action, authorize, isAllowed, mayWriteSomewhere } from "../../core/access.ts";
import type { BucketRecord } from "../../core/ports/metadata-store.ts";
import type { Exchange, S3Services } from "./services.ts";

const sufficient: readonly Action[] = ["bucket:read", "object:list", "object:read"];

/** Clients ask for a bucket's place before they use it, with keys that may do no more than upload. */
export async function requireKnownBucket(
  { buckets }: S3Services,
  { caller: { actor }, bucket }: Exchange,
): Promise<BucketRecord> {
  const target = { bucket, prefix: "" };
  const may =
    sufficient.some((action) => isAllowed(actor, action, target)) ||
    mayWriteSomewhere(actor, bucket);
  if (!may) {
    const found = await buckets.find(bucket);
    if (found?.visibility !== "public-read") authorize(actor, "bucket:read", { bucket });
  }
  return buckets.require(bucket);
}
