/**
 * A request in the one form that AWS V4 signs, from its target and headers exactly as they were sent.
 * Decodes once and encodes again, byte by byte, so that all spellings of a target are one; takes no
 * dot segment and no slash away, since S3 does not.
 */
export interface SignedRequest {
  readonly method: string;
  /** Path and query as sent, before any decoding. */
  readonly target: string;
  /** Names and values in turn, as Node's `rawHeaders`. */
  readonly rawHeaders: readonly string[];
}

/** Values by lower-case name, in order. */
export type HeaderValues = ReadonlyMap<string, readonly string[]>;

/** A query parameter as sent, encoded again. */
export type CanonicalPair = readonly [name: string, value: string];

export interface CanonicalParts {
  readonly method: string;
  /** As sent. */
  readonly path: string;
  readonly query: readonly CanonicalPair[];
  readonly headers: HeaderValues;
  readonly signedHeaders: readonly string[];
  /** Wins over the header of that name: what the client asked for, before a proxy. */
  readonly host?: string | undefined;
  readonly payloadHash: string;
}

export function canonicalRequest(parts: CanonicalParts): string {
  const { headers, signedHeaders, host } = parts;
  const lines = signedHeaders.map((name) => {
    const values = name === "host" && host !== undefined ? [host] : (headers.get(name) ?? []);
    return `${name}:${values.map(trimmed).join(",")}\n`;
  });
  return [
    parts.method,
    recodedPath(parts.path),
    sortedQuery(parts.query),
    lines.join(""),
    signedHeaders.join(";"),
    parts.payloadHash,
  ].join("\n");
}

/** Path and query of a target, both as sent; of one in the absolute form too (RFC 9112 §3.2.2). */
export function splitTarget(sent: string): { readonly path: string; readonly query: string } {
  const target = sent.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "");
  const start = target.indexOf("?");
  if (start === -1) return { path: target, query: "" };
  return { path: target.slice(0, start), query: target.slice(start + 1) };
}

export function canonicalPairs(query: string): readonly CanonicalPair[] {
  return (
    query
      // A plus is a space here, as it is to whoever reads the parameter.
      .replaceAll("+", "%20")
      .split("&")
      .filter((pair) => pair !== "")
      .map((pair) => {
        const end = pair.indexOf("=");
        const name = end === -1 ? pair : pair.slice(0, end);
        const value = end === -1 ? "" : pair.slice(end + 1);
        return [recoded(name), recoded(value)];
      })
  );
}

export function headerValues(rawHeaders: readonly string[]): HeaderValues {
  const headers = new Map<string, string[]>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? "").toLowerCase();
    const value = rawHeaders[index + 1] ?? "";
    const values = headers.get(name);
    if (values === undefined) headers.set(name, [value]);
    else values.push(value);
  }
  return headers;
}

function sortedQuery(pairs: readonly CanonicalPair[]): string {
  // All ASCII by now, so order by UTF-16 units is order by bytes.
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return pairs
    .toSorted(([a, av], [b, bv]) => order(a, b) || order(av, bv))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

/** Decoded once and encoded again, so that all spellings of a path are one; slashes stay. */
export function recodedPath(path: string): string {
  return recoded(path, { keepSlash: true });
}

function recoded(text: string, { keepSlash = false } = {}): string {
  const bytes = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return bytes.replace(/[^A-Za-z0-9\-._~]/g, (character) => {
    if (keepSlash && character === "/") return character;
    return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
  });
}

function trimmed(value: string): string {
  return value.trim().replace(/ {2,}/g, " ");
}
