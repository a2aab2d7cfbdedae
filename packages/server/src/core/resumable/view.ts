/** Uploads as front ends see them, and who may see them. */
import { type Actor, authorize, isAllowed, mayWriteSomewhere } from "../access.ts";
import { OperationalError } from "../errors.ts";
import type { UploadRecord } from "../ports/upload-store.ts";
import type { UploadView } from "./requests.ts";
import type { SteadyClock } from "./steady-clock.ts";

export function viewOf(record: UploadRecord, steady: SteadyClock): UploadView {
  return {
    id: record.id,
    bucket: record.bucket,
    key: record.key,
    kind: record.kind,
    protocol: record.protocol,
    phase: record.phase,
    offset: record.offset,
    length: record.length,
    contentType: record.contentType,
    userMetadata: record.userMetadata,
    attributes: record.attributes,
    ...(record.grant?.context === undefined ? {} : { context: record.grant.context }),
    createdAt: record.createdAt,
    expiresAt: steady.toWall(record.expiresAt),
    version: record.version,
  };
}

/** What is asked of an upload: its bytes, or a permission about uploads that others made. */
export type UploadAccess = "write" | "upload:read" | "upload:cancel";

/**
 * Who may write the object may do all with its upload. A partial has no key yet: it is for who made it,
 * and may still write something in the bucket.
 */
export function mayUse(actor: Actor, access: UploadAccess, record: UploadRecord): boolean {
  const { bucket, key } = record;
  const target = key === null ? { bucket } : { bucket, key };
  if (access !== "write" && isAllowed(actor, access, target)) return true;
  if (key !== null) return isAllowed(actor, "object:write", { bucket, key });
  return actor.kind !== "anonymous" && actor.keyId === record.owner
    ? mayWriteSomewhere(actor, bucket)
    : false;
}

/** `upload_not_found` for who may not: whether it exists is not told. `unauthenticated` for nobody. */
export function assertMayUse(
  actor: Actor,
  access: UploadAccess,
  record: UploadRecord | undefined,
): asserts record is UploadRecord {
  if (record !== undefined && mayUse(actor, access, record)) return;
  if (actor.kind === "anonymous") authorize(actor, "upload:read", {});
  throw uploadNotFound();
}

export function uploadNotFound(): OperationalError {
  return new OperationalError("upload_not_found", "there is no such upload");
}
