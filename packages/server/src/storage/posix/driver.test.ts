import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { describeStorageDriver } from "../conformance.ts";
import { withLayers } from "../layers/stack.ts";
import { openPosixStorage } from "./driver.ts";

async function open(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), "roma-posix-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  const driver = await openPosixStorage({ id: "disk", root, createMarker: true });
  return { driver, reopen: () => openPosixStorage({ id: "disk", root, uuid: driver.uuid }) };
}

describeStorageDriver("posix", open, { constantMemory: true });

describeStorageDriver(
  "posix with all layers",
  async (t) => {
    const { driver, reopen } = await open(t);
    return { driver: withLayers(driver), reopen: async () => withLayers(await reopen()) };
  },
  { constantMemory: true, digests: true },
);
