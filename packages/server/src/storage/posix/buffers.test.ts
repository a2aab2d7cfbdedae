import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { dropBuffer, returnBuffer, takeReadBuffer } from "./buffers.ts";
import { openPosixStorage } from "./driver.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const large = 512 * KiB;
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

/** A stored blob of 12 MiB: a reader counts as fast after 8. */
async function openBlob(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), "roma-buffers-"));
  t.after(() => rm(root, { recursive: true }));
  const storage = await openPosixStorage({ id: "local", root, createMarker: true });
  t.after(() => storage[Symbol.asyncDispose]());
  await storage.put("key", bodyOf(Buffer.alloc(12 * MiB, "roma")), { signal: t.signal });
  return storage;
}

/** Time that stands still but for the pauses of a reader: those that the machine makes do not count. */
function steppedTime(t: TestContext): { pause(ms: number): void } {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  return {
    pause: (ms) => {
      now += ms;
    },
  };
}

test("a fast reader gets large buffers, however the readers before it ended", async (t) => {
  steppedTime(t);
  const storage = await openBlob(t);
  for (let round = 0; round < 60; round += 1) {
    const controller = new AbortController();
    const { body } = await storage.get("key", { signal: controller.signal });
    const chunks = body[Symbol.asyncIterator]();
    const taken = round % 5 === 0 ? 0 : round % 5 === 1 ? 1 : 132;
    for (let count = 0; count < taken; count += 1) await chunks.next();
    if (round % 3 === 0) controller.abort(new Error("given up"));
    if (round % 3 === 1) await chunks.return?.();
    await body[Symbol.asyncDispose]();
  }
  const { body } = await storage.get("key", { signal: t.signal });
  const lengths: number[] = [];
  for await (const chunk of body) lengths.push(chunk.length);
  assert.ok(lengths.slice(0, 128).every((length) => length === small));
  assert.ok(
    lengths.slice(129, -1).every((length) => length === large),
    String(lengths.slice(128)),
  );
});

test("a reader that pauses gets small buffers again", async (t) => {
  const time = steppedTime(t);
  const storage = await openBlob(t);
  const { body } = await storage.get("key", { signal: t.signal });
  const lengths: number[] = [];
  for await (const chunk of body) {
    lengths.push(chunk.length);
    if (lengths.length === 132) time.pause(50);
  }
  // One was being filled ahead when the pause began.
  assert.equal(lengths[132], large);
  assert.ok(
    lengths.slice(133).every((length) => length <= small),
    String(lengths.slice(130)),
  );
});

async function* bodyOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
