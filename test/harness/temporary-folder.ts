/** A folder of a test's own, gone when the test ends, after what was opened in it and is closed by `cleanUp`. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { cleanUp } from "./cleanup.ts";

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "roma-test-"));
  cleanUp(t, () => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}
