// Verifies a range of a stored body against the sums of its blocks, while the range is read. A byte
// is proven when the end of its block has passed; the first failure stands for the rest.

import { strict as assert } from "node:assert";
import { type BlockSumsRecord, blockCount } from "./block-sums.ts";
import { Crc64Nvme, crc64NvmeFromBytes } from "./crc64-nvme.ts";

/** A whole body, as it was when it was stored. */
export type ExpectedBlocks = BlockSumsRecord & { readonly length: number };

/** Both bytes belong to the range. An empty body has the range 0 to -1. */
export type ByteRange = { readonly firstByte: number; readonly lastByte: number };

/** What is wrong with a range. `blockIndex` is the block, counted in the body, that shows it. */
export type BlockFailure =
  | {
      readonly reason: "corrupt";
      readonly blockIndex: number;
      /** CRCs of the block. */
      readonly expected: bigint;
      readonly actual: bigint;
    }
  | {
      /** Too few or too many bytes; after too many, `actual` counts those seen so far. */
      readonly reason: "short" | "long";
      readonly blockIndex: number;
      /** Bytes of the range. */
      readonly expected: number;
      readonly actual: number;
    };

/** Watches one read of a range that starts and ends with blocks; see `blockAlignedRange`. */
export class BlockVerifier {
  readonly #expected: ExpectedBlocks;
  readonly #firstByte: number;
  readonly #end: number;
  // Where the open block starts: all before it, from #firstByte on, is proven.
  #blockStart: number;
  #open = new Crc64Nvme();
  #openBytes = 0;
  #failure: BlockFailure | undefined;

  /** Both ends default to those of the body. The sums must fit the length. */
  constructor(expected: ExpectedBlocks, range: Partial<ByteRange> = {}) {
    const { length, blockBytes, sums } = expected;
    const { firstByte = 0, lastByte = length - 1 } = range;
    assert(Number.isSafeInteger(length) && length >= 0, `length ${length}`);
    assert(sums.length === blockCount(length, blockBytes) * 8, `${sums.length} bytes of sums`);
    assert(firstByte >= 0 && firstByte % blockBytes === 0, `first byte ${firstByte} is aligned`);
    assert(lastByte >= firstByte - 1 && lastByte < length, `last byte ${lastByte} is in the body`);
    const end = lastByte + 1;
    assert(end === length || end % blockBytes === 0, `last byte ${lastByte} ends a block`);
    this.#expected = expected;
    this.#firstByte = firstByte;
    this.#end = end;
    this.#blockStart = firstByte;
  }

  /**
   * Takes the next bytes of the range. Answers what is wrong with it, or undefined while nothing
   * is known to be. After a failure it answers the same and looks no further.
   */
  update(bytes: Uint8Array): BlockFailure | undefined {
    let start = 0;
    while (start < bytes.length && this.#failure === undefined) {
      const blockBytes = Math.min(this.#expected.blockBytes, this.#end - this.#blockStart);
      if (blockBytes === 0) return this.#failLength("long", bytes.length - start);
      const end = Math.min(bytes.length, start + blockBytes - this.#openBytes);
      this.#open.update(end - start === bytes.length ? bytes : bytes.subarray(start, end));
      this.#openBytes += end - start;
      start = end;
      if (this.#openBytes === blockBytes) this.#close();
    }
    return this.#failure;
  }

  /** To be called when no more bytes come. Undefined: the whole range is proven. */
  finish(): BlockFailure | undefined {
    const complete = this.#blockStart === this.#end;
    if (this.#failure === undefined && !complete) this.#failLength("short", this.#openBytes);
    return this.#failure;
  }

  /** The offset in the body up to which the range is proven. It only moves at ends of blocks. */
  get verifiedEnd(): number {
    return this.#blockStart;
  }

  get #blockIndex(): number {
    return Math.floor(this.#blockStart / this.#expected.blockBytes);
  }

  #close(): void {
    const at = this.#blockIndex * 8;
    const expected = crc64NvmeFromBytes(this.#expected.sums.subarray(at, at + 8));
    const actual = this.#open.value;
    if (actual !== expected) {
      this.#failure = { reason: "corrupt", blockIndex: this.#blockIndex, expected, actual };
      return;
    }
    this.#blockStart += this.#openBytes;
    this.#open = new Crc64Nvme();
    this.#openBytes = 0;
  }

  #failLength(reason: "short" | "long", bytesPastVerified: number): BlockFailure {
    const actual = this.#blockStart + bytesPastVerified - this.#firstByte;
    const expected = this.#end - this.#firstByte;
    this.#failure = { reason, blockIndex: this.#blockIndex, expected, actual };
    return this.#failure;
  }
}

/** The smallest range of whole blocks around a range of the body, clipped to the body's end. */
export function blockAlignedRange(
  firstByte: number,
  lastByte: number,
  { length, blockBytes }: { readonly length: number; readonly blockBytes: number },
): ByteRange {
  assert(0 <= firstByte && firstByte <= lastByte && firstByte < length, "the range has bytes");
  return {
    firstByte: firstByte - (firstByte % blockBytes),
    lastByte: Math.min(length, lastByte - (lastByte % blockBytes) + blockBytes) - 1,
  };
}
