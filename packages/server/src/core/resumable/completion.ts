/**
 * The end of an upload: its bytes become one blob, which is judged as a whole, and the row is committed. It
 * can be begun again at any point, by another process too.
 *
 * What can be judged before the storage publishes anything is judged before. A verdict that no later
 * attempt could change ends the upload, so that its bytes do not lie about until it expires.
 */
import { firstDifference, RunningDigests } from "../digests/digest-set.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import { withContext } from "../grant-writes.ts";
import { etagOfVersion, newVersion } from "../ids.ts";
import type { Author, BlobRecord, WriteResult } from "../ports/metadata-store.ts";
import type { BlobHead, DigestName, Digests } from "../ports/storage-driver.ts";
import type { TypeDetector } from "../ports/type-detector.ts";
import type { UploadRecord, UploadStore } from "../ports/upload-store.ts";
import {
  assertLengthAllowed,
  assertNotOver,
  assertTypeAllowed,
  type WriteLimits,
} from "../write-limits.ts";
import type { Session, Strategy } from "./session.ts";
import type { Writing } from "./writer-leases.ts";

export interface CompletionOptions {
  readonly store: Pick<UploadStore, "completeUpload" | "completePartial">;
  readonly detector: TypeDetector;
  readonly now: () => Date;
  readonly garbageDueAt: () => Date;
  /** Until when the upload's address answers. */
  readonly expiresAt: () => Date;
  readonly limits: WriteLimits;
  /** Whom the object is put down to. */
  readonly author: Author;
  readonly writer: Pick<Writing, "id" | "fence" | "releasing">;
  /** Nobody can have completed it before: a result that is not of this call is another's. */
  readonly isFirst: boolean;
  /** The upload's first bytes, if this request saw them. */
  readonly firstBytes: Uint8Array | undefined;
}

/** What completing made: an object, unless it is a partial. */
export interface Completed {
  /** As it is recorded now. */
  readonly upload: UploadRecord;
  readonly written?: WriteResult;
}

/** `true` if trying again could not end otherwise. */
export function isFinalVerdict(error: unknown): boolean {
  return (
    error instanceof OperationalError &&
    [
      "bucket_not_found",
      "checksum_mismatch",
      "content_type_refused",
      "precondition_failed",
      "too_large",
      "too_small",
    ].includes(error.code)
  );
}

export async function complete(
  session: Session,
  strategy: Strategy,
  options: CompletionOptions,
): Promise<Completed> {
  const { upload } = session;
  // Of a partial the sum counts, which is judged when it is known.
  if (upload.key === null) assertNotOver(session.received, options.limits);
  else assertLengthAllowed(session.received, options.limits);
  const seen = session.wholeDigests();
  assertDigests(upload.digests, { ...seen, crc64nvme: session.crc64nvme });
  const early = await earlyType(session, options);
  session.isFinishing = true;
  const head = await finish(session, strategy);
  assertStored(head, session);
  const digests = { ...(await missingDigests(session, seen)), ...seen };
  assertDigests(upload.digests, digests);
  const contentType =
    early ?? (await typeOf(await firstBytesOf(session, options), { session, options }));
  const blob: BlobRecord = {
    storageId: session.place.storageId,
    blobKey: session.place.blobKey,
    length: session.received,
    digests: { ...digests, crc64nvme: session.crc64nvme },
    blocks: session.sums.finish(),
  };
  // The last moment to give up: after this the work is finished and its result recorded.
  session.signal.throwIfAborted();
  return await commitWhole(upload, { blob, contentType }, options);
}

