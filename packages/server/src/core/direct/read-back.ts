/**
 * Reading a blob that others wrote, once, before anything points at it: so that what is recorded of it is
 * what lies there, and each later read can be compared with it. What the storage said of the parts when
 * they came is compared too, where that is an MD5.
 */
import { DigestSet, RunningDigests } from "../digests/digest-set.ts";
import { OperationalError } from "../errors.ts";
import type { BlockChecks, DigestName, Digests, StorageDriver } from "../ports/storage-driver.ts";

export interface ReadBackOptions {
  readonly blobKey: string;
  readonly length: number;
  /** In the order of bytes. */
  readonly parts: readonly { readonly length: number; readonly digests: Digests }[];
  /** Beside CRC-64/NVME. */
  readonly digestsWanted: readonly DigestName[];
  readonly firstBytesWanted: number;
  /** Called once, with as many as were wanted or there are; what it throws ends the reading. */
  readonly onFirstBytes: (bytes: Uint8Array) => Promise<void>;
  readonly signal: AbortSignal;
}

/** `data_damaged`: it has another length, or a part of it is not what the storage took for it. */
export async function readBack(
  driver: StorageDriver,
  options: ReadBackOptions,
): Promise<{
  readonly digests: Digests & { readonly crc64nvme: Uint8Array };
  readonly blocks: BlockChecks;
}> {
  const { blobKey, length, firstBytesWanted, onFirstBytes, signal } = options;
  const { head, body } = await driver.get(blobKey, { signal });
  await using reading = body;
  if (head.length !== length) throw damaged(`the storage has ${head.length} bytes, not ${length}`);
  const set = new DigestSet(options.digestsWanted);
  const parts = new PartJudge(options.parts);
  const first: Uint8Array[] = [];
  const firstLength = Math.min(firstBytesWanted, length);
  if (firstLength === 0) await onFirstBytes(new Uint8Array());
  for await (const chunk of reading) {
    const missing = firstLength - set.length;
    // The memory of a chunk is used again.
    if (missing > 0) first.push(Uint8Array.from(chunk.subarray(0, missing)));
    set.update(chunk);
    parts.update(chunk);
    if (missing > 0 && set.length >= firstLength) await onFirstBytes(Buffer.concat(first));
  }
  if (set.length !== length) throw damaged(`the storage gave ${set.length} bytes, not ${length}`);
  return set.finish();
}

/** Compares each part with its MD5 as its last byte passes. */
class PartJudge {
  readonly #parts: ReadBackOptions["parts"];
  #index = 0;
  #left: number;
  #running = new RunningDigests(["md5"]);

  constructor(parts: ReadBackOptions["parts"]) {
    this.#parts = parts;
    this.#left = parts[0]?.length ?? 0;
  }

  update(chunk: Uint8Array): void {
    let start = 0;
    while (start < chunk.length) {
      const part = this.#parts[this.#index];
      if (part === undefined) throw damaged("the storage gave more bytes than the parts have");
      const end = Math.min(chunk.length, start + this.#left);
      const { md5 } = part.digests;
      if (md5 !== undefined) this.#running.update(chunk.subarray(start, end));
      this.#left -= end - start;
      start = end;
      if (this.#left > 0) return;
      if (md5 !== undefined && !sameBytes(this.#running.finish().md5, md5)) {
        throw damaged(`part ${this.#index + 1} is not what the storage took for it`);
      }
      this.#index += 1;
      this.#left = this.#parts[this.#index]?.length ?? 0;
      this.#running = new RunningDigests(["md5"]);
    }
  }
}

function sameBytes(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && Buffer.from(other).equals(one);
}

function damaged(message: string): OperationalError {
  return new OperationalError("data_damaged", message);
}
