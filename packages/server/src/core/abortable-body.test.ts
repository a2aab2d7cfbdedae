import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { abortableBody } from "./abortable-body.ts";

async function* stalling(chunks: readonly Uint8Array[]) {
  yield* chunks;
  await new Promise(() => {});
}

test("a pull that waits for ever ends with the signal's reason", async () => {
  const controller = new AbortController();
  const pulls = abortableBody(stalling([Buffer.of(1)]), controller.signal)[Symbol.asyncIterator]();
  assert.deepEqual(await pulls.next(), { done: false, value: Buffer.of(1) });
  const waiting = pulls.next();
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(pulls.next(), /enough/);
});

test("once aborted it is returned without waiting for a pull that its source does not answer", async () => {
  const controller = new AbortController();
  const pulls = abortableBody(stalling([]), controller.signal)[Symbol.asyncIterator]();
  const waiting = pulls.next();
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  assert.deepEqual(await pulls.return?.(), { done: true, value: undefined });
});

test("a body that ends, or is returned, leaves no listener on the signal", async () => {
  const { signal } = new AbortController();
  async function* two() {
    yield Buffer.of(1);
    yield Buffer.of(2);
  }
  const seen: number[] = [];
  for await (const chunk of abortableBody(two(), signal)) seen.push(...chunk);
  assert.deepEqual(seen, [1, 2]);
  for await (const _ of abortableBody(two(), signal)) break;
  assert.deepEqual(getEventListeners(signal, "abort"), []);
});
