/**
 * Bytes that go straight to the storage: parts of its own upload, by requests that it checks itself. A part
 * cannot be written once the upload is complete or cancelled, so nobody who still holds such a request
 * changes a blob; that is why an upload in one piece is one of one part.
 */
import type { Actor } from "../access.ts";
import { discardUpload } from "../discard-upload.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import type {
  Digests,
  Grant,
  PartWrites,
  StorageCallback,
  StorageDriver,
  UploadAddress,
} from "../ports/storage-driver.ts";
import type { UploadPlace, UploadRecord } from "../ports/upload-store.ts";
import type { WriterLeases } from "../resumable/writer-leases.ts";
import type { UploadCallbacks } from "./callbacks.ts";
import type { DirectUploadsOptions } from "./options.ts";
import { partLength } from "./part-plan.ts";
import { type DirectRecord, isFormUpload, placeOf, planOfRecord, stagingKeyOf } from "./record.ts";
import type {
  CompleteDirectRequest,
  CompletedDirect,
  FormRequest,
  PartRequest,
} from "./requests.ts";
import { findStaged } from "./staged-form.ts";
import { StorageCompletions } from "./storage-completions.ts";
import type { StoredPart, Way } from "./way.ts";

const cancelMsMax = 10_000;
/** Clocks differ, and a completion that has begun goes on. */
const stagedMarginMs = 8 * 60 * 60 * 1000;
/** Until the storage's own upload is recorded, nobody else writes. */
const beginMsMax = 60_000;

/** Where clients can write parts by themselves. */
export type SigningDriver = StorageDriver & {
  readonly presign: NonNullable<StorageDriver["presign"]>;
  readonly parts: PartWrites;
};

type Options = Omit<DirectUploadsOptions, "holder"> & {
  readonly callbacks: UploadCallbacks;
  readonly holder: string;
  readonly leases: WriterLeases;
};

export class StorageWay implements Way {
  readonly #options: Options;
  readonly #completions: StorageCompletions;

  constructor(options: Options) {
    this.#options = options;
    this.#completions = new StorageCompletions(options);
  }

  /**
   * Records the upload, and then begins the storage's own: a crash leaves one that a row names, or that the
   * sweeper takes for nobody's.
   */
  async begin(
    draft: UploadRecord,
    given: {
      readonly driver: SigningDriver;
      readonly place: UploadPlace & { readonly partBytes: number };
      readonly openMax: number;
      readonly signal: AbortSignal;
    },
  ): Promise<UploadRecord> {
    const { metadata, storages, steady, holder } = this.#options;
    const { driver, place, openMax, signal } = given;
    const { partBytes, blobKey } = place;
    const leaseUntil = steady.in(beginMsMax);
    const upload = { ...draft, place, fence: 1, holder, leaseUntil };
    await metadata.createUpload(upload, { openMax });
    let made: UploadAddress | undefined;
    try {
      const { contentType } = draft;
      made = await driver.parts.create(blobKey, {
        partBytes,
        ...(contentType === null ? {} : { metadata: { contentType } }),
        signal,
      });
      return await metadata.checkpointUpload(
        { id: upload.id, fence: upload.fence },
        { place: { ...place, token: made.token }, release: true },
      );
    } catch (error) {
      const garbageDueAt = this.#garbageDueAt();
      try {
        if (made !== undefined) {
          await driver.parts.cancel(made, { signal: AbortSignal.timeout(cancelMsMax) });
        }
        const left = await metadata.cancelUpload(upload.id);
        if (left !== undefined) await discardUpload(left, { metadata, storages, garbageDueAt });
      } catch (cause) {
        this.#options.log.warn({ err: cause, uploadId: upload.id }, "an upload was left to expire");
      }
      throw error;
    }
  }

  async sign(
    upload: DirectRecord,
    numbers: readonly number[],
    { expiresAt, signal }: { readonly expiresAt: Date; readonly signal: AbortSignal },
  ): Promise<readonly PartRequest[]> {
    const { address, storageId } = placeOf(upload);
    using lease = this.#options.storages.lease(storageId, "continue");
    const driver = signingDriver(lease.driver);
    if (driver === undefined) throw cannotSign(storageId);
    const plan = planOfRecord(upload);
    // Of a part nothing is known but its length; of the whole it may be its MD5.
    const { md5 } = upload.digests;
    const digests: Digests = plan.partCount === 1 && md5 !== undefined ? { md5 } : {};
    return await Promise.all(
      numbers.map(async (number) => {
        const { url, headers } = await driver.presign(
          {
            verb: "writePart",
            ...address,
            partNumber: number,
            length: partLength(plan, number) ?? 0,
            digests,
            expiresAt,
          },
          { signal },
        );
        return { number, expiresAt, to: "storage", url, headers } as const;
      }),
    );
  }

