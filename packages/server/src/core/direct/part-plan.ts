/**
 * Which parts an upload of known length has: all of one size but the last, numbered from 1. Each has one
 * length and no other, so that what is signed for it can be exact.
 */
import { MiB } from "@roma/contract";
import { OperationalError } from "../errors.ts";

/** Of every part but the last, where nobody wishes for another. */
export const partBytesDefault = 8 * MiB;

export interface PartPlan {
  readonly length: number;
  readonly partBytes: number;
  /** At least 1: an empty upload has one empty part. */
  readonly partCount: number;
}

/** What takes the parts. */
export interface PartBounds {
  readonly partBytesMin: number;
  readonly partBytesMax: number;
  readonly partsMax: number;
}

/** As near to the wish as the bounds allow. `too_large` if no size of parts makes few enough of them. */
export function planParts(
  length: number,
  bounds: PartBounds,
  wishedBytes: number = partBytesDefault,
): PartPlan {
  const { partBytesMin, partBytesMax, partsMax } = bounds;
  const fits = length <= Math.max(wishedBytes, partBytesMin) * partsMax;
  const leastBytes = fits ? partBytesMin : Math.ceil(length / partsMax / MiB) * MiB;
  const partBytes = Math.min(Math.max(wishedBytes, leastBytes), partBytesMax);
  const plan = planOf(length, partBytes);
  if (plan.partCount <= partsMax) return plan;
  const maxBytes = partBytesMax * partsMax;
  const message = `an upload in parts to this storage has at most ${maxBytes} bytes`;
  throw new OperationalError("too_large", message, { context: { maxBytes } });
}

export function planOf(length: number, partBytes: number): PartPlan {
  return { length, partBytes, partCount: Math.max(1, Math.ceil(length / partBytes)) };
}

/** `undefined` where the upload has no such part. */
export function partLength(
  { length, partBytes, partCount }: PartPlan,
  number: number,
): number | undefined {
  if (!Number.isSafeInteger(number) || number < 1 || number > partCount) return undefined;
  return number < partCount ? partBytes : length - partBytes * (partCount - 1);
}

/**
 * All parts of the plan, in their order. `invalid_part` (context: `partNumber`, `reason`): one is missing
 * ("missing"), has another length ("length"), is none of the upload's ("unknown"), or is not the one that
 * the client names ("etag").
 */
export function chooseAll<Part extends { readonly length: number; readonly etag: string }>(
  plan: PartPlan,
  stored: ReadonlyMap<number, Part>,
  named: readonly { readonly number: number; readonly etag: string }[] | undefined,
): readonly (Part & { readonly number: number })[] {
  const names = named && new Map(named.map(({ number, etag }) => [number, etag.toLowerCase()]));
  for (const number of [...stored.keys(), ...(names?.keys() ?? [])]) {
    if (partLength(plan, number) === undefined) throw invalidPart(number, "unknown");
  }
  return Array.from({ length: plan.partCount }, (_, index) => {
    const number = index + 1;
    const part = stored.get(number);
    if (part === undefined) throw invalidPart(number, "missing");
    if (part.length !== partLength(plan, number)) throw invalidPart(number, "length");
    if (names !== undefined && names.get(number) !== part.etag.toLowerCase()) {
      throw invalidPart(number, names.has(number) ? "etag" : "missing");
    }
    return { ...part, number };
  });
}

const reasons = {
  missing: "is missing",
  length: "has another length than it must have",
  unknown: "is none of this upload",
  etag: "is not the one that is named",
} as const;

function invalidPart(partNumber: number, reason: keyof typeof reasons): OperationalError {
  return new OperationalError("invalid_part", `part ${partNumber} ${reasons[reason]}`, {
    context: { partNumber, reason },
  });
}
