// Digests of a body, computed together as its bytes pass: CRC-64/NVME with the sums of its blocks
// always, others where they are asked for.

import { createHash, type Hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { BlockSums } from "../../core/digests/block-sums.ts";
import { crc64NvmeToBytes } from "../../core/digests/crc64-nvme.ts";
import type { BlockChecks, DigestName, Digests } from "../../core/ports/storage-driver.ts";

export type ComputedDigests = Digests & { readonly crc64nvme: Uint8Array };

interface Running {
  update(bytes: Uint8Array): void;
  finish(): Uint8Array;
}

export class DigestSet {
  readonly #blocks = new BlockSums();
  readonly #others: readonly (readonly [DigestName, Running])[];

  constructor(names: Iterable<DigestName>) {
    const others = new Set(names);
    others.delete("crc64nvme");
    this.#others = [...others].map((name) => [name, start(name)] as const);
  }

  get length(): number {
    return this.#blocks.length;
  }

  update(bytes: Uint8Array): void {
    this.#blocks.update(bytes);
    for (const [, running] of this.#others) running.update(bytes);
  }

  /** Once, after the last byte. */
  finish(): { readonly digests: ComputedDigests; readonly blocks: BlockChecks } {
    const others = this.#others.map(([name, running]) => [name, running.finish()] as const);
    const crc64nvme = crc64NvmeToBytes(this.#blocks.crc64nvme);
    return { digests: { ...Object.fromEntries(others), crc64nvme }, blocks: this.#blocks.finish() };
  }
}

function start(name: DigestName): Running {
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

/** The Castagnoli polynomial, reflected. */
const crc32cTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});

/** CRC-32C of bytes that follow others, whose CRC is `previous`; nothing has 0. */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  let value = ~previous;
  for (let index = 0; index < bytes.length; index += 1) {
    value = (crc32cTable[(value ^ (bytes[index] ?? 0)) & 0xff] ?? 0) ^ (value >>> 8);
  }
  return ~value >>> 0;
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
