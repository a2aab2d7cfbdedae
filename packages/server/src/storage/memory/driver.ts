// Blobs in this process's memory: for tests, and as the smallest example of a driver. Nothing is
// durable. Bytes are copied in, and given out as views that must not be written to.

import { createHash } from "node:crypto";
import { keyBytesMax } from "@roma/contract";
import { OperationalError } from "../../core/errors.ts";
import type {
  BlobHead,
  Body,
  Call,
  GetOptions,
  ObjectBody,
  PutOptions,
  StorageCapabilities,
  StorageDriver,
} from "../../core/ports/storage-driver.ts";
import { Calls } from "../calls.ts";
import { resolveRange } from "../range.ts";
import { receive } from "../receive.ts";
import { refuseDigests } from "../refusals.ts";
import { MemoryUploads, type PendingUpload } from "./uploads.ts";

const chunkBytes = 64 * 1024;

/** What a storage holds; two drivers over one content are two instances of one storage. */
export interface MemoryContent {
  readonly blobs: Map<string, StoredBlob>;
  readonly uploads: Map<string, PendingUpload>;
}

export interface StoredBlob {
  readonly head: BlobHead;
  readonly bytes: Uint8Array;
}

export interface MemoryOptions {
  readonly id: string;
  /** Shared with another driver, to see what is left when the first is gone. */
  readonly content?: MemoryContent;
  /** Past it a put is `storage_full`. */
  readonly bytesMax?: number;
  readonly now?: () => Date;
}

export function memoryContent(): MemoryContent {
  return { blobs: new Map(), uploads: new Map() };
}

/** Opens a storage that lives as long as its content is held. */
export function openMemoryStorage(options: MemoryOptions): StorageDriver {
  return new MemoryDriver(options);
}

class MemoryDriver implements StorageDriver {
  readonly id: string;
  readonly capabilities: StorageCapabilities = {
    conditionalPut: true,
    conditionalComplete: true,
    durability: "none",
    verifies: [],
    etagIsMd5: true,
    listing: "strong",
    keepsMetadata: true,
    keyBytesMax,
    metadataBytesMax: 8 * 1024,
    putBytesMax: 2 ** 31,
  };
  readonly parts: MemoryUploads;
  readonly #content: MemoryContent;
  readonly #bytesMax: number;
  readonly #now: () => Date;
  readonly #calls = new Calls();

  constructor(options: MemoryOptions) {
    this.id = options.id;
    this.#content = options.content ?? memoryContent();
    this.#bytesMax = options.bytesMax ?? Number.POSITIVE_INFINITY;
    this.#now = options.now ?? (() => new Date());
    this.parts = new MemoryUploads(this.#content.uploads, {
      now: this.#now,
      calls: this.#calls,
      checkKey,
      publish: (key, bytes, put) => this.#publish(key, bytes, put),
    });
  }

  async put(key: string, body: Body, options: PutOptions): Promise<BlobHead> {
    options.signal.throwIfAborted();
    checkKey(key);
    refuseDigests(options);
    return await this.#calls.run(async () => {
      const { signal, length } = options;
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      const take = (chunk: Uint8Array): undefined => {
        bytes += chunk.length;
        if (bytes > this.capabilities.putBytesMax) throw tooLarge(this.capabilities.putBytesMax);
        this.#reserve(bytes);
        chunks.push(Uint8Array.from(chunk));
      };
      await receive(body, { signal, length, take });
      return this.#publish(key, Buffer.concat(chunks), options);
    });
  }

  async get(key: string, options: GetOptions): Promise<{ head: BlobHead; body: ObjectBody }> {
    const { head, bytes } = await this.#find(key, options);
    if (options.ifMatch !== undefined && options.ifMatch !== head.etag) {
      throw new OperationalError("precondition_failed", "the blob has another etag");
    }
    const { firstByte, lastByte } = resolveRange(head.length, options);
    const body = chunksOf(bytes.subarray(firstByte, lastByte + 1), options.signal);
    return { head, body };
  }

  async head(key: string, options: Call): Promise<BlobHead> {
    return (await this.#find(key, options)).head;
  }

  async *list(
    prefix: string,
    { signal, after = "" }: Call & { readonly after?: string },
  ): AsyncGenerator<BlobHead> {
    this.#calls.throwIfClosed();
    const names = [...this.#content.blobs.keys()].filter((key) => key.startsWith(prefix));
    const sorted = names.map((key) => Buffer.from(key)).sort(Buffer.compare);
    const floor = Buffer.from(after);
    for (const name of sorted) {
      signal.throwIfAborted();
      if (after !== "" && name.compare(floor) <= 0) continue;
      const blob = this.#content.blobs.get(name.toString());
      if (blob !== undefined) yield blob.head;
    }
  }

  async delete(key: string, { signal }: Call): Promise<void> {
    signal.throwIfAborted();
    checkKey(key);
    this.#calls.throwIfClosed();
    this.#content.blobs.delete(key);
  }

  async probe({ signal }: Call): Promise<void> {
    signal.throwIfAborted();
    this.#calls.throwIfClosed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls.close();
  }

  async #find(key: string, { signal }: Call): Promise<StoredBlob> {
    signal.throwIfAborted();
    checkKey(key);
    this.#calls.throwIfClosed();
    const blob = this.#content.blobs.get(key);
    if (blob === undefined) throw new OperationalError("object_not_found", "no such blob");
    return blob;
  }

  #publish(key: string, bytes: Uint8Array, options: PutOptions): BlobHead {
    options.signal.throwIfAborted();
    const { metadata = {}, createOnly = false } = options;
    const metadataBytes = Buffer.byteLength(JSON.stringify(metadata));
    if (metadataBytes > this.capabilities.metadataBytesMax) {
      throw tooLarge(this.capabilities.metadataBytesMax);
    }
    if (createOnly && this.#content.blobs.has(key)) {
      throw new OperationalError("already_exists", "the key is taken");
    }
    this.#reserve(bytes.length);
    const etag = createHash("md5").update(bytes).digest("hex");
    const head = {
      key,
      length: bytes.length,
      etag,
      modifiedAt: this.#now(),
      digests: {},
      metadata: structuredClone(metadata),
    };
    this.#content.blobs.set(key, { head, bytes });
    return head;
  }

  #reserve(bytes: number): void {
    if (this.#bytesMax === Number.POSITIVE_INFINITY) return;
    let held = bytes;
    for (const blob of this.#content.blobs.values()) held += blob.bytes.length;
    if (held > this.#bytesMax) {
      throw new OperationalError("storage_full", "the storage is full");
    }
  }
}

function checkKey(key: string): void {
  if (key === "") throw new OperationalError("invalid_key", "the key is empty");
  if (!key.isWellFormed()) {
    throw new OperationalError("invalid_key", "the key is not well-formed Unicode");
  }
  const bytes = Buffer.byteLength(key);
  if (bytes > keyBytesMax) {
    const message = `the key has ${bytes} bytes, more than ${keyBytesMax}`;
    throw new OperationalError("invalid_key", message);
  }
}

function tooLarge(limit: number): OperationalError {
  return new OperationalError("too_large", `more than ${limit} bytes`, { context: { limit } });
}

async function* chunksOf(bytes: Uint8Array, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += chunkBytes) {
    signal.throwIfAborted();
    yield bytes.subarray(start, start + chunkBytes);
  }
}
