/**
 * CRC-64/NVME in plain JavaScript: eight bytes a step through eight tables, each split into two
 * halves of 32 bits, because BigInt per byte would be a hundred times slower. The state between
 * updates is final: `hex` may be read at any time, and updating may go on.
 */

// Reflected polynomial 0x9A6C9329AC4BC9B5, low and high half.
const polynomialLow = 0xac4bc9b5;
const polynomialHigh = 0x9a6c9329;

// Entry `256 * t + b` is the remainder of byte b followed by t zero bytes.
const low = new Uint32Array(8 * 256);
const high = new Uint32Array(8 * 256);

for (let byte = 0; byte < 256; byte++) {
  let lo = byte;
  let hi = 0;
  for (let bit = 0; bit < 8; bit++) {
    const odd = lo & 1;
    lo = (lo >>> 1) | (hi << 31);
    hi = hi >>> 1;
    if (odd === 1) {
      lo ^= polynomialLow;
      hi ^= polynomialHigh;
    }
  }
  low[byte] = lo;
  high[byte] = hi;
}
for (let index = 256; index < 8 * 256; index++) {
  const lo = low[index - 256] as number;
  const hi = high[index - 256] as number;
  const first = lo & 255;
  low[index] = ((lo >>> 8) | (hi << 24)) ^ (low[first] as number);
  high[index] = (hi >>> 8) ^ (high[first] as number);
}

/** A running CRC-64/NVME. */
export class Crc64Nvme {
  #low = 0xffffffff | 0;
  #high = 0xffffffff | 0;

  /** Takes the next bytes in. Keeps no reference to them. */
  update(bytes: Uint8Array): this {
    let lo = this.#low;
    let hi = this.#high;
    let at = 0;
    // Indexes are in bounds by construction; `as number` says so to the compiler.
    for (const end = bytes.length - 7; at < end; at += 8) {
      const x =
        lo ^
        ((bytes[at] as number) |
          ((bytes[at + 1] as number) << 8) |
          ((bytes[at + 2] as number) << 16) |
          ((bytes[at + 3] as number) << 24));
      const y =
        hi ^
        ((bytes[at + 4] as number) |
          ((bytes[at + 5] as number) << 8) |
          ((bytes[at + 6] as number) << 16) |
          ((bytes[at + 7] as number) << 24));
      const a = 1792 + (x & 255);
      const b = 1536 + ((x >>> 8) & 255);
      const c = 1280 + ((x >>> 16) & 255);
      const d = 1024 + (x >>> 24);
      const e = 768 + (y & 255);
      const f = 512 + ((y >>> 8) & 255);
      const g = 256 + ((y >>> 16) & 255);
      const h = y >>> 24;
      lo =
        (low[a] as number) ^
        (low[b] as number) ^
        (low[c] as number) ^
        (low[d] as number) ^
        (low[e] as number) ^
        (low[f] as number) ^
        (low[g] as number) ^
        (low[h] as number);
      hi =
        (high[a] as number) ^
        (high[b] as number) ^
        (high[c] as number) ^
        (high[d] as number) ^
        (high[e] as number) ^
        (high[f] as number) ^
        (high[g] as number) ^
        (high[h] as number);
    }
    for (; at < bytes.length; at++) {
      const index = (lo ^ (bytes[at] as number)) & 255;
      lo = ((lo >>> 8) | (hi << 24)) ^ (low[index] as number);
      hi = (hi >>> 8) ^ (high[index] as number);
    }
    this.#low = lo;
    this.#high = hi;
    return this;
  }

  /** The CRC of all bytes so far, as 16 lower-case hex digits. */
  get hex(): string {
    return hex32(~this.#high) + hex32(~this.#low);
  }
}

/** The CRC-64/NVME of `bytes`, as 16 lower-case hex digits. */
export function crc64Nvme(bytes: Uint8Array): string {
  return new Crc64Nvme().update(bytes).hex;
}

function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}
