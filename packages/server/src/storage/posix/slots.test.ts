// Slots: how many calls run at once, who waits, and what a mount that is stuck means for whom.

import { strict as assert } from "node:assert";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  calm,
  hanging,
  keysOf,
  leftOversOf,
  put,
  read,
  rejectsWith,
} from "../conformance/subject.ts";
import { openPosixStorage } from "./driver.ts";
import { type Files, systemFiles } from "./files.ts";
import { Slots, slotsOf } from "./slots.ts";

/** Calls that begin when they get a slot, and end when they are told to. */
function controlled() {
  const begun: { end: () => void; fail: (error: Error) => void }[] = [];
  const call = (): Promise<void> =>
    new Promise((end, fail) => {
      begun.push({ end, fail });
    });
  return { begun, call };
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("no more calls than slots run at once; the next begins when one ends, well or not, in order", async () => {
  const slots = new Slots({ callsMax: 2 });
  const { begun, call } = controlled();
  const order: number[] = [];
  const calls = [0, 1, 2, 3].map((index) =>
    slots.run(call).then(
      () => order.push(index),
      () => order.push(-index),
    ),
  );
  await tick();
  assert.equal(begun.length, 2);
  begun[1]?.fail(new Error("a failed call gives its slot back"));
  await tick();
  assert.equal(begun.length, 3);
  begun[0]?.end();
  await tick();
  assert.equal(begun.length, 4);
  for (const { end } of begun) end();
  await Promise.all(calls);
  assert.deepEqual(order, [-1, 0, 2, 3]);
});

test("waiting ends with the signal, and the call never begins", async () => {
  const slots = new Slots({ callsMax: 1 });
  const { begun, call } = controlled();
  const first = slots.run(call);
  const controller = new AbortController();
  const waiting = slots.run(call, controller.signal);
  const next = slots.run(call);
  controller.abort(new Error("left"));
  await assert.rejects(waiting, /left/);
  await assert.rejects(slots.run(call, controller.signal), /left/);
  begun[0]?.end();
  await first;
  await tick();
  begun[1]?.end();
  await next;
  assert.equal(begun.length, 2);
});

test("a stuck mount: waiters are told, later calls refused at once, closing waits, and one end lets all in", async (t) => {
  // It passes by hand: no pause of the machine's makes the mount stuck again.
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const slots = new Slots({ callsMax: 2, stuckMsMin: 50 });
  const { begun, call } = controlled();
  const stuck = [slots.run(call), slots.run(call)];
  const closing = slots.runAnyway(call);
  const told = assert.rejects(slots.run(call), {
    code: "unavailable",
    message: /2 calls to it are stuck/,
  });
  let isTold = false;
  void told.then(() => {
    isTold = true;
  });
  now = 49;
  await delay(60);
  assert.equal(isTold, false);
  now = 50;
  await told;
  const refused = slots.run(call).catch(() => "refused");
  assert.equal(await Promise.race([refused, tick()]), "refused", "at once");
  begun[0]?.end();
  await tick();
  assert.equal(begun.length, 3, "the closing call began");
  const waiting = slots.run(call);
  for (const { end } of begun) end();
  await tick();
  begun[3]?.end();
  await Promise.all([...stuck, closing, waiting]);
});

test("a mount whose calls are slow, and end, is not stuck", async () => {
  const slots = new Slots({ callsMax: 2, stuckMsMin: 1_000 });
  const calls = Array.from({ length: 30 }, () => slots.run(() => delay(100)));
  await Promise.all(calls);
});

test("a mount that nobody used for long is not stuck when its slots are taken", async () => {
  const slots = new Slots({ callsMax: 1, stuckMsMin: 500 });
  await slots.run(() => delay(1));
  await delay(600);
  const calls = [slots.run(() => delay(20)), slots.run(() => delay(20))];
  await Promise.all(calls);
});

test("all who open one folder share its slots", () => {
  assert.equal(slotsOf("/some/folder", { callsMax: 3 }), slotsOf("/some/folder", { callsMax: 3 }));
  assert.notEqual(slotsOf("/some/folder", {}), slotsOf("/another/folder", {}));
});

const leftOversCount = async (root: string): Promise<number> =>
  (await readdir(join(root, ".roma", "tmp"))).length;

/** A storage whose calls hang while `hold` says so. */
async function open(t: TestContext, options: { callsMax: number; stuckMsMin: number }) {
  const root = await mkdtemp(join(tmpdir(), "roma-slots-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  const gate = Promise.withResolvers<void>();
  const state = { held: false, running: 0, most: 0, release: gate.resolve };
  const names = Object.keys(systemFiles) as (keyof Files)[];
  const held = names.map((name) => {
    const run = systemFiles[name] as (...args: never[]) => Promise<unknown>;
    const holding = async (...args: never[]): Promise<unknown> => {
      state.running += 1;
      state.most = Math.max(state.most, state.running);
      try {
        if (state.held) await gate.promise;
        return await run(...args);
      } finally {
        state.running -= 1;
      }
    };
    return [name, holding] as const;
  });
  const files = Object.fromEntries(held) as unknown as Files;
  const driver = await openPosixStorage({
    id: "disk",
    root,
    createMarker: true,
    files,
    ...options,
  });
  return { driver, root, state };
}

test("no operation of a storage goes around its slots", async (t) => {
  const { driver, state } = await open(t, { callsMax: 3, stuckMsMin: 20_000 });
  await Promise.all(Array.from({ length: 40 }, (_, index) => put(driver, `a/${index}`, "x")));
  const upload = await driver.parts!.create("parts", { signal: calm, partBytes: 5 });
  await Promise.all([
    ...Array.from({ length: 20 }, (_, index) => read(driver, `a/${index}`)),
    ...Array.from({ length: 20 }, (_, index) => driver.delete(`a/${20 + index}`, { signal: calm })),
    ...Array.from({ length: 9 }, () => driver.probe({ signal: calm })),
    ...Array.from({ length: 5 }, () => keysOf(driver)),
    driver.parts!.writePart(upload, 1, Buffer.of(1), { signal: calm, digests: {} }),
    leftOversOf(driver),
    driver.space?.({ signal: calm }),
  ]);
  assert.equal(state.most, 3);
});

test("calls that hang: later ones of the storage are told that they are stuck, and afterwards nothing is left", async (t) => {
  const { driver, state, root } = await open(t, { callsMax: 4, stuckMsMin: 100 });
  await put(driver, "before", "x");
  const controller = new AbortController();
  // These are past their first call when the mount begins to hang: they have files to close.
  const writing = Array.from({ length: 4 }, (_, index) => {
    const { signal } = controller;
    return assert.rejects(driver.put(`half-${index}`, hanging(Buffer.alloc(100_000)), { signal }), {
      message: "left",
    });
  });
  while ((await leftOversCount(root)) < 4) await delay(5);
  state.held = true;
  const told = Array.from({ length: 64 }, (_, index) => put(driver, `stuck-${index}`, "x"));
  const outcomes = Promise.allSettled(told);
  await rejectsWith("unavailable", driver.head("before", { signal: calm }));
  await assert.rejects(openPosixStorage({ id: "disk", root }), { code: "unavailable" });
  controller.abort(new Error("left"));
  state.held = false;
  state.release();
  await Promise.all(writing);
  const refused = (await outcomes).filter(({ status }) => status === "rejected");
  assert.ok(refused.length >= 56, `${refused.length} were told`);
  assert.equal(state.most, 4);
  assert.equal((await read(driver, "before")).toString(), "x");
  assert.equal(state.running, 0);
  assert.deepEqual(await leftOversOf(driver), []);
  assert.equal(await leftOversCount(root), 0);
});
