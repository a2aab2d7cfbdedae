/**
 * The tokens by which lists go on: opaque to clients, bound to the list they came from, and checked, so
 * that a changed or foreign one is refused instead of silently skipping keys. They protect no secret.
 */
import { createHash } from "node:crypto";
import { wrongArgument } from "./query.ts";

const checkBytes = 8;

/** `list`: what the token is good for, as `buckets` or a bucket's name. */
export function pageToken(list: string, after: string): string {
  const text = Buffer.from(after);
  return Buffer.concat([checkOf(list, text), text]).toString("base64url");
}

/** `InvalidArgument` for anything but a token that `pageToken` made for the same list. */
export function parsePageToken(list: string, token: string): string {
  const bytes = Buffer.from(token, "base64url");
  const text = bytes.subarray(checkBytes);
  const good =
    bytes.toString("base64url") === token &&
    bytes.subarray(0, checkBytes).equals(checkOf(list, text));
  if (!good) throw wrongArgument("continuation-token", token, "is not one of this list");
  return text.toString();
}

function checkOf(list: string, after: Buffer): Buffer {
  const hash = createHash("sha256").update(JSON.stringify(list));
  return hash.update(after).digest().subarray(0, checkBytes);
}
