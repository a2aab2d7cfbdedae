/**
 * Parts that are blobs become the blob of an object. One alone is that blob already. Several are put
 * together by the storage that holds them, where it can; else they are read, verified, and written as one.
 */
import { strict as assert } from "node:assert";
import { wholeBlocks, wholeDigest } from "../digests/combine-parts.ts";
import { firstDifference } from "../digests/digest-set.ts";
import { isOperationalError, OperationalError } from "../errors.ts";
import type { BlobAddress, BlobRecord } from "../ports/metadata-store.ts";
import type { StorageDriver } from "../ports/storage-driver.ts";
import type { Storages } from "../ports/storages.ts";
import type { UploadPartBlob } from "../ports/upload-store.ts";
import { bodyOfPartials } from "../resumable/concatenation.ts";

export interface AssemblyOptions {
  readonly storages: Storages;
  /** Where the whole goes if the parts are not all in one storage. */
  readonly chooseStorage: () => Promise<string>;
  /** Told, and durable, before a byte of a new blob is written. */
  readonly record: (place: BlobAddress) => Promise<void>;
  readonly newBlobKey: () => string;
  readonly signal: AbortSignal;
}

/** The part whose blob is the whole's too; `undefined` if there is none. */
export function onlyPart(parts: readonly UploadPartBlob[]): UploadPartBlob | undefined {
  const [first, ...others] = parts.filter(({ length }) => length > 0);
  return others.length === 0 ? (first ?? parts[0]) : undefined;
}

/**
 * The blob as it is to be recorded, with CRC-64/NVME alone. `incomplete_body`, `checksum_mismatch` if the
 * storage made something else of them.
 */
export async function assemble(
  parts: readonly UploadPartBlob[],
  options: AssemblyOptions,
): Promise<BlobRecord> {
  const only = onlyPart(parts);
  if (only !== undefined) {
    const { storageId, blobKey, length, digests, blocks } = only;
    return { storageId, blobKey, length, digests, ...(blocks && { blocks }) };
  }
  const pieces = parts.filter(({ length }) => length > 0);
  const storageIds = new Set(pieces.map(({ storageId }) => storageId));
  const [first] = storageIds;
  const isTogether = storageIds.size === 1 && first !== undefined;
  const storageId = isTogether ? first : await options.chooseStorage();
  using lease = options.storages.lease(storageId, isTogether ? "continue" : "create");
  const place = { storageId, blobKey: options.newBlobKey() };
  await options.record(place);
  const made = isTogether ? await concat(lease.driver, place.blobKey, pieces, options) : undefined;
  return { ...place, ...(made ?? (await rewrite(lease.driver, place.blobKey, pieces, options))) };
}

type Made = Omit<BlobRecord, keyof BlobAddress>;

/** By the storage itself: no byte passes here. `undefined` if it cannot. */
async function concat(
  driver: StorageDriver,
  blobKey: string,
  pieces: readonly UploadPartBlob[],
  { signal }: AssemblyOptions,
): Promise<Made | undefined> {
  if (driver.concat === undefined) return undefined;
  const { length, crc64nvme } = sumOf(pieces);
  const from = pieces.map((piece) => ({
    key: piece.blobKey,
    length: piece.length,
    digests: piece.digests,
  }));
  try {
    const head = await driver.concat(from, blobKey, { signal, length });
    const reported = firstDifference(head.digests, { crc64nvme });
    const different = head.length === length ? reported : "length";
    if (different !== undefined) {
      throw new OperationalError("data_damaged", `the storage reports another ${different}`);
    }
  } catch (error) {
    if (isOperationalError(error, "unsupported")) return undefined;
    throw error;
  }
  const blocks = wholeBlocks(pieces);
  return { length, digests: { crc64nvme }, ...(blocks && { blocks }) };
}

async function rewrite(
  driver: StorageDriver,
  blobKey: string,
  pieces: readonly UploadPartBlob[],
  { storages, signal }: AssemblyOptions,
): Promise<Made> {
  const { length, crc64nvme } = sumOf(pieces);
  const body = bodyOfPartials(pieces, { storages, signal });
  const head = await driver.put(blobKey, body, { signal, length, digests: { crc64nvme } });
  return { length, digests: { crc64nvme }, ...(head.blocks && { blocks: head.blocks }) };
}

function sumOf(pieces: readonly UploadPartBlob[]) {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const crc64nvme = wholeDigest("crc64nvme", pieces);
  assert(crc64nvme !== undefined, "every part has a CRC-64/NVME");
  return { length, crc64nvme };
}
