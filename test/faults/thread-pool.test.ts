/**
 * The thread pool is large however the server is started, the operator is told where it is not, and a
 * call that hangs in it keeps no server from ending.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { describe, type TestContext, test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { eventually } from "../harness/process-usage.ts";
import { startServer, temporaryFolder } from "../harness/server-process.ts";

const root = resolve(import.meta.dirname, "../..");
const serverModule = JSON.stringify(join(root, "packages/server/src/index.ts"));

function poolThreads(pid: number): number {
  const names = readdirSync(`/proc/${pid}/task`).map((thread) => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/comm`, "latin1").trim();
    } catch {
      // It has ended.
      return "";
    }
  });
  return names.filter((name) => name === "libuv-worker").length;
}

/** The one process that the supervisor has started. */
function workerOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim());
}

/** Resolves to the process's id once it listens; it is ended after the test. */
async function started(
  t: TestContext,
  command: string,
  args: readonly string[],
): Promise<{ readonly pid: number; readonly lines: readonly string[] }> {
  const { UV_THREADPOOL_SIZE: _, ...env } = process.env;
  const data = await temporaryFolder(t);
  const child = spawn(command, [...args, "--data", data, "--port", "0", "--ops-port", "0"], {
    cwd: root,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    const pid = /"pid":(\d+).*roma listening on/.exec(line)?.[1];
    if (pid === undefined) continue;
    cleanUp(t, async () => {
      process.kill(Number(pid), "SIGTERM");
      await exited;
    });
    return { pid: Number(pid), lines };
  }
  throw new Error(`it did not listen\n${lines.join("\n")}`);
}

const onLinux = { skip: process.platform === "linux" ? false : "threads are counted in /proc" };

describe("the thread pool", onLinux, () => {
  test("npm start and roma serve have 64 threads in it, and warn of nothing", async (t) => {
    const bin = join(root, "packages/cli/src/main.ts");
    for (const [command, ...args] of [
      ["npm", "start", "--silent", "--", "--log-format", "json"],
      [bin, "serve", "--log-format", "json"],
    ] as const) {
      const { pid, lines } = await started(t, command, args);
      assert.equal(poolThreads(workerOf(pid)), 64, command);
      assert.ok(poolThreads(pid) < 64, "not the supervisor's");
      assert.ok(!lines.some((line) => line.includes("thread pool")), lines.join("\n"));
    }
  });

  test("so has a program that serves after it has printed and imported, and one that embeds", async (t) => {
    const serves = `
      console.log("first");
      const { runServe } = await import(${serverModule});
      await runServe(["--log-format", "json", ...process.argv.slice(2)]);`;
    const embeds = `
      import { parseServerConfig, silentLog, startServer, widenThreadPool } from ${serverModule};
      widenThreadPool();
      const [, , , data] = process.argv;
      const config = parseServerConfig({ data, port: 0, opsPort: 0 });
      const server = await startServer(config, { log: silentLog });
      console.log(JSON.stringify({ pid: process.pid, msg: "roma listening on" }));
      process.once("SIGTERM", () => server.close());`;
    for (const program of [serves, embeds]) {
      const file = join(await temporaryFolder(t), "program.mjs");
      await writeFile(file, program);
      const { pid } = await started(t, process.execPath, [file]);
      assert.equal(poolThreads(program === embeds ? pid : workerOf(pid)), 64, program);
    }
  });

  test("a size that the operator set is kept, and a small one is warned of", async (t) => {
    for (const [size, warned] of [
      ["8", true],
      ["200", false],
    ] as const) {
      const server = await startServer(t, { environment: { UV_THREADPOOL_SIZE: size } });
      assert.equal(poolThreads(server.pid), Number(size));
      const warning = server.log.find(({ message }) => message.startsWith("the thread pool has 8"));
      assert.equal(warning !== undefined, warned);
      if (warned) assert.match(warning?.text ?? "", /"threads":8,"mountCallsMax":4/);
    }
  });

  test("a pool that was in use before is warned of as it is", async (t) => {
    const early = 'data:text/javascript,import{stat}from"node:fs/promises";await stat("/")';
    const server = await startServer(t, { nodeFlags: ["--import", early] });
    const warning = server.log.find(({ message }) => message.startsWith("the thread pool has 4"));
    assert.match(warning?.text ?? "", /"threads":4,"mountCallsMax":2/);
  });

  test("a server in which calls hang stops within some seconds, by the signal that it was told with", async (t) => {
    const folder = await temporaryFolder(t);
    const fifo = join(folder, "fifo");
    execFileSync("mkfifo", [fifo]);
    // Nobody reads from it: the opens wait as on a mount that hangs, long after all else is closed.
    const program = `import fs from "node:fs";
      import { isMainThread } from "node:worker_threads";
      if (isMainThread) setTimeout(() => {
        for (let call = 0; call < 3; call += 1) fs.open(${JSON.stringify(fifo)}, "w", () => {});
        console.log(JSON.stringify({ level: 30, msg: "now they hang" }));
      }, 500);`;
    const early = `data:text/javascript,${encodeURIComponent(program)}`;
    const server = await startServer(t, { nodeFlags: ["--import", early] });
    const hanging = () => server.log.some(({ message }) => message === "now they hang");
    await eventually("the calls hang", hanging);
    const began = performance.now();
    await server.stop();
    const ms = performance.now() - began;
    assert.ok(ms < 25_000, `it ended after ${ms} ms`);
    assert.match(server.log.at(-1)?.message ?? "", /calls hang/);
  });
});
