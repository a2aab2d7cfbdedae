/** A small file system in memory, to be filled up. */
import { execFileSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import type { TestContext } from "node:test";
import { cleanUp } from "./cleanup.ts";

/** Mounts over the folder, which is made; unmounted after the test. */
export async function mountTmpfs(
  t: TestContext,
  folder: string,
  limits: { readonly bytes: number; readonly inodes: number },
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const options = `size=${limits.bytes},nr_inodes=${limits.inodes},mode=0750`;
  execFileSync("mount", ["-t", "tmpfs", "-o", options, "roma-test", folder]);
  cleanUp(t, () => execFileSync("umount", ["--lazy", folder]));
}
