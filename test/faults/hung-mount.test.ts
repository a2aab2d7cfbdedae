/**
 * A mount that hangs: a frozen file system holds every call that would change it, in the kernel and for
 * as long as it likes. Callers are told in time, the process goes on, and so does the storage after it.
 */
import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  keysOf,
  leftOversOf,
  put,
  rejectsWith,
} from "../../packages/server/src/storage/conformance/subject.ts";
import { withLayers } from "../../packages/server/src/storage/layers/stack.ts";
import { openPosixStorage } from "../../packages/server/src/storage/posix/driver.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { eventually } from "../harness/process-usage.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";

const stuckPuts = 64;
const answerMs = 3_000;

describeWhere(["loop"], "a mount that hangs", () => {
  const disk = useService("loop", { LOOP_BYTES: "48M" });

  test("64 stuck opens: each is told in time, HTTP answers within 1 s all the while, and the storage is back with the mount", async (t) => {
    const mountPoint = disk.value("LOOP_MOUNT");
    const root = await mkdtemp(join(mountPoint, "storage-"));
    const bare = await openPosixStorage({ id: "disk", root, createMarker: true });
    const driver = withLayers(bare, {
      timeout: { answerMs, progressMs: answerMs },
      breaker: { openMsMin: 200, openMsMax: 400 },
    });
    cleanUp(t, async () => {
      await driver[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    });
    await put(driver, "before", "x");
    const url = await listen(t);

    const thaw = freeze(t, mountPoint);
    const began = performance.now();
    const puts = Array.from({ length: stuckPuts }, (_, index) =>
      rejectsWith("unavailable", put(driver, `stuck-${index}`, "x")),
    );
    let told = false;
    const allTold = Promise.all(puts).finally(() => {
      told = true;
    });
    await eventually("calls are stuck in the kernel", () => stuckThreads() > 0);
    let msMax = 0;
    while (!told) {
      msMax = Math.max(msMax, await askMs(url));
      await delay(20);
    }
    await allTold;
    const ms = performance.now() - began;
    assert.ok(ms < answerMs + 2_000, `the last was told after ${ms} ms`);
    assert.ok(stuckThreads() > 0, "the calls are still stuck");
    assert.ok(msMax < 1_000, `HTTP answered after ${msMax} ms`);

    thaw();
    await eventually("a put works again", async () => {
      return await put(driver, "after", "x").then(
        () => true,
        () => false,
      );
    });
    await eventually("what was given up leaves nothing", async () => {
      return (await leftOversOf(driver)).length === 0;
    });
    assert.deepEqual(await keysOf(driver), ["after", "before"]);
  });
});

/** Thaws once: when asked, after the test, or 40 s later, also if this process is gone by then. */
function freeze(t: TestContext, mountPoint: string): () => void {
  const keep = 'read -t 40 -r _; fsfreeze --unfreeze "$0" 2>/dev/null';
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

/** Threads of this process that wait in the kernel and cannot be woken. */
function stuckThreads(): number {
  const states = readdirSync("/proc/self/task").map((thread) => {
    try {
      return readFileSync(`/proc/self/task/${thread}/stat`, "latin1");
    } catch {
      return "";
    }
  });
  return states.filter((state) => /\) D /.test(state)).length;
}

/** Answers without touching a file, as /livez does. */
async function listen(t: TestContext): Promise<string> {
  const server = createServer((_request, response) => response.end("alive"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanUp(t, () => server[Symbol.asyncDispose]());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/livez`;
}

async function askMs(url: string): Promise<number> {
  const began = performance.now();
  await new Promise<void>((resolve, reject) => {
    const asking = get(url, { agent: false }, (answer) => {
      answer.resume().on("end", resolve);
    });
    asking.on("error", reject);
  });
  return performance.now() - began;
}
