/**
 * Parts that are blobs become the blob of an object. One alone is that blob already. Several are put
 * together by the storage that holds them, where it can; else they are read, verified, and written as one.
 */
import { strict as assert } from "node:assert";
import { wholeBlocks, wholeDigest } from "./digests/combine-parts.ts";
import { firstDifference } from "./digests/digest-set.ts";
import { isOperationalError, OperationalError } from "./errors.ts";
import type { BlobAddress, BlobRecord } from "./ports/metadata-store.ts";
import type { Body, StorageDriver } from "./ports/storage-driver.ts";
import type { Storages } from "./ports/storages.ts";

export interface AssemblyOptions {
  readonly storages: Storages;
  /** Where the whole must be; left out: where the parts are, if they are together. */
  readonly storageId?: string;
  /** Where the whole goes if the parts are not all in one storage. */
  readonly chooseStorage: () => Promise<string>;
  /** Told, and durable, before a byte of a new blob is written. */
  readonly record: (place: BlobAddress) => Promise<void>;
  readonly newBlobKey: () => string;
  readonly signal: AbortSignal;
}

/** The part whose blob is the whole's too; `undefined` if there is none. */
export function onlyPart<Part extends { readonly length: number }>(
  parts: readonly Part[],
): Part | undefined {
  const [first, ...others] = parts.filter(({ length }) => length > 0);
  return others.length === 0 ? (first ?? parts[0]) : undefined;
}

/**
 * The blob as it is to be recorded, with CRC-64/NVME alone. `incomplete_body`, `checksum_mismatch` if the
 * storage made something else of them.
 */
export async function assemble(
  parts: readonly BlobRecord[],
  options: AssemblyOptions,
): Promise<BlobRecord> {
  const only = onlyPart(parts);
  const { storageId: wanted } = options;
  if (only !== undefined && only.storageId === (wanted ?? only.storageId)) {
    const { storageId, blobKey, length, digests, blocks } = only;
    return { storageId, blobKey, length, digests, ...(blocks && { blocks }) };
  }
  const pieces = parts.filter(({ length }) => length > 0);
  const storageIds = new Set(pieces.map(({ storageId }) => storageId));
  const [first] = storageIds;
  const isTogether = storageIds.size === 1 && first !== undefined && first === (wanted ?? first);
  const storageId = isTogether ? first : (wanted ?? (await options.chooseStorage()));
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
  pieces: readonly BlobRecord[],
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
  pieces: readonly BlobRecord[],
  { storages, signal }: AssemblyOptions,
): Promise<Made> {
  const { length, crc64nvme } = sumOf(pieces);
  const body = bodyOfBlobs(pieces, { storages, signal });
  const head = await driver.put(blobKey, body, { signal, length, digests: { crc64nvme } });
  return { length, digests: { crc64nvme }, ...(head.blocks && { blocks: head.blocks }) };
}

function sumOf(pieces: readonly BlobRecord[]) {
  if (pieces.length === 0) return { length: 0, crc64nvme: new Uint8Array(8) };
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const crc64nvme = wholeDigest("crc64nvme", pieces);
  assert(crc64nvme !== undefined, "every part has a CRC-64/NVME");
  return { length, crc64nvme };
}

/** The bytes of all of them, each verified before its last chunk is given out. */
export async function* bodyOfBlobs(
  parts: readonly BlobRecord[],
  { storages, signal }: { readonly storages: Storages; readonly signal: AbortSignal },
): Body {
  for (const part of parts) {
    if (part.length === 0) continue;
    using lease = storages.lease(part.storageId, "read");
    const { length, digests, blocks } = part;
    const expected = {
      length,
      crc64nvme: digests.crc64nvme,
      ...(blocks === undefined ? {} : { blocks }),
    };
    const { body } = await lease.driver.get(part.blobKey, { signal, expected });
    await using reading = body;
    // A driver uses the memory of a chunk again, and who takes it may keep it for a while.
    for await (const chunk of reading) yield Uint8Array.from(chunk);
  }
}
