/**
 * The cursor of a list: opaque to clients, bound to the query it came from, and checked, so that a
 * changed or foreign one is refused instead of silently skipping keys. It protects no secret: a
 * cursor only says where to go on in a list that its bearer may read.
 */

import { createHash } from "node:crypto";
import { badParameter } from "../../http/index.ts";

const checkBytes = 8;

/** `query`: what the list was asked for, as far as it decides what is in it. */
export function formatCursor(query: readonly string[], after: string): string {
  const text = Buffer.from(after);
  return Buffer.concat([checkOf(query, text), text]).toString("base64url");
}

/** `invalid_request` for anything but a cursor that `formatCursor` made for the same query. */
export function parseCursor(query: readonly string[], cursor: string): string {
  const bytes = Buffer.from(cursor, "base64url");
  const text = bytes.subarray(checkBytes);
  const good =
    bytes.toString("base64url") === cursor &&
    bytes.subarray(0, checkBytes).equals(checkOf(query, text));
  if (!good) throw badParameter("cursor", "is not a cursor of this list");
  return text.toString();
}

function checkOf(query: readonly string[], after: Buffer): Buffer {
  const hash = createHash("sha256").update(JSON.stringify(query));
  return hash.update(after).digest().subarray(0, checkBytes);
}
