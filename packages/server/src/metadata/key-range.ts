/**
 * Ranges of keys as bounds that a database can seek to. Order is that of UTF-8 bytes, which is the
 * order of code points and not that of JavaScript's comparison (UTF-16 puts U+FF5E above U+1F600).
 */

/**
 * The least text above every text that begins with `prefix`; `undefined` when there is none.
 *
 * Raising the last byte may leave UTF-8, so it raises the last code point. That is exact: because
 * UTF-8 keeps the order of code points, a text between `p·c` and `p·(c+1)` begins with `p·c`.
 * After U+D7FF comes U+E000, for surrogates are not characters. After U+10FFFF comes nothing: it is
 * dropped and the one before it raised, and a prefix of nothing else (or the empty one) has no
 * text above its own.
 */
export function prefixSuccessor(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  let last = points.pop();
  while (last === 0x10ffff) last = points.pop();
  if (last === undefined) return undefined;
  points.push(last === 0xd7ff ? 0xe000 : last + 1);
  return String.fromCodePoint(...points);
}

/** Negative, zero or positive: the order of the texts' UTF-8 bytes. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * The group of a key under `prefix`: the key up to and with the first delimiter after the prefix.
 * `undefined` when it has none there, or does not begin with the prefix.
 */
export function groupOf(
  key: string,
  { prefix, delimiter }: { readonly prefix: string; readonly delimiter: string },
): string | undefined {
  if (delimiter === "" || !key.startsWith(prefix)) return undefined;
  const index = key.indexOf(delimiter, prefix.length);
  return index === -1 ? undefined : key.slice(0, index + delimiter.length);
}