/** Records what an upload became: its blob is whole and durable, and was judged. */
export async function commitWhole(
  upload: UploadRecord,
  { blob, contentType }: { readonly blob: BlobRecord; readonly contentType: string },
  options: Pick<
    CompletionOptions,
    "store" | "now" | "garbageDueAt" | "expiresAt" | "author" | "writer" | "isFirst"
  >,
): Promise<Completed> {
  const now = options.now();
  const version = newVersion(now);
  const { writer, store, author } = options;
  const garbageDueAt = options.garbageDueAt();
  const expiresAt = options.expiresAt();
  writer.releasing();
  if (upload.key === null) {
    const partial = await store.completePartial(writer, blob, { expiresAt, version, garbageDueAt });
    assertOwn(partial.version === version, options);
    return { upload: partial };
  }
  const { md5 } = blob.digests;
  const written = await store.completeUpload(
    writer,
    {
      bucket: upload.bucket,
      key: upload.key,
      version,
      etag: md5 === undefined ? etagOfVersion(version) : Buffer.from(md5).toString("hex"),
      contentType,
      userMetadata: upload.userMetadata,
      attributes: withContext({}, upload.grant?.context),
      createdAt: now,
    },
    blob,
    { ...upload.conditions, author, garbageDueAt, expiresAt },
  );
  assertOwn(written.object.version === version, options);
  const ended: UploadRecord = {
    ...upload,
    phase: "complete",
    offset: blob.length,
    length: blob.length,
    checks: null,
    reservedBytes: 0,
    version: written.object.version,
    expiresAt,
    holder: null,
    leaseUntil: null,
  };
  return { upload: ended, written };
}

function assertOwn(isOwn: boolean, { isFirst }: Pick<CompletionOptions, "isFirst">): void {
  if (isOwn || !isFirst) return;
  throw new OperationalError("locked", "another request has completed this upload");
}

/** The blob; if the storage completed it before and has forgotten how, as it is found. */
async function finish(session: Session, strategy: Strategy): Promise<BlobHead> {
  try {
    return await strategy.finish();
  } catch (error) {
    const begunBefore = session.upload.phase === "completing";
    if (!begunBefore || !isOperationalError(error, "upload_not_found")) throw error;
    const { signal } = session;
    const head = await session.storage.head(session.place.blobKey, { signal }).catch(() => {
      throw error;
    });
    // All of it, compared with what was recorded.
    await readBack(session, () => undefined);
    return head;
  }
}

function assertStored(head: BlobHead, session: Session): void {
  const reported = firstDifference(head.digests, { crc64nvme: session.crc64nvme });
  const different = head.length === session.received ? reported : "length";
  if (different === undefined) return;
  throw new OperationalError("data_damaged", `the storage reports another ${different}`);
}

function assertDigests(expected: Digests, computed: Digests): void {
  const different = firstDifference(expected, computed);
  if (different === undefined) return;
  throw new OperationalError("checksum_mismatch", `the ${different} of the upload differs`, {
    context: { digest: different },
  });
}

/** What was declared of the whole, and could not be computed as it came in pieces: by reading it. */
async function missingDigests(session: Session, seen: Digests): Promise<Digests> {
  const names = (Object.keys(session.upload.digests) as DigestName[]).filter(
    (name) => name !== "crc64nvme" && seen[name] === undefined,
  );
  if (names.length === 0) return {};
  const running = new RunningDigests(names);
  await readBack(session, (chunk) => running.update(chunk));
  return running.finish();
}

async function readBack(session: Session, take: (chunk: Uint8Array) => void): Promise<void> {
  const { signal, storage, place, crc64nvme, received } = session;
  const blocks = session.sums.finish();
  const expected = { length: received, crc64nvme, blocks };
  const { body } = await storage.get(place.blobKey, { signal, expected });
  await using reading = body;
  for await (const chunk of reading) take(chunk);
}

/** If this request saw the beginning of the upload, its type is judged before anything is published. */
async function earlyType(
  session: Session,
  options: CompletionOptions,
): Promise<string | undefined> {
  const { firstBytes } = options;
  const wanted = Math.min(options.detector.bytesWanted, session.received);
  if (firstBytes === undefined || firstBytes.length < wanted) return undefined;
  return await typeOf(firstBytes, { session, options });
}

async function typeOf(
  firstBytes: Uint8Array,
  { session, options }: { readonly session: Session; readonly options: CompletionOptions },
): Promise<string> {
  const declared = session.upload.contentType ?? undefined;
  const contentType = await options.detector.detect(firstBytes, declared);
  // A partial has no type; what is made of it has.
  if (session.upload.key !== null) assertTypeAllowed(contentType, options.limits);
  return contentType;
}

async function firstBytesOf(session: Session, options: CompletionOptions): Promise<Uint8Array> {
  const bytes = Math.min(options.detector.bytesWanted, session.received);
  if (bytes === 0) return new Uint8Array();
  const { signal, storage, place } = session;
  const read = { signal, firstByte: 0, lastByte: bytes - 1 };
  const { body } = await storage.get(place.blobKey, read);
  await using reading = body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of reading) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}
