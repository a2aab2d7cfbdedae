/**
 * Base64 as it arrives, decoded in the memory that it came in. Takes both alphabets, white space anywhere, and
 * padding or none; anything else is refused rather than skipped, which would store other bytes than were meant.
 */
import { saveRefused } from "./errors.ts";

const space = 0x40;
const padding = 0x41;
const foreign = 0x80;

const values = new Uint8Array(256).fill(foreign);
for (const alphabet of ["+/", "-_"]) {
  const digits = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789${alphabet}`;
  for (const [value, digit] of [...digits].entries()) values[digit.charCodeAt(0)] = value;
}
for (const white of " \t\r\n") values[white.charCodeAt(0)] = space;
values["=".charCodeAt(0)] = padding;

export class Base64Decoder {
  /** Bits of digits that make no byte yet. */
  #bits = 0;
  #bitCount = 0;
  #paddings = 0;
  /** Where `decode` stopped: at the end, or at a byte that is not of base64. */
  at = 0;

  /**
   * Reads `bytes` from `from` on and writes what it means from `into` on, which must not be beyond `from`;
   * answers where the written bytes end.
   */
  decode(bytes: Uint8Array, from: number, into: number): number {
    let at = from;
    let end = into;
    while (at < bytes.length) {
      if (this.#bitCount === 0 && this.#paddings === 0) {
        const start = at;
        at = decodeQuads(bytes, at, end);
        end += ((at - start) / 4) * 3;
        if (at === bytes.length) break;
      }
      const value = values[bytes[at] ?? 0] ?? foreign;
      if (value === foreign) break;
      if (value < space) end = this.#take(value, bytes, end);
      else if (value === padding) this.#pad();
      at += 1;
    }
    this.at = at;
    return end;
  }

  /** After the last digit. Code 130 if a byte is not whole. */
  end(): void {
    if (this.#bitCount === 6) throw badBase64("its last byte is not whole");
    this.#bits = 0;
    this.#bitCount = 0;
  }

  #take(value: number, bytes: Uint8Array, end: number): number {
    if (this.#paddings > 0) throw badBase64("digits follow its padding");
    this.#bits = ((this.#bits << 6) | value) & 0xffff;
    this.#bitCount += 6;
    if (this.#bitCount < 8) return end;
    this.#bitCount -= 8;
    bytes[end] = this.#bits >> this.#bitCount;
    return end + 1;
  }

  /** Two digits leave four bits and take two; three leave two bits and take one. */
  #pad(): void {
    this.#paddings += 1;
    if (this.#paddings * 2 > this.#bitCount) throw badBase64("it has too much padding");
  }
}

/** Four digits at a time, as long as they are nothing else; answers where it stopped. */
function decodeQuads(bytes: Uint8Array, from: number, into: number): number {
  const last = bytes.length - 4;
  let at = from;
  let end = into;
  while (at <= last) {
    const first = values[bytes[at] as number] as number;
    const second = values[bytes[at + 1] as number] as number;
    const third = values[bytes[at + 2] as number] as number;
    const fourth = values[bytes[at + 3] as number] as number;
    if ((first | second | third | fourth) >= space) break;
    bytes[end] = (first << 2) | (second >> 4);
    bytes[end + 1] = (second << 4) | (third >> 2);
    bytes[end + 2] = (third << 6) | fourth;
    at += 4;
    end += 3;
  }
  return at;
}

export function badBase64(what: string) {
  return saveRefused(`Invalid base64: ${what}.`);
}
