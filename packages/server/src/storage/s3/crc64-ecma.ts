// CRC-64 with the ECMA-182 polynomial, reflected (CRC-64/XZ), as OSS and COS report it of what was
// written. Another polynomial than NVME's: the two are never compared.

const polynomial = 0xc96c5795d7870f42n;
const mask = 0xffffffffffffffffn;

/** Eight tables, so that eight bytes take one step; 64 bits as two halves, since BigInts are slow. */
let tables: { readonly high: Uint32Array; readonly low: Uint32Array } | undefined;

function makeTables(): { readonly high: Uint32Array; readonly low: Uint32Array } {
  const high = new Uint32Array(8 * 256);
  const low = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) {
      value = (value & 1n) === 1n ? (value >> 1n) ^ polynomial : value >> 1n;
    }
    high[byte] = Number(value >> 32n);
    low[byte] = Number(value & 0xffffffffn);
  }
  for (let index = 256; index < 8 * 256; index += 1) {
    const [before, beforeHigh] = [low[index - 256] ?? 0, high[index - 256] ?? 0];
    const at = before & 0xff;
    low[index] = ((before >>> 8) | (beforeHigh << 24)) ^ (low[at] ?? 0);
    high[index] = (beforeHigh >>> 8) ^ (high[at] ?? 0);
  }
  return { high, low };
}

/** Of bytes as they pass. */
export class Crc64Ecma {
  #high = 0xffffffff;
  #low = 0xffffffff;

  update(bytes: Uint8Array): this {
    tables ??= makeTables();
    const { high: tableHigh, low: tableLow } = tables;
    let [high, low] = [this.#high, this.#low];
    let index = 0;
    for (const end = bytes.length - 7; index < end; index += 8) {
      low ^= word(bytes, index);
      high ^= word(bytes, index + 4);
      const a = 1792 + (low & 0xff);
      const b = 1536 + ((low >>> 8) & 0xff);
      const c = 1280 + ((low >>> 16) & 0xff);
      const d = 1024 + (low >>> 24);
      const e = 768 + (high & 0xff);
      const f = 512 + ((high >>> 8) & 0xff);
      const g = 256 + ((high >>> 16) & 0xff);
      const h = high >>> 24;
      low =
        (tableLow[a] ?? 0) ^
        (tableLow[b] ?? 0) ^
        (tableLow[c] ?? 0) ^
        (tableLow[d] ?? 0) ^
        (tableLow[e] ?? 0) ^
        (tableLow[f] ?? 0) ^
        (tableLow[g] ?? 0) ^
        (tableLow[h] ?? 0);
      high =
        (tableHigh[a] ?? 0) ^
        (tableHigh[b] ?? 0) ^
        (tableHigh[c] ?? 0) ^
        (tableHigh[d] ?? 0) ^
        (tableHigh[e] ?? 0) ^
        (tableHigh[f] ?? 0) ^
        (tableHigh[g] ?? 0) ^
        (tableHigh[h] ?? 0);
    }
    for (; index < bytes.length; index += 1) {
      const at = (low ^ (bytes[index] ?? 0)) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ (tableLow[at] ?? 0);
      high = (high >>> 8) ^ (tableHigh[at] ?? 0);
    }
    this.#high = high;
    this.#low = low;
    return this;
  }

  get value(): bigint {
    return (BigInt(~this.#high >>> 0) << 32n) | BigInt(~this.#low >>> 0);
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}

/** The CRC of two runs of bytes, one after the other, from theirs; `rightLength` is the second's. */
export function combineCrc64Ecma(left: bigint, right: bigint, rightLength: number): bigint {
  // Appending zero bytes is a linear map; its powers of two are squared as they are needed.
  let value = left;
  let map = zeroByteMap();
  for (let rest = rightLength; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) value = applyMap(map, value);
    map = map.map((column) => applyMap(map, column));
  }
  return value ^ right;
}

function zeroByteMap(): readonly bigint[] {
  const columns = Array.from({ length: 64 }, (_, bit) => {
    let value = 1n << BigInt(bit);
    for (let step = 0; step < 8; step += 1) {
      value = (value & 1n) === 1n ? (value >> 1n) ^ polynomial : value >> 1n;
    }
    return value;
  });
  return columns;
}

function applyMap(columns: readonly bigint[], vector: bigint): bigint {
  let [result, rest] = [0n, vector & mask];
  for (const column of columns) {
    if ((rest & 1n) === 1n) result ^= column;
    rest >>= 1n;
  }
  return result;
}
