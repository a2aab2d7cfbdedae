// Uploads in parts, in memory. The same rules as on a disk: parts of one size, each either whole or
// not there, an offset that moves when all bytes of an append have come.

import { randomUUID } from "node:crypto";
import { crc64Nvme, crc64NvmeToBytes } from "../../core/digests/crc64-nvme.ts";
import { OperationalError } from "../../core/errors.ts";
import type {
  BlobHead,
  Body,
  Call,
  Digests,
  Part,
  PartWrites,
  PutOptions,
  UploadAddress,
} from "../../core/ports/storage-driver.ts";
import type { Calls } from "../calls.ts";
import { lengthOfParts } from "../part-list.ts";
import { receive } from "../receive.ts";
import { refuseDigests } from "../refusals.ts";

export interface PendingUpload {
  readonly key: string;
  readonly partBytes: number;
  readonly createdAt: Date;
  readonly options: PutOptions;
  readonly parts: Map<number, { readonly part: Part; readonly bytes: Uint8Array }>;
  appended: Uint8Array;
  /** What complete answered, for those who ask again. */
  result: BlobHead | undefined;
}

export interface MemoryUploadsOptions {
  readonly now: () => Date;
  readonly calls: Calls;
  readonly checkKey: (key: string) => void;
  readonly publish: (key: string, bytes: Uint8Array, options: PutOptions) => BlobHead;
}

export class MemoryUploads implements PartWrites {
  readonly partBytesMin = 1;
  readonly partBytesMax = 2 ** 30;
  readonly partsMax = 10_000;
  readonly equalParts = true;
  readonly #uploads: Map<string, PendingUpload>;
  readonly #options: MemoryUploadsOptions;

  constructor(uploads: Map<string, PendingUpload>, options: MemoryUploadsOptions) {
    this.#uploads = uploads;
    this.#options = options;
  }

  async create(
    key: string,
    options: PutOptions & { readonly partBytes: number },
  ): Promise<UploadAddress> {
    options.signal.throwIfAborted();
    this.#options.calls.throwIfClosed();
    this.#options.checkKey(key);
    refuseDigests(options);
    const { partBytes } = options;
    if (partBytes < this.partBytesMin || partBytes > this.partBytesMax) {
      throw invalidPart(`parts of ${partBytes} bytes, outside 1 to ${this.partBytesMax}`);
    }
    const token = randomUUID();
    this.#uploads.set(token, {
      key,
      partBytes,
      createdAt: this.#options.now(),
      options,
      parts: new Map(),
      appended: new Uint8Array(),
      result: undefined,
    });
    return { key, token };
  }

  async writePart(
    upload: UploadAddress,
    partNumber: number,
    bytes: Uint8Array,
    options: Call & { readonly digests: Digests },
  ): Promise<Part> {
    const pending = this.#pending(upload, options);
    if (!Number.isInteger(partNumber) || partNumber < 1 || partNumber > this.partsMax) {
      throw invalidPart(`part number ${partNumber}, outside 1 to ${this.partsMax}`);
    }
    if (bytes.length === 0 || bytes.length > pending.partBytes) {
      throw invalidPart(`a part of ${bytes.length} bytes, outside 1 to ${pending.partBytes}`);
    }
    if (pending.appended.length > 0) throw invalidPart("the upload is written without parts");
    const crc64nvme = crc64NvmeToBytes(crc64Nvme(bytes));
    const expected = options.digests.crc64nvme;
    if (expected !== undefined && !Buffer.from(crc64nvme).equals(expected)) {
      throw new OperationalError("checksum_mismatch", "the part's CRC-64/NVME differs");
    }
    const etag = Buffer.from(crc64nvme).toString("hex");
    const part = { partNumber, length: bytes.length, etag, digests: { crc64nvme } };
    pending.parts.set(partNumber, { part, bytes: Uint8Array.from(bytes) });
    return part;
  }

  async append(upload: UploadAddress, offset: number, body: Body, options: Call): Promise<number> {
    return await this.#options.calls.run(async () => {
      const pending = this.#pending(upload, options);
      if (pending.parts.size > 0) throw invalidPart("the upload is written in parts");
      if (offset < 0 || offset > pending.appended.length) {
        const message = `offset ${offset} does not match ${pending.appended.length}`;
        throw new OperationalError("offset_mismatch", message);
      }
      pending.appended = pending.appended.slice(0, offset);
      const chunks = [pending.appended];
      const take = (chunk: Uint8Array): undefined => {
        chunks.push(Uint8Array.from(chunk));
      };
      await receive(body, { signal: options.signal, take });
      pending.appended = Buffer.concat(chunks);
      return pending.appended.length;
    });
  }

  async *listParts(upload: UploadAddress, options: Call): AsyncGenerator<Part> {
    const { parts } = this.#pending(upload, options);
    for (const [, { part }] of [...parts].sort(([a], [b]) => a - b)) yield part;
  }

  async complete(
    upload: UploadAddress,
    parts: readonly Part[],
    options: PutOptions,
  ): Promise<BlobHead> {
    options.signal.throwIfAborted();
    refuseDigests(options);
    const pending = this.#find(upload);
    if (pending.result !== undefined) return pending.result;
    const recorded = (partNumber: number): Part | undefined => pending.parts.get(partNumber)?.part;
    const listed = parts.length > 0;
    if (listed) lengthOfParts(parts, { partBytes: pending.partBytes, recorded });
    const ordered = parts.toSorted((a, b) => a.partNumber - b.partNumber);
    const pieces = ordered.map(({ partNumber }) => pending.parts.get(partNumber)?.bytes);
    const bytes = listed
      ? Buffer.concat(pieces.filter((piece) => piece !== undefined))
      : pending.appended;
    if (options.length !== undefined && options.length !== bytes.length) {
      const message = `the upload has ${bytes.length} bytes, not ${options.length}`;
      throw new OperationalError("incomplete_body", message);
    }
    const head = this.#options.publish(pending.key, bytes, { ...pending.options, ...options });
    pending.result = head;
    pending.parts.clear();
    pending.appended = new Uint8Array();
    return head;
  }

  async cancel(upload: UploadAddress, { signal }: Call): Promise<void> {
    signal.throwIfAborted();
    this.#uploads.delete(upload.token);
  }

  async *listPending(
    prefix: string,
    { signal }: Call,
  ): AsyncGenerator<UploadAddress & { readonly createdAt: Date }> {
    for (const [token, { key, createdAt, result }] of this.#uploads) {
      signal.throwIfAborted();
      if (result === undefined && key.startsWith(prefix)) yield { key, token, createdAt };
    }
  }

  #pending(upload: UploadAddress, { signal }: Call): PendingUpload {
    signal.throwIfAborted();
    const pending = this.#find(upload);
    if (pending.result !== undefined) throw notFound();
    return pending;
  }

  #find(upload: UploadAddress): PendingUpload {
    this.#options.calls.throwIfClosed();
    const pending = this.#uploads.get(upload.token);
    if (pending === undefined || pending.key !== upload.key) throw notFound();
    return pending;
  }
}

function invalidPart(message: string): OperationalError {
  return new OperationalError("invalid_part", message);
}

function notFound(): OperationalError {
  return new OperationalError("upload_not_found", "no such upload");
}
