/** Which bytes a request wants (RFC 9110 §13.1.5, §14): one range, the whole, or none that there are. */
import type { IncomingHttpHeaders } from "node:http";

export type Wanted =
  | { readonly kind: "whole" }
  | { readonly kind: "range"; readonly first: number; readonly last: number }
  | { readonly kind: "unsatisfiable" };

export interface Facts {
  /** Bytes of the whole. */
  readonly size: number;
  /** With its quotes. */
  readonly etag: string | null;
  readonly lastModified: string | null;
}

/**
 * A range that is not understood, several ranges, and a range under an `If-Range` that does not hold are all the
 * whole: §14.2 allows it, and any client must take it.
 */
export function wantedBytes(headers: IncomingHttpHeaders, facts: Facts): Wanted {
  const { range } = headers;
  if (range === undefined || !ifRangeHolds(headers["if-range"], facts)) return { kind: "whole" };
  const [, from, to] = /^bytes=(\d*)-(\d*)$/i.exec(range.replaceAll(/[ \t]/g, "")) ?? [];
  if (from === undefined || to === undefined || (from === "" && to === ""))
    return { kind: "whole" };
  const { size } = facts;
  if (from === "") {
    const count = Math.min(Number(to), size);
    if (count === 0) return { kind: "unsatisfiable" };
    return { kind: "range", first: size - count, last: size - 1 };
  }
  const first = Number(from);
  const last = to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (to !== "" && Number(to) < first) return { kind: "whole" };
  if (first >= size) return { kind: "unsatisfiable" };
  return { kind: "range", first, last };
}

function ifRangeHolds(field: string | string[] | undefined, facts: Facts): boolean {
  if (field === undefined) return true;
  // §13.1.5: strong comparison, so a weak tag never holds; a date must be exactly the one that was sent.
  return field === facts.etag || field === facts.lastModified;
}
