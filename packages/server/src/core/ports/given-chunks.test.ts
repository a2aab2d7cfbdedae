import assert from "node:assert/strict";
import { test } from "node:test";
import { freeChunk, giveChunk, shrinkChunk } from "./given-chunks.ts";

test("a chunk that was given away is freed, once", () => {
  const chunk = new Uint8Array(1000);
  giveChunk(chunk);
  freeChunk(chunk);
  assert.equal(chunk.length, 0);
  freeChunk(chunk);
  assert.equal(chunk.length, 0);
});

test("a chunk that nobody gave away stays", () => {
  const chunk = new Uint8Array(1000);
  freeChunk(chunk);
  assert.equal(chunk.length, 1000);
});

test("a part of a buffer is never freed, whether it was given or a part of what was given", () => {
  const whole = new Uint8Array(1000);
  const part = whole.subarray(1);
  giveChunk(part);
  freeChunk(part);
  assert.equal(part.length, 999);
  giveChunk(whole);
  freeChunk(part);
  assert.equal(part.length, 999);
  assert.equal(whole.length, 1000);
});

test("a chunk shrinks to memory of its own, which can be freed; a part of another's stays there", () => {
  const chunk = Uint8Array.from({ length: 1000 }, (_, index) => index);
  const own = shrinkChunk(chunk, 10);
  assert.deepEqual([...own], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(own.buffer.byteLength, 10);
  assert.equal(chunk.length, 0);
  freeChunk(own);
  assert.equal(own.length, 0);
  const whole = new Uint8Array(1000);
  assert.equal(shrinkChunk(whole.subarray(1), 10).buffer, whole.buffer);
  assert.equal(shrinkChunk(whole, 1000), whole);
});
