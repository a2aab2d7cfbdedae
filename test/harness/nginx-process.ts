/** A real nginx over a folder with its `nginx.conf`, ended after the test. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod } from "node:fs/promises";
import type { TestContext } from "node:test";
import { cleanUp } from "./cleanup.ts";

/** Started, which does not mean that it listens already. The configuration says `daemon off`. */
export async function spawnNginx(t: TestContext, folder: string): Promise<void> {
  // Its workers may run as somebody else.
  await chmod(folder, 0o755);
  const child = spawn("nginx", ["-p", folder, "-e", "error.log", "-c", "nginx.conf"], {
    env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const exit = once(child, "exit");
  cleanUp(t, async () => {
    child.kill("SIGTERM");
    await exit;
  });
}
