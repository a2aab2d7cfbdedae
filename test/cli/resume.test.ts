// `roma upload --resume` as a program: killed or interrupted in the middle, the same command sends only
// what is missing, and what it remembered is gone in the end. Bytes are counted between it and the server.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import type { ResumeRecord } from "@roma/sdk/node";
import { startCuttingProxy } from "../harness/cutting-proxy.ts";
import { listKeys, send } from "../harness/http-client.ts";
import { eventually, readMetric } from "../harness/process-usage.ts";
import { mainFile, rootKey, startServer } from "../harness/server-process.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { assertServed, randomFile } from "../uploads/stored-bytes.ts";

const MB = 1_000_000;

async function start(t: TestContext) {
  const server = await startServer(t);
  const proxy = await startCuttingProxy(t, { upstream: () => server });
  const folder = await temporaryFolder(t);
  const state = join(folder, "state");
  const run = (...args: readonly string[]): ChildProcess => {
    const env = { ROMA_ENDPOINT: proxy.url, ROMA_KEY: rootKey, XDG_STATE_HOME: state };
    return spawn(process.execPath, [mainFile, "upload", ...args], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
  };
  const records = async (): Promise<readonly ResumeRecord[]> => {
    const path = join(state, "roma/uploads");
    const names = (await readdir(path).catch(() => [])).filter((name) => name.endsWith(".json"));
    const texts = await Promise.all(names.map((name) => readFile(join(path, name), "utf8")));
    return texts.map((one) => JSON.parse(one) as ResumeRecord);
  };
  const rememberedBytes = async () => {
    const [record] = await records();
    return record === undefined ? 0 : Object.keys(record.crcs).length * record.partBytes;
  };
  return {
    ...{ server, folder, run, records },
    /** Ends it by a signal once so many bytes are remembered; answers how many were in the end. */
    async end(child: ChildProcess, signal: NodeJS.Signals, atBytes: number) {
      const exited = once(child, "exit");
      const errors = text(child.stderr ?? process.stdin);
      const there = async () => (await rememberedBytes()) >= atBytes;
      await eventually("it is in the middle", there, 60_000);
      child.kill(signal);
      const [code] = await exited;
      await eventually("nothing that it sent is on its way", () => proxy.isIdle, 60_000);
      const isRunning = async () => (await readMetric(server.opsUrl, "uploads_running")) > 0;
      await eventually("the server is done with it", async () => !(await isRunning()), 60_000);
      return { code, errors: await errors, remembered: await rememberedBytes() };
    },
    /** To its end; answers what it printed and how many bytes it sent. */
    async finish(child: ChildProcess) {
      const before = proxy.bytes;
      const [out, errors] = await Promise.all([
        text(child.stdout ?? process.stdin),
        text(child.stderr ?? process.stdin),
        once(child, "exit"),
      ]);
      assert.equal(child.exitCode, 0, errors);
      const lines = out.trim().split("\n");
      const events = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
      return { events, bytes: proxy.bytes - before };
    },
  };
}

for (const signal of ["SIGKILL", "SIGINT"] as const) {
  test(`${signal} in the middle of a large file: the same command sends only what is missing`, async (t) => {
    const { server, run, end, finish, records } = await start(t);
    const file = await randomFile(t, 150 * MB);
    const args = [file.path, "demo/large", "--resume", "--json"];
    const { code, errors, remembered } = await end(run(...args), signal, 0.2 * file.length);
    if (signal === "SIGINT") {
      assert.equal(code, 130, errors);
      assert.match(errors, /what has arrived is kept/);
    }
    const { events, bytes } = await finish(run(...args));
    t.diagnostic(`${remembered} bytes were remembered, ${bytes} sent again`);
    assert.ok(bytes < file.length - remembered + MB, `${bytes} bytes were sent again`);
    const [uploaded, summary] = events;
    assert.equal(uploaded?.event, "uploaded");
    assert.deepEqual([summary?.bytes, summary?.presentBytes], [file.length, remembered]);
    await assertServed(server, "large", file);
    assert.deepEqual(await records(), [], "what is done is forgotten");
  });
}

test("a folder: what is there is left out, what changed is sent, and so is what has another type", async (t) => {
  const { server, folder, run, end, finish, records } = await start(t);
  const files = join(folder, "files");
  await mkdir(files);
  for (let index = 0; index < 10; index++) {
    await writeFile(join(files, `${index}`), Buffer.alloc(2 * MB, `${index}`));
  }
  await using large = await open(join(files, "large"), "w");
  await large.truncate(150 * MB);
  const args = ["files", "demo", "--resume", "--json", "--parallel", "2"];
  const { remembered } = await end(run(...args), "SIGKILL", 30 * MB);
  const there = (await listKeys(server)).length;
  const { events, bytes } = await finish(run(...args));
  const of = (event: string) => events.filter((one) => one.event === event);
  assert.equal(of("present").length, there);
  assert.equal(of("uploaded").length, 11 - there);
  const missing = (10 - there) * 2 * MB + 150 * MB - remembered;
  assert.ok(bytes < missing + MB, `${bytes} bytes were sent again, ${missing} were missing`);
  assert.equal((await listKeys(server)).length, 11);

  await writeFile(join(files, "3"), Buffer.alloc(2 * MB, "x"));
  const changed = await finish(run(...args));
  const names = changed.events.filter(({ event }) => event === "uploaded").map(({ key }) => key);
  assert.deepEqual(names, ["files/3"]);
  assert.ok(changed.bytes < 3 * MB, `${changed.bytes} bytes`);
  const typed = await finish(
    run("files/3", "demo/files/", "--resume", "--json", "--content-type", "text/x-own"),
  );
  assert.equal(typed.events[0]?.event, "uploaded");
  const stat = await send(server, "HEAD", "/v1/objects/demo/files/3");
  assert.match(stat.headers["content-type"] ?? "", /^text\/x-own/);
  assert.deepEqual(await records(), []);
});

test("stdin cannot be read again", async (t) => {
  const { run } = await start(t);
  const child = run("-", "demo/key", "--resume");
  const errors = text(child.stderr ?? process.stdin);
  const [code] = await once(child, "exit");
  assert.equal(code, 2);
  assert.match(await errors, /stdin cannot be read again: leave out --resume/);
});
