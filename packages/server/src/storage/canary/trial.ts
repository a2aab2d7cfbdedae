// What the steps of a canary work with: one storage, a folder of their own in it, bytes that can be told
// apart, and the list of what has to be tidied up.

import { createHash } from "node:crypto";
import { isOperationalError, type OperationalError } from "../../core/errors.ts";
import type {
  BlobHead,
  Body,
  GetOptions,
  PutOptions,
  StorageDriver,
  UploadAddress,
} from "../../core/ports/storage-driver.ts";

/** Below it lie the canaries' blobs: no key of an object's blob begins so. */
export const canaryPrefix = "roma/canary/";

/** What a step saw, by the name of the capability. */
export type Seen = Readonly<Record<string, string>>;

export class Trial {
  readonly driver: StorageDriver;
  readonly signal: AbortSignal;
  readonly prefix: string;
  readonly #keys = new Set<string>();
  readonly #uploads = new Set<UploadAddress>();

  constructor(
    driver: StorageDriver,
    options: { readonly signal: AbortSignal; readonly name: string },
  ) {
    this.driver = driver;
    this.signal = options.signal;
    this.prefix = `${canaryPrefix}${options.name}/`;
  }

  /** A key that is tidied up. */
  key(name: string): string {
    const key = `${this.prefix}${name}`;
    this.#keys.add(key);
    return key;
  }

  /** An upload that is tidied up. */
  upload(address: UploadAddress): UploadAddress {
    this.#uploads.add(address);
    return address;
  }

  put(key: string, bytes: Uint8Array, options: Partial<PutOptions> = {}): Promise<BlobHead> {
    const given = { length: bytes.length, ...options, signal: this.signal };
    return this.driver.put(key, chunksOf(bytes), given);
  }

  async read(key: string, options: Partial<GetOptions> = {}): Promise<Buffer> {
    const { body } = await this.driver.get(key, { ...options, signal: this.signal });
    await using _owned = body;
    return await collect(body);
  }

  /** The bytes of the key are these, or it is said what they are. */
  async expect(key: string, bytes: Uint8Array): Promise<void> {
    assertSame(await this.read(key), bytes);
  }

  /** The code by which the call fails; fails itself if it does not. */
  async refusal(running: Promise<unknown>, what: string): Promise<OperationalError> {
    try {
      await running;
    } catch (error) {
      if (isOperationalError(error)) return error;
      throw error;
    }
    throw new Error(`${what} was not refused`);
  }

  /** Removes all of it; answers what could not be removed. */
  async tidy(signal: AbortSignal): Promise<readonly string[]> {
    const left: string[] = [];
    for (const upload of this.#uploads) {
      await this.driver.parts?.cancel(upload, { signal }).catch(() => left.push("an upload"));
    }
    for (const key of this.#keys) {
      await this.driver.delete(key, { signal }).catch(() => left.push(key));
    }
    return left;
  }
}

/** A pattern that a shifted, repeated or cut body does not match. */
export function bytesOf(length: number, seed: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.alloc(length);
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  for (let index = 0; index < length; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state;
  }
  return bytes;
}

export function md5(bytes: Uint8Array): Buffer {
  return createHash("md5").update(bytes).digest();
}

export function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) === 0) return;
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} bytes came back of ${expected.length}`);
  }
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  throw new Error(`other bytes came back, from byte ${at}`);
}

export async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += 65_536) {
    yield bytes.subarray(start, start + 65_536);
  }
}

async function collect(body: Body): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}
