import { strict as assert } from "node:assert";
import { test } from "node:test";
import { KiB, MiB } from "@roma/contract";
import { calm } from "../conformance/subject.ts";
import { PartBuffers, smallBufferBytes } from "./part-buffers.ts";

const isPending = async (running: Promise<unknown>): Promise<boolean> =>
  (await Promise.race([running, new Promise((resolve) => setImmediate(resolve, "pending"))])) ===
  "pending";

test("past the budget a taker waits until a buffer comes back", async () => {
  const buffers = new PartBuffers({ bytesMax: 24 * MiB });
  const [first, second] = [await buffers.take(8 * MiB, calm), await buffers.take(8 * MiB, calm)];
  const third = buffers.take(8 * MiB, calm);
  assert.ok(await isPending(third));
  buffers.give(first);
  assert.equal(await third, first, "the same memory");
  buffers.give(second);
  buffers.give(await third);
  assert.equal(buffers.usedBytes, 0);
});

test("who holds fewer buffers comes first, else who came first", async () => {
  const buffers = new PartBuffers({ bytesMax: 8 * MiB + MiB });
  const only = await buffers.take(7 * MiB, calm);
  const order: string[] = [];
  const take = async (name: string, held: number): Promise<void> => {
    const buffer = await buffers.take(7 * MiB, calm, held);
    order.push(name);
    buffers.give(buffer);
  };
  const all = [take("second of a", 1), take("first of b", 0), take("first of c", 0)];
  buffers.give(only);
  await Promise.all(all);
  assert.deepEqual(order, ["first of b", "first of c", "second of a"]);
});

test("an aborted taker leaves the queue, and small buffers have a share of their own", async () => {
  const buffers = new PartBuffers({ bytesMax: 16 * MiB });
  const large = await buffers.take(14 * MiB, calm);
  const controller = new AbortController();
  const waiting = buffers.take(8 * MiB, controller.signal);
  const behind = buffers.take(MiB, calm);
  assert.ok(await isPending(behind));
  controller.abort(new Error("gone"));
  await assert.rejects(waiting, /gone/);
  const small = await buffers.take(smallBufferBytes, calm);
  assert.equal(small.length, 256 * KiB);
  buffers.give(large);
  buffers.give(await behind);
  buffers.give(small);
  assert.equal(buffers.usedBytes, 0);
  await assert.rejects(buffers.take(17 * MiB, calm), RangeError);
});

test("who has not begun waits for so long at most; who came behind it is served all the same", async () => {
  const buffers = new PartBuffers({ bytesMax: 16 * MiB });
  const large = await buffers.take(14 * MiB, calm);
  const isNew = buffers.take(8 * MiB, calm, 0, 50);
  const behind = buffers.take(8 * MiB, calm, 0, 10_000);
  await assert.rejects(isNew, { code: "overloaded" });
  buffers.give(large);
  buffers.give(await behind);
  assert.equal(buffers.usedBytes, 0);
});
