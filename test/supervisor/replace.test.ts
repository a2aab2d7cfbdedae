import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { slowUploads } from "./slow-uploads.ts";
import { smallRequests } from "./small-requests.ts";
import { eventually, isAlive, startTiny, type WorkerFacts } from "./tiny.ts";

test("SIGHUP under 100 uploads and small requests: every worker is replaced, no request fails", async (t) => {
  const tiny = await startTiny(t);
  const before = (await tiny.workers(2)).map(({ pid }) => pid);
  const uploads = await slowUploads(tiny, 100);
  const stream = smallRequests(tiny.url);
  cleanUp(t, async () => void (await stream.stop()));
  tiny.child.kill("SIGHUP");
  // The old one leaves now, with half of the uploads under way.
  await eventually("a successor is ready", () => tiny.said("a worker is ready").length === 3);
  assert.deepEqual(await uploads.finish(), Array(100).fill("200"));
  await eventually("all are replaced", () => tiny.said("all workers are replaced").length === 1);
  const { failures, answers } = await stream.stop();
  assert.deepEqual(failures, []);
  assert.ok(answers > 50, `${answers} answers`);
  const after = (await tiny.workers(2)).map(({ pid }) => pid);
  assert.deepEqual(
    after.filter((pid) => before.includes(pid)),
    [],
  );
  assert.deepEqual(before.filter(isAlive), []);
  assert.deepEqual(
    tiny.lines.filter(({ level }) => level === "error"),
    [],
  );
});

test("nothing is replaced when the configuration has become wrong", async (t) => {
  const tiny = await startTiny(t, { count: 1, wrongConfig: true });
  const [before] = await tiny.workers(1);
  tiny.child.kill("SIGHUP");
  await eventually("it is told", () => tiny.said("nothing is replaced").length === 1);
  assert.equal((await tiny.ask<WorkerFacts>("/")).pid, before?.pid);
});

test("a successor that does not start leaves the worker where it is", async (t) => {
  const failFile = join(await temporaryFolder(t), "fail");
  const tiny = await startTiny(t, { count: 1, environment: { FAIL_FILE: failFile } });
  const [before] = await tiny.workers(1);
  await writeFile(failFile, "");
  tiny.child.kill("SIGHUP");
  await eventually("it is told", () => tiny.said("the others go on as they are").length === 1);
  assert.equal((await tiny.ask<WorkerFacts>("/")).pid, before?.pid);
});

test("a stop while a successor starts is one in order", async (t) => {
  const stallFile = join(await temporaryFolder(t), "stall");
  const tiny = await startTiny(t, { count: 1, environment: { STALL_FILE: stallFile } });
  await writeFile(stallFile, "");
  tiny.child.kill("SIGHUP");
  await eventually("it starts", () => tiny.said("is being replaced").length === 1);
  tiny.child.kill("SIGTERM");
  await tiny.endsWith({ code: 0, signal: null });
  assert.deepEqual(
    tiny.lines.filter(({ level }) => level === "error"),
    [],
  );
});

test("a worker that asks for it is replaced, and its successor leads when its own lead has ended", async (t) => {
  const tiny = await startTiny(t, { count: 1, environment: { LEAVE_MS: "300" } });
  const [before] = await tiny.workers(1);
  await tiny.ask("/recycle");
  await eventually("its successor leads", () => tiny.said("lead begins").length === 2);
  const leads = tiny.said("lead ").map(({ msg, pid }) => `${msg} ${pid === before?.pid}`);
  assert.deepEqual(leads, ["lead begins true", "lead ends true", "lead begins false"]);
  assert.equal(tiny.said("is being replaced")[0]?.reason, "asked by a test");
});

test("a worker that holds more than its share is replaced", async (t) => {
  const recycleBytes = 300 * 2 ** 20;
  const tiny = await startTiny(t, { count: 1, recycleBytes });
  const [before] = await tiny.workers(1);
  for (let index = 0; index < 5; index++) await tiny.ask("/hoard");
  await eventually("it is replaced", () => tiny.said("is being replaced").length === 1);
  assert.match(
    String(tiny.said("is being replaced")[0]?.reason),
    /^it holds \d+ MiB, more than 80 %/,
  );
  await eventually("it is gone", () => before !== undefined && !isAlive(before.pid));
});
