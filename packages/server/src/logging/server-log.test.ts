import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { temporaryFolder } from "../../../../test/harness/server-process.ts";
import { mountTmpfs } from "../../../../test/harness/tmpfs.ts";
import { requirePrerequisite } from "../../../../test/prerequisites.ts";
import { logConfig } from "./config.ts";
import { FileTarget, type LineTarget, reasonOf } from "./line-target.ts";
import { createServerLog } from "./server-log.ts";

interface Line {
  readonly msg: string;
  readonly dropped?: Readonly<Record<string, number>>;
  readonly [name: string]: unknown;
}

/** As a sink holds them; kept, so that what it says of the other sink can be read. */
class Kept implements LineTarget {
  readonly writeBytesMax = 1;
  readonly lines: string[] = [];
  readonly reasonOf = reasonOf;
  async write(bytes: Buffer): Promise<void> {
    this.lines.push(String(bytes));
  }
  writeAtExit(): void {}
  async close(): Promise<void> {}
}

function logTo(path: string, options: object = {}) {
  const kept = new Kept();
  const drops = new Map<string, number>();
  const log = createServerLog(logConfig.parse({ level: "debug", ...options }), {
    targets: [
      { name: "stdout", target: kept },
      { name: "file", target: new FileTarget(path) },
    ],
  });
  const alerts: string[] = [];
  log.countTo(
    {
      count: (name, amount = 1, { sink, reason } = {}) => {
        assert.equal(name, "log_lines_dropped_total");
        const key = `${sink} ${reason}`;
        drops.set(key, (drops.get(key) ?? 0) + amount);
      },
      observe() {},
      gauge() {},
    },
    {
      raise: (name, { sink, reason }) => {
        // As an alert's own line, which is dropped too.
        log.warn({}, name);
        alerts.push(`${name} ${sink} ${reason}`);
      },
      clear: (name) => alerts.push(`${name} is over`),
    },
  );
  const lines = (): readonly Line[] =>
    readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  return { log, kept, drops, lines, alerts };
}

/** Only for what hangs. */
const endMsMax = 60_000;

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!isTrue()) {
    assert.ok(performance.now() < end, `not in time: ${what}`);
    await delay(10);
  }
}

test("lines reach the file in order, with their fields, and end() waits for them", async (t) => {
  const path = join(await temporaryFolder(t), "roma.log");
  const { log, lines, drops } = logTo(path);
  for (let index = 0; index < 2_000; index += 1) log.info({ index }, "a line");
  assert.equal(await log.end(endMsMax), true);
  assert.deepEqual(
    lines().map(({ index }) => index),
    Array.from({ length: 2_000 }, (_, index) => index),
  );
  log.info({}, "too late");
  assert.deepEqual([...drops.keys()], ["stdout closed", "file closed"]);
});

test("a file that was renamed, as logrotate does, is made anew by itself", async (t) => {
  const path = join(await temporaryFolder(t), "roma.log");
  const { log, lines } = logTo(path);
  log.info({}, "before");
  await until("the line is there", () => spawnSync("test", ["-s", path]).status === 0);
  renameSync(path, `${path}.1`);
  await until("a new file is there", () => {
    log.info({}, "after");
    return spawnSync("test", ["-s", path]).status === 0;
  });
  assert.equal(await log.end(endMsMax), true);
  assert.match(readFileSync(`${path}.1`, "utf8"), /before/);
  assert.ok(lines().every(({ msg }) => msg === "after"));
});

test("a folder that is missing drops and counts, is told of on stdout, and works once it is there", async (t) => {
  const folder = join(await temporaryFolder(t), "missing");
  const path = join(folder, "roma.log");
  const { log, kept, drops, lines, alerts } = logTo(path);
  for (let index = 0; index < 9; index += 1) log.info({ index }, "lost");
  await until("it is told", () => /log cannot be written to file/.test(kept.lines.join("")));
  assert.equal(drops.get("file failed"), 10);
  mkdirSync(folder);
  await until("a line is there", () => {
    log.info({}, "kept");
    return spawnSync("test", ["-s", path]).status === 0;
  });
  assert.equal(await log.end(endMsMax), true);
  const [notice, first] = lines();
  assert.match(notice?.msg ?? "", /^\d+ log lines were dropped$/);
  assert.equal(notice?.dropped?.failed, drops.get("file failed"));
  assert.equal(first?.msg, "kept");
  assert.deepEqual(alerts, ["log_lines_dropped file failed", "log_lines_dropped is over"]);
  assert.equal(kept.lines.filter((line) => /cannot be written/.test(line)).length, 1);
});

test("a full disk drops and counts; with room again one line says how many, and no line is torn", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const folder = await temporaryFolder(t);
  await mountTmpfs(t, folder, { bytes: 64 * 1024, inodes: 10 });
  const path = join(folder, "roma.log");
  const filler = join(folder, "filler");
  writeFileSync(filler, Buffer.alloc(32 * 1024));
  const { log, drops } = logTo(path);
  await until("the disk is full", () => {
    log.info({ fill: "x".repeat(1_500) }, "a line");
    return (drops.get("file full") ?? 0) > 0;
  });
  for (let index = 0; index < 100; index += 1) log.info({}, "lost");
  rmSync(filler);
  await until("a line is there", () => {
    log.info({}, "kept");
    return /"kept"/.test(readFileSync(path, "utf8"));
  });
  assert.equal(await log.end(endMsMax), true);
  const texts = readFileSync(path, "utf8").split("\n").filter(Boolean);
  const torn = texts.filter((text) => !text.endsWith("}"));
  assert.ok(torn.length <= 1, "at most the one that the full disk cut");
  const whole: readonly Line[] = texts
    .filter((text) => text.endsWith("}"))
    .map((text) => JSON.parse(text));
  const notices = whole.filter(({ dropped }) => dropped !== undefined);
  assert.equal(
    notices.reduce((sum, { dropped }) => sum + (dropped?.full ?? 0), 0),
    drops.get("file full"),
  );
});

test("a line that is too long keeps its message and says that it was cut", async (t) => {
  const path = join(await temporaryFolder(t), "roma.log");
  const { log, lines } = logTo(path, { lineBytesMax: "1 KiB" });
  log.warn({ requestId: "r-1", many: Array(50).fill("é".repeat(90)) }, "long");
  assert.equal(await log.end(endMsMax), true);
  const [line] = lines();
  assert.equal(line?.msg, "long");
  assert.equal(line?.requestId, "r-1");
  assert.equal(line?.many, undefined);
  assert.ok(Number(line?.cutBytes) > 4_000);
});
