/** Where the parts of an upload by signed requests come from. */
import type { Piece, RangedSource } from "./source.ts";

/** The bytes, part by part. */
export interface PartSupply {
  readonly length: number;
  readonly identity?: string | undefined;
  /** A wish; `undefined` leaves it to the server. */
  readonly partBytes?: number | undefined;
  /** Parts of this size that can be under way at once. */
  parallelMax(partBytes: number): number;
  /** Whether parts of this size can be held at all. */
  fits(partBytes: number): boolean;
  /** Asked once for each, in ascending order. */
  part(number: number, first: number, end: number): Promise<Piece>;
  /** The part is there; it will not be sent again. */
  kept(number: number): void;
  /** To the first byte again; false when some have been let go. */
  rewind(): boolean;
}

/** A source that can be read from anywhere. */
export function rangedParts(source: RangedSource): PartSupply {
  return {
    length: source.length,
    identity: source.identity,
    parallelMax: () => Number.POSITIVE_INFINITY,
    fits: () => true,
    part: async (_number, first, end) => source.piece(first, end),
    kept: () => {},
    rewind: () => true,
  };
}

/** Thrown where the parts are larger than a stream can hold. */
export class PartsTooLarge extends Error {}
