// Real mounts that are really full: a tmpfs of a few MiB, and one of a few inodes. Needs root.

import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  bytesOf,
  calm,
  keysOf,
  leftOversOf,
  put,
  read,
  rejectsWith,
} from "../conformance/subject.ts";
import { describeStorageDriver } from "../conformance.ts";
import { openPosixStorage } from "./driver.ts";

async function mounted(t: TestContext, options: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "roma-mount-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", options, "none", folder]);
  t.after(async () => {
    execFileSync("umount", ["-l", folder]);
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

function canMount(): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  try {
    execFileSync("unshare", ["-m", "mount", "-t", "tmpfs", "none", tmpdir()], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const leftOut = canMount() ? false : "left out: mounting a tmpfs needs root";

const openOn = async (root: string) =>
  await openPosixStorage({ id: "small", root, createMarker: true });

if (leftOut === false) {
  describeStorageDriver(
    "posix on a tmpfs",
    async (t) => {
      const root = await mounted(t, "size=256m");
      const driver = await openOn(root);
      return { driver, reopen: () => openPosixStorage({ id: "small", root, uuid: driver.uuid }) };
    },
    { openFull: async (t) => ({ driver: await openOn(await mounted(t, "size=4m")) }) },
  );
}

test("without free inodes a put is storage_full, and works again after a delete", {
  skip: leftOut,
}, async (t) => {
  const driver = await openOn(await mounted(t, "size=4m,nr_inodes=24"));
  const stored: string[] = [];
  await rejectsWith(
    "storage_full",
    (async () => {
      for (let index = 0; index < 40; index += 1) {
        await put(driver, `f${index}/blob`, "x");
        stored.push(`f${index}/blob`);
      }
    })(),
  );
  assert.ok(stored.length > 2);
  assert.deepEqual(await keysOf(driver), stored.toSorted());
  assert.deepEqual(await leftOversOf(driver), []);
  const space = await driver.space?.({ signal: calm });
  assert.ok(space?.inodesFree !== undefined && space.inodesFree <= 2);
  assert.equal((await read(driver, stored[0]!)).toString(), "x");
  await driver.delete(stored[0]!, { signal: calm });
  await put(driver, stored[0]!, "again");
});

test("a storage whose mount is gone writes nothing into the folder below", {
  skip: leftOut,
}, async (t) => {
  const root = await mounted(t, "size=16m");
  const driver = await openOn(root);
  await put(driver, "a", bytesOf(1000));
  execFileSync("umount", ["-l", root]);
  await rejectsWith("unavailable", put(driver, "b", "x"));
  await rejectsWith("unavailable", driver.head("a", { signal: calm }));
  await rejectsWith("unavailable", openPosixStorage({ id: "small", root }));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m", "other", root]);
  await rejectsWith("unavailable", put(driver, "b", "x"));
});
