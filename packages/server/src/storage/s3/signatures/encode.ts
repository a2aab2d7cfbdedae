// Percent-encoding as all signatures of the S3 family demand it: every byte but letters, digits and
// `-._~`, in upper-case hexadecimal. What is signed and what is sent are the same text.

/** A name and its value; a name without a value stands alone. */
export type QueryPair = readonly [name: string, value: string | undefined];

/** An empty one is left out: whether `prefix=` is signed with its `=` is not the same everywhere. */
export function prefixQuery(prefix: string): readonly QueryPair[] {
  return prefix === "" ? [] : [["prefix", prefix]];
}

/** Of a name or a value. */
export function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Of a key: slashes stay. Nothing is cleaned up: `..` and `//` are keys like others. */
export function encodeKey(key: string): string {
  return encode(key).replaceAll("%2F", "/");
}

/** Sorted by the bytes of the encoded names. */
export function sortedQuery(
  pairs: readonly QueryPair[],
): readonly (readonly [name: string, value: string | undefined])[] {
  return pairs
    .map(
      ([name, value]) => [encode(name), value === undefined ? undefined : encode(value)] as const,
    )
    .sort(([a, av = ""], [b, bv = ""]) => order(a, b) || order(av, bv));
}

/** As it stands in an address: a name without a value has no `=`. */
export function queryText(pairs: readonly QueryPair[]): string {
  return sortedQuery(pairs)
    .map(([name, value]) => (value === undefined ? name : `${name}=${value}`))
    .join("&");
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
