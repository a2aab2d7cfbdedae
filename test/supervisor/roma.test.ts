// The real server under its supervisor.
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { mainFile, rootKey, startServer } from "../harness/server-process.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { slowUploads } from "./slow-uploads.ts";
import { smallRequests } from "./small-requests.ts";
import { childrenOf, eventually, isRemoved } from "./tiny.ts";

const authorization = `Bearer ${rootKey.replace(":", ".")}`;
/** What a test has begun to send waits for what it does meanwhile, however long that takes. */
const patient = [
  ...["--http-body-idle-ms-max", "10 min", "--http-body-rate-window-ms", "10 min"],
  ...["--drain", "50 s"],
];

test("one worker serves behind a supervisor: greeting, health, metrics, bytes, and a stop in order", async (t) => {
  const server = await startServer(t, { flags: ["--workers", "1", "--s3-port", "0"] });
  const [greeting] = server.log.filter(({ message }) => message.startsWith("roma listening on"));
  assert.equal(JSON.parse(greeting?.text ?? "{}").pid, server.pid, "whom to signal");
  const [worker = -1, ...others] = childrenOf(server.pid);
  assert.deepEqual(others, []);
  if (process.platform === "linux") {
    const score = (pid: number) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "latin1"));
    const offered = Math.min(1_000, score(server.pid) + 100);
    assert.equal(score(worker), offered, "the kernel takes it before the supervisor");
  }
  const bytes = randomBytes(3_000_000);
  assert.equal((await put(server.url, "a", bytes)).status, 201);
  assert.deepEqual(await get(server.url, "a"), bytes);
  assert.equal((await fetch(`${server.opsUrl}/livez`)).status, 200);
  assert.match(
    await (await fetch(`${server.opsUrl}/metrics`)).text(),
    /^upload_completed_total 1$/m,
  );
  assert.equal((await fetch(server.s3Url)).status, 403);
  await server.stop();
  assert.equal(server.log.at(-1)?.message, "stopped");
});

test("a worker that is killed in an upload is replaced: what was acknowledged is there, on the same port", async (t) => {
  const server = await startServer(t, { flags: ["--workers", "1"] });
  const bytes = randomBytes(100_000);
  assert.equal((await put(server.url, "kept", bytes)).status, 201);
  const [worker] = childrenOf(server.pid);
  const { body, cut } = endless();
  const upload = fetch(`${server.url}/v1/objects/demo/cut`, {
    ...{ method: "PUT", headers: { authorization }, body, duplex: "half" },
  } as RequestInit);
  upload.catch(() => {});
  await eventually("the upload is under way", async () => {
    const metrics = await (await fetch(`${server.opsUrl}/metrics`)).text();
    return /^uploads_running 1$/m.test(metrics);
  });
  // The next sample has it, which each second has. A worker that answers twice after that has sent it by then.
  for (let count = 0; count < 2; count++) {
    await eventually("a second passes", secondsPass(1.2));
    const headers = { connection: "close" };
    assert.equal((await fetch(`${server.opsUrl}/livez`, { headers })).status, 200);
  }
  process.kill(worker ?? -1, "SIGKILL");
  await assert.rejects(upload);
  cut();
  await eventually("it serves again", async () => {
    const answer = await get(server.url, "kept").catch(() => undefined);
    return answer?.equals(bytes) === true;
  });
  const line = server.log.find(({ message }) => message.startsWith("somebody killed worker 1"));
  const { lastSample, cause, signal } = JSON.parse(line?.text ?? "{}");
  assert.deepEqual([cause, signal], ["killed", "SIGKILL"]);
  assert.equal(lastSample.uploadsRunning, 1);
  assert.ok(lastSample.routes.includes("PUT /v1/objects/:bucket/*"), String(lastSample.routes));
  assert.notEqual((await fetch(`${server.url}/v1/objects/demo/cut`)).status, 200);
});

