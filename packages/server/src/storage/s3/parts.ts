// Uploads in parts for callers who keep their own account of them. A token is the storage's upload id
// and nothing else, so that a listed upload and a created one have the same.

import { crc64Nvme, crc64NvmeToBytes } from "../../core/digests/crc64-nvme.ts";
import { OperationalError } from "../../core/errors.ts";
import type {
  BlobHead,
  Call,
  Digests,
  Part,
  PartSource,
  PartWrites,
  PutOptions,
  UploadAddress,
} from "../../core/ports/storage-driver.ts";
import { refuseDigests } from "../refusals.ts";
import { type S3Context, storedKey } from "./context.ts";
import { copyPiece } from "./copy.ts";
import { classifyConnection, type Operation } from "./errors.ts";
import {
  cancelUpload,
  completeUpload,
  createUpload,
  findCompleted,
  listPendingUploads,
  listUploadedParts,
  writePart,
} from "./multipart.ts";
import type { ListedPart } from "./wire.ts";

/** Sizes given to `create` are remembered of so many uploads. */
const rememberedMax = 10_000;

export class S3Parts implements PartWrites {
  readonly partBytesMin: number;
  readonly partBytesMax: number;
  readonly partsMax: number;
  readonly equalParts: boolean;
  readonly copyPart?: NonNullable<PartWrites["copyPart"]>;
  readonly #context: S3Context;
  readonly #partBytes = new Map<string, number>();
  readonly #completing = new Map<string, Promise<unknown>>();

  constructor(context: S3Context) {
    const { partBytesMin, partBytesMax, partsMax, equalParts } = context.dialect;
    this.partBytesMin = partBytesMin;
    this.partBytesMax = partBytesMax;
    this.partsMax = partsMax;
    this.equalParts = equalParts;
    this.#context = context;
    if (context.dialect.partCopy) {
      this.copyPart = (upload, partNumber, source, options) =>
        this.#call("copy", options, () => this.#copyPart({ upload, partNumber }, source, options));
    }
  }

