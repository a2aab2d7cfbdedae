// deploy/systemd/roma.service, run by a real systemd.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, globSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { rootKey } from "../harness/server-process.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { smallRequests } from "./small-requests.ts";
import { childrenOf, eventually } from "./tiny.ts";

const script = join(import.meta.dirname, "systemd.sh");
const authorization = `Bearer ${rootKey.replace(":", ".")}`;
const msMax = 180_000;

const dropIn = `[Service]
Environment=ROMA_PORT=0 ROMA_OPS_PORT=0 ROMA_WORKERS=1 ROMA_DRAIN=5s ROMA_ROOT_KEY=${rootKey}
StandardOutput=append:/run/test/roma.log
StandardError=append:/run/test/roma.log
`;

test("systemd starts it as its user, reloads it without a failed request, sees it lose a worker, stops and starts it", async (t) => {
  if (!requirePrerequisite(t, "systemd")) return;
  const service = await boot(t);
  await eventually("it listens", () => service.said("roma listening on").length === 1, msMax);
  const main = service.show("MainPID");
  assert.match(main, /^[1-9]/);
  assert.equal(service.run("stat", "-c", "%U", `/proc/${main}`), "roma");

  const object = `${service.url()}/v1/objects/demo/kept`;
  const bytes = randomBytes(1_000_000);
  const put = await fetch(object, { method: "PUT", headers: { authorization }, body: bytes });
  assert.equal(put.status, 201, await put.text());

  const small = smallRequests(object, { authorization });
  cleanUp(t, () => small.stop());
  service.run("systemctl", "reload", "roma");
  await eventually("replaced", () => service.said("all workers are replaced").length === 1, msMax);
  const { failures, answers } = await small.stop();
  assert.deepEqual(failures, []);
  assert.ok(answers > 5, `${answers} answers`);

  const lost = service.run("pgrep", "-f", "^roma worker");
  service.run("kill", "-KILL", lost);
  const deaths = () => service.said("").filter(({ cause }) => cause !== undefined);
  await eventually("a worker is missed", () => deaths().length === 1, msMax);
  const [death] = deaths();
  assert.equal(death?.workerPid, Number(lost));
  assert.equal(death?.quotaBytes, 2 ** 30, "MemoryMax is what it counts with");
  assert.equal(service.show("ActiveState"), "active");
  assert.equal(service.show("MainPID"), main);
  assert.equal(service.show("NRestarts"), "0");
  await assertServed(object, bytes);

  service.run("systemctl", "stop", "roma");
  assert.equal(service.show("Result"), "success");
  assert.equal(service.show("ExecMainStatus"), "0");
  assert.equal(service.said("").at(-1)?.msg, "stopped");
  service.run("systemctl", "start", "roma");
  await eventually("it listens again", () => service.said("roma listening on").length === 2, msMax);
  await assertServed(`${service.url()}/v1/objects/demo/kept`, bytes);
});

/** A connection that is kept may have been one of the worker that died. */
async function assertServed(object: string, bytes: Buffer): Promise<void> {
  await eventually(
    "the bytes are served",
    async () => {
      const answer = await fetch(object, { headers: { authorization } }).catch(() => undefined);
      if (answer === undefined) return false;
      assert.equal(answer.status, 200);
      return bytes.equals(Buffer.from(await answer.arrayBuffer()));
    },
    msMax,
  );
}

interface Line {
  readonly msg?: string;
  readonly url?: string;
  readonly cause?: string;
  readonly workerPid?: number;
  readonly quotaBytes?: number;
}

async function boot(t: TestContext) {
  const folder = await temporaryFolder(t);
  writeFileSync(join(folder, "drop-in.conf"), dropIn);
  const name = `roma-test-systemd-${process.pid}`;
  const child = spawn(script, [folder, name], { stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
    });
  }
  const ended = once(child, "close");
  cleanUp(t, () => eventually("the groups are empty", () => removeGroups(name), msMax));
  cleanUp(t, async () => {
    child.kill("SIGKILL");
    await ended;
  });

  const systemd = () => `${childrenOf(child.pid ?? -1)[0]}`;
  const run = (...command: readonly string[]): string => {
    const inside = ["--target", systemd(), "--mount", "--pid", "--cgroup", "--", ...command];
    const { status, stdout, stderr } = spawnSync("nsenter", inside, { encoding: "utf8" });
    assert.equal(status, 0, `${command.join(" ")}\n${stderr}${printed}`);
    return stdout.trim();
  };
  const said = (text: string): readonly Line[] => {
    const file = join(folder, "roma.log");
    assert.equal(child.exitCode, null, printed);
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
    return lines
      .map((line): Line => JSON.parse(line))
      .filter(({ msg }) => msg?.includes(text) === true);
  };
  return {
    run,
    said,
    show: (property: string) => run("systemctl", "show", "--property", property, "--value", "roma"),
    url: () => said("roma listening on").at(-1)?.url ?? "",
  };
}

function removeGroups(name: string): boolean {
  const tops = globSync(`/sys/fs/cgroup/{,*/}${name}`);
  const folders = tops.flatMap((top) => [top, ...globSync(`${top}/**/`)]);
  for (const folder of folders.sort((one, other) => other.length - one.length)) {
    try {
      rmdirSync(folder);
    } catch {
      return false;
    }
  }
  return true;
}