test("SIGHUP under 100 uploads and small requests: both workers are replaced, no request fails, all bytes are there", async (t) => {
  const server = await startServer(t, {
    flags: ["--workers", "2", ...patient, "--log-level", "debug"],
  });
  await eventually("both are there", () => childrenOf(server.pid).length === 2);
  const before = childrenOf(server.pid);
  const target = {
    url: server.url,
    line: (index: number) => `PUT /v1/objects/demo/slow${index}`,
    headers: `Authorization: ${authorization}\r\n`,
  };
  const uploads = await slowUploads(target, 100);
  assert.equal((await put(server.url, "small", randomBytes(10))).status, 201);
  const small = smallRequests(`${server.url}/v1/objects/demo/small`, { authorization });
  cleanUp(t, async () => void (await small.stop()));
  process.kill(server.pid, "SIGHUP");
  const said = (text: string) => server.log.filter(({ message }) => message.includes(text)).length;
  // The old one leaves now, with half of the uploads under way.
  await eventually("a successor is ready", () => said("a worker is ready") === 3, 60_000);
  assert.deepEqual(await uploads.finish(), Array(100).fill("201"));
  await eventually("all are replaced", () => said("all workers are replaced") === 1, 60_000);
  const { failures, answers } = await small.stop();
  assert.deepEqual(failures, []);
  assert.ok(answers > 50, `${answers} answers`);
  const after = childrenOf(server.pid);
  assert.deepEqual(
    after.filter((pid) => before.includes(pid)),
    [],
  );
  for (let index = 0; index < 100; index++) {
    assert.equal(String(await get(server.url, `slow${index}`)), "0123456789");
  }
  assert.deepEqual(
    server.log.filter(({ level }) => level >= 50),
    [],
  );
});

test("SIGTERM under 100 uploads: what ends in the drain is stored, and all is gone with code 0", async (t) => {
  const server = await startServer(t, { flags: ["--workers", "2", ...patient] });
  const target = {
    url: server.url,
    line: (index: number) => `PUT /v1/objects/demo/slow${index}`,
    headers: `Authorization: ${authorization}\r\n`,
  };
  const uploads = await slowUploads(target, 100);
  const stopped = server.stop();
  await eventually("it stops", () => server.log.some(({ message }) => message === "stopping"));
  assert.deepEqual(await uploads.finish(), Array(100).fill("201"));
  await stopped;
  assert.equal(server.log.at(-1)?.message, "stopped");
  await server.start();
  for (let index = 0; index < 100; index++) {
    assert.equal(String(await get(server.url, `slow${index}`)), "0123456789");
  }
});

test("the memory group is cut under load: the death says that the kernel did it, and why", async (t) => {
  const group = memoryGroup(t);
  if (group === undefined) return;
  group.limit(600);
  const server = await startServer(t, { flags: ["--workers", "1"], prefix: group.prefix });
  const bytes = randomBytes(1_000_000);
  assert.equal((await put(server.url, "kept", bytes)).status, 201);
  const killed = () => server.log.find(({ message }) => message.startsWith("the kernel killed"));
  // Cut while it runs. A server of bounded memory may well fit into what is left: a neighbour takes
  // the rest, and the largest is killed.
  group.limit(300);
  let neighbour = group.neighbour();
  const load: Promise<unknown>[] = [];
  await eventually(
    "the kernel has killed it",
    async () => {
      for (let index = 0; index < 2; index++) {
        load.push(put(server.url, `load${index}`, randomBytes(8_000_000)).catch(() => {}));
      }
      // It may be the larger of the two at that moment.
      if (neighbour.signalCode !== null) neighbour = group.neighbour();
      neighbour.stdin.write("more\n");
      const passed = secondsPass(0.3);
      await eventually("it is killed, or time passes", () => killed() !== undefined || passed());
      return killed() !== undefined;
    },
    60_000,
  );
  // Before the successor starts, which would meet the same.
  group.limit(600);
  neighbour.kill("SIGKILL");
  await Promise.all(load);
  const line = killed();
  const death = JSON.parse(line?.text ?? "{}");
  assert.equal(death.cause, "memory_group");
  assert.ok(death.oomKillsAfter > death.oomKillsBefore, line?.text ?? "");
  assert.equal(death.quotaBytes, 600 * 2 ** 20);
  assert.match(death.msg, /its quota of 600 MiB/);
  // 0.4 of the quota for the old space; V8 adds the young one.
  const limitMebibytes = death.lastSample.heapLimitBytes / 2 ** 20;
  assert.ok(limitMebibytes >= 240 && limitMebibytes < 300, `${limitMebibytes} MiB`);
  await eventually("it serves again", async () => {
    const answer = await get(server.url, "kept").catch(() => undefined);
    return answer?.equals(bytes) === true;
  });
});

