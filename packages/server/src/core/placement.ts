/** Which storage takes new bytes: a pure function of the bucket's rules and what is known up front. */
import type { PlacementJson } from "@roma/contract";
import { contentTypeMatches } from "./content-type.ts";

export interface PlacementSubject {
  readonly key: string;
  readonly contentType: string;
  /** Absent when the client did not say; rules with sizes then do not fit. */
  readonly length?: number;
}

export interface PlacementChoice {
  /** Where bytes go that no rule fits. */
  readonly defaultId: string;
  /** Whether a storage takes new uploads, and answers. */
  readonly isReady: (storageId: string) => boolean;
}

/**
 * The storage of the first rule that fits, or its fallback while the storage is not ready and the
 * fallback is; without a rule, the default. Another rule is never tried: it is for other objects.
 */
export function placeObject(
  placement: PlacementJson,
  subject: PlacementSubject,
  { defaultId, isReady }: PlacementChoice,
): string {
  if (typeof placement === "string") return placement;
  const rule = placement.find(
    (rule) =>
      (rule.prefix === undefined || subject.key.startsWith(rule.prefix)) &&
      (rule.contentType === undefined ||
        contentTypeMatches(subject.contentType, rule.contentType)) &&
      fitsSize(subject.length, rule.minBytes, rule.maxBytes),
  );
  if (rule === undefined) return defaultId;
  const { storage, fallback } = rule;
  if (fallback === undefined || isReady(storage)) return storage;
  // Neither answers: the first choice's failure is the one that says what is wrong.
  return isReady(fallback) ? fallback : storage;
}

/**
 * Every storage that `placeObject` may choose as long as nobody knows the content type: what the bytes show is
 * known once some of them have come.
 */
export function possiblePlaces(
  placement: PlacementJson,
  subject: Omit<PlacementSubject, "contentType">,
  defaultId: string,
): readonly string[] {
  if (typeof placement === "string") return [placement];
  const places: string[] = [];
  for (const { prefix, contentType, minBytes, maxBytes, storage, fallback } of placement) {
    if (prefix !== undefined && !subject.key.startsWith(prefix)) continue;
    if (!fitsSize(subject.length, minBytes, maxBytes)) continue;
    places.push(storage, ...(fallback === undefined ? [] : [fallback]));
    if (contentType === undefined) return places;
  }
  return [...places, defaultId];
}

function fitsSize(length: number | undefined, min: number | undefined, max: number | undefined) {
  if (min === undefined && max === undefined) return true;
  return length !== undefined && length >= (min ?? 0) && length <= (max ?? Number.MAX_SAFE_INTEGER);
}
