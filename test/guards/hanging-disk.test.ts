/** A storage's file system that does not answer a look any more: told of, without harm to anything else, and taken back. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { cleanUp } from "../harness/cleanup.ts";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer, temporaryFolder } from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";

const old = Buffer.alloc(64 * 1024, "the old bytes ");

/** A look counts as hanging after 3 s; everything else is the machine's. */
const seenMsMax = 120_000;

describeWhere(["moosefs", "fuse", "namespaces"], "a mount whose server stands still", () => {
  const moosefs = useService("moosefs", { MFS_MOUNTS: "2" });

  test("it is told of as disk_hanging by metric, alert, log and /readyz, other storages and /livez go on, and it clears once the mount answers", async (t) => {
    const root = join(moosefs.value("MFS_MOUNT"), "told-of");
    await mkdir(root);
    const server = await start(t, root);
    const goOn = await standStill(t, moosefs.value("MFS_MOUNT_PIDFILE"));
    await eventually("it is told of", async () => (await told(server)).metric === "1", seenMsMax);
    assert.deepEqual(await told(server), { metric: "1", alert: "1", ready: false });
    await eventually("it is in the log", () =>
      said(server, 50, /the disk of storage:far does not answer/),
    );
    for (let round = 0; round < 20; round += 1) {
      assert.equal((await fetch(`${server.opsUrl}/livez`)).status, 200);
      assert.deepEqual((await send(server, "GET", "/v1/objects/near/old")).body, old);
      const path = `/v1/objects/near/new-${round}`;
      assert.equal((await send(server, "PUT", path, { body: "new" })).status, 201);
    }
    assert.deepEqual(await told(server), { metric: "1", alert: "1", ready: false });

    goOn();
    await clears(server);
    await eventually("that is in the log", () =>
      said(server, 30, /the disk of storage:far answers again/),
    );
    await eventually(
      "its objects are read again",
      async () => (await send(server, "GET", "/v1/objects/far/old")).status === 200,
      seenMsMax,
    );
    assert.deepEqual((await send(server, "GET", "/v1/objects/far/old")).body, old);
  });

  test("a storage that is taken to another mount of the same files while the first one hangs is not told of any more", async (t) => {
    const root = join(moosefs.value("MFS_MOUNT"), "taken-away");
    await mkdir(root);
    const server = await start(t, root);
    await standStill(t, moosefs.value("MFS_MOUNT_PIDFILE"));
    await eventually("it is told of", async () => (await told(server)).metric === "1", seenMsMax);

    const elsewhere = join(moosefs.value("MFS_MOUNT2"), basename(root));
    const body = JSON.stringify({ driver: "posix", root: elsewhere });
    const answer = await send(server, "PUT", "/v1/storages/far", { body });
    assert.equal(answer.status, 200, answer.body.toString());
    await clears(server);
    assert.deepEqual((await send(server, "GET", "/v1/objects/far/old")).body, old);
  });
});

/** With the storages `far`, at the root, and `near`, a bucket of each name, and an object in both. */
async function start(t: TestContext, root: string): Promise<ServerProcess> {
  const server = await startServer(t, { flags: ["--disk-interval", "100ms", "--drain", "1s"] });
  for (const [id, at] of [
    ["far", root],
    ["near", await temporaryFolder(t)],
  ] as const) {
    for (const [path, body] of [
      [`/v1/storages/${id}`, JSON.stringify({ driver: "posix", root: at })],
      [`/v1/buckets/${id}`, JSON.stringify({ placement: id })],
      [`/v1/objects/${id}/old`, old],
    ] as const) {
      const answer = await send(server, "PUT", path, { body });
      assert.equal(answer.status, 201, answer.body.toString());
    }
  }
  await eventually("its disk is looked at", async () => (await told(server)).ready === true);
  return server;
}

/** What the server says of the disk of `far`. */
async function told(server: ServerProcess) {
  const text = await (await fetch(`${server.opsUrl}/metrics`)).text();
  const valueAt = (line: string): string | undefined =>
    text
      .split("\n")
      .find((one) => one.startsWith(`${line} `))
      ?.slice(line.length + 1);
  const readyz = await (await fetch(`${server.opsUrl}/readyz`)).json();
  const { checks } = readyz as { checks: { name: string; ok: boolean }[] };
  return {
    metric: valueAt('disk_hanging{mount="storage:far"}') ?? "0",
    alert: valueAt('alerts_active{name="disk_hanging"}'),
    ready: checks.find(({ name }) => name === "disk storage:far")?.ok,
  };
}

/** All three at once: on a busy machine a look may take longer than 3 s once more. */
async function clears(server: ServerProcess): Promise<void> {
  const well = { metric: "0", alert: "0", ready: true };
  await eventually("it clears", async () => isDeepStrictEqual(await told(server), well), seenMsMax);
}

function said(server: ServerProcess, level: number, pattern: RegExp): boolean {
  return server.log.some((line) => line.level === level && pattern.test(line.message));
}

/**
 * Stops the process that serves a mount: whoever asks the mount waits. It goes on when asked, after the test, or 400 s
 * later, also if this process is gone by then.
 */
async function standStill(t: TestContext, pidFile: string): Promise<() => void> {
  const pid = Number.parseInt(await readFile(pidFile, "utf8"), 10);
  assert.ok(pid > 1, pidFile);
  const keeper = spawn("bash", ["-c", 'read -t 400 -r _; kill -CONT "$0"', `${pid}`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  keeper.unref();
  process.kill(pid, "SIGSTOP");
  let isStill = true;
  const goOn = (): void => {
    if (!isStill) return;
    isStill = false;
    process.kill(pid, "SIGCONT");
    keeper.stdin.end();
  };
  cleanUp(t, goOn);
  await eventually("it stands still", async () => {
    return /\) T /.test(await readFile(`/proc/${pid}/stat`, "latin1"));
  });
  return goOn;
}
