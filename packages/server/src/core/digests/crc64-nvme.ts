// CRC-64/NVME, the digest of every object: it can be continued after a resume and combined from
// parts. The arithmetic is in crc64-nvme.wat. All digests share one instance of it, so no state may
// stay there between calls: it is passed in and taken out without waiting in between.

import { strict as assert } from "node:assert";
import { crc64NvmeWasm } from "./crc64-nvme-wasm.ts";

type Kernel = {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly chunkAt: { readonly value: number };
  readonly chunkBytesMax: { readonly value: number };
  readonly update: (length: number) => void;
  readonly shift: (state: bigint, length: bigint) => bigint;
};

// The libraries we compile against do not describe WebAssembly.
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

const kernel = new WebAssembly.Instance(
  new WebAssembly.Module(Buffer.from(crc64NvmeWasm, "base64")),
).exports as Kernel;
const memory = new Uint8Array(kernel.memory.buffer);
const state = new DataView(kernel.memory.buffer, 0, 8);
const chunkAt = kernel.chunkAt.value;
const chunkBytesMax = kernel.chunkBytesMax.value;

/** The CRC of bytes that follow others, whose CRC is `previous`; nothing has the CRC 0. */
export function crc64Nvme(bytes: Uint8Array, previous = 0n): bigint {
  return new Crc64Nvme(previous).update(bytes).value;
}

/** The CRC of bytes that come one chunk after the other. */
export class Crc64Nvme {
  // The raw state, inverted once more than the CRC. Two signed halves are stored unboxed, unlike a
  // bigint or an unsigned 32 bit number.
  #low: number;
  #high: number;

  /** Continues from the CRC of the preceding bytes. */
  constructor(previous = 0n) {
    assertCrc(previous);
    this.#low = ~Number(BigInt.asIntN(32, previous));
    this.#high = ~Number(BigInt.asIntN(32, previous >> 32n));
  }

  /** Appends bytes, of any memory and alignment. They are not kept. */
  update(bytes: Uint8Array): this {
    state.setInt32(0, this.#low, true);
    state.setInt32(4, this.#high, true);
    if (bytes.length <= chunkBytesMax) {
      updateState(bytes);
    } else {
      for (let start = 0; start < bytes.length; start += chunkBytesMax) {
        updateState(bytes.subarray(start, start + chunkBytesMax));
      }
    }
    this.#low = state.getInt32(0, true);
    this.#high = state.getInt32(4, true);
    return this;
  }

  /** The CRC of all bytes so far. More may follow. */
  get value(): bigint {
    return (BigInt(~this.#high >>> 0) << 32n) | BigInt(~this.#low >>> 0);
  }
}

function updateState(chunk: Uint8Array): void {
  memory.set(chunk, chunkAt);
  kernel.update(chunk.length);
}

/**
 * The CRC of two byte sequences, one after the other, from their CRCs and the length of the second.
 * The time grows with the logarithm of that length.
 */
export function combineCrc64Nvme(first: bigint, second: bigint, secondLength: number): bigint {
  assertCrc(first);
  assertCrc(second);
  assert(Number.isSafeInteger(secondLength) && secondLength >= 0, `length ${secondLength}`);
  if (first === 0n) return second;
  return BigInt.asUintN(64, kernel.shift(first, BigInt(secondLength))) ^ second;
}

/** The 8 bytes of a CRC, big-endian, as they appear in `x-amz-checksum-crc64nvme` before base64. */
export function crc64NvmeToBytes(value: bigint): Uint8Array {
  assertCrc(value);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** The CRC in 8 big-endian bytes. The caller has checked that there are 8. */
export function crc64NvmeFromBytes(bytes: Uint8Array): bigint {
  assert(bytes.length === 8, `a CRC-64 of ${bytes.length} bytes`);
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0);
}

function assertCrc(value: bigint): void {
  assert(value === BigInt.asUintN(64, value), `${value} is no CRC-64`);
}
