/** `roma doctor` finds what stops a server, says what to do, and leaves everything as it was. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import {
  chmod,
  chown,
  cp,
  mkdir,
  readdir,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import { after, before, type TestContext, test } from "node:test";
import {
  type Finding,
  parseServerConfig,
  runDoctor,
  silentLog,
  startServer as startEmbedded,
} from "../../packages/server/src/index.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { startServer, temporaryFolder } from "../harness/server-process.ts";
import { mountTmpfs } from "../harness/tmpfs.ts";
import { requirePrerequisite } from "../prerequisites.ts";

const main = resolve(import.meta.dirname, "../../packages/cli/src/main.ts");

interface Diagnosis {
  readonly found: readonly Finding[];
  readonly failing: readonly Finding[];
  readonly text: string;
}

function diagnosis(found: readonly Finding[]): Diagnosis {
  const failing = found.filter(({ outcome }) => outcome === "fail");
  return { found, failing, text: found.map((finding) => JSON.stringify(finding)).join("\n") };
}

/** In this process, with ports that nobody has unless others are given. */
async function doctor(...argv: readonly string[]): Promise<Diagnosis> {
  const ports = argv.includes("--ops-port") ? [] : ["--port", "0", "--ops-port", "0"];
  const { signal } = new AbortController();
  return diagnosis(await runDoctor({ argv: [...argv, ...ports], signal }));
}

