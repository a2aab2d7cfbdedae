/**
 * The bytes of a blob, whether the storage holds it as one or as pieces. Of pieces the next one is opened
 * while one is read, so that a storage that is slow to begin is waited for once. Each is verified by its
 * own digests before its last chunk is given out.
 */
import { isOperationalError, OperationalError } from "./errors.ts";
import { type PieceRange, piecesBetween } from "./pieces.ts";
import type { BlobRecord, MetadataStore } from "./ports/metadata-store.ts";
import type { ObjectBody, StorageDriver } from "./ports/storage-driver.ts";
import type { UploadPartBlob } from "./ports/upload-store.ts";

export interface OpenBlobOptions {
  readonly driver: StorageDriver;
  readonly metadata: Pick<MetadataStore, "listUploadParts">;
  readonly signal: AbortSignal;
  /** Both inclusive, both within the blob. Left out: all of it. */
  readonly firstByte?: number;
  readonly lastByte?: number;
}

type Blob = Omit<BlobRecord, "storageId">;

/** `object_not_found` if nothing is there; `data_damaged` while reading, before the last chunk. */
export async function openBlob(blob: Blob, options: OpenBlobOptions): Promise<ObjectBody> {
  if (blob.pieces === undefined) return await openOne(blob, options);
  const { firstByte = 0, lastByte = blob.length - 1 } = options;
  const ranges = piecesBetween(blob.pieces.runs, { firstByte, lastByte });
  const pieces = openEach(partsOf(blob.pieces.uploadId, ranges, options), options);
  const first = await pieces.next();
  if (first.done === true) throw damaged("a blob has no pieces");
  return new PiecesBody(first.value, pieces);
}

class PiecesBody implements ObjectBody {
  readonly #pieces: AsyncGenerator<ObjectBody, void>;
  #current: ObjectBody | undefined;
  #ahead: Promise<IteratorResult<ObjectBody, void>> | undefined;

  constructor(first: ObjectBody, pieces: AsyncGenerator<ObjectBody, void>) {
    this.#current = first;
    this.#pieces = pieces;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      while (this.#current !== undefined) {
        this.#ahead = this.#pieces.next();
        // Its failure is for who comes to it; perhaps nobody does.
        this.#ahead.catch(ignore);
        yield* this.#current;
        const next = await this.#ahead;
        this.#ahead = undefined;
        this.#current = next.value ?? undefined;
      }
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const [current, ahead] = [this.#current, this.#ahead];
    this.#current = undefined;
    this.#ahead = undefined;
    try {
      await current?.[Symbol.asyncDispose]();
    } finally {
      const opened = await ahead?.catch(ignore);
      await opened?.value?.[Symbol.asyncDispose]();
      await this.#pieces.return();
    }
  }
}

interface Located {
  readonly part: UploadPartBlob;
  readonly range: PieceRange;
}

async function* openEach(
  pieces: AsyncIterable<Located>,
  { driver, signal }: OpenBlobOptions,
): AsyncGenerator<ObjectBody, void> {
  let isFirst = true;
  for await (const { part, range } of pieces) {
    const { firstByte, lastByte, length } = range;
    const isAll = firstByte === 0 && lastByte === length - 1;
    try {
      yield await openOne(part, { driver, signal, ...(isAll ? {} : { firstByte, lastByte }) });
    } catch (error) {
      if (isFirst || !isOperationalError(error, "object_not_found")) throw error;
      throw damaged(`piece ${part.number} is missing from its storage`, error);
    }
    isFirst = false;
  }
}

/** More rows than these are not held. */
const rowsPerRead = 64;

/** Their records, some at a time. */
async function* partsOf(
  uploadId: string,
  ranges: Iterable<PieceRange>,
  { metadata }: OpenBlobOptions,
): AsyncGenerator<Located> {
  let rows: readonly UploadPartBlob[] = [];
  let limit = 2;
  for (const range of ranges) {
    let part = rows.find(({ number }) => number === range.number);
    if (part === undefined) {
      rows = await metadata.listUploadParts(uploadId, { after: range.number - 1, limit });
      limit = rowsPerRead;
      part = rows[0];
    }
    if (part?.number !== range.number || part.length !== range.length) {
      throw damaged(`piece ${range.number} of upload ${uploadId} is not recorded`);
    }
    yield { part, range };
  }
}

async function openOne(
  { blobKey, length, digests, blocks }: Omit<Blob, "pieces">,
  options: Omit<OpenBlobOptions, "metadata">,
): Promise<ObjectBody> {
  const { driver, signal, firstByte, lastByte } = options;
  const { body } = await driver.get(blobKey, {
    signal,
    ...(firstByte === undefined ? {} : { firstByte }),
    ...(lastByte === undefined ? {} : { lastByte }),
    expected: { length, crc64nvme: digests.crc64nvme, ...(blocks && { blocks }) },
  });
  return body;
}

function damaged(message: string, cause?: unknown): OperationalError {
  return new OperationalError("data_damaged", message, { cause });
}

function ignore(): void {}
