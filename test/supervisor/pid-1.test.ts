// As the first process of a container: no signal has an effect of its own there, and orphans are its.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { requirePrerequisite } from "../prerequisites.ts";
import { slowUploads } from "./slow-uploads.ts";
import { childrenOf, eventually, startTiny, type Tiny } from "./tiny.ts";

const prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
const possible = spawnSync("unshare", [...prefix.slice(1), "true"]).status === 0;
const skip = possible ? false : "this user may not make a process namespace";

test("process 1 replaces a worker and leaves no zombie, and SIGTERM ends it with code 0", {
  skip,
}, async (t) => {
  const tiny = await startTiny(t, { prefix });
  const supervisor = childrenOf(tiny.pid)[0] ?? -1;
  await tiny.ask("/exit").catch(() => {});
  await eventually("it is replaced", () => tiny.said("a worker is ready").length === 3);
  const states = childrenOf(supervisor).map(
    (pid) => /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "latin1"))?.[1],
  );
  assert.equal(states.length, 2);
  assert.ok(!states.includes("Z"), states.join());
  process.kill(supervisor, "SIGTERM");
  await tiny.endsWith({ code: 0, signal: null });
  assert.equal(tiny.lines.at(-1)?.msg, "stopped");
});

test("a second SIGTERM ends process 1 at once as well", { skip }, async (t) => {
  const tiny = await startTiny(t, { prefix });
  const supervisor = childrenOf(tiny.pid)[0] ?? -1;
  await slowUploads(tiny, 1);
  process.kill(supervisor, "SIGTERM");
  await eventually("it stops", () => stopping(tiny));
  process.kill(supervisor, "SIGTERM");
  await tiny.endsWith({ code: 128 + 15, signal: null });
});

test("under tini it is stopped in order, with its code", { skip }, async (t) => {
  if (!requirePrerequisite(t, "tini")) return;
  const tiny = await startTiny(t, { prefix: [...prefix, "tini", "--"] });
  const tini = childrenOf(tiny.pid)[0] ?? -1;
  await tiny.ask("/exit").catch(() => {});
  await eventually("it is replaced", () => tiny.said("a worker is ready").length === 3);
  process.kill(tini, "SIGTERM");
  await tiny.endsWith({ code: 0, signal: null });
  assert.equal(tiny.lines.at(-1)?.msg, "stopped");
});

const stopping = (tiny: Tiny) => tiny.said("stopping").length === 1;
