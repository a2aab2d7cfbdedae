// The cold probe: what it writes and reads, what it measures, and that it hurts nothing.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import { calm, keysOf, put, rejectsWith } from "../conformance/subject.ts";
import { openMemoryStorage } from "../memory/driver.ts";
import { ColdProbe, type ColdProbeOptions } from "./cold-probe.ts";
import { faults } from "./faults.ts";
import { forward } from "./forward.ts";
import { withLayers } from "./stack.ts";
import { movedTime, rememberingMeter } from "./testing.ts";

function probing(driver: StorageDriver, options: ColdProbeOptions = {}) {
  const time = movedTime();
  const meter = rememberingMeter();
  const { clock, timer } = time;
  const probe = new ColdProbe(driver, { clock, timer, meter, blobsMax: 3, ...options });
  return { probe, time, meter, round: () => probe.round(calm) };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

test("each round reads the blob left alone the longest, and writes one until the set is full", async () => {
  const driver = withLayers(openMemoryStorage({ id: "m" }));
  const { round } = probing(driver);
  const rounds = [];
  for (let count = 0; count < 7; count += 1) {
    const { read, wrote } = await round();
    rounds.push(`${read?.slice(-2) ?? "-"} ${wrote?.slice(-2) ?? "-"}`);
  }
  assert.deepEqual(rounds, ["- 00", "00 01", "00 02", "01 -", "00 -", "02 -", "01 -"]);
  assert.deepEqual(await keysOf(driver), ["roma/probe/00", "roma/probe/01", "roma/probe/02"]);
});

test("while the breaker refuses writes, a full set is written too, until one is taken", async () => {
  const rules = [4, 5, 6].map((nth) => ({
    operation: "put" as const,
    nth,
    fault: { kind: "fail" as const, code: "unavailable" as const },
  }));
  const time = movedTime();
  const { clock } = time;
  const driver = withLayers(openMemoryStorage({ id: "m" }), {
    clock,
    innermost: [faults({ rules })],
    breaker: { failuresMax: 2, openMsMin: 10 },
  });
  const { round } = probing(driver);
  for (let count = 0; count < 3; count += 1) await round();
  assert.equal((await round()).wrote, undefined);
  for (let count = 0; count < 2; count += 1)
    await rejectsWith("unavailable", put(driver, "k", "x"));
  assert.equal(driver.breaker?.(), "open");
  time.move(10);
  await rejectsWith("unavailable", round());
  assert.equal(driver.breaker?.(), "open");
  time.move(20);
  const { read, wrote } = await round();
  assert.equal(wrote, read, "it takes the blob that is warm");
  assert.equal(driver.breaker?.(), "closed");
  assert.equal((await round()).wrote, undefined);
});

test("the time to the first byte is observed, as an operation of its own", async () => {
  const inner = openMemoryStorage({ id: "m" });
  let opened = (): void => undefined;
  const slow = forward(inner, {
    get: (key, given) => {
      opened();
      return inner.get(key, given);
    },
  });
  const { round, time, meter } = probing(slow);
  await round();
  opened = () => time.move(2_500);
  assert.equal((await round()).firstByteMs, 2_500);
  const labels = { storage: "m", operation: "cold_probe" };
  assert.deepEqual(meter.observed("storage_first_byte_seconds", labels), [2.5]);
  assert.equal(meter.value("storage_cold_probes_total", { outcome: "ok" }), 2);
});

test("blobs of an earlier start are read, one that is gone is written again, a changed one is damage", async () => {
  const driver = openMemoryStorage({ id: "m" });
  const before = probing(driver);
  for (let count = 0; count < 3; count += 1) await before.round();
  await driver.delete("roma/probe/00", { signal: calm });
  const { round, meter } = probing(driver);
  assert.deepEqual(
    [(await round()).read, (await round()).read],
    ["roma/probe/01", "roma/probe/02"],
  );
  assert.deepEqual(await keysOf(driver), ["roma/probe/00", "roma/probe/01", "roma/probe/02"]);
  await put(driver, "roma/probe/00", "other bytes");
  await round();
  await rejectsWith("data_damaged", round());
  assert.equal(meter.value("storage_cold_probes_total", { outcome: "data_damaged" }), 1);
});

test("where nothing may be written it only reads", async () => {
  const driver = openMemoryStorage({ id: "m" });
  await probing(driver).round();
  const { round } = probing(driver, { mayWrite: () => false });
  assert.equal((await round()).read, "roma/probe/00");
  assert.deepEqual(await keysOf(driver), ["roma/probe/00"]);
});

test("rounds come once in an interval, also after failures, and end with the probe", async () => {
  const rules = [
    { operation: "list", nth: 1, fault: { kind: "fail", code: "unavailable" } },
  ] as const;
  const driver = faults({ rules })(openMemoryStorage({ id: "m" }));
  const { probe, time, meter } = probing(driver);
  probe.start();
  time.move(59_999);
  await settled();
  assert.equal(meter.value("storage_cold_probes_total"), 0);
  for (const outcome of ["unavailable", "ok"]) {
    time.move(60_000);
    await settled();
    assert.equal(meter.value("storage_cold_probes_total", { outcome }), 1);
  }
  await probe[Symbol.asyncDispose]();
  assert.equal(time.waiting(), 0);
});

test("a round on a storage that hangs is given up, and stopping does not wait for it", async () => {
  const rules = [{ operation: "put", fault: { kind: "hang" } }] as const;
  const driver = withLayers(openMemoryStorage({ id: "m" }), { innermost: [faults({ rules })] });
  const { probe, time, meter } = probing(driver);
  probe.start();
  time.move(60_000);
  await settled();
  time.move(50_000);
  await settled();
  assert.equal(meter.value("storage_cold_probes_total", { outcome: "unavailable" }), 1);
  time.move(60_000);
  await settled();
  await probe[Symbol.asyncDispose]();
});
