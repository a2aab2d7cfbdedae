// The rules of a completing list where all parts but the last have one size.

import { OperationalError } from "../core/errors.ts";
import type { Part } from "../core/ports/storage-driver.ts";

export interface RecordedParts {
  readonly partBytes: number;
  /** What was written last under the number. */
  readonly recorded: (partNumber: number) => Pick<Part, "length" | "etag"> | undefined;
}

/**
 * The length of all parts together. In any order, but each once, from 1 on without a gap, each as it
 * was written last; else `invalid_part`.
 */
export function lengthOfParts(
  parts: readonly Part[],
  { partBytes, recorded }: RecordedParts,
): number {
  const sorted = parts.toSorted((a, b) => a.partNumber - b.partNumber);
  let length = 0;
  for (const [index, part] of sorted.entries()) {
    if (part.partNumber !== index + 1)
      throw invalidPart(`part ${index + 1} is not in the list once`);
    const written = recorded(part.partNumber);
    if (written === undefined) throw invalidPart(`part ${part.partNumber} was not written`);
    if (written.etag !== part.etag || written.length !== part.length) {
      throw invalidPart(`part ${part.partNumber} is not the one that was written last`);
    }
    if (written.length !== partBytes && index + 1 < sorted.length) {
      const sizes = `${written.length} bytes, not ${partBytes}`;
      throw invalidPart(`part ${part.partNumber}, not the last, has ${sizes}`);
    }
    length += written.length;
  }
  return length;
}

function invalidPart(message: string): OperationalError {
  return new OperationalError("invalid_part", message);
}
