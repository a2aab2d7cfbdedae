// CRCs of consecutive blocks of a body, so that a range of a stored object can be verified without
// reading all of it. Memory is bounded for any length: when there would be too many blocks,
// neighbours are combined and blocks are twice as long from then on. Each byte is digested once.

import { strict as assert } from "node:assert";
import { Crc64Nvme, combineCrc64Nvme } from "./crc64-nvme.ts";

/** Blocks of one length cover a body; only the last may be shorter. */
export type BlockSumsRecord = {
  readonly blockBytes: number;
  /** The CRC-64/NVME of each block, 8 bytes big-endian. */
  readonly sums: Uint8Array;
};

/** All that is needed to go on after a restart. Numbers and bytes only. */
export type BlockSumsState = BlockSumsRecord & {
  readonly length: number;
  readonly blocksMax: number;
};

export type BlockSumsOptions = {
  /** The length of a block until they are combined for the first time. */
  readonly blockBytes?: number;
  /** An even number, so that blocks can be combined in pairs. */
  readonly blocksMax?: number;
  /** Decides the other two options as well. */
  readonly resumeFrom?: BlockSumsState;
};

const blockBytesDefault = 256 * 1024;
const blocksMaxDefault = 16_384;
const sumBytes = 8;
const noSums = new DataView(new ArrayBuffer(0));

/** Digests a body that comes one chunk after the other. */
export class BlockSums {
  readonly #blocksMax: number;
  #blockBytes: number;
  // The sums of `#closedCount` whole blocks; the buffer grows with them.
  #closed = noSums;
  #closedCount = 0;
  #closedCrc = 0n;
  // The block being received. A full one stays open until a byte follows it: so the last block is
  // always here, and blocks are not combined before there is one too many.
  #open = new Crc64Nvme();
  #openBytes = 0;

  /** Starts a body, or goes on with one where its state was taken. */
  constructor(options: BlockSumsOptions = {}) {
    const { resumeFrom } = options;
    this.#blockBytes = (resumeFrom ?? options).blockBytes ?? blockBytesDefault;
    this.#blocksMax = (resumeFrom ?? options).blocksMax ?? blocksMaxDefault;
    assert(Number.isSafeInteger(this.#blockBytes) && this.#blockBytes > 0, "blockBytes above 0");
    assert(this.#blocksMax >= 2 && this.#blocksMax % 2 === 0, "blocksMax even, 2 or more");
    if (resumeFrom !== undefined) this.#resume(resumeFrom);
  }

  /** Appends bytes. They are not kept. */
  update(bytes: Uint8Array): this {
    let start = 0;
    while (start < bytes.length) {
      if (this.#openBytes === this.#blockBytes) this.#close();
      const end = Math.min(bytes.length, start + this.#blockBytes - this.#openBytes);
      this.#open.update(end - start === bytes.length ? bytes : bytes.subarray(start, end));
      this.#openBytes += end - start;
      start = end;
    }
    return this;
  }

  /** The count of bytes so far. */
  get length(): number {
    return this.#closedCount * this.#blockBytes + this.#openBytes;
  }

  /** The CRC of the whole body so far. */
  get crc64nvme(): bigint {
    return combineCrc64Nvme(this.#closedCrc, this.#open.value, this.#openBytes);
  }

  /** The blocks of the body so far, in memory of their own. More bytes may follow. */
  finish(): BlockSumsRecord {
    const closedBytes = this.#closedCount * sumBytes;
    const sums = new Uint8Array(closedBytes + (this.#openBytes > 0 ? sumBytes : 0));
    sums.set(new Uint8Array(this.#closed.buffer, 0, closedBytes));
    if (this.#openBytes > 0) {
      new DataView(sums.buffer).setBigUint64(closedBytes, this.#open.value);
    }
    return { blockBytes: this.#blockBytes, sums };
  }

  /** What `resumeFrom` takes, in memory of its own. */
  state(): BlockSumsState {
    return { ...this.finish(), length: this.length, blocksMax: this.#blocksMax };
  }

  #resume({ length, sums }: BlockSumsState): void {
    assert(Number.isSafeInteger(length) && length >= 0, `length ${length}`);
    const count = blockCount(length, this.#blockBytes);
    assert(count <= this.#blocksMax, `${count} blocks of at most ${this.#blocksMax}`);
    assert(sums.length === count * sumBytes, `${sums.length} bytes of sums for ${length} bytes`);
    if (count === 0) return;
    this.#closed = new DataView(Uint8Array.from(sums).buffer);
    for (let index = 0; index < count - 1; index += 1) {
      const sum = this.#sum(index);
      this.#closedCrc = combineCrc64Nvme(this.#closedCrc, sum, this.#blockBytes);
    }
    this.#closedCount = count - 1;
    this.#openBytes = length - this.#closedCount * this.#blockBytes;
    this.#open = new Crc64Nvme(this.#sum(count - 1));
  }

  #close(): void {
    const sum = this.#open.value;
    if ((this.#closedCount + 1) * sumBytes > this.#closed.byteLength) this.#grow();
    this.#closed.setBigUint64(this.#closedCount * sumBytes, sum);
    this.#closedCount += 1;
    this.#closedCrc = combineCrc64Nvme(this.#closedCrc, sum, this.#blockBytes);
    this.#open = new Crc64Nvme();
    this.#openBytes = 0;
    if (this.#closedCount === this.#blocksMax) this.#combinePairs();
  }

  #grow(): void {
    const count = Math.min(this.#blocksMax, Math.max(8, this.#closedCount * 2));
    const sums = new Uint8Array(count * sumBytes);
    sums.set(new Uint8Array(this.#closed.buffer));
    this.#closed = new DataView(sums.buffer);
  }

  #combinePairs(): void {
    this.#closedCount /= 2;
    for (let index = 0; index < this.#closedCount; index += 1) {
      const [first, second] = [this.#sum(index * 2), this.#sum(index * 2 + 1)];
      const pair = combineCrc64Nvme(first, second, this.#blockBytes);
      this.#closed.setBigUint64(index * sumBytes, pair);
    }
    this.#blockBytes *= 2;
  }

  #sum(index: number): bigint {
    return this.#closed.getBigUint64(index * sumBytes);
  }
}

/** How many blocks cover a body. */
export function blockCount(length: number, blockBytes: number): number {
  return Math.ceil(length / blockBytes);
}
