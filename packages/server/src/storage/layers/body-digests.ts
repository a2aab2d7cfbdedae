// All digests of one body: CRC-64/NVME and the sums of its blocks as the bytes pass, which costs little,
// and others, of a body that was declared to be long, in a thread of their own.

import { BlockSums } from "../../core/digests/block-sums.ts";
import { crc64NvmeToBytes } from "../../core/digests/crc64-nvme.ts";
import { type ComputedDigests, RunningDigests } from "../../core/digests/digest-set.ts";
import type { BlockChecks, DigestName } from "../../core/ports/storage-driver.ts";
import { ThreadedDigests, threadedBytesMin } from "./threaded-digests.ts";

export interface BodyDigest {
  readonly digests: ComputedDigests;
  readonly blocks: BlockChecks;
}

export class BodyDigests {
  readonly #blocks = new BlockSums();
  readonly #here: RunningDigests | undefined;
  readonly #there: ThreadedDigests | undefined;

  /** `length`: as declared, if it was: a short body does not wait for the start of a thread. */
  constructor(names: Iterable<DigestName>, length: number | undefined) {
    const others = [...names].filter((name) => name !== "crc64nvme");
    const isLong = length !== undefined && length >= threadedBytesMin;
    if (others.length > 0 && isLong) this.#there = new ThreadedDigests(others);
    else this.#here = new RunningDigests(others);
  }

  get length(): number {
    return this.#blocks.length;
  }

  /** A promise: wait for it before the next chunk. */
  update(bytes: Uint8Array): Promise<void> | undefined {
    this.#blocks.update(bytes);
    this.#here?.update(bytes);
    return this.#there?.update(bytes);
  }

  /** Once, after the last byte. */
  async finish(): Promise<BodyDigest> {
    const others = this.#here?.finish() ?? (await this.#there?.finish());
    const digests = { ...others, crc64nvme: crc64NvmeToBytes(this.#blocks.crc64nvme) };
    return { digests, blocks: this.#blocks.finish() };
  }

  /** In every ending. */
  stop(): void {
    this.#there?.stop();
  }
}
