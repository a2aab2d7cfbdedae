/**
 * One request's bytes on their way: first bytes, place, strategy, session, and the end that they came to. Who
 * calls it holds the lease and has judged the request.
 */
import { assemble, bodyOfBlobs } from "../assembly.ts";
import { firstDifference } from "../digests/digest-set.ts";
import { discardUpload } from "../discard-upload.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import { newBlobKey, newVersion } from "../ids.ts";
import { peekBytes } from "../peek.ts";
import { assertSomePlace, choosePlace } from "../place.ts";
import type { Author, BlobRecord, BucketRecord } from "../ports/metadata-store.ts";
import type { Body } from "../ports/storage-driver.ts";
import type { UploadPlace, UploadRecord, UploadTaken } from "../ports/upload-store.ts";
import { assertLengthAllowed, assertTypeAllowed, type WriteLimits } from "../write-limits.ts";
import { expectedBytes, expectedLength, isEnd, tooLong } from "./append-rules.ts";
import { AppendStrategy } from "./append-strategy.ts";
import { type Completed, commitWhole, complete, isFinalVerdict } from "./completion.ts";
import { Incoming } from "./incoming.ts";
import { lateSignal } from "./late-signal.ts";
import type { ResumableUploadsOptions } from "./options.ts";
import { PartStrategy } from "./part-strategy.ts";
import type { AppendRequest } from "./requests.ts";
import { Session, type Strategy } from "./session.ts";
import { brieflyMs, SmallStrategy, smallBytesMax } from "./small-strategy.ts";
import type { Writing } from "./writer-leases.ts";

/** How long the storage has to store what came, after the client went. */
const graceMs = 30_000;
/** How long what a client sent before it went may take to be handed out. */
const leftoverMs = 5_000;

export class Receiver {
  readonly #options: ResumableUploadsOptions;
  /** Blobs that are about to be published without a row that names them yet. */
  readonly #writing = new Set<string>();

  constructor(options: ResumableUploadsOptions) {
    this.#options = options;
  }

  /** Whether a request that runs here is about to need the blob. */
  isWriting(blobKey: string): boolean {
    return this.#writing.has(blobKey);
  }

