/** What another user left behind, after a start as root: it is named, and what can do without it starts. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { chmod, chown, mkdir, readdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { get, put } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { rootKey, startServer, temporaryFolder } from "../harness/server-process.ts";
import { mountTmpfs } from "../harness/tmpfs.ts";
import { requirePrerequisite } from "../prerequisites.ts";

const mainFile = resolve(import.meta.dirname, "../../packages/cli/src/main.ts");
/** `nobody` of most systems. */
const nobody = 65534;

async function giveAway(path: string): Promise<void> {
  await chown(path, nobody, nobody);
  if (!statSync(path).isDirectory()) return;
  for (const name of await readdir(path)) await giveAway(join(path, name));
}

/** Whether that user can read the program at all. */
function canRun(t: TestContext): boolean {
  accessSync(mainFile, constants.R_OK);
  for (let folder = mainFile; folder !== "/"; folder = resolve(folder, "..")) {
    if ((statSync(folder).mode & 0o5) !== 0o5 && folder !== mainFile) {
      t.skip(`user ${nobody} cannot reach the tree: ${folder}`);
      return false;
    }
  }
  return true;
}

function startAsNobody(t: TestContext, data: string, flags: readonly string[]) {
  const serve = ["serve", "--workers", "0", "--data", data, "--port", "0", "--ops-port", "0"];
  const child = spawn(process.execPath, [mainFile, ...serve, "--log-format", "json", ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH, ROMA_ROOT_KEY: rootKey, ROMA_DISK_BALLAST_BYTES: "0" },
    ...{ uid: nobody, gid: nobody },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ended = new Promise<number | null>((done) => child.once("close", done));
  cleanUp(t, async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return { child, ended, output: () => output };
}

test("a log on a full file system that root owns, and state that root owns: the start names every file and what to do, and once they are given it starts without its log file", async (t) => {
  if (!requirePrerequisite(t, "root") || !requirePrerequisite(t, "tmpfs") || !canRun(t)) return;
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o755);
  const data = join(folder, "data");
  const logs = join(folder, "logs");
  await mountTmpfs(t, logs, { bytes: 64 * 1024, inodes: 10 });
  await chmod(logs, 0o755);
  await assert.rejects(writeFile(join(logs, "filler"), Buffer.alloc(1024 * 1024)), /ENOSPC/);
  const file = join(logs, "roma.log");
  // As root: metadata, keys and log are root's.
  const server = await startServer(t, { data, flags: ["--log-file", file] });
  assert.equal((await put(server, "k", Buffer.from("x"))).status, 201);
  await server.stop();
  await giveAway(data);
  const state = ["metadata.sqlite", "seal.key"].map((name) => join(data, name));
  for (const path of state) await chown(path, 0, 0);

  const refused = startAsNobody(t, data, ["--log-file", file]);
  assert.equal(await refused.ended, 1);
  for (const path of state) {
    assert.ok(refused.output().includes(`${path} cannot be`), refused.output());
  }
  assert.match(refused.output(), /belongs to user 0, group 0, mode 600/);
  assert.match(refused.output(), /chown -R 65534:65534/);

  for (const path of state) await giveAway(path);
  const started = startAsNobody(t, data, ["--log-file", file]);
  await eventually("it listens", () => /roma listening on/.test(started.output()), 180_000);
  const url = /"url":"([^"]+)"/.exec(started.output())?.[1] ?? "";
  assert.deepEqual((await get({ url }, "k")).body, Buffer.from("x"));
  assert.equal((await put({ url }, "k2", Buffer.from("y"))).status, 201);
  await eventually("it says what it cannot write", () =>
    /the log cannot be written to file/.test(started.output()),
  );
  assert.match(started.output(), /EACCES|ENOSPC/);
  started.child.kill("SIGTERM");
  assert.equal(await started.ended, 0);
});

test("a data folder that belongs to root is refused by its path", async (t) => {
  if (!requirePrerequisite(t, "root") || !canRun(t)) return;
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o755);
  const data = join(folder, "data");
  await mkdir(data, { mode: 0o700 });
  const refused = startAsNobody(t, data, []);
  assert.equal(await refused.ended, 1);
  assert.ok(refused.output().includes(`${data} cannot be written: it belongs to user 0`));
  assert.ok(!existsSync(join(data, "metadata.sqlite")));
});
