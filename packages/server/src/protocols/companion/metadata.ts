/** What Uppy says of a file, as user metadata. */
import { fittingUserMetadata } from "../../core/write-limits.ts";

/** Uppy tells all that a page knows of a file; values that are not there come as the word. */
export function metadataOf(
  entries: Iterable<readonly [string, string]>,
): Readonly<Record<string, string>> {
  const told = [...entries].filter(
    ([name, value]) => name !== "type" && value !== "null" && value !== "undefined",
  );
  return fittingUserMetadata(told);
}