/** The program itself, which becomes another user. */
async function doctorAs(user: string, data: string): Promise<Diagnosis> {
  const args = [
    "doctor",
    "--json",
    "--data",
    data,
    "--user",
    user,
    "--",
    "--port",
    "0",
    "--ops-port",
    "0",
  ];
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number | null>((done) => child.once("close", done));
  const [out, err, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  const lines = out.split("\n").filter(Boolean);
  const found = diagnosis(lines.map((line): Finding => JSON.parse(line)));
  assert.equal(exitCode, found.failing.length === 0 ? 0 : 1, `${out}${err}`);
  return found;
}

const pristineFolder = mkdtempSync(join(tmpdir(), "roma-doctor-"));
const pristine = join(pristineFolder, "data");

before(async () => {
  await using server = await startEmbedded(
    parseServerConfig({ data: pristine, port: 0, opsPort: 0 }),
    {
      log: silentLog,
    },
  );
  await server.close();
});

after(() => rm(pristineFolder, { recursive: true, force: true }));

/** A folder in which a server ran. */
async function stoppedData(t: TestContext): Promise<string> {
  const data = join(await temporaryFolder(t), "data");
  await cp(pristine, data, { recursive: true, preserveTimestamps: true });
  await chmod(data, 0o700);
  return data;
}

async function listing(folder: string): Promise<readonly string[]> {
  const names = (await readdir(folder, { recursive: true })).sort();
  return await Promise.all(
    names.map(async (name) => {
      const { uid, mode, size, ino } = await stat(join(folder, name));
      return `${name} ${uid} ${mode} ${size} ${ino}`;
    }),
  );
}

test("a folder in which a server ran is sound, before and after, and nothing is changed", async (t) => {
  const data = await stoppedData(t);
  const before = await listing(data);
  const { found, failing } = await doctor("--data", data);
  assert.deepEqual(failing, []);
  assert.ok(found.some(({ message }) => message.startsWith("storage local: everything")));
  assert.deepEqual(await listing(data), before);
  const none = await doctor("--data", join(data, "none"));
  assert.deepEqual(none.failing, []);
  assert.ok(!(await readdir(data)).includes("none"));
});

test("beside a running server it asks that one", async (t) => {
  const server = await startServer(t);
  const broken = join(server.data, "second");
  await mkdir(broken);
  const body = JSON.stringify({ driver: "posix", root: broken });
  assert.equal((await send(server, "PUT", "/v1/storages/second", { body })).status, 201);
  const ports = ["--port", new URL(server.url).port, "--ops-port", new URL(server.opsUrl).port];
  // A check is given a second, which a busy machine may not have for it.
  await eventually("the storage answers", async () => {
    const { found } = await doctor("--data", server.data, ...ports);
    return found.some(({ message }) => message === "storage second: answers");
  });
  assert.deepEqual((await doctor("--data", server.data, ...ports)).failing, []);
  await rename(join(broken, ".roma"), join(server.data, "moved"));
  await rename(broken, `${broken}-gone`);
  const found = await doctor("--data", server.data, ...ports);
  const second = found.found.find(({ message }) => message.startsWith("storage second: "));
  assert.equal(second?.outcome, "warn", found.text);
});

test("each mistake fails with what to do", async (t) => {
  const data = await stoppedData(t);
  const taken = createServer().listen(0, "127.0.0.1");
  cleanUp(t, () => taken.close());
  await new Promise((done) => taken.once("listening", done));
  const { port } = taken.address() as AddressInfo;
  const busy = await doctor("--data", data, "--port", String(port), "--ops-port", "0");
  assert.match(busy.failing[0]?.message ?? "", /EADDRINUSE/);
  assert.match(busy.failing[0]?.advice ?? "", /ss -ltnp/);

  const config = join(data, "roma.json");
  await writeFile(config, JSON.stringify({ drian: "10 s" }));
  const wrong = await doctor("--config", config);
  assert.match(wrong.text, /drian: .*did you mean drain/);
  await writeFile(config, JSON.stringify({ alerts: { smtp: "smtp://127.0.0.1" } }));
  assert.match(
    (await doctor("--config", config)).text,
    /alerts\.emailTo: is needed with alerts\.smtp/,
  );

  await chmod(join(data, "seal.key"), 0o644);
  await utimes(join(data, "metadata.sqlite"), new Date(), new Date(Date.now() + 3_600_000));
  await rename(join(data, "objects", ".roma", "storage.json"), join(data, "kept.json"));
  const several = await doctor("--data", data);
  const areas = several.failing.map(({ area }) => area);
  for (const area of ["permissions", "clock"]) assert.ok(areas.includes(area), several.text);
  assert.ok(areas.includes("storages") || areas.includes("data"), several.text);
  assert.match(several.text, /chmod 600/);

  const database = new DatabaseSync(join(data, "metadata.sqlite"));
  database.exec("insert into schema_migrations values (9999, 'later', 0)");
  database.close();
  assert.match((await doctor("--data", data)).text, /of a newer Roma \(schema 9999/);
});

test("a file of root's is found as the service's user, and the data is not opened as root", async (t) => {
  if (!requirePrerequisite(t, "root")) return;
  const data = await stoppedData(t);
  const nobody = 65_534;
  assert.match((await doctorAs("nobody", data)).text, /nobody may not reach/);
  await chmod(dirname(data), 0o755);
  const all = await readdir(data, { recursive: true });
  for (const path of [data, ...all.map((name) => join(data, name))])
    await chown(path, nobody, nobody);
  const before = await listing(data);
  const asRoot = await doctor("--data", data);
  assert.match(asRoot.text, /say --user nobody/);
  assert.deepEqual(await listing(data), before);

  await chown(join(data, "metadata.sqlite"), 0, 0);
  const found = await doctorAs("nobody", data);
  const own = found.failing.filter(({ area }) => area === "permissions");
  assert.equal(own.length, 1, found.text);
  assert.match(own[0]?.message ?? "", /^nobody may not write .*metadata\.sqlite: it is root's/);
  assert.equal(own[0]?.advice, `chown nobody ${join(data, "metadata.sqlite")}`);
  await chown(join(data, "metadata.sqlite"), nobody, nobody);
  const sound = await doctorAs("nobody", data);
  assert.deepEqual(
    sound.failing.filter(({ area }) => area === "permissions"),
    [],
  );
  const { signal } = new AbortController();
  const unknown = await runDoctor({ argv: [], user: "no-such-user", signal });
  assert.match(unknown[0]?.message ?? "", /there is no user no-such-user/);
});

test("a file system that is full, in memory or read-only is told", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const folder = await temporaryFolder(t);
  await mountTmpfs(t, folder, { bytes: 8 * 2 ** 20, inodes: 10_000 });
  const { found } = await doctor("--data", folder);
  const space = found.filter(({ area }) => area === "space");
  assert.match(JSON.stringify(space), /in memory \(tmpfs\)/);
  assert.ok(space.some(({ outcome, message }) => outcome === "fail" && / free in /.test(message)));
});
