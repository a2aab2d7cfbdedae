/**
 * Instant uploads: where an object with the same SHA-256 and length is in the bucket, and the client may read
 * it, the client may prove that it has the bytes, and the upload ends as one more reference to them.
 *
 * Who may not read such an object learns nothing: the answer is that to bytes which nobody knows. A hash alone
 * proves nothing: it may have come from a list. What is asked for are digests of random ranges under a
 * nonce, once, for two minutes; kept in the memory of the worker that asked, where another one that gets the proof
 * fetches it. After a restart the bytes are sent.
 */
import { createHash, randomBytes, randomInt, timingSafeEqual } from "node:crypto";
import { type Actor, isAllowed } from "../access.ts";
import { authorOf } from "../author.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import { withContext } from "../grant-writes.ts";
import { etagOfVersion, newVersion } from "../ids.ts";
import { parseKey } from "../object-key.ts";
import type { Objects, OpenObject } from "../objects.ts";
import type { BucketRecord, ObjectRecord, WriteResult } from "../ports/metadata-store.ts";
import type { Json } from "../ports/siblings.ts";
import type { DigestName } from "../ports/storage-driver.ts";
import type { WriterLeases } from "../resumable/writer-leases.ts";
import { assertLengthAllowed, assertTypeAllowed, writeLimits } from "../write-limits.ts";
import type { DirectUploadsOptions } from "./options.ts";
import { type DirectRecord, isDirect } from "./record.ts";
import { replay } from "./replay.ts";
import type { Challenge, CompletedDirect, ProofRequest } from "./requests.ts";

const nonceBytes = 32;
const rangesMax = 8;
const rangeBytesMax = 16 * 1024;
const challengeMs = 2 * 60 * 1000;
const challengesMax = 10_000;
const cancelMsMax = 10_000;
/** What the workers ask each other: an offer, which is then the asker's. */
const takeTopic = "direct.instant.take";
const askMsMax = 5_000;

interface Offer {
  readonly challenge: Challenge;
  readonly source: Pick<ObjectRecord, "bucket" | "key" | "version">;
  readonly untilMs: number;
}

type Options = DirectUploadsOptions & { readonly leases: WriterLeases; readonly objects: Objects };

export class InstantUploads {
  readonly #options: Options;
  /** By upload; the oldest first. */
  readonly #offers = new Map<string, Offer>();

  constructor(options: Options) {
    this.#options = options;
    options.siblings?.on(takeTopic, (id) => {
      const offer = this.#take(String(id));
      return offer === undefined ? null : offerToJson(offer);
    });
  }

  /** `undefined`: the bytes have to be sent. */
  async offer(
    actor: Actor,
    bucket: BucketRecord,
    { id, length, digests }: DirectRecord,
  ): Promise<Challenge | undefined> {
    const { sha256 } = digests;
    if (sha256 === undefined || length === 0) return undefined;
    const { metadata, clock } = this.#options;
    const found = await metadata.findObjects({ bucket: bucket.name, sha256, length });
    const source = found.find((object) => mayRead(actor, bucket, object) && knows(object, digests));
    if (source === undefined) return undefined;
    const nonce = new Uint8Array(randomBytes(nonceBytes));
    const challenge = { nonce, ranges: randomRanges(length) };
    const [oldest] = this.#offers.keys();
    if (this.#offers.size >= challengesMax && oldest !== undefined) this.#offers.delete(oldest);
    this.#offers.set(id, { challenge, source, untilMs: clock.monotonicMs() + challengeMs });
    return challenge;
  }

  /** `access_denied`: it is no proof, or there is nothing to prove any more; the upload goes on. */
  async prove(
    actor: Actor,
    { id }: DirectRecord,
    { digests, signal }: ProofRequest,
  ): Promise<CompletedDirect> {
    const { metadata } = this.#options;
    const offer = this.#take(id) ?? (await this.#takeElsewhere(id));
    if (offer === undefined) throw notProven();
    const { source, challenge } = offer;
    const opened = await this.#open(actor, source);
    const expected = await digestsOf(opened, challenge, signal);
    if (!isSame(expected, digests)) throw notProven();
    await using writing = await this.#options.leases.take(id, { mode: "append", signal });
    const { upload } = writing.taken;
    if (!isDirect(upload)) throw notProven();
    if (upload.phase === "complete") return await replay(upload, {}, { metadata });
    const made = await this.#objectOf(actor, upload, opened, signal);
    writing.releasing();
    const written: WriteResult = await metadata.completeByReference(
      writing,
      source,
      made.object,
      made.options,
    );
    writing.released();
    this.#options.meter.count("upload_completed_total");
    await this.#cancelAtStorage(upload);
    return { ...written, replayed: false };
  }

  /** Once, whatever comes of it. */
  #take(id: string): Offer | undefined {
    const offer = this.#offers.get(id);
    this.#offers.delete(id);
    const isOver = offer !== undefined && offer.untilMs <= this.#options.clock.monotonicMs();
    return isOver ? undefined : offer;
  }

  async #takeElsewhere(id: string): Promise<Omit<Offer, "untilMs"> | undefined> {
    const answers = (await this.#options.siblings?.ask(takeTopic, id, { msMax: askMsMax })) ?? [];
    const found = answers.find(({ answer }) => answer !== null);
    return found === undefined ? undefined : offerOfJson(found.answer);
  }

