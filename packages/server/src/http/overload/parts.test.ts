/** The parts of overload protection by themselves: queue, limit, rates, bandwidth and its shares. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Json, Siblings } from "../../core/ports/siblings.ts";
import { Bandwidth } from "./bandwidth.ts";
import { BandwidthShare, shareOf } from "./bandwidth-share.ts";
import { FairQueue, type Waiting } from "./fair-queue.ts";
import { linkBytesPerSecond } from "./link-speed.ts";
import { RateLimit } from "./rate-limit.ts";
import { WorkLimit } from "./work-limit.ts";

interface Named extends Waiting {
  readonly name: string;
}

const item = (flow: string, name: string, sinceMs = 0): Named => ({ flow, name, sinceMs });

test("each flow has its turn, and the longest gives up its newest when the queue is full", () => {
  const queue = new FairQueue<Named>(4);
  for (const name of ["a1", "a2", "a3", "a4"]) {
    assert.equal(queue.push(item("a", name)), undefined);
  }
  assert.equal(queue.push(item("b", "b1"))?.name, "a4");
  assert.equal(queue.push(item("a", "a5"))?.name, "a5");
  const served = [1, 2, 3, 4].map(() => queue.shift({ newestFirst: false })?.name);
  assert.deepEqual(served, ["a1", "b1", "a2", "a3"]);
  assert.equal(queue.size, 0);
});

test("a standing queue serves the newest of a flow first, and gives up what is too old", () => {
  const queue = new FairQueue<Named>(10);
  for (const [name, at] of [
    ["old", 0],
    ["older", 10],
    ["new", 90],
  ] as const) {
    queue.push(item("a", name, at));
  }
  assert.equal(queue.shift({ newestFirst: true })?.name, "new");
  const old = queue.takeOlderThan(50).map(({ name }) => name);
  assert.deepEqual(old, ["old", "older"]);
  assert.equal(queue.size, 0);
});

test("the limit falls only when both the work and the process are slow, to its least, and comes back", () => {
  const limit = new WorkLimit({ min: 10, max: 100, targetMs: 250 });
  const window = (workMs: number, lateMs: number) => {
    for (let index = 0; index < 50; index++) limit.sample(workMs);
    limit.used(limit.value);
    limit.adapt(lateMs);
  };
  window(5000, 0);
  assert.equal(limit.value, 100, "slow work alone is a storage's affair");
  window(10, 200);
  assert.equal(limit.value, 100, "a late process alone still does its work");
  for (let index = 0; index < 20; index++) window(5000, 200);
  assert.equal(limit.value, 10);
  for (let index = 0; index < 40; index++) window(10, 0);
  assert.equal(limit.value, 100);
});

test("a rate gives what is allowed, says when there is more, and counts each name apart", () => {
  const limit = new RateLimit(2);
  assert.deepEqual(
    [0, 0, 0].map((at) => limit.take("a", at)),
    [0, 0, 500],
  );
  assert.equal(limit.take("b", 0), 0);
  assert.equal(limit.take("a", 500), 0);
  assert(limit.take("a", 500) > 0);
});

test("bytes pass at the rate, in the order in which they were asked for", () => {
  let now = 1000;
  const bandwidth = new Bandwidth({ bytesPerSecond: 1_000_000, now: () => now });
  assert.equal(bandwidth.take(50_000), 0);
  assert.equal(bandwidth.take(100_000), 100);
  assert.equal(bandwidth.take(100_000), 200);
  now += 1000;
  assert.equal(bandwidth.take(50_000), 0, "a pause gives back no more than a burst");
  assert.equal(bandwidth.take(100_000), 100);
  assert.equal(bandwidth.demand(), 400_000);
  assert.equal(bandwidth.demand(), 0);
});

test("workers share one bandwidth by what they want; with a silent one nobody takes more than an equal part", () => {
  const all = [
    shareOf(900, 100, { wanted: [0, 0], count: 3 }),
    shareOf(900, 0, { wanted: [100, 0], count: 3 }),
    shareOf(900, 0, { wanted: [100, 0], count: 3 }),
  ];
  assert(Math.abs(all.reduce((sum, one) => sum + one, 0) - 900) < 1e-6);
  assert((all[0] ?? 0) > 700 && (all[1] ?? 0) === 60);
  assert.equal(shareOf(900, 1_000_000, { wanted: [0], count: 3 }), 300);
});

test("shares follow what the other worker says, and fall back when it falls silent", (t) => {
  let now = 0;
  const told: Json[] = [];
  let hear: (message: Json, from: string) => unknown = () => null;
  const siblings: Siblings = {
    ...{ self: "a", count: 2, ask: async () => [], lead: () => {} },
    tell: (_topic, message) => void told.push(message),
    on: (_topic, handle) => {
      hear = handle;
    },
  };
  const bandwidth = new Bandwidth({ bytesPerSecond: 1000, now: () => now });
  const share = new BandwidthShare({ siblings, bandwidths: [bandwidth], now: () => now });
  t.after(() => share[Symbol.dispose]());
  assert.equal(bandwidth.bytesPerSecond, 500, "nobody was heard yet");
  bandwidth.take(900);
  hear([100], "b");
  share.tick();
  assert.deepEqual(told, [[900]]);
  assert.equal(bandwidth.bytesPerSecond, 100 + 800 * 0.9);
  now += 4000;
  bandwidth.take(900);
  share.tick();
  assert.equal(bandwidth.bytesPerSecond, 500);
  hear("nonsense", "b");
  share.tick();
  assert.ok(bandwidth.bytesPerSecond > 0);
});

test("the link's speed is that of the fastest card that is up", (t) => {
  const root = mkdtempSync(join(tmpdir(), "roma-net-"));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [name, state, speed] of [
    ["eth0", "up", "1000"],
    ["eth1", "down", "10000"],
    ["eth2", "up", "-1"],
    ["lo", "unknown", "99999"],
  ] as const) {
    mkdirSync(join(root, name));
    writeFileSync(join(root, name, "operstate"), state);
    writeFileSync(join(root, name, "speed"), speed);
  }
  assert.equal(linkBytesPerSecond(root), 125_000_000);
  assert.equal(linkBytesPerSecond(join(root, "nothing")), undefined);
});