  async #copyPart(
    { upload, partNumber }: { readonly upload: UploadAddress; readonly partNumber: number },
    { key, etag, firstByte, lastByte, isWhole }: PartSource,
    options: Call,
  ): Promise<Part> {
    const range = { partNumber, first: firstByte, last: lastByte };
    const piece = { source: { key, etag }, range, isWhole };
    const copied = await copyPiece(this.#context, { piece, upload }, options);
    return { ...copied, digests: this.#digestsOf(copied) };
  }

  create(
    key: string,
    options: PutOptions & { readonly partBytes: number },
  ): Promise<UploadAddress> {
    return this.#call("create", options, async () => {
      const { partBytes, createOnly = false } = options;
      storedKey(this.#context, key);
      refuseDigests(options);
      if (createOnly) throw new OperationalError("unsupported", "createOnly before complete");
      if (partBytes < this.partBytesMin || partBytes > this.partBytesMax) {
        const range = `${this.partBytesMin} to ${this.partBytesMax}`;
        throw invalidPart(`parts of ${partBytes} bytes, outside ${range}`);
      }
      const upload = await createUpload(this.#context, key, options);
      this.#remember(upload.token, partBytes);
      return upload;
    });
  }

  writePart(
    upload: UploadAddress,
    partNumber: number,
    bytes: Uint8Array,
    options: Call & { readonly digests: Digests },
  ): Promise<Part> {
    return this.#call("writePart", options, async () => {
      if (!Number.isInteger(partNumber) || partNumber < 1 || partNumber > this.partsMax) {
        throw invalidPart(`part number ${partNumber}, outside 1 to ${this.partsMax}`);
      }
      const bytesMax = this.#partBytes.get(upload.token) ?? this.partBytesMax;
      if (bytes.length === 0 || bytes.length > bytesMax) {
        throw invalidPart(`a part of ${bytes.length} bytes, outside 1 to ${bytesMax}`);
      }
      const digests = checkCrc64(bytes, options.digests);
      const part = { partNumber, bytes, signal: options.signal };
      const { sums, ...written } = await writePart(this.#context, upload, part);
      return { ...written, digests: { ...digests, md5: new Uint8Array(sums.md5) } };
    });
  }

  async *listParts(upload: UploadAddress, options: Call): AsyncGenerator<Part> {
    this.#context.calls.throwIfClosed();
    try {
      for await (const part of listUploadedParts(this.#context, upload, options)) {
        yield { ...part, digests: this.#digestsOf(part) };
      }
    } catch (error) {
      throw classifyConnection(error, "listParts");
    }
  }

  /** At once with another completion of the same upload, it waits for that one's result. */
  complete(upload: UploadAddress, parts: readonly Part[], options: PutOptions): Promise<BlobHead> {
    return this.#call("complete", options, async () => {
      storedKey(this.#context, upload.key);
      refuseDigests(options);
      const { conditionalComplete, title } = this.#context.dialect;
      if (options.createOnly === true && !conditionalComplete) {
        throw new OperationalError("unsupported", `createOnly of an upload in parts on ${title}`);
      }
      const before = this.#completing.get(upload.token);
      const running = (async () => {
        await before?.catch(() => undefined);
        options.signal.throwIfAborted();
        return await this.#complete(upload, parts, options);
      })();
      this.#completing.set(upload.token, running);
      try {
        return await running;
      } finally {
        if (this.#completing.get(upload.token) === running) this.#completing.delete(upload.token);
      }
    });
  }

  cancel(upload: UploadAddress, options: Call): Promise<void> {
    return this.#call("cancel", options, async () => {
      if (upload.token === "") return;
      await cancelUpload(this.#context, upload, options);
      this.#partBytes.delete(upload.token);
    });
  }

  async *listPending(
    prefix: string,
    options: Call,
  ): AsyncGenerator<UploadAddress & { readonly createdAt: Date }> {
    this.#context.calls.throwIfClosed();
    try {
      yield* listPendingUploads(this.#context, prefix, options);
    } catch (error) {
      throw classifyConnection(error, "listPending");
    }
  }

  async #complete(
    upload: UploadAddress,
    parts: readonly Part[],
    options: PutOptions,
  ): Promise<BlobHead> {
    const recorded = await this.#recorded(upload, options);
    if (recorded === undefined) {
      // The upload is gone: it was completed, or never was.
      const found =
        parts.length === 0 ? undefined : await findCompleted(this.#context, upload, parts, options);
      if (found === undefined) throw new OperationalError("upload_not_found", "no such upload");
      checkLength(found.length, options.length);
      return found;
    }
    const listed = this.#checkList(parts, recorded, this.#partBytes.get(upload.token));
    checkLength(
      listed.reduce((sum, part) => sum + part.length, 0),
      options.length,
    );
    if (listed.length === 0) {
      // Nothing was written: one empty part, since a list needs one.
      const empty = { partNumber: 1, bytes: new Uint8Array(), signal: options.signal };
      listed.push(await writePart(this.#context, upload, empty));
    }
    const head = await completeUpload(this.#context, upload, listed, options);
    this.#partBytes.delete(upload.token);
    return head;
  }

  /** What the storage holds, by number; undefined where it knows no such upload. */
  async #recorded(
    upload: UploadAddress,
    { signal }: Call,
  ): Promise<ReadonlyMap<number, ListedPart> | undefined> {
    const recorded = new Map<number, ListedPart>();
    try {
      for await (const part of listUploadedParts(this.#context, upload, { signal })) {
        recorded.set(part.partNumber, part);
      }
      return recorded;
    } catch (error) {
      if (error instanceof OperationalError && error.code === "upload_not_found") return undefined;
      throw error;
    }
  }

  /** In any order, but each once, from 1 on without a gap, as written last, and all that were. */
  #checkList(
    parts: readonly Part[],
    recorded: ReadonlyMap<number, ListedPart>,
    partBytes: number | undefined,
  ): ListedPart[] {
    const sorted = parts.toSorted((a, b) => a.partNumber - b.partNumber);
    const first = recorded.get(1);
    const equalBytes = this.equalParts ? (partBytes ?? first?.length) : undefined;
    const listed = sorted.map((part, index) => {
      if (part.partNumber !== index + 1)
        throw invalidPart(`part ${index + 1} is not in the list once`);
      const written = recorded.get(part.partNumber);
      if (written === undefined) throw invalidPart(`part ${part.partNumber} was not written`);
      const same = written.etag.toLowerCase() === part.etag.toLowerCase();
      if (!same || written.length !== part.length) {
        throw invalidPart(`part ${part.partNumber} is not the one that was written last`);
      }
      const last = index + 1 === sorted.length;
      const tooShort = written.length < this.partBytesMin;
      if (!last && (tooShort || written.length !== (equalBytes ?? written.length))) {
        throw invalidPart(`part ${part.partNumber}, not the last, has ${written.length} bytes`);
      }
      return written;
    });
    if (listed.length !== recorded.size) {
      throw invalidPart(`${recorded.size} parts were written, ${listed.length} are in the list`);
    }
    return listed;
  }

  #digestsOf({ etag }: ListedPart): Digests {
    const known = this.#context.dialect.partEtagIsMd5 && this.#context.etagIsMd5;
    if (!known || !/^[0-9a-f]{32}$/i.test(etag)) return {};
    return { md5: new Uint8Array(Buffer.from(etag, "hex")) };
  }

  #remember(token: string, partBytes: number): void {
    const [oldest] = this.#partBytes.keys();
    if (this.#partBytes.size >= rememberedMax && oldest !== undefined) {
      this.#partBytes.delete(oldest);
    }
    this.#partBytes.set(token, partBytes);
  }

  #call<T>(operation: Operation, { signal }: Call, run: () => Promise<T>): Promise<T> {
    return this.#context.calls.run(async () => {
      signal.throwIfAborted();
      try {
        return await run();
      } catch (error) {
        throw signal.aborted ? signal.reason : classifyConnection(error, operation);
      }
    });
  }
}

function checkLength(length: number, declared: number | undefined): void {
  if (declared === undefined || declared === length) return;
  const message = `the upload has ${length} bytes, not ${declared}`;
  throw new OperationalError("incomplete_body", message);
}

/** `checksum_mismatch` before anything is sent; the MD5 is the storage's to compare. */
function checkCrc64(bytes: Uint8Array, { crc64nvme }: Digests): Digests {
  if (crc64nvme === undefined) return {};
  if (!Buffer.from(crc64NvmeToBytes(crc64Nvme(bytes))).equals(crc64nvme)) {
    throw new OperationalError("checksum_mismatch", "the part's CRC-64/NVME differs");
  }
  return { crc64nvme };
}

function invalidPart(message: string): OperationalError {
  return new OperationalError("invalid_part", message);
}
