import { strict as assert } from "node:assert";
import { test } from "node:test";
import { digestNames, RunningDigests } from "../../core/digests/digest-set.ts";
import { type Random, seededTest } from "../../core/digests/seeded.ts";
import type { DigestName, Digests } from "../../core/ports/storage-driver.ts";
import { newRing, RingEmptier, RingFiller, slotBytes, steps } from "./digest-ring.ts";
import { DigestThread, ThreadedDigests } from "./threaded-digests.ts";

function* chunksOf(body: Uint8Array, random: Random): Generator<Uint8Array> {
  for (let start = 0; start < body.length; ) {
    const end = start + 1 + random.below(random.pick([100, slotBytes, 4 * slotBytes]));
    // Of memory that is used again as soon as it was taken.
    const chunk = Uint8Array.from(body.subarray(start, end));
    yield chunk;
    chunk.fill(0);
    start = end;
  }
}

async function threaded(chunks: Iterable<Uint8Array>, names: readonly DigestName[]) {
  const digests = new ThreadedDigests(names);
  for (const chunk of chunks) await digests.update(chunk);
  return await digests.finish();
}

function here(body: Uint8Array, names: readonly DigestName[]): Digests {
  const digests = new RunningDigests(names);
  digests.update(body);
  return digests.finish();
}

seededTest("bodies at once have the digests that each has alone", async (random) => {
  const bodies = Array.from({ length: 12 }, () => random.bytes(random.below(20 * slotBytes)));
  const found = await Promise.all(
    bodies.map((body) => threaded(chunksOf(body, random), digestNames)),
  );
  for (const [index, body] of bodies.entries()) {
    assert.deepEqual(found[index], here(body, digestNames));
  }
});

test("one chunk may be longer than all that may wait", async () => {
  const body = Buffer.alloc(200 * slotBytes, "roma");
  assert.deepEqual(await threaded([body], ["md5"]), here(body, ["md5"]));
});

test("a body without bytes has a digest", async () => {
  assert.deepEqual(await threaded([], ["sha256"]), here(new Uint8Array(), ["sha256"]));
});

test("bodies that stop in the middle, or before, leave the others as they are", async () => {
  const body = Buffer.alloc(30 * slotBytes, "roma");
  const whole = threaded([body, body], ["md5"]);
  for (let count = 0; count < 10; count += 1) {
    const stopped = new ThreadedDigests(["md5"]);
    if (count % 2 === 0) await stopped.update(body);
    stopped.stop();
    stopped.stop();
  }
  assert.deepEqual(await whole, here(Buffer.concat([body, body]), ["md5"]));
});

test("when their thread ends, bodies fail, whether they wait for it or come to it", async () => {
  let gone = 0;
  const thread = new DigestThread(() => {
    gone += 1;
  });
  const body = Buffer.alloc(slotBytes, "roma");
  const [waiting, coming] = [
    new ThreadedDigests(["md5"], thread),
    new ThreadedDigests(["md5"], thread),
  ];
  await coming.update(body);
  const ended = thread[Symbol.asyncDispose]();
  const updates = Array.from({ length: 200 }).reduce<Promise<void>>(
    (before) => before.then(() => waiting.update(body)),
    Promise.resolve(),
  );
  await assert.rejects(updates, { code: "internal" });
  await ended;
  await assert.rejects(coming.finish(), { code: "internal" });
  assert.throws(() => coming.update(body), { code: "internal" });
  coming.stop();
  assert.equal(gone, 1);
});

test("a full ring takes no more, and tells that there is room when half of it is empty", () => {
  const memory = newRing();
  const filler = new RingFiller(memory);
  const emptier = new RingEmptier(memory);
  let filled = 0;
  while (filler.fill(filled, steps.update, { bytes: Uint8Array.of(filled) })) filled += 1;
  assert.equal(filler.wantRoom(), true);
  let taken = 0;
  for (;;) {
    const { bodyId, bytes } = emptier.take();
    assert.deepEqual([bodyId, ...bytes], [taken, taken]);
    taken += 1;
    if (emptier.done()) break;
  }
  assert.equal(taken, filled / 2);
  // There is room by now: nobody would tell.
  assert.equal(filler.wantRoom(), false);
});
