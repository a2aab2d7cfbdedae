/**
 * The last step of an upload whose bytes are durable: the row is pointed at them, or they are removed. In one
 * place for bytes that were sent for their object, and for those that were stored before anybody knew for whose.
 */
import type { Actor } from "./access.ts";
import { authorOf } from "./author.ts";
import { isOperationalError } from "./errors.ts";
import { contextOf, grantUse, withContext } from "./grant-writes.ts";
import { etagOfVersion } from "./ids.ts";
import type { Clock } from "./ports/clock.ts";
import type { Log } from "./ports/log.ts";
import type {
  BlobRecord,
  MetadataStore,
  ObjectAttributes,
  WriteConditions,
  WriteResult,
} from "./ports/metadata-store.ts";
import type { StorageDriver } from "./ports/storage-driver.ts";

/** What the bytes are to be. */
export interface CommitRequest {
  readonly bucket: string;
  readonly key: string;
  readonly version: string;
  readonly createdAt: Date;
  readonly contentType: string;
  readonly userMetadata?: Readonly<Record<string, string>>;
  readonly attributes?: ObjectAttributes;
  readonly conditions?: WriteConditions;
}

export interface CommitOptions {
  readonly metadata: MetadataStore;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a replaced blob stays readable for those who already opened its row. */
  readonly blobGraceMs: number;
}

/** What the commit throws: `precondition_failed`, `quota_exceeded`, `access_denied`. The blob is gone then. */
export async function commitUpload(
  actor: Actor,
  request: CommitRequest,
  blob: BlobRecord,
  { metadata, clock, blobGraceMs }: CommitOptions,
): Promise<WriteResult> {
  const { bucket, key, version, createdAt, contentType, userMetadata = {} } = request;
  const { md5 } = blob.digests;
  return await metadata.commitObject(
    {
      bucket,
      key,
      version,
      etag: md5 === undefined ? etagOfVersion(version) : hex(md5),
      contentType,
      userMetadata,
      attributes: withContext(request.attributes ?? {}, contextOf(actor)),
      createdAt,
    },
    blob,
    {
      ...request.conditions,
      ...grantUse(actor),
      author: authorOf(actor),
      garbageDueAt: new Date(clock.now().getTime() + blobGraceMs),
    },
  );
}

/**
 * Removes the bytes of an upload that was not committed. Where the store's answer was lost the commit may have
 * happened, so the blob is left to the sweeper, which asks the store. Never rejects.
 */
export async function dropUncommitted(
  storage: StorageDriver,
  blobKey: string,
  { log, error }: { readonly log: Log; readonly error?: unknown },
): Promise<void> {
  const unknownOutcome =
    isOperationalError(error, "unavailable") || isOperationalError(error, "internal");
  if (unknownOutcome) return;
  try {
    await storage.delete(blobKey, { signal: AbortSignal.timeout(10_000) });
  } catch (cause) {
    log.warn({ err: cause, blobKey, storageId: storage.id }, "blob left for the sweeper");
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
