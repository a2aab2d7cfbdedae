/** Which pieces a blob consists of, and which of them hold a range of its bytes. */
import type { PieceRun } from "./ports/metadata-store.ts";

/** A piece, and what is wanted of it: both bounds inclusive, within the piece. */
export interface PieceRange {
  readonly number: number;
  readonly length: number;
  readonly firstByte: number;
  readonly lastByte: number;
}

/** Of parts in their order, none of them empty. */
export function runsOf(
  parts: Iterable<{ readonly number: number; readonly length: number }>,
): readonly PieceRun[] {
  const runs: { readonly number: number; count: number; readonly length: number }[] = [];
  for (const { number, length } of parts) {
    const last = runs.at(-1);
    if (last !== undefined && last.length === length && last.number + last.count === number) {
      last.count += 1;
    } else runs.push({ number, count: 1, length });
  }
  return runs;
}

/** In the order of bytes. */
export function* piecesBetween(
  runs: readonly PieceRun[],
  { firstByte, lastByte }: { readonly firstByte: number; readonly lastByte: number },
): Generator<PieceRange> {
  let runBegin = 0;
  for (const { number, count, length } of runs) {
    const first = Math.max(0, Math.floor((firstByte - runBegin) / length));
    for (let index = first; index < count; index += 1) {
      const begin = runBegin + index * length;
      if (begin > lastByte) return;
      yield {
        number: number + index,
        length,
        firstByte: Math.max(0, firstByte - begin),
        lastByte: Math.min(length - 1, lastByte - begin),
      };
    }
    runBegin += count * length;
  }
}

/** Of the pieces from an index on, so many at most, in the order of bytes. */
export function pieceNumbersFrom(
  runs: readonly PieceRun[],
  { index, limit }: { readonly index: number; readonly limit: number },
): readonly number[] {
  const numbers: number[] = [];
  let passed = 0;
  for (const { number, count } of runs) {
    for (let at = Math.max(0, index - passed); at < count && numbers.length < limit; at += 1) {
      numbers.push(number + at);
    }
    passed += count;
  }
  return numbers;
}