test("a quota that cannot hold the workers is refused with what they need, once", async (t) => {
  const group = memoryGroup(t);
  if (group === undefined) return;
  group.limit(300);
  const { code, text } = await failedStart(t, ["--workers", "4"], group.prefix);
  assert.equal(code, 2, text);
  const sentence = /workers: 4 workers need 560 MiB of memory .* quota is 300 MiB/g;
  assert.equal(text.match(sentence)?.length, 1, text);
});

test("a data folder or a port in use ends the start with code 1, told once", async (t) => {
  const first = await startServer(t);
  const locked = await failedStart(t, ["--data", first.data]);
  assert.equal(locked.code, 1, locked.text);
  assert.equal(locked.text.match(/roma serve: another Roma uses the folder/g)?.length, 1);
  const taken = await failedStart(t, ["--port", new URL(first.url).port]);
  assert.equal(taken.code, 1, taken.text);
  assert.equal(taken.text.match(/roma serve: .*EADDRINUSE/g)?.length, 1, taken.text);
});

/** Of `roma serve` with one worker, which ends by itself. */
async function failedStart(
  t: TestContext,
  flags: readonly string[],
  prefix: readonly string[] = [],
) {
  const own = ["--data", await temporaryFolder(t), "--port", "0", "--ops-port", "0"];
  const words = [...prefix, process.execPath, mainFile, "serve", ...own, ...flags];
  const [command = "", ...args] = words;
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  cleanUp(t, async () => void child.kill("SIGKILL"));
  let text = "";
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  const [code] = await once(child, "close");
  return { code: Number(code), text };
}

async function put(url: string, key: string, body: Uint8Array<ArrayBuffer>): Promise<Response> {
  const init = { method: "PUT", headers: { authorization }, body };
  const response = await fetch(`${url}/v1/objects/demo/${key}`, init);
  await response.arrayBuffer();
  return response;
}

async function get(url: string, key: string): Promise<Buffer> {
  const response = await fetch(`${url}/v1/objects/demo/${key}`, { headers: { authorization } });
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

function endless() {
  let stopped = false;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((done) => setTimeout(done, 20));
      if (stopped) controller.close();
      else controller.enqueue(new Uint8Array(1_000));
    },
  });
  const cut = (): void => {
    stopped = true;
  };
  return { body, cut };
}

function secondsPass(seconds: number): () => boolean {
  const endMs = performance.now() + seconds * 1_000;
  return () => performance.now() > endMs;
}

interface MemoryGroup {
  readonly prefix: readonly string[];
  limit(mebibytes: number): void;
  /** Another process of the group, which takes 16 MiB more for each line. */
  neighbour(): ChildProcessByStdio<Writable, null, null>;
}

/** Of version 1 or 2, whichever can be made here; skips the test in one line where none can. */
function memoryGroup(t: TestContext): MemoryGroup | undefined {
  const name = `roma-test-${process.pid}-${Math.random().toString(36).slice(2)}`;
  for (const [parent, file] of [
    ["/sys/fs/cgroup/memory", "memory.limit_in_bytes"],
    ["/sys/fs/cgroup", "memory.max"],
  ] as const) {
    const folder = `${parent}/${name}`;
    try {
      mkdirSync(folder);
      writeFileSync(`${folder}/${file}`, String(2 ** 30));
    } catch {
      continue;
    }
    cleanUp(t, () => eventually("the group is empty", () => isRemoved(folder)));
    const limit = (mebibytes: number) => {
      writeFileSync(`${folder}/${file}`, String(mebibytes * 2 ** 20));
    };
    const prefix = ["sh", "-c", `echo $$ > ${folder}/cgroup.procs && exec "$@"`, "sh"];
    const neighbour = () => {
      const child = spawn(process.execPath, ["-e", greedy], {
        stdio: ["pipe", "ignore", "ignore"],
      });
      writeFileSync(`${folder}/cgroup.procs`, String(child.pid));
      // Killed between two lines.
      child.stdin.on("error", () => {});
      cleanUp(t, async () => void child.kill("SIGKILL"));
      return child;
    };
    return { prefix, limit, neighbour };
  }
  t.skip("no memory group can be made");
  return undefined;
}

const greedy =
  "const taken = []; process.stdin.on('data', () => taken.push(Buffer.alloc(2 ** 24, 1)))";
