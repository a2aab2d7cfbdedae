// Digests of a whole from those of the parts that it consists of, in their order, without its bytes.

import { strict as assert } from "node:assert";
import type { BlockChecks, DigestName, Digests } from "../ports/storage-driver.ts";
import { combineCrc32 } from "./combine-crc32.ts";
import { combineCrc64Nvme, crc64NvmeFromBytes, crc64NvmeToBytes } from "./crc64-nvme.ts";
import { RunningDigests } from "./digest-set.ts";

export interface DigestedPart {
  readonly length: number;
  readonly digests: Digests;
  readonly blocks?: BlockChecks;
}

const blocksMax = 16_384;
const sumBytes = 8;

/** Of all bytes. `undefined` if a part lacks it, or there are several and it is no CRC. */
export function wholeDigest(
  name: DigestName,
  parts: readonly DigestedPart[],
): Uint8Array | undefined {
  const [first, ...others] = parts;
  const digest = first?.digests[name];
  if (digest === undefined || others.length === 0) return digest;
  if (name === "crc64nvme") return wholeCrc64(parts);
  if (name === "crc32" || name === "crc32c") return wholeCrc32(name, parts);
  return undefined;
}

/** Of the parts' raw digests, one after the other. `undefined` if a part lacks it. */
export function compositeDigest(
  name: DigestName,
  parts: readonly DigestedPart[],
): Uint8Array | undefined {
  const running = new RunningDigests([name]);
  for (const { digests } of parts) {
    const digest = digests[name];
    if (digest === undefined) return undefined;
    running.update(digest);
  }
  return running.finish()[name];
}

/**
 * The sums of the whole's blocks, of those of the parts. `undefined` where a part has none, or the parts'
 * bounds are not bounds of blocks.
 */
export function wholeBlocks(parts: readonly DigestedPart[]): BlockChecks | undefined {
  const length = parts.reduce((total, part) => total + part.length, 0);
  let blockBytes = 0;
  for (const { blocks } of parts) {
    if (blocks === undefined) return undefined;
    blockBytes = Math.max(blockBytes, blocks.blockBytes);
  }
  if (blockBytes === 0) return undefined;
  while (Math.ceil(length / blockBytes) > blocksMax) blockBytes *= 2;
  const sums = new Uint8Array(Math.ceil(length / blockBytes) * sumBytes);
  let position = 0;
  for (const [index, part] of parts.entries()) {
    if (index < parts.length - 1 && part.length % blockBytes !== 0) return undefined;
    const coarser = part.blocks && coarserSums(part.blocks, { blockBytes, length: part.length });
    if (coarser === undefined) return undefined;
    sums.set(coarser, position);
    position += coarser.length;
  }
  return position === sums.length ? { blockBytes, sums } : undefined;
}

/** Neighbours combined into blocks of the length that is wanted; `undefined` if it is no multiple. */
function coarserSums(
  blocks: BlockChecks,
  { blockBytes, length }: { readonly blockBytes: number; readonly length: number },
): Uint8Array | undefined {
  if (blockBytes === blocks.blockBytes) return blocks.sums;
  const group = blockBytes / blocks.blockBytes;
  if (!Number.isSafeInteger(group)) return undefined;
  const count = blocks.sums.length / sumBytes;
  const from = new DataView(blocks.sums.buffer, blocks.sums.byteOffset, blocks.sums.length);
  const sums = new DataView(new ArrayBuffer(Math.ceil(count / group) * sumBytes));
  for (let index = 0; index < count; index += 1) {
    const bytes = Math.min(blocks.blockBytes, length - index * blocks.blockBytes);
    const at = Math.floor(index / group) * sumBytes;
    const sum = from.getBigUint64(index * sumBytes);
    const combined =
      index % group === 0 ? sum : combineCrc64Nvme(sums.getBigUint64(at), sum, bytes);
    sums.setBigUint64(at, combined);
  }
  return new Uint8Array(sums.buffer);
}

function wholeCrc64(parts: readonly DigestedPart[]): Uint8Array | undefined {
  let crc = 0n;
  for (const { digests, length } of parts) {
    if (digests.crc64nvme === undefined) return undefined;
    crc = combineCrc64Nvme(crc, crc64NvmeFromBytes(digests.crc64nvme), length);
  }
  return crc64NvmeToBytes(crc);
}

function wholeCrc32(
  name: "crc32" | "crc32c",
  parts: readonly DigestedPart[],
): Uint8Array | undefined {
  let crc = 0;
  for (const { digests, length } of parts) {
    const digest = digests[name];
    if (digest === undefined) return undefined;
    assert(digest.length === 4, `a ${name} of ${digest.length} bytes`);
    const next = new DataView(digest.buffer, digest.byteOffset, 4).getUint32(0);
    crc = combineCrc32(name, crc, { crc: next, length });
  }
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, crc);
  return bytes;
}
