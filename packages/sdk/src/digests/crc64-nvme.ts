/**
 * CRC-64/NVME in plain JavaScript: eight bytes a step through eight tables, each split into two
 * halves of 32 bits, because BigInt per byte would be a hundred times slower. Parts may be digested
 * in any order and combined.
 */

/** A digest of bytes that come one chunk after the other. */
export interface RunningDigest {
  /** Takes the next bytes in. Keeps no reference to them. */
  update(bytes: Uint8Array): void;
  /** The digest of all bytes so far, in lower-case hex. CRCs may go on after it. */
  hex(): string;
}

/**
 * Makes the function that starts a CRC. It refers to nothing outside of itself, so that its source
 * can be sent to a worker.
 */
export function makeCrc64Nvme(): () => RunningDigest {
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
        // The reflected polynomial 0x9A6C9329AC4BC9B5.
        lo ^= 0xac4bc9b5;
        hi ^= 0x9a6c9329;
      }
    }
    low[byte] = lo;
    high[byte] = hi;
  }
  for (let index = 256; index < 8 * 256; index++) {
    const lo = low[index - 256] as number;
    const hi = high[index - 256] as number;
    low[index] = ((lo >>> 8) | (hi << 24)) ^ (low[lo & 255] as number);
    high[index] = (hi >>> 8) ^ (high[lo & 255] as number);
  }
  const hex32 = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");

  return () => {
    let runningLow = -1;
    let runningHigh = -1;
    return {
      update(bytes) {
        let lo = runningLow;
        let hi = runningHigh;
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
        runningLow = lo;
        runningHigh = hi;
      },
      hex: () => hex32(~runningHigh) + hex32(~runningLow),
    };
  };
}

/** Starts a CRC-64/NVME. */
export const startCrc64Nvme: () => RunningDigest = makeCrc64Nvme();

/** The CRC-64/NVME of `bytes`, as 16 lower-case hex digits. */
export function crc64Nvme(bytes: Uint8Array): string {
  const crc = startCrc64Nvme();
  crc.update(bytes);
  return crc.hex();
}

// A CRC is a polynomial over GF(2), its highest bit the coefficient of x^0. Appending n bytes
// multiplies it by x^(8n), modulo this one.
const polynomial = 0x9a6c9329ac4bc9b5n;
const one = 1n << 63n;

function multiply(a: bigint, b: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let bit = one; bit !== 0n; bit >>= 1n) {
    if ((a & bit) !== 0n) product ^= shifted;
    shifted = (shifted & 1n) === 0n ? shifted >> 1n : (shifted >> 1n) ^ polynomial;
  }
  return product;
}

/** The CRC of two byte sequences, one after the other, from their CRCs and the second's length. */
export function combineCrc64Nvme(first: string, second: string, secondLength: number): string {
  let shift = one;
  // x^8, squared once for each binary digit of the length.
  let power = one >> 8n;
  for (let rest = secondLength; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) shift = multiply(shift, power);
    power = multiply(power, power);
  }
  const combined = multiply(shift, BigInt(`0x${first}`)) ^ BigInt(`0x${second}`);
  return combined.toString(16).padStart(16, "0");
}

/** The CRC of pieces that follow one another. */
export function chainCrc64Nvme(
  pieces: Iterable<{ readonly crc64nvme: string; readonly length: number }>,
): string {
  let crc = "0000000000000000";
  for (const piece of pieces) crc = combineCrc64Nvme(crc, piece.crc64nvme, piece.length);
  return crc;
}
