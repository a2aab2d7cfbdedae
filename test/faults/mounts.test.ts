/** Mounts that go bad under a storage that is in use, and come back: a real ext4 in an image. */
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import {
  assertSame,
  bytesOf,
  calm,
  keysOf,
  leftOversOf,
  put,
  read,
  rejectsWith,
} from "../../packages/server/src/storage/conformance/subject.ts";
import { withLayers } from "../../packages/server/src/storage/layers/stack.ts";
import { openPosixStorage } from "../../packages/server/src/storage/posix/driver.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { eventually } from "../harness/process-usage.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";

const MiB = 1024 * 1024;
const old = bytesOf(300_000, 1);

describeWhere(["loop"], "mounts that go bad", () => {
  const disk = useService("loop", { LOOP_BYTES: "48M" });
  const mountPoint = (): string => disk.value("LOOP_MOUNT");

  async function open(
    t: TestContext,
  ): Promise<{ readonly driver: StorageDriver; readonly root: string; readonly uuid: string }> {
    const root = await mkdtemp(join(mountPoint(), "storage-"));
    const bare = await openPosixStorage({ id: "disk", root, createMarker: true });
    // Short waits: what matters is that it closes by itself.
    const driver = withLayers(bare, { breaker: { openMsMin: 200, openMsMax: 400 } });
    cleanUp(t, async () => {
      await driver[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    });
    await put(driver, "old", old);
    return { driver, root, uuid: bare.uuid };
  }

  test("mounted read-only and back: puts are unavailable, reads go on, and puts then work again by themselves", async (t) => {
    const { driver } = await open(t);
    const remount = (mode: "ro" | "rw"): void => {
      execFileSync("mount", ["-o", `remount,${mode}`, mountPoint()]);
    };
    remount("ro");
    cleanUp(t, () => remount("rw"));
    for (let round = 0; round < 12; round += 1) {
      await assert.rejects(put(driver, "old", "x"), { code: "unavailable", message: /read-only/ });
      assertSame(await read(driver, "old"), old);
    }
    await rejectsWith("unavailable", driver.delete("old", { signal: calm }));
    assert.deepEqual(await keysOf(driver), ["old"]);
    assert.equal((await driver.head("old", { signal: calm })).length, old.length);
    for (let round = 0; round < 12; round += 1) {
      await rejectsWith("unavailable", put(driver, "new", "x"));
    }
    remount("rw");
    await eventually("a put works again", async () => await succeeds(put(driver, "new", "x")));
    assertSame(await read(driver, "old"), old);
    assert.deepEqual(await keysOf(driver), ["new", "old"]);
    assert.deepEqual(await leftOversOf(driver), []);
  });

  test("a file system that fills up: storage_full, the old blob stays, reads go on, and room made is used", async (t) => {
    const { driver } = await open(t);
    const tooLong = bytesOf(56 * MiB, 2);
    for (let round = 0; round < 3; round += 1) {
      await rejectsWith("storage_full", put(driver, "old", tooLong));
      assertSame(await read(driver, "old"), old);
    }
    assert.deepEqual(await leftOversOf(driver), []);
    const filler = 4 * MiB;
    const stored: string[] = [];
    await rejectsWith(
      "storage_full",
      (async () => {
        for (let index = 10; ; index += 1) {
          await put(driver, `filler-${index}`, bytesOf(filler, index));
          stored.push(`filler-${index}`);
        }
      })(),
    );
    assert.ok(stored.length >= 2, `${stored.length} found room`);
    assert.deepEqual(await keysOf(driver), [...stored, "old"]);
    assertSame(await read(driver, stored.at(-1) ?? ""), bytesOf(filler, stored.length + 9));
    await driver.delete(stored[0] ?? "", { signal: calm });
    await put(driver, "after", bytesOf(filler, 3));
    assertSame(await read(driver, "after"), bytesOf(filler, 3));
    assertSame(await read(driver, "old"), old);
  });

  test("an unmounted folder is refused and stays empty, and its storage is back with the mount", async (t) => {
    const { driver, root, uuid } = await open(t);
    const device = execFileSync("findmnt", ["-n", "-o", "SOURCE", mountPoint()]).toString().trim();
    const image = execFileSync("losetup", ["-n", "-O", "BACK-FILE", device]).toString().trim();
    execFileSync("umount", [mountPoint()]);
    let mounted = false;
    const mount = (): void => {
      if (!mounted) execFileSync("mount", ["-o", "loop", image, mountPoint()]);
      mounted = true;
    };
    cleanUp(t, mount);
    for (const call of [
      () => put(driver, "new", "x"),
      () => read(driver, "old"),
      () => driver.head("old", { signal: calm }),
      () => driver.delete("old", { signal: calm }),
      () => keysOf(driver),
      () => driver.probe({ signal: calm }),
    ]) {
      await rejectsWith("unavailable", call());
    }
    await rejectsWith("unavailable", openPosixStorage({ id: "disk", root, uuid }));
    await rejectsWith("unavailable", openPosixStorage({ id: "disk", root: mountPoint(), uuid }));
    assert.deepEqual(await readdir(mountPoint()), [], "nothing was written below the mount");
    mount();
    await eventually("a put works again", async () => await succeeds(put(driver, "new", "x")));
    assertSame(await read(driver, "old"), old);
    assert.deepEqual(await keysOf(driver), ["new", "old"]);
  });
});

async function succeeds(running: Promise<unknown>): Promise<boolean> {
  try {
    await running;
    return true;
  } catch {
    return false;
  }
}
