/** Freezes a mounted file system: whoever would change it waits in the kernel until it is thawed. */
import { execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { TestContext } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";

/** Thaws once: when asked, after the test, or 60 s later, also if this process is gone by then. */
export function freeze(t: TestContext, mountPoint: string): () => void {
  const keep = 'read -t 60 -r _; fsfreeze --unfreeze "$0" 2>/dev/null';
  const keeper = spawn("bash", ["-c", keep, mountPoint], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  keeper.unref();
  execFileSync("fsfreeze", ["--freeze", mountPoint]);
  let frozen = true;
  const thaw = (): void => {
    if (!frozen) return;
    frozen = false;
    execFileSync("fsfreeze", ["--unfreeze", mountPoint]);
    keeper.kill();
  };
  cleanUp(t, thaw);
  return thaw;
}

/** Threads of a process that wait in the kernel and cannot be woken. */
export function stuckThreads(pid: number | "self"): number {
  const states = readdirSync(`/proc/${pid}/task`).map((thread) => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1");
    } catch {
      return "";
    }
  });
  return states.filter((state) => /\) D /.test(state)).length;
}
