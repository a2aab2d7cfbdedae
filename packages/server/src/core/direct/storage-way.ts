/**
 * Bytes that go straight to the storage: parts of its own upload, by requests that it checks itself. A part
 * cannot be written once the upload is complete or cancelled, so nobody who still holds such a request
 * changes a blob; that is why an upload in one piece is one of one part.
 */
import type { Actor } from "../access.ts";
import { discardUpload } from "../discard-upload.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import type { Digests, PartWrites, StorageDriver, UploadAddress } from "../ports/storage-driver.ts";
import type { UploadPlace, UploadRecord } from "../ports/upload-store.ts";
import type { WriterLeases } from "../resumable/writer-leases.ts";
import type { DirectUploadsOptions } from "./options.ts";
import { partLength } from "./part-plan.ts";
import { type DirectRecord, placeOf, planOfRecord } from "./record.ts";
import type { CompleteDirectRequest, CompletedDirect, PartRequest } from "./requests.ts";
import { StorageCompletions } from "./storage-completions.ts";
import type { StoredPart, Way } from "./way.ts";

const cancelMsMax = 10_000;
/** Until the storage's own upload is recorded, nobody else writes. */
const beginMsMax = 60_000;

/** Where clients can write parts by themselves. */
export type SigningDriver = StorageDriver & {
  readonly presign: NonNullable<StorageDriver["presign"]>;
  readonly parts: PartWrites;
};

type Options = DirectUploadsOptions & {
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

  async stored(
    _actor: Actor,
    upload: DirectRecord,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, StoredPart>> {
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
  { key, signal, expiresAt }: { key: string; signal: AbortSignal; expiresAt: Date },
): Promise<SigningDriver | undefined> {
  const signing = signingDriver(driver);
  if (signing === undefined) return undefined;
  try {
    // Signing asks the storage nothing.
    const grant = { verb: "writePart", key, token: "none", partNumber: 1, length: 1 } as const;
    await signing.presign({ ...grant, expiresAt }, { signal });
    return signing;
  } catch (error) {
    if (isOperationalError(error, "unsupported")) return undefined;
    throw error;
  }
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
