/** Addresses on the command line: `BUCKET`, `BUCKET/PREFIX/` or `BUCKET/KEY`. */
import { UsageError } from "./usage-error.ts";

export interface ParsedAddress {
  readonly bucket: string;
  /** Everything behind the first slash; empty for the bucket itself. */
  readonly key: string;
}

/** Splits at the first slash. */
export function parseAddress(text: string): ParsedAddress {
  const slash = text.indexOf("/");
  const bucket = slash === -1 ? text : text.slice(0, slash);
  if (bucket === "")
    throw new UsageError(`${text || "an empty text"} does not begin with a bucket`);
  return { bucket, key: slash === -1 ? "" : text.slice(slash + 1) };
}

/** An address that names one object. */
export function parseObjectAddress(text: string): ParsedAddress {
  const address = parseAddress(text);
  if (address.key === "") throw new UsageError(`${text} names a bucket; write BUCKET/KEY`);
  return address;
}

/** Whether the address is a place for many objects rather than the name of one. */
export function isPrefix({ key }: ParsedAddress): boolean {
  return key === "" || key.endsWith("/");
}

/** The part of a key behind its last slash. */
export function lastSegment(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}

/** The target of copying one object: a prefix takes the source's last segment. */
export function parseTarget(text: string, sourceKey: string): ParsedAddress {
  const address = parseAddress(text);
  return isPrefix(address) ? { ...address, key: address.key + lastSegment(sourceKey) } : address;
}