  /**
   * To a key of its own, which no blob ever has: whoever holds the form may post it again until it expires, and
   * changes nothing by that. What lies there is garbage from before the form is known, due when nobody can post
   * it or complete the upload any more.
   */
  async signForm(
    upload: DirectRecord,
    { expiresAt, signal }: { readonly expiresAt: Date; readonly signal: AbortSignal },
  ): Promise<FormRequest> {
    const { metadata, storages } = this.#options;
    const { address, storageId } = placeOf(upload);
    using lease = storages.lease(storageId, "continue");
    const driver = signingDriver(lease.driver);
    if (driver === undefined) throw cannotSign(storageId);
    const { length, contentType } = upload;
    const blobKey = stagingKeyOf(address.key);
    const garbageDueAt = await this.#stagedUntil(upload, expiresAt);
    await metadata.recordGarbage({ storageId, blobKey, length }, { garbageDueAt });
    const { url, fields = {} } = await driver.presign(
      formGrant(blobKey, {
        length,
        contentType,
        expiresAt,
        callback: this.#options.callbacks.ofUpload(upload),
      }),
      { signal },
    );
    return { to: "storage", expiresAt, url, fields };
  }

  async #stagedUntil({ bucket }: DirectRecord, expiresAt: Date): Promise<Date> {
    const { uploadExpiryMs } = await this.#options.buckets.require(bucket);
    const renewed = this.#options.clock.now().getTime() + uploadExpiryMs;
    return new Date(Math.max(renewed, expiresAt.getTime()) + stagedMarginMs);
  }

  async stored(
    _actor: Actor,
    upload: DirectRecord,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, StoredPart>> {
    if (isFormUpload(upload)) return await this.#staged(upload, signal);
    const { address, storageId } = placeOf(upload);
    using lease = this.#options.storages.lease(storageId, "read");
    const plan = planOfRecord(upload);
    const stored = new Map<number, StoredPart>();
    try {
      for await (const part of lease.driver.parts?.listParts(address, { signal }) ?? []) {
        if (part.length === partLength(plan, part.partNumber)) stored.set(part.partNumber, part);
      }
    } catch (error) {
      if (!isOperationalError(error, "upload_not_found")) throw error;
      throw new OperationalError("locked", "the upload is being completed", { cause: error });
    }
    return stored;
  }

  async #staged(
    upload: DirectRecord,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, StoredPart>> {
    const { address, storageId } = placeOf(upload);
    using lease = this.#options.storages.lease(storageId, "read");
    const head = await findStaged(lease.driver, address.key, { signal });
    if (head === undefined) return new Map();
    const { length, etag } = head;
    return new Map([[1, { length, etag, digests: {} }]]);
  }

  async complete(
    actor: Actor,
    upload: DirectRecord,
    request: CompleteDirectRequest,
  ): Promise<CompletedDirect> {
    return await this.#completions.complete(actor, upload, request);
  }

  #garbageDueAt(): Date {
    return new Date(this.#options.clock.now().getTime() + this.#options.blobGraceMs);
  }
}

/**
 * The driver, if its storage lets clients write parts of exact lengths by themselves; some vendors sign no
 * length.
 */
export async function canSign(
  driver: StorageDriver,
  {
    key,
    signal,
    expiresAt,
    form,
  }: {
    readonly key: string;
    readonly signal: AbortSignal;
    readonly expiresAt: Date;
    /** A form is to be signed, for so many bytes. */
    readonly form?: {
      readonly length: number;
      /** And this is to be called. */
      readonly callback?: StorageCallback | undefined;
    };
  },
): Promise<SigningDriver | undefined> {
  const signing = signingDriver(driver);
  if (signing === undefined) return undefined;
  // What a form brings becomes parts within the storage; no part can be made of nothing.
  const fits = form === undefined || (signing.parts.copyPart !== undefined && form.length > 0);
  if (!fits) return undefined;
  const grant: Grant =
    form === undefined
      ? { verb: "writePart", key, token: "none", partNumber: 1, length: 1, expiresAt }
      : formGrant(key, { ...form, contentType: null, expiresAt });
  try {
    // Signing asks the storage nothing.
    await signing.presign(grant, { signal });
    return signing;
  } catch (error) {
    if (isOperationalError(error, "unsupported")) return undefined;
    throw error;
  }
}

/** Exactly so many bytes, of the type that was declared. */
function formGrant(
  key: string,
  {
    length,
    contentType,
    expiresAt,
    callback,
  }: {
    readonly length: number;
    readonly contentType: string | null;
    readonly expiresAt: Date;
    readonly callback?: StorageCallback | undefined;
  },
): Grant {
  const lengths = { lengthMin: length, lengthMax: length };
  const type = contentType ?? "application/octet-stream";
  const called = callback === undefined ? {} : { callback };
  return { verb: "post", key, ...lengths, contentType: type, expiresAt, ...called };
}

export function cannotSign(storageId: string): OperationalError {
  return new OperationalError(
    "unsupported",
    `via "storage": the storage ${storageId} does not let clients write to it by themselves`,
    { context: { storageId } },
  );
}

function signingDriver(driver: StorageDriver): SigningDriver | undefined {
  return driver.presign !== undefined && driver.parts !== undefined
    ? (driver as SigningDriver)
    : undefined;
}
