import assert from "node:assert/strict";
import { test } from "node:test";
import { freeChunk, giveChunk } from "./given-chunks.ts";

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
