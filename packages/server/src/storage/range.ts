// The range of a get within its blob.

import { OperationalError } from "../core/errors.ts";
import type { GetOptions } from "../core/ports/storage-driver.ts";

/** Both ends inclusive; `range_unsatisfiable` if they do not lie in the blob in this order. */
export function resolveRange(
  length: number,
  { firstByte, lastByte }: Pick<GetOptions, "firstByte" | "lastByte">,
): { readonly firstByte: number; readonly lastByte: number } {
  if (firstByte === undefined && lastByte === undefined) {
    return { firstByte: 0, lastByte: length - 1 };
  }
  const [first, last] = [firstByte ?? 0, lastByte ?? length - 1];
  if (first >= 0 && first <= last && last < length) return { firstByte: first, lastByte: last };
  const message = `bytes ${first} to ${last} are not within ${length}`;
  throw new OperationalError("range_unsatisfiable", message, { context: { length } });
}
