/**
 * SHA-256 (FIPS 180-4) of bytes that come chunk by chunk, for browsers: WebCrypto wants them all at
 * once. Node has its own.
 */
import type { RunningDigest } from "./crc64-nvme.ts";

/**
 * Makes the function that starts a SHA-256. It refers to nothing outside of itself, so that its
 * source can be sent to a worker.
 */
export function makeSha256(): () => RunningDigest {
  // FIPS 180-4 §4.2.2 and §5.3.3: from the fractions of the roots of the first primes.
  const fraction = (root: number): number => ((root - Math.floor(root)) * 2 ** 32) | 0;
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  const constants = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
  const initial = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

  return () => {
    const state = initial.slice();
    const words = new Int32Array(64);
    const block = new Uint8Array(64);
    let held = 0;
    let length = 0;

    const compress = (bytes: Uint8Array, at: number): void => {
      for (let t = 0; t < 16; t++) {
        const i = at + 4 * t;
        words[t] =
          ((bytes[i] as number) << 24) |
          ((bytes[i + 1] as number) << 16) |
          ((bytes[i + 2] as number) << 8) |
          (bytes[i + 3] as number);
      }
      for (let t = 16; t < 64; t++) {
        const x = words[t - 15] as number;
        const y = words[t - 2] as number;
        const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
        const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
        words[t] = ((words[t - 16] as number) + s0 + (words[t - 7] as number) + s1) | 0;
      }
      let [a, b, c, d, e, f, g, h] = state as unknown as [
        ...[number, number, number, number],
        ...[number, number, number, number],
      ];
      for (let t = 0; t < 64; t++) {
        const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
        const choice = (e & f) ^ (~e & g);
        const first = (h + s1 + choice + (constants[t] as number) + (words[t] as number)) | 0;
        const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
        const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g;
        g = f;
        f = e;
        e = (d + first) | 0;
        d = c;
        c = b;
        b = a;
        a = (first + second) | 0;
      }
      [a, b, c, d, e, f, g, h].forEach((value, index) => {
        state[index] = ((state[index] as number) + value) | 0;
      });
    };

    const update = (bytes: Uint8Array): void => {
      length += bytes.length;
      let at = 0;
      if (held > 0) {
        at = Math.min(64 - held, bytes.length);
        block.set(bytes.subarray(0, at), held);
        held += at;
        if (held < 64) return;
        compress(block, 0);
      }
      for (; at + 64 <= bytes.length; at += 64) compress(bytes, at);
      held = bytes.length - at;
      block.set(bytes.subarray(at));
    };

    return {
      update,
      hex() {
        const bits = length * 8;
        // A one, zeros up to the last eight bytes of a block, and the length in bits.
        const padding = new Uint8Array(((119 - (length % 64)) % 64) + 9);
        padding[0] = 0x80;
        const view = new DataView(padding.buffer);
        view.setUint32(padding.length - 8, Math.floor(bits / 2 ** 32));
        view.setUint32(padding.length - 4, bits >>> 0);
        update(padding);
        return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
      },
    };
  };
}

/** Starts a SHA-256. */
export const startSha256: () => RunningDigest = makeSha256();
