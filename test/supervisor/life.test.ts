import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { slowUploads } from "./slow-uploads.ts";
import { eventually, isAlive, isRemoved, startTiny, Tiny, type WorkerFacts } from "./tiny.ts";

/** A worker has as long to start as well, on whatever machine. */
const heartbeatMs = 6_000;

test("workers share a port of the system's choice, take turns, and own no socket that listens", async (t) => {
  const tiny = await startTiny(t);
  const workers = await tiny.workers(2);
  assert.equal(new Set(workers.map(({ pid }) => pid)).size, 2);
  assert.deepEqual(
    workers.map(({ pid }) => listeningSockets(pid)),
    [0, 0],
  );
  assert.equal(listeningSockets(tiny.pid), 1);
  assert.equal(tiny.said("listening").length, 1, "the greeting, once");
});

test("a worker that crashes is followed by another, with a line that says how it died", async (t) => {
  const tiny = await startTiny(t, { count: 1 });
  const [before] = await tiny.workers(1);
  await tiny.ask("/exit").catch(() => {});
  await eventually("it is noted", () => tiny.said("ended by itself with code 3").length === 1);
  // Accepted by the supervisor meanwhile, and served by the successor: nobody is refused.
  const after = await tiny.ask<WorkerFacts>("/");
  assert.notEqual(after.pid, before?.pid);
  const [line] = tiny.said("ended by itself");
  assert.deepEqual(
    [line?.workerPid, line?.code, line?.signal, line?.cause, line?.worker, line?.state],
    [before?.pid, 3, null, "exit", 1, "ready"],
  );
  assert.ok(Number(line?.residentBytes) > 10e6);
  const [{ answer }] =
    await tiny.ask<[{ answer: { deaths: object; restarts: number } }]>("/metrics");
  assert.deepEqual([answer.deaths, answer.restarts], [{ exit: 1 }, 1]);
});

test("a slot that crashes again and again waits longer each time, and the other serves", async (t) => {
  const tiny = new Tiny({ environment: { FAIL_SLOT: "2" } });
  cleanUp(t, async () => void tiny.child.kill("SIGKILL"));
  await tiny.started(1);
  await eventually("four deaths", () => tiny.said("ended by itself with code 7").length >= 4);
  for (let index = 0; index < 20; index++) assert.equal((await tiny.ask<WorkerFacts>("/")).slot, 1);
  const waits = tiny.said("a successor will be started").map(({ waitMs }) => Number(waitMs));
  for (const [index, waitMs] of waits.entries()) {
    const whole = 200 * 2 ** index;
    assert.ok(waitMs >= whole / 2 - 1 && waitMs <= whole + 1, `wait ${index}: ${waitMs} ms`);
  }
});

test("a first worker that cannot start ends all, with its code and without another try", async (t) => {
  const tiny = new Tiny({ environment: { FAIL_SLOT: "all" } });
  cleanUp(t, async () => void tiny.child.kill("SIGKILL"));
  await tiny.endsWith({ code: 2, signal: null });
  assert.equal(tiny.said("a worker starts").length, 1);
});

test("a worker whose event loop stands still is killed and replaced; the other serves meanwhile", async (t) => {
  const tiny = await startTiny(t, { heartbeatMs });
  await tiny.workers(2);
  const spinning = await tiny.ask<number>("/spin");
  const death = () => tiny.said("was silent for").find(({ workerPid }) => workerPid === spinning);
  await eventually("it is killed", () => death() !== undefined);
  assert.deepEqual([death()?.cause, death()?.signal], ["hung", "SIGKILL"]);
  const workers = await tiny.workers(2);
  assert.ok(!workers.some(({ pid }) => pid === spinning));
});

test("a worker that is killed in a call that hangs keeps no port", async (t) => {
  const folder = await temporaryFolder(t);
  const fifo = join(folder, "fifo");
  execFileSync("mkfifo", [fifo]);
  const tiny = await startTiny(t, { count: 1, environment: { FIFO: fifo } });
  const [before] = await tiny.workers(1);
  assert.ok(before !== undefined);
  await tiny.ask("/hang");
  process.kill(before.pid, "SIGKILL");
  const after = await tiny.ask<WorkerFacts>("/");
  assert.notEqual(after.pid, before.pid);
  assert.equal(listeningSockets(after.pid), 0);
});

