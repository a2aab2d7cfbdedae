/** The parts of uploads that need no network: gathering, progress, parallelism. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { crc64Nvme } from "../digests/crc64-nvme.ts";
import { Gatherer } from "./gatherer.ts";
import { Parallelism } from "./parallelism.ts";
import { ProgressMeter, type UploadProgress } from "./progress.ts";

async function* inChunks(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test("a stream is gathered into pieces of exact size, and the last one is known as such", async () => {
  for (const length of [0, 1, 99, 100, 101, 300, 1000]) {
    for (const chunk of [1, 7, 100, 250, 5000]) {
      const bytes = randomBytes(length);
      const gatherer = new Gatherer({
        ...{ kind: "streamed", length: undefined, chunks: inChunks(bytes, chunk) },
      });
      const pieces: Buffer[] = [];
      for (let last = false; !last; ) {
        const taken = await gatherer.take(100);
        const piece = Buffer.concat(taken.chunks);
        assert.equal(piece.length, taken.length);
        assert.equal(taken.crc64nvme, crc64Nvme(piece));
        if (!taken.last) assert.equal(taken.length, 100);
        pieces.push(piece);
        last = taken.last;
      }
      assert.ok(Buffer.concat(pieces).equals(bytes), `${length} bytes by ${chunk}`);
      assert.equal(pieces.length, Math.max(1, Math.ceil(length / 100)));
    }
  }
});

test("what is put back comes again", async () => {
  const bytes = randomBytes(1000);
  const gatherer = new Gatherer({
    ...{ kind: "streamed", length: undefined, chunks: inChunks(bytes, 33) },
  });
  const first = await gatherer.take(400);
  gatherer.putBack(first.chunks);
  const all = await gatherer.take(2000);
  assert.ok(Buffer.concat(all.chunks).equals(bytes));
  assert.equal(all.last, true);
});

test("progress waits for what is sent again, and knows the rate and the time left", () => {
  let at = 0;
  const told: UploadProgress[] = [];
  const meter = new ProgressMeter({
    now: () => at,
    onProgress: (progress) => told.push(progress),
  });
  meter.totalBytes = 100_000;
  const lane = meter.lane();
  while (at < 1000) {
    at += 100;
    lane.update(at * 10);
  }
  const { bytesPerSecond = 0, secondsLeft = 0 } = meter.progress;
  assert.ok(Math.abs(bytesPerSecond - 10_000) < 2000, `${bytesPerSecond} B/s`);
  assert.ok(Math.abs(secondsLeft - 9) < 2, `${secondsLeft} s`);
  lane.update(0);
  assert.equal(meter.progress.bytes, 10_000);
  assert.equal(meter.bytes, 0);
  at += 100;
  lane.update(12_000);
  assert.equal(meter.progress.bytes, 12_000);
  meter.restart();
  assert.equal(told.at(-1)?.bytes, 0, "what begins anew says so");
});

test("parallelism climbs while more of them move more, and comes down when they fail", () => {
  const run = (rateOf: (parallel: number) => number, parts: number) => {
    let at = 0;
    let bytes = 0;
    const parallelism = new Parallelism({ now: () => at });
    const limits: number[] = [];
    for (let part = 0; part < parts; part++) {
      at += 1000 / rateOf(parallelism.limit);
      bytes += 1000;
      parallelism.onPart(bytes);
      limits.push(parallelism.limit);
    }
    return { parallelism, limits };
  };
  // Each one more moves as much more: a long fat line.
  const wide = run((parallel) => parallel * 3, 200);
  assert.equal(wide.limits.at(-1), 6);
  // One already fills the line.
  const narrow = run(() => 3, 100);
  assert.ok(Math.max(...narrow.limits) <= 5, `${narrow.limits}`);
  wide.parallelism.onFailure();
  assert.equal(wide.parallelism.limit, 3);
  for (let failure = 0; failure < 5; failure++) wide.parallelism.onFailure();
  assert.equal(wide.parallelism.limit, 1);
});
