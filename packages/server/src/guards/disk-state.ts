/** What a look at a file system means: a pure function of what was found, the watermarks, and the state before. */

/** `ok`; `low`: above the soft watermark; `full`: above the hard watermark, nothing is written; mounted `read_only`. */
export type DiskState = "ok" | "low" | "full" | "read_only";

/** As the metric says it. */
export const diskStateNumbers: Readonly<Record<DiskState, number>> = {
  ok: 0,
  low: 1,
  full: 2,
  read_only: 3,
};

export interface DiskSample {
  readonly bytes: number;
  readonly freeBytes: number;
  /** 0 where the file system does not count them. */
  readonly inodes: number;
  readonly freeInodes: number;
  readonly isReadOnly: boolean;
}

export interface DiskWatermarks {
  readonly softShare: number;
  readonly softBytes: number;
  readonly softInodes: number;
  readonly hardShare: number;
  readonly hardBytes: number;
  readonly hardInodes: number;
}

export interface DiskVerdict {
  readonly state: DiskState;
  /** What is short; absent when nothing is. */
  readonly short?: "bytes" | "inodes";
}

/** Once below a watermark, so much more must be free again: states do not flutter. */
const wayBack = 1.2;

export function judge(
  sample: DiskSample,
  watermarks: DiskWatermarks,
  before: DiskState,
): DiskVerdict {
  if (sample.isReadOnly) return { state: "read_only" };
  const { bytes, freeBytes, inodes, freeInodes } = sample;
  const short = (kind: "soft" | "hard", factor: number): DiskVerdict["short"] => {
    if (bytes > 0 && freeBytes < factor * bytesWatermark(bytes, watermarks, kind)) return "bytes";
    if (inodes > 0 && freeInodes < factor * inodesWatermark(inodes, watermarks, kind))
      return "inodes";
    return undefined;
  };
  const full = short("hard", before === "full" ? wayBack : 1);
  if (full !== undefined) return { state: "full", short: full };
  const low = short("soft", before === "ok" || before === "read_only" ? 1 : wayBack);
  return low === undefined ? { state: "ok" } : { state: "low", short: low };
}

/** Below this many free bytes of a file system of that size the watermark is passed. */
export function bytesWatermark(
  bytes: number,
  watermarks: DiskWatermarks,
  kind: "soft" | "hard",
): number {
  return Math.min(bytes * watermarks[`${kind}Share`], watermarks[`${kind}Bytes`]);
}

function inodesWatermark(
  inodes: number,
  watermarks: DiskWatermarks,
  kind: "soft" | "hard",
): number {
  return Math.min(inodes * watermarks[`${kind}Share`], watermarks[`${kind}Inodes`]);
}
