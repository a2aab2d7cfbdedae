/** Where an application's files are. */
import { isAllowed } from "../../core/access.ts";
import { isOperationalError } from "../../core/errors.ts";
import type { ObjectKey } from "../../core/object-key.ts";
import type { Caller } from "./admit.ts";
import type { ParseServices } from "./services.ts";

/**
 * The application's bucket, made when its first file comes from somebody who may write it. Files of an access key
 * that nobody configured are read by whoever has their URL, so their bucket is a public one.
 */
export async function ensureBucket(
  { buckets }: ParseServices,
  { application, actor }: Caller,
  key: ObjectKey,
): Promise<void> {
  const { bucket } = application.config;
  if ((await buckets.find(bucket)) !== undefined) return;
  if (!isAllowed(actor, "object:write", { bucket, key }) || actor.kind === "anonymous") return;
  const server = {
    kind: "key",
    keyId: actor.keyId,
    ...(actor.origin === undefined ? {} : { origin: actor.origin }),
    policy: [{ buckets: [bucket], actions: ["bucket:write"] }],
  } as const;
  try {
    const visibility = application.isImplied ? "public-read" : "private";
    await buckets.create(server, bucket, { visibility });
  } catch (error) {
    if (!isOperationalError(error, "already_exists")) throw error;
  }
}
