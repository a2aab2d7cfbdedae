// What is in a worker, written down on demand.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { startServer } from "../harness/server-process.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { childrenOf, eventually } from "./tiny.ts";

const mainFile = resolve(import.meta.dirname, "../../packages/cli/src/main.ts");

test("roma debug lists workers, and writes a report, a profile and a snapshot for their owner alone", async (t) => {
  const server = await startServer(t, { flags: ["--workers", "1", "--debug-files-max", "2"] });
  const listed = await roma(["debug", "workers", "--data", server.data, "--json"]);
  const [worker] = childrenOf(server.pid);
  assert.deepEqual([listed.json.worker, listed.json.pid], [1, worker]);
  assert.ok(Number(listed.json.heapBytes) > 1e6);

  const report = await dump(server.data, "report");
  const written = readFileSync(report, "utf8");
  assert.ok(JSON.parse(written).javascriptHeap.usedMemory > 1e6);
  assert.ok(!written.includes("a-secret-for-tests-only"), "no environment, no secrets");
  assert.equal(statSync(report).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(report)).mode & 0o777, 0o700);

  const profile = await dump(server.data, "allocation-profile", "--seconds", "1", "--worker", "1");
  assert.ok("head" in JSON.parse(readFileSync(profile, "utf8")));
  const snapshot = await dump(server.data, "heap-snapshot", "--worker", String(worker));
  assert.ok("snapshot" in JSON.parse(readFileSync(snapshot, "utf8")));
  const files = readdirSync(dirname(report)).filter((name) => !name.endsWith(".sock"));
  assert.equal(files.length, 2, "the oldest went");

  const wrong = await roma(["debug", "report", "--data", server.data, "--worker", "7"]);
  assert.deepEqual([wrong.code, /say which --worker: 1/.test(wrong.stderr)], [2, true]);
  await server.stop();
  assert.deepEqual(
    readdirSync(dirname(report)).filter((name) => name.endsWith(".sock")),
    [],
  );
  const none = await roma(["debug", "report", "--data", server.data]);
  assert.match(none.stderr, /no server has its sockets in/);
});

test("SIGUSR2 to the supervisor has a worker write a heap snapshot, and it serves on", async (t) => {
  const folder = join(await temporaryFolder(t), "dumps");
  const server = await startServer(t, {
    flags: ["--workers", "1", "--debug-folder", folder, "--log-level", "debug"],
  });
  const ready = ({ message }: { message: string }) => message === "a worker is ready";
  await eventually("the supervisor knows", () => server.log.some(ready));
  process.kill(server.pid, "SIGUSR2");
  const written = ({ message }: { message: string }) => message === "heap-snapshot written";
  await eventually("it is written", () => server.log.some(written), 60_000);
  const files = readdirSync(folder).filter((name) => name.endsWith(".heapsnapshot"));
  assert.equal(files.length, 1);
  assert.equal((await fetch(`${server.opsUrl}/livez`)).status, 200);
});

test("nothing is written when the disk has no room to spare", async (t) => {
  const server = await startServer(t, { flags: ["--debug-free-bytes-min", "1 TiB"] });
  const { code, stderr } = await roma(["debug", "report", "--data", server.data]);
  assert.equal(code, 1);
  assert.match(stderr, /debug\.freeBytesMin keeps 1048576 MiB/);
  const files = readdirSync(join(server.data, "debug"));
  assert.deepEqual(files, [`${server.pid}.sock`]);
});

async function dump(data: string, kind: string, ...flags: readonly string[]): Promise<string> {
  const { code, json, stderr } = await roma(["debug", kind, "--data", data, "--json", ...flags]);
  assert.equal(code, 0, stderr);
  return String(json.path);
}

function roma(args: readonly string[]) {
  return new Promise<{ code: number; json: Record<string, unknown>; stderr: string }>((done) => {
    execFile(process.execPath, [mainFile, ...args], (error, stdout, stderr) => {
      const code = typeof error?.code === "number" ? error.code : 0;
      done({ code, json: stdout.startsWith("{") ? JSON.parse(stdout) : {}, stderr });
    });
  });
}
