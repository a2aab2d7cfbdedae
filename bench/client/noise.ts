// What is in the bodies that are sent?

/** Bytes that do not repeat within a block, so that nothing on the way can take them for zeros. */
export function noise(bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  let state = 0x9e3779b9;
  for (let at = 0; at + 4 <= bytes; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    buffer.writeInt32LE(state | 0, at);
  }
  return buffer;
}