test("a worker that cannot even be killed is left behind, replaced, and not waited for", async (t) => {
  // A frozen group is what a machine offers for calls that never end: SIGKILL waits there as well.
  const group = `/sys/fs/cgroup/freezer/roma-test-${process.pid}`;
  try {
    mkdirSync(group);
  } catch (error) {
    t.skip(`no freezer group can be made: ${String(error)}`);
    return;
  }
  const tiny = await startTiny(t, { count: 1, heartbeatMs });
  const [before] = await tiny.workers(1);
  assert.ok(before !== undefined);
  cleanUp(t, async () => {
    writeFileSync(`${group}/freezer.state`, "THAWED");
    await eventually("the frozen one dies", () => !isAlive(before.pid));
    await eventually("the group is empty", () => isRemoved(group));
  });
  writeFileSync(`${group}/cgroup.procs`, String(before.pid));
  writeFileSync(`${group}/freezer.state`, "FROZEN");
  // Handed to it before anybody knew: ended when it is given up.
  await assert.rejects(tiny.askOnce("/"), { code: "ECONNRESET" });
  const after = await tiny.ask<WorkerFacts>("/");
  assert.notEqual(after.pid, before.pid);
  assert.ok(isAlive(before.pid));
  const [line] = tiny.said("cannot end");
  assert.deepEqual([line?.abandoned, line?.cause], [true, "hung"]);
  tiny.child.kill("SIGTERM");
  await tiny.endsWith({ code: 0, signal: null });
});

test("SIGTERM: nothing new is accepted, what runs is finished, and all is gone with code 0", async (t) => {
  const tiny = await startTiny(t);
  const pids = (await tiny.workers(2)).map(({ pid }) => pid);
  const uploads = await slowUploads(tiny, 20);
  tiny.child.kill("SIGTERM");
  await eventually("it stops", () => tiny.said("stopping").length === 1);
  // It says so first: for a moment the kernel may still take a connection, which then is cut.
  await eventually("nothing new is accepted", async () => {
    const code = await tiny.askOnce("/").then(
      () => assert.fail("it was answered"),
      (error: NodeJS.ErrnoException) => error.code,
    );
    assert.ok(code === "ECONNREFUSED" || code === "ECONNRESET", String(code));
    return code === "ECONNREFUSED";
  });
  assert.deepEqual(new Set(await uploads.finish()), new Set(["200"]));
  await tiny.endsWith({ code: 0, signal: null });
  assert.deepEqual(pids.filter(isAlive), []);
  assert.equal(tiny.lines.at(-1)?.msg, "stopped");
});

test("a second SIGTERM waits for nobody", async (t) => {
  const tiny = await startTiny(t);
  const pids = (await tiny.workers(2)).map(({ pid }) => pid);
  await slowUploads(tiny, 2);
  tiny.child.kill("SIGTERM");
  await eventually("it stops", () => tiny.said("stopping").length === 1);
  tiny.child.kill("SIGTERM");
  await tiny.endsWith({ code: null, signal: "SIGTERM" });
  await eventually("nobody is left", () => !pids.some(isAlive));
});

test("a worker that does not leave in time is killed, and the process ends by the signal", async (t) => {
  const tiny = await startTiny(t, { leaveMsMax: 500 });
  await slowUploads(tiny, 2);
  tiny.child.kill("SIGTERM");
  await tiny.endsWith({ code: null, signal: "SIGTERM" });
  assert.equal(tiny.said("had not left after 500 ms").length, 2);
});

test("workers do not outlive a supervisor that was killed", async (t) => {
  const tiny = await startTiny(t);
  const pids = (await tiny.workers(2)).map(({ pid }) => pid);
  tiny.child.kill("SIGKILL");
  await eventually("they are gone", () => !pids.some(isAlive));
});

test("workers ask each other and get all answers; a silent one is not taken for an answer", async (t) => {
  const tiny = await startTiny(t, { count: 3 });
  const workers = await tiny.workers(3);
  const answers = await tiny.ask<readonly { answer: { slot: number } }[]>("/ask");
  assert.equal(answers.length, 2);
  assert.equal(new Set(answers.map(({ answer }) => answer.slot)).size, 2);
  assert.deepEqual(await tiny.ask("/ask-silent"), { code: "unavailable" });
  assert.equal(workers.filter(({ leads }) => leads).length, 1);
});

test("one worker leads: when it is killed another does, when it is replaced the next waits for its end", async (t) => {
  const tiny = await startTiny(t, { environment: { LEAVE_MS: "300" } });
  const leaders = async () => (await tiny.workers(2)).filter(({ leads }) => leads);
  const [first] = await leaders();
  assert.ok(first !== undefined);
  process.kill(first.pid, "SIGKILL");
  await eventually("another leads", async () => {
    const now = await leaders();
    assert.ok(now.length < 2);
    return now.length === 1 && now[0]?.pid !== first.pid;
  });
});

/** Sockets of the process that listen, by the kernel's own list. */
function listeningSockets(pid: number): number {
  const tables = ["tcp", "tcp6"].map((name) => readFileSync(`/proc/${pid}/net/${name}`, "latin1"));
  const rows = tables.flatMap((table) => table.trim().split("\n").slice(1));
  const listening = new Set(
    rows
      .map((row) => row.trim().split(/\s+/))
      .filter(([, , , state]) => state === "0A")
      .map((fields) => `socket:[${fields[9]}]`),
  );
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return links.filter((link) => listening.has(link)).length;
}
