/** Which storage takes new bytes: a pure function of the bucket's rules and what is known up front. */
import type { PlacementJson } from "@roma/contract";
import { contentTypeMatches } from "./content-type.ts";

export interface PlacementSubject {
  readonly key: string;
  readonly contentType: string;
  /** Absent when the client did not say; rules with sizes then do not fit. */
  readonly length?: number;
}

/** The first rule that fits; without one, `fallbackId`. */
export function placeObject(
  placement: PlacementJson,
  subject: PlacementSubject,
  fallbackId: string,
): string {
  if (typeof placement === "string") return placement;
  const rule = placement.find(
    (rule) =>
      (rule.prefix === undefined || subject.key.startsWith(rule.prefix)) &&
      (rule.contentType === undefined ||
        contentTypeMatches(subject.contentType, rule.contentType)) &&
      fitsSize(subject.length, rule.minBytes, rule.maxBytes),
  );
  return rule?.storage ?? fallbackId;
}

function fitsSize(length: number | undefined, min: number | undefined, max: number | undefined) {
  if (min === undefined && max === undefined) return true;
  return length !== undefined && length >= (min ?? 0) && length <= (max ?? Number.MAX_SAFE_INTEGER);
}
