// Cases of the contract: failures have a code that tells what to do, and leave no half blob.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isOperationalError } from "../../core/errors.ts";
import {
  assertSame,
  bytesOf,
  calm,
  chunked,
  leftOversOf,
  put,
  read,
  rejectsWith,
  type StorageUnderTest,
} from "./subject.ts";

export function failureCases({ open, openFull }: StorageUnderTest): void {
  test("a storage that is there answers the probe, and tells its space or has none to tell", async (t) => {
    const { driver } = await open(t);
    await driver.probe({ signal: calm });
    const space = await driver.space?.({ signal: calm });
    if (space === undefined) return;
    assert.ok(space.bytesFree > 0 && space.bytesTotal >= space.bytesFree);
  });

  test("disposing ends after the running put, and refuses what comes later", async (t) => {
    const { driver, reopen } = await open(t);
    const bytes = bytesOf(300_000);
    let begun = (): void => undefined;
    const pulled = new Promise<void>((resolve) => {
      begun = resolve;
    });
    let goOn = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    async function* slow() {
      yield bytes.slice(0, 100_000);
      begun();
      await gate;
      yield bytes.slice(100_000);
    }
    const putting = driver.put("drained", slow(), { signal: calm });
    await pulled;
    const disposing = Promise.resolve(driver[Symbol.asyncDispose]());
    await rejectsWith("unavailable", put(driver, "late", "x"));
    await rejectsWith("unavailable", driver.head("late", { signal: calm }));
    goOn();
    await putting;
    await disposing;
    if (reopen !== undefined) assertSame(await read(await reopen(), "drained"), bytes);
  });

  test("a full storage is storage_full, keeps what it has and takes it out again", async (t) => {
    if (openFull === undefined) return t.diagnostic("no storage of this kind can be full here");
    const { driver } = await openFull(t);
    const kept = bytesOf(100_000);
    await put(driver, "kept", kept);
    const body = chunked(bytesOf(64 * 1024 * 1024));
    await assert.rejects(driver.put("big", body, { signal: calm }), (error) => {
      assert.ok(isOperationalError(error, "storage_full"), String(error));
      assert.equal(error.retryable, true);
      return true;
    });
    assert.deepEqual(await leftOversOf(driver), []);
    await rejectsWith("object_not_found", driver.head("big", { signal: calm }));
    assertSame(await read(driver, "kept"), kept);
    await put(driver, "small", "fits");
    await driver.delete("kept", { signal: calm });
    await put(driver, "kept", kept);
  });
}
