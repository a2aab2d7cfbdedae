// Digests of a body, computed together as its bytes pass: CRC-64/NVME with the sums of its blocks
// always, others where they are asked for.

import { createHash, type Hash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { BlockChecks, DigestName, Digests } from "../ports/storage-driver.ts";
import { BlockSums } from "./block-sums.ts";
import { crc32c } from "./crc32c.ts";
import { Crc64Nvme, crc64NvmeToBytes } from "./crc64-nvme.ts";

export type ComputedDigests = Digests & { readonly crc64nvme: Uint8Array };

interface Running {
  update(bytes: Uint8Array): void;
  finish(): Uint8Array;
}

/** Digests by name, of a body that comes one chunk after the other. */
export class RunningDigests {
  readonly #running: readonly (readonly [DigestName, Running])[];

  constructor(names: Iterable<DigestName>) {
    this.#running = [...new Set(names)].map((name) => [name, start(name)] as const);
  }

  update(bytes: Uint8Array): void {
    for (const [, running] of this.#running) running.update(bytes);
  }

  /** Once, after the last byte. */
  finish(): Digests {
    return Object.fromEntries(this.#running.map(([name, running]) => [name, running.finish()]));
  }
}

/** CRC-64/NVME with the sums of its blocks, and others by name. */
export class DigestSet {
  readonly #blocks = new BlockSums();
  readonly #others: RunningDigests;

  constructor(names: Iterable<DigestName>) {
    this.#others = new RunningDigests([...names].filter((name) => name !== "crc64nvme"));
  }

  get length(): number {
    return this.#blocks.length;
  }

  update(bytes: Uint8Array): void {
    this.#blocks.update(bytes);
    this.#others.update(bytes);
  }

  /** Once, after the last byte. */
  finish(): { readonly digests: ComputedDigests; readonly blocks: BlockChecks } {
    const crc64nvme = crc64NvmeToBytes(this.#blocks.crc64nvme);
    const digests = { ...this.#others.finish(), crc64nvme };
    return { digests, blocks: this.#blocks.finish() };
  }
}

function start(name: DigestName): Running {
  if (name === "crc64nvme") {
    const crc = new Crc64Nvme();
    return {
      update: (bytes) => void crc.update(bytes),
      finish: () => crc64NvmeToBytes(crc.value),
    };
  }
  if (name === "crc32") return runningCrc((bytes, value) => crc32(bytes, value));
  if (name === "crc32c") return runningCrc(crc32c);
  const hash = createHash(name);
  return { update: (bytes) => void hash.update(bytes), finish: () => digestOf(hash) };
}

function digestOf(hash: Hash): Uint8Array {
  return new Uint8Array(hash.digest());
}

function runningCrc(next: (bytes: Uint8Array, value: number) => number): Running {
  let value = 0;
  return {
    update(bytes) {
      value = next(bytes, value);
    },
    finish() {
      const sum = new Uint8Array(4);
      new DataView(sum.buffer).setUint32(0, value);
      return sum;
    },
  };
}

/** The first of the expected digests that the computed ones do not equal. */
export function firstDifference(expected: Digests, computed: Digests): DigestName | undefined {
  for (const name of digestNames) {
    const [left, right] = [expected[name], computed[name]];
    if (left === undefined || right === undefined) continue;
    if (!Buffer.from(left.buffer, left.byteOffset, left.length).equals(right)) return name;
  }
  return undefined;
}

export const digestNames: readonly DigestName[] = [
  "md5",
  "crc32",
  "crc32c",
  "crc64nvme",
  "sha1",
  "sha256",
];
