/** Where things live under `/v1`: each segment of a name percent-encoded, the `/` of keys kept. */

/** `/v1/objects/{bucket}/{key…}`. */
export function objectPath(bucket: string, key: string): string {
  return `${bucketObjectsPath(bucket)}/${key.split("/").map(encodeSegment).join("/")}`;
}

/** `/v1/objects/{bucket}`. */
export function bucketObjectsPath(bucket: string): string {
  return `/v1/objects/${encodeSegment(bucket)}`;
}

/** `base/{name}` for one name, whatever is in it. */
export function namedPath(base: string, name: string): string {
  return `${base}/${encodeSegment(name)}`;
}

/** A query string with its `?`, without what is undefined; empty when nothing is left. */
export function query(fields: Readonly<Record<string, string | number | undefined>>): string {
  const parts = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(String(value))}`],
  );
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

function encodeSegment(segment: string): string {
  // A dot segment would be resolved away by URL parsers on the way; encoded, it reaches the server's
  // rule of keys. A lone surrogate has no encoding, and is replaced rather than thrown on.
  if (segment === "." || segment === "..") return segment.replaceAll(".", "%2E");
  return encodeURIComponent(segment.toWellFormed());
}
