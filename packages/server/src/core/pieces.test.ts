import assert from "node:assert/strict";
import { test } from "node:test";
import { piecesBetween, runsOf } from "./pieces.ts";

test("parts with consecutive numbers and one length are one run", () => {
  const parts = [
    ...[1, 2, 3].map((number) => ({ number, length: 8 })),
    { number: 4, length: 5 },
    { number: 6, length: 5 },
    { number: 7, length: 8 },
  ];
  assert.deepEqual(runsOf(parts), [
    { number: 1, count: 3, length: 8 },
    { number: 4, count: 1, length: 5 },
    { number: 6, count: 1, length: 5 },
    { number: 7, count: 1, length: 8 },
  ]);
  assert.deepEqual(runsOf([]), []);
});

test("every range of bytes is in the pieces that hold it, and in no others", () => {
  const runs = runsOf([
    { number: 2, length: 3 },
    { number: 3, length: 3 },
    { number: 5, length: 1 },
    { number: 10, length: 4 },
  ]);
  // Where each byte lies, written down by hand.
  const bytes = ["2:0", "2:1", "2:2", "3:0", "3:1", "3:2", "5:0", "10:0", "10:1", "10:2", "10:3"];
  for (let firstByte = 0; firstByte < bytes.length; firstByte += 1) {
    for (let lastByte = firstByte; lastByte < bytes.length; lastByte += 1) {
      const found: string[] = [];
      for (const piece of piecesBetween(runs, { firstByte, lastByte })) {
        assert.ok(piece.lastByte < piece.length && piece.firstByte <= piece.lastByte);
        for (let at = piece.firstByte; at <= piece.lastByte; at += 1) {
          found.push(`${piece.number}:${at}`);
        }
      }
      assert.deepEqual(found, bytes.slice(firstByte, lastByte + 1));
    }
  }
});
