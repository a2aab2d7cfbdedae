/**
 * Range requests, RFC 9110 §14. A header that is malformed, of an unknown unit, or that asks for
 * more pieces than is reasonable is ignored, and the whole is sent; one that is well-formed and has
 * nothing to offer is unsatisfiable.
 */
import { randomBytes } from "node:crypto";
import { OperationalError } from "../core/errors.ts";

/** Both inclusive and within the representation. */
export interface ByteRange {
  readonly firstByte: number;
  readonly lastByte: number;
}

export type RangeResult =
  | { readonly kind: "whole" }
  /** One means a plain 206; more mean `multipart/byteranges`. */
  | { readonly kind: "ranges"; readonly ranges: readonly [ByteRange, ...ByteRange[]] }
  | { readonly kind: "unsatisfiable" };

/** Range specs in one header; a player asks for one, a PDF reader for a handful. */
const rangesMax = 64;

/** Nearer pieces are joined: a part's own header is about this large. */
const gapBytes = 128;

const whole: RangeResult = { kind: "whole" };

/** What to send of `size` bytes for this `Range` header. */
export function parseRange(header: string | undefined, size: number): RangeResult {
  if (header === undefined) return whole;
  const equals = header.indexOf("=");
  // RFC 9110 §14.2: an unknown range unit is ignored.
  if (equals < 0 || header.slice(0, equals).trim().toLowerCase() !== "bytes") return whole;
  const specs = header.slice(equals + 1).split(",", rangesMax + 1);
  if (specs.length > rangesMax) return whole;
  const ranges: ByteRange[] = [];
  let count = 0;
  for (const spec of specs) {
    const text = spec.trim();
    if (text === "") continue;
    const range = parseSpec(text, size);
    if (range === "malformed") return whole;
    count++;
    if (range !== "outside") ranges.push(range);
  }
  if (count === 0) return whole;
  const [first, ...rest] = coalesce(ranges);
  if (first === undefined) return { kind: "unsatisfiable" };
  return { kind: "ranges", ranges: [first, ...rest] };
}

function parseSpec(text: string, size: number): ByteRange | "malformed" | "outside" {
  const dash = text.indexOf("-");
  const first = digits(text.slice(0, dash < 0 ? text.length : dash));
  const last = digits(text.slice(dash + 1));
  if (dash < 0 || first === undefined || last === undefined) return "malformed";
  if (first === "none") {
    if (last === "none") return "malformed";
    if (last === 0 || size === 0) return "outside";
    return { firstByte: Math.max(0, size - last), lastByte: size - 1 };
  }
  if (last !== "none" && last < first) return "malformed";
  if (first >= size) return "outside";
  return { firstByte: first, lastByte: last === "none" ? size - 1 : Math.min(last, size - 1) };
}

/** A number beyond all files is as good as the largest. */
function digits(text: string): number | "none" | undefined {
  if (text === "") return "none";
  if (!/^\d{1,30}$/.test(text)) return undefined;
  return Math.min(Number(text), Number.MAX_SAFE_INTEGER);
}

/**
 * Overlapping and near pieces become one (RFC 9110 §15.3.7.2), so that no header makes us send more
 * than the whole. Pieces that stay apart keep the order they were asked in.
 */
function coalesce(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const indexed = ranges.map((range, index) => ({ ...range, index }));
  indexed.sort((a, b) => a.firstByte - b.firstByte);
  const merged: (ByteRange & { readonly index: number })[] = [];
  for (const range of indexed) {
    const before = merged.at(-1);
    if (before === undefined || range.firstByte > before.lastByte + 1 + gapBytes) {
      merged.push(range);
      continue;
    }
    merged[merged.length - 1] = {
      firstByte: before.firstByte,
      lastByte: Math.max(before.lastByte, range.lastByte),
      index: Math.min(before.index, range.index),
    };
  }
  merged.sort((a, b) => a.index - b.index);
  return merged.map(({ firstByte, lastByte }) => ({ firstByte, lastByte }));
}

/** The refusal of a range that the representation does not have; answer with `Content-Range`. */
export function rangeUnsatisfiable(size: number): OperationalError {
  return new OperationalError("range_unsatisfiable", `no byte of the range is within ${size}`, {
    context: { size },
  });
}

/** `bytes 0-9/100`. */
export function contentRange({ firstByte, lastByte }: ByteRange, size: number): string {
  return `bytes ${firstByte}-${lastByte}/${size}`;
}

/** For a 416: `bytes` with a star in place of the range. */
export function contentRangeUnsatisfiable(size: number): string {
  return `bytes */${size}`;
}

/** A `multipart/byteranges` body: for each part its head and then its bytes; the tail ends it. */
export interface MultipartRanges {
  readonly contentType: string;
  /** Of the whole body, heads and tail included. */
  readonly length: number;
  readonly parts: readonly { readonly head: Buffer; readonly range: ByteRange }[];
  readonly tail: Buffer;
}

/** `contentType` is that of the representation, already safe for a header. */
export function multipartRanges(
  ranges: readonly ByteRange[],
  { size, contentType }: { readonly size: number; readonly contentType: string },
): MultipartRanges {
  // Random, so that no stored bytes can be made to contain it.
  const boundary = randomBytes(18).toString("hex");
  const parts = ranges.map((range, index) => ({
    head: Buffer.from(
      `${index === 0 ? "" : "\r\n"}--${boundary}\r\n` +
        `Content-Type: ${contentType}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`,
      "latin1",
    ),
    range,
  }));
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`, "latin1");
  let length = tail.length;
  for (const { head, range } of parts) length += head.length + range.lastByte - range.firstByte + 1;
  return { contentType: `multipart/byteranges; boundary=${boundary}`, length, parts, tail };
}
