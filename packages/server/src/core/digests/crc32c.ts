/**
 * CRC-32C (RFC 3720 §B.4, Castagnoli's polynomial, reflected), eight bytes at a time: what the CRC says of
 * a byte followed by k others is in a table of its own, so that eight look-ups are independent of each other.
 * Node has no CRC-32C of its own, and one byte at a time costs the event loop twice as much.
 */
const polynomial = 0x82f63b78;
const strideBytes = 8;

/** `tables[k * 256 + byte]`: the CRC of `byte` followed by k zeros. */
const tables = buildTables();

/** CRC-32C of bytes that follow others, whose CRC is `previous`; nothing has 0. */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  const table = tables;
  const end = bytes.length;
  const strided = end - (end % strideBytes);
  let value = ~previous;
  let at = 0;
  for (; at < strided; at += strideBytes) {
    value ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    value =
      (table[1792 + (value & 0xff)] as number) ^
      (table[1536 + ((value >>> 8) & 0xff)] as number) ^
      (table[1280 + ((value >>> 16) & 0xff)] as number) ^
      (table[1024 + (value >>> 24)] as number) ^
      (table[768 + (bytes[at + 4] as number)] as number) ^
      (table[512 + (bytes[at + 5] as number)] as number) ^
      (table[256 + (bytes[at + 6] as number)] as number) ^
      (table[bytes[at + 7] as number] as number);
  }
  for (; at < end; at += 1) {
    value = (table[(value ^ (bytes[at] as number)) & 0xff] as number) ^ (value >>> 8);
  }
  return ~value >>> 0;
}

function buildTables(): Int32Array {
  const built = new Int32Array(strideBytes * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1)
      value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    built[byte] = value;
  }
  for (let at = 256; at < built.length; at += 1) {
    const before = built[at - 256] as number;
    built[at] = (built[before & 0xff] as number) ^ (before >>> 8);
  }
  return built;
}
