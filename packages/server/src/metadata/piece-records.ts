/** The pieces of a blob to columns and back: `1*9999:8388608,10001:77` are 10,000 parts, the last of 77 bytes. */
import { strict as assert } from "node:assert";
import type { BlobPieces, BlobRecord, PieceRun } from "../core/ports/metadata-store.ts";
import type { PieceColumns } from "./schema.ts";
import { assertCount, assertText } from "./values.ts";

const run = /^(?<number>\d+)(?:\*(?<count>\d+))?:(?<length>\d+)$/;

export function piecesToColumns({ pieces, length }: BlobRecord): PieceColumns {
  if (pieces === undefined) return { pieces_of: null, piece_runs: null };
  assertPieces(pieces, length);
  const runs = pieces.runs.map(({ number, count, length: bytes }) =>
    count === 1 ? `${number}:${bytes}` : `${number}*${count}:${bytes}`,
  );
  return { pieces_of: pieces.uploadId, piece_runs: runs.join(",") };
}

export function columnsToPieces(
  { pieces_of: uploadId, piece_runs: text }: PieceColumns,
  length: number,
): Pick<BlobRecord, "pieces"> {
  assert((uploadId === null) === (text === null), "both columns of pieces or neither");
  if (uploadId === null || text === null) return {};
  const pieces = { uploadId, runs: text.split(",").map(parseRun) };
  assertPieces(pieces, length);
  return { pieces };
}

function parseRun(text: string): PieceRun {
  const { number, count = "1", length } = run.exec(text)?.groups ?? {};
  return { number: Number(number), count: Number(count), length: Number(length) };
}

function assertPieces({ uploadId, runs }: BlobPieces, length: number): void {
  assertText(uploadId, "uploadId");
  let [sum, next] = [0, 1];
  for (const { number, count, length: bytes } of runs) {
    for (const value of [number, count, bytes]) assertCount(value, "number, count, length");
    assert(number >= next && count > 0 && bytes > 0, "pieces are in order, and none is empty");
    next = number + count;
    sum += count * bytes;
  }
  assert(sum === length, `pieces of ${sum} bytes for a blob of ${length}`);
}
