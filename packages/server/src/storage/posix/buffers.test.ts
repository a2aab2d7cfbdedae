import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { dropBuffer, returnBuffer, takeReadBuffer } from "./buffers.ts";
import { openPosixStorage } from "./driver.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const large = 256 * KiB;
const small = 64 * KiB;

test("large buffers are few, and one that is given back or dropped makes room for another", () => {
  const taken = Array.from({ length: 40 }, () => takeReadBuffer(MiB));
  assert.equal(taken.filter(({ length }) => length === large).length, 32);
  assert.equal(taken.filter(({ length }) => length === small).length, 8);
  const [first, second, ...others] = taken;
  assert.ok(first !== undefined && second !== undefined);
  returnBuffer(first);
  dropBuffer(second);
  const again = [takeReadBuffer(MiB), takeReadBuffer(MiB), takeReadBuffer(MiB)];
  assert.deepEqual(
    again.map(({ length }) => length),
    [large, large, small],
  );
  for (const buffer of [...others, ...again]) returnBuffer(buffer);
});

test("a short read takes a small buffer", () => {
  const buffer = takeReadBuffer(small);
  assert.equal(buffer.length, small);
  returnBuffer(buffer);
});

test("bodies that are given up in every way leave the large buffers to the next", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "roma-buffers-"));
  t.after(() => rm(root, { recursive: true }));
  await using storage = await openPosixStorage({ id: "local", root, createMarker: true });
  const bytes = Buffer.alloc(2 * MiB, "roma");
  await storage.put("key", bodyOf(bytes), { signal: t.signal });
  for (let round = 0; round < 60; round += 1) {
    const controller = new AbortController();
    const { body } = await storage.get("key", { signal: controller.signal });
    const chunks = body[Symbol.asyncIterator]();
    if (round % 5 !== 0) await chunks.next();
    if (round % 3 === 0) controller.abort(new Error("given up"));
    if (round % 3 === 1) await chunks.return?.();
    await body[Symbol.asyncDispose]();
  }
  const { body } = await storage.get("key", { signal: t.signal });
  const lengths: number[] = [];
  for await (const chunk of body) lengths.push(chunk.length);
  assert.deepEqual(
    lengths,
    Array.from({ length: 8 }, () => large),
  );
});

async function* bodyOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
