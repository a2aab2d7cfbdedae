// CRC-32 and CRC-32C of two byte sequences, one after the other, from those of each: the first is moved
// by the length of the second, which is a multiplication by a power of x modulo the polynomial. All
// polynomials here are reflected: bit 31 is x^0.

import { strict as assert } from "node:assert";

/** The two CRCs of 32 bits that S3 knows. */
export type Crc32Name = "crc32" | "crc32c";

const polynomials: Readonly<Record<Crc32Name, number>> = { crc32: 0xedb88320, crc32c: 0x82f63b78 };

/** x^1, x^2, x^4, … : enough for any length in bits that a number can say. */
const powersCount = 57;
const powers: Readonly<Record<Crc32Name, readonly number[]>> = {
  crc32: powersOf(polynomials.crc32),
  crc32c: powersOf(polynomials.crc32c),
};

/** The time grows with the logarithm of the second's length. */
export function combineCrc32(
  name: Crc32Name,
  first: number,
  { crc, length }: { readonly crc: number; readonly length: number },
): number {
  assert(Number.isSafeInteger(length) && length >= 0, `length ${length}`);
  const polynomial = polynomials[name];
  let moved = first >>> 0;
  // A byte is 8 bits, so the bits of the length count from x^8.
  for (let rest = length, index = 3; rest > 0; rest = Math.floor(rest / 2), index += 1) {
    const power = powers[name][index] ?? assert.fail(`length ${length}`);
    if (rest % 2 === 1) moved = multiply(moved, power, polynomial);
  }
  return (moved ^ crc) >>> 0;
}

/** The product of two polynomials modulo a third. */
function multiply(a: number, b: number, polynomial: number): number {
  let product = 0;
  let factor = b;
  for (let bit = 31; bit >= 0; bit -= 1) {
    if ((a >>> bit) & 1) product ^= factor;
    factor = factor & 1 ? (factor >>> 1) ^ polynomial : factor >>> 1;
  }
  return product >>> 0;
}

function powersOf(polynomial: number): readonly number[] {
  let power = 0x40000000;
  return Array.from({ length: powersCount }, () => {
    const before = power;
    power = multiply(power, power, polynomial);
    return before;
  });
}