  /**
   * The body into the storage, and what follows from how it ended: recorded and told, or completed. The lease
   * is given back, or used up.
   */
  async receive(
    writing: Writing,
    given: {
      readonly upload: UploadRecord;
      readonly request: AppendRequest;
      readonly bucket: BucketRecord;
      readonly limits: WriteLimits;
      readonly author: Author;
    },
  ): Promise<Completed> {
    const { upload, request, limits } = given;
    const total = upload.length ?? limits.bytesMax;
    const bytes = expectedBytes(upload, request);
    await this.#assertRoom(upload, given.bucket, bytes);
    // A body whose client has gone gives what had come, and then fails by itself.
    using late = lateSignal([request.signal], { graceMs: leftoverMs });
    const incoming = new Incoming(request.body, {
      stop: AbortSignal.any([writing.stop, late.signal]),
      bytesMax: total - upload.offset,
      tooLarge: () => tooLong(total),
      clock: this.#options.clock,
    });
    writing.isStalled = (ms) => incoming.isStalled(ms);
    const tails: string[] = [];
    using ending = lateSignal([writing.stop, request.signal], { graceMs, now: writing.lost });
    try {
      const firstBytes = upload.offset === 0 ? await this.#peek(incoming, writing) : undefined;
      if (incoming.outcome === "cut" && firstBytes?.length === 0) throw incoming.failure;
      const place = upload.place ?? (await this.#place(given, firstBytes ?? new Uint8Array()));
      let received = (): number => upload.offset;
      const writtenBytes = (): number => received() - upload.offset;
      using storageLease = this.#options.storages.lease(
        place.storageId,
        upload.place === null ? "create" : "continue",
        bytes === undefined ? undefined : { bytes, writtenBytes },
      );
      const session = new Session({
        ...this.#sessionOptions(given.bucket, tails),
        writing,
        upload,
        incoming,
        place,
        storage: storageLease.driver,
        checked: request.checks?.names,
        onProgress: request.onProgress,
        signal: ending.signal,
      });
      received = () => session.received;
      writing.idle = () => idleAt(session);
      this.#writing.add(place.blobKey);
      const strategy = strategyFor(session, expectedLength(upload, request));
      if (!(strategy instanceof SmallStrategy)) await writing.record();
      try {
        await strategy.receive();
        this.#judgeBody(session, request);
        if (!isEnd(session, request)) {
          await strategy.settle();
          await session.commit(session.sums.state(), { release: true });
          this.#throwIfCut(incoming);
          return { upload: session.upload };
        }
        const completed = await this.#complete(session, strategy, {
          ...given,
          writing,
          firstBytes,
        });
        return completed;
      } finally {
        await strategy.close();
        for (const key of [place.blobKey, ...tails]) this.#writing.delete(key);
      }
    } finally {
      incoming.end();
    }
  }

  /** Before a byte is asked for. What only completes an upload needs none. */
  async #assertRoom(
    { place, key, offset, length }: UploadRecord,
    bucket: BucketRecord,
    bytes: number | undefined,
  ) {
    if (offset === length) return;
    const { storages } = this.#options;
    if (place !== null) await storages.assertRoom?.([place.storageId], bytes);
    else {
      const subject = { bucket, key: key ?? "", length: length ?? undefined, bytes };
      await assertSomePlace(subject, this.#options);
    }
  }

  /** A body with checks is compared before any of it counts. */
  #judgeBody(session: Session, { checks }: AppendRequest): void {
    if (checks === undefined) return;
    this.#throwIfCut(session.incoming);
    const different = firstDifference(checks.expected(), session.bodyDigests());
    if (different !== undefined) {
      throw new OperationalError("checksum_mismatch", `the ${different} of the body differs`, {
        context: { digest: different },
      });
    }
    session.verified();
  }

  #throwIfCut(incoming: Incoming): void {
    if (incoming.outcome === "cut") throw incoming.failure;
  }

  async #complete(
    session: Session,
    strategy: Strategy,
    given: {
      readonly bucket: BucketRecord;
      readonly limits: WriteLimits;
      readonly author: Author;
      readonly writing: Writing;
      readonly firstBytes: Uint8Array | undefined;
    },
  ): Promise<Completed> {
    const { metadata, detector, clock, steady, meter } = this.#options;
    try {
      const completed = await complete(session, strategy, {
        store: metadata,
        detector,
        now: () => clock.now(),
        garbageDueAt: () => this.#garbageDueAt(),
        expiresAt: () => steady.in(given.bucket.uploadExpiryMs),
        limits: given.limits,
        author: given.author,
        writer: given.writing,
        isFirst: !given.writing.isRecorded,
        firstBytes: given.firstBytes,
      });
      given.writing.released();
      meter.count("upload_completed_total");
      return completed;
    } catch (error) {
      await this.#dropUnnamed(session, error);
      if (isFinalVerdict(error)) await this.#giveUp(given.writing);
      throw error;
    }
  }

  /**
   * A blob that was put in one go, and that no row names. Where the commit may have happened all the same
   * it stays: the sweeper asks the store.
   */
  async #dropUnnamed(session: Session, error: unknown): Promise<void> {
    const { place, storage, upload } = session;
    const isUncertain = !isOperationalError(error) || error.code === "unavailable";
    if (upload.place !== null || isUncertain || error.code === "internal") return;
    try {
      await storage.delete(place.blobKey, { signal: AbortSignal.timeout(graceMs) });
    } catch (cause) {
      this.logLeft(upload.id, cause);
    }
  }

  /** Nothing of it can become an object any more. */
  async #giveUp(writing: Writing): Promise<void> {
    try {
      // Not for another process that has begun to write it.
      await writing.record();
      const left = await this.#options.metadata.cancelUpload(writing.id);
      writing.released();
      if (left !== undefined) await this.clean(left);
    } catch (cause) {
      this.logLeft(writing.id, cause);
    }
  }

  /** One object of blobs that are there already; `upload` was made for it and has no byte of its own. */
  async assemble(
    writing: Writing,
    given: {
      readonly upload: UploadRecord;
      readonly parts: readonly BlobRecord[];
      readonly bucket: BucketRecord;
      readonly limits: WriteLimits;
      readonly author: Author;
      readonly signal: AbortSignal;
    },
  ): Promise<Completed> {
    const { metadata, storages, detector, clock, meter } = this.#options;
    const { upload, parts, bucket, limits } = given;
    const signal = AbortSignal.any([given.signal, writing.stop, writing.lost]);
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    assertLengthAllowed(length, limits);
    const body = bodyOfBlobs(parts, { storages, signal });
    const { firstBytes, release } = await peekBytes(body, detector.bytesWanted);
    await release();
    const contentType = await detector.detect(firstBytes, upload.contentType ?? undefined);
    assertTypeAllowed(contentType, limits);
    const key = upload.key ?? "";
    const storageId = await choosePlace({ bucket, key, contentType, length }, this.#options);
    const keys: string[] = [];
    const { newBlobKey: newKey, expiresAt, garbageDueAt } = this.#sessionOptions(bucket, keys);
    try {
      const blob = await assemble(parts, {
        storages,
        storageId,
        chooseStorage: () => Promise.resolve(storageId),
        record: async (place) => {
          const change = { place: { ...place, token: null, partBytes: null } };
          await metadata.checkpointUpload(writing, change);
        },
        newBlobKey: newKey,
        signal,
      });
      signal.throwIfAborted();
      const completed = await commitWhole(
        upload,
        { blob, contentType },
        {
          store: metadata,
          now: () => clock.now(),
          garbageDueAt,
          expiresAt,
          author: given.author,
          writer: writing,
          isFirst: false,
        },
      );
      writing.released();
      meter.count("upload_completed_total");
      return completed;
    } finally {
      for (const made of keys) this.#writing.delete(made);
    }
  }

  /** All bytes are recorded and something came between them and the commit: goes on from there. */
  async finishStored(
    writing: Writing,
    given: {
      readonly bucket: BucketRecord;
      readonly limits: WriteLimits;
      readonly author: Author;
    },
  ): Promise<void> {
    const { upload } = writing.taken;
    const { place } = upload;
    if (place === null) throw new Error(`upload ${upload.id} is completing and has no place`);
    using storageLease = this.#options.storages.lease(place.storageId, "continue");
    using ending = lateSignal([], { graceMs, now: writing.lost });
    const incoming = new Incoming(nothing(), {
      stop: writing.stop,
      bytesMax: 0,
      tooLarge: () => tooLong(0),
      clock: this.#options.clock,
    });
    const tails: string[] = [];
    const session = new Session({
      ...this.#sessionOptions(given.bucket, tails),
      writing,
      upload,
      incoming,
      place,
      storage: storageLease.driver,
      checked: undefined,
      onProgress: undefined,
      signal: ending.signal,
    });
    writing.idle = () => idleAt(session);
    const strategy = strategyFor(session, undefined);
    try {
      await this.#complete(session, strategy, { ...given, writing, firstBytes: undefined });
    } finally {
      await strategy.close();
      for (const key of tails) this.#writing.delete(key);
      incoming.end();
    }
  }

  #sessionOptions(bucket: BucketRecord, tails: string[]) {
    const { metadata, buffers, partBytesLeast, clock, steady, installation } = this.#options;
    return {
      store: metadata,
      buffers,
      partBytesLeast,
      clock,
      newBlobKey: () => {
        const now = clock.now();
        const key = newBlobKey(installation, now, newVersion(now));
        // A tail: the sweeper leaves it alone until the row names it.
        this.#writing.add(key);
        tails.push(key);
        return key;
      },
      expiresAt: () => steady.in(bucket.uploadExpiryMs),
      garbageDueAt: () => this.#garbageDueAt(),
    };
  }

  #garbageDueAt(): Date {
    const { clock, blobGraceMs } = this.#options;
    return new Date(clock.now().getTime() + blobGraceMs);
  }

  async #peek(incoming: Incoming, writing: Writing): Promise<Uint8Array> {
    const wanted = this.#options.detector.bytesWanted;
    const next = async (): Promise<Uint8Array | undefined> => {
      if (!(await incoming.isReady(brieflyMs))) await writing.record();
      return await incoming.next();
    };
    const first = await next();
    if (first === undefined) return new Uint8Array();
    const chunks = [first];
    let length = first.length;
    while (length < wanted) {
      const chunk = await next();
      if (chunk === undefined) break;
      chunks.push(chunk);
      length += chunk.length;
    }
    const bytes = chunks.length === 1 ? first : Buffer.concat(chunks);
    incoming.unread(bytes);
    // Its own memory: the storage may free what it was given.
    return new Uint8Array(bytes.subarray(0, wanted));
  }

  async #place(
    given: {
      readonly upload: UploadRecord;
      readonly request: AppendRequest;
      readonly bucket: BucketRecord;
    },
    firstBytes: Uint8Array,
  ): Promise<UploadPlace> {
    const { detector, clock, installation } = this.#options;
    const { upload, request, bucket } = given;
    const contentType = await detector.detect(firstBytes, upload.contentType ?? undefined);
    const storageId = await choosePlace(
      {
        bucket,
        key: upload.key ?? "",
        contentType,
        length: upload.length ?? expectedLength(upload, request),
        bytes: expectedBytes(upload, request),
      },
      this.#options,
    );
    const now = clock.now();
    const blobKey = newBlobKey(installation, now, newVersion(now));
    return { storageId, blobKey, token: null, partBytes: null };
  }

  /** Removes what the storage holds of it, and its rows. */
  async clean(taken: UploadTaken): Promise<void> {
    await discardUpload(taken, { ...this.#options, garbageDueAt: this.#garbageDueAt() });
  }

  logLeft(uploadId: string, err: unknown): void {
    this.#options.log.warn({ err, uploadId }, "an upload was left for the background to clean");
  }
}

/** `undefined`: nothing was begun, or nothing late can do harm. */
function idleAt({ place, storage }: Session): Promise<void> | undefined {
  const { blobKey, token } = place;
  return token === null ? undefined : storage.parts?.idle?.({ key: blobKey, token });
}

function strategyFor(session: Session, expectedBytes: number | undefined): Strategy {
  const { parts } = session.storage;
  if (parts === undefined) {
    throw new OperationalError("unsupported", "this storage does not take resumable uploads");
  }
  const { append } = parts;
  const isNew = session.place.token === null && session.received === 0;
  if (append === undefined) return new PartStrategy(session, parts);
  const long = (): Strategy =>
    new AppendStrategy(session, { ...parts, append: append.bind(parts) });
  if (!isNew || expectedBytes === undefined || expectedBytes > smallBytesMax) return long();
  return new SmallStrategy(session, expectedBytes, long);
}

async function* nothing(): Body {
  // No bytes.
}