  /** As it was when it was offered. */
  async #open(actor: Actor, { bucket, key, version }: Offer["source"]): Promise<OpenObject> {
    try {
      const opened = await this.#options.objects.open(actor, { bucket, key: parseKey(key) });
      if (opened.object.version === version) return opened;
    } catch (error) {
      if (!isOperationalError(error, "object_not_found")) throw error;
    }
    throw notProven();
  }

  /** Judged as if the bytes had come. */
  async #objectOf(actor: Actor, upload: DirectRecord, opened: OpenObject, signal: AbortSignal) {
    const { buckets, detector, clock, steady, maxObjectBytes, blobGraceMs } = this.#options;
    const bucket = await buckets.require(upload.bucket);
    const limits = writeLimits(actor, bucket, maxObjectBytes, upload.grant);
    assertLengthAllowed(upload.length, limits);
    const lastByte = Math.min(detector.bytesWanted, upload.length) - 1;
    const first = await bytesOf(opened, { firstByte: 0, lastByte }, signal);
    const contentType = await detector.detect(first, upload.contentType ?? undefined);
    assertTypeAllowed(contentType, limits);
    const now = clock.now();
    const version = newVersion(now);
    const { md5 } = opened.object.digests;
    return {
      object: {
        bucket: upload.bucket,
        key: upload.key,
        version,
        etag: md5 === undefined ? etagOfVersion(version) : Buffer.from(md5).toString("hex"),
        contentType,
        userMetadata: upload.userMetadata,
        attributes: withContext({}, upload.grant?.context),
        createdAt: now,
      },
      options: {
        ...upload.conditions,
        author: authorOf(actor),
        garbageDueAt: new Date(now.getTime() + blobGraceMs),
        expiresAt: steady.in(bucket.uploadExpiryMs),
      },
    };
  }

  /** What fails is found by the sweeper, once the upload is forgotten. */
  async #cancelAtStorage({ id, place }: DirectRecord): Promise<void> {
    if (place === null || place.token === null) return;
    const { storages, log } = this.#options;
    try {
      using lease = storages.lease(place.storageId, "delete");
      const address = { key: place.blobKey, token: place.token };
      await lease.driver.parts?.cancel(address, { signal: AbortSignal.timeout(cancelMsMax) });
    } catch (error) {
      log.warn({ err: error, uploadId: id }, "an upload at a storage was left for the sweeper");
    }
  }
}

function offerToJson({ challenge, source }: Offer): Json {
  const { bucket, key, version } = source;
  const ranges = challenge.ranges.map(({ firstByte, lastByte }) => ({ firstByte, lastByte }));
  const nonce = Buffer.from(challenge.nonce).toString("hex");
  return { nonce, ranges, source: { bucket, key, version } };
}

/** What `offerToJson` made in another worker of this server. */
function offerOfJson(value: Json): Omit<Offer, "untilMs"> {
  const { nonce, ranges, source } = value as unknown as {
    readonly nonce: string;
    readonly ranges: Challenge["ranges"];
    readonly source: Offer["source"];
  };
  return { challenge: { nonce: new Uint8Array(Buffer.from(nonce, "hex")), ranges }, source };
}

function mayRead(actor: Actor, bucket: BucketRecord, { key }: ObjectRecord): boolean {
  if (bucket.visibility === "public-read") return true;
  return isAllowed(actor, "object:read", { bucket: bucket.name, key });
}

/** Whether all that is declared is known of it, and the same. */
function knows(object: ObjectRecord, declared: DirectRecord["digests"]): boolean {
  return (Object.keys(declared) as DigestName[]).every((name) => {
    const [known, wanted] = [object.digests[name], declared[name]];
    return known !== undefined && wanted !== undefined && Buffer.from(known).equals(wanted);
  });
}

/** Of short bytes all of them; else some that nobody can foresee. */
function randomRanges(length: number): Challenge["ranges"] {
  const count = Math.min(rangesMax, length);
  if (length <= rangesMax * rangeBytesMax) {
    const bound = (index: number): number => Math.floor((length * index) / count);
    return Array.from({ length: count }, (_, index) => {
      return { firstByte: bound(index), lastByte: bound(index + 1) - 1 };
    });
  }
  return Array.from({ length: count }, () => {
    const firstByte = randomInt(length - rangeBytesMax + 1);
    return { firstByte, lastByte: firstByte + rangeBytesMax - 1 };
  });
}

async function digestsOf(
  opened: OpenObject,
  { nonce, ranges }: Challenge,
  signal: AbortSignal,
): Promise<readonly Buffer[]> {
  return await Promise.all(
    ranges.map(async (range) => {
      const bytes = await bytesOf(opened, range, signal);
      return createHash("sha256").update(nonce).update(bytes).digest();
    }),
  );
}

async function bytesOf(
  opened: OpenObject,
  range: Challenge["ranges"][number],
  signal: AbortSignal,
): Promise<Buffer> {
  const body = await opened.read({ ...range, signal });
  await using reading = body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of reading) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

/** Takes as long for a first difference as for a last. */
function isSame(expected: readonly Buffer[], given: readonly Uint8Array[]): boolean {
  const one = Buffer.concat(expected);
  const other = Buffer.concat(given);
  return (
    expected.length === given.length && one.length === other.length && timingSafeEqual(one, other)
  );
}

function notProven(): OperationalError {
  return new OperationalError("access_denied", "this does not prove that the bytes are there");
}
