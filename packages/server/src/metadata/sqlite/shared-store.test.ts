/** One database in several processes of one server. */
import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { silentLog } from "../../core/ports/log.ts";
import { author, blob, bucket, garbageDueAt, object, withCode } from "../conformance-samples.ts";
import { openSqliteStore } from "./store.ts";

const server = "one-server";

test("two processes that commit without a pause both come to it, and one's death costs nothing acknowledged", async (t) => {
  const path = pathOf(t);
  const both = ["one/", "two/"].map((prefix) => startChild(t, path, prefix));
  for (const child of both) await child.untilMore(1_000);
  const [one, two] = both;
  assert(one !== undefined && two !== undefined);
  await one.kill();
  await two.untilMore(500);
  await two.kill();
  await using store = await openSqliteStore({ path, log: silentLog });
  for (const [key, version] of [...one.acknowledged, ...two.acknowledged]) {
    const found = await store.headObject("b", key);
    assert.ok(found !== undefined, `acknowledged ${key} is gone`);
    assert.ok(indexOf(found.version) >= indexOf(version), `${key} is older than acknowledged`);
  }
  for (let after = 0; ; ) {
    const { problems, next } = await store.verifyAudit({ after, limit: 10_000 });
    assert.deepEqual(problems, []);
    if (next === undefined) break;
    after = next;
  }
});

test("what one store has answered the other reads, and conditions hold across both", async (t) => {
  const path = pathOf(t);
  await using one = await openSqliteStore({ path, log: silentLog, server });
  assert.ok(one.isAlone);
  await one.share();
  await using two = await openSqliteStore({ path, log: silentLog, server });
  assert.ok(!two.isAlone);
  await one.createBucket(bucket("b"), { author });
  const options = { author, garbageDueAt, ifAbsent: true };
  for (let round = 0; round < 50; round += 1) {
    const commits = [one, two].map((store, index) => {
      const version = `${round}-${index}`;
      return store.commitObject(object(`k${round}`, { version }), blob(version), options);
    });
    const settled = await Promise.allSettled(commits);
    assert.equal(settled.filter(({ status }) => status === "fulfilled").length, 1);
    const seen = await Promise.all([one, two].map((store) => store.headObject("b", `k${round}`)));
    assert.equal(seen[0]?.version, seen[1]?.version);
  }
});

test("beside others nobody changes the schema: a store that is older is refused, and stays as it is", async (t) => {
  const path = pathOf(t);
  await using one = await openSqliteStore({ path, log: silentLog, server });
  await one.share();
  {
    using database = new DatabaseSync(path);
    database.exec(
      "delete from schema_migrations where number = (select max(number) from schema_migrations)",
    );
  }
  await assert.rejects(
    openSqliteStore({ path, log: silentLog, server }),
    (error: Error) => withCode("unsupported")(error) && /stop the server/.test(error.message),
  );
  await one.probe();
});

test("a server's name opens its own store alone", async (t) => {
  const path = pathOf(t);
  const one = await openSqliteStore({ path, log: silentLog, server });
  const starting = openSqliteStore({ path, log: silentLog, server });
  // While the first has it alone, its own wait, and others are refused.
  await assert.rejects(openSqliteStore({ path, log: silentLog, server: "x" }), withCode("locked"));
  await one.share();
  const two = await starting;
  await assert.rejects(openSqliteStore({ path, log: silentLog, server: "x" }), withCode("locked"));
  await one[Symbol.asyncDispose]();
  await assert.rejects(openSqliteStore({ path, log: silentLog }), withCode("locked"));
  await two[Symbol.asyncDispose]();
  await using next = await openSqliteStore({ path, log: silentLog, server: "x" });
  assert.ok(next.isAlone);
});

test("a lock that is kept outlives its store, until the process is gone", async (t) => {
  const path = pathOf(t);
  const store = await openSqliteStore({ path, log: silentLog });
  store.keepLock();
  await store[Symbol.asyncDispose]();
  await assert.rejects(openSqliteStore({ path, log: silentLog }), withCode("locked"));
});

function startChild(t: TestContext, path: string, prefix: string) {
  const script = join(import.meta.dirname, "store.child.ts");
  const child: ChildProcess = spawn(process.execPath, [script, "commit", path, server, prefix], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "close");
  t.after(() => child.kill("SIGKILL"));
  assert.ok(child.stdout !== null);
  const acknowledged = new Map<string, string>();
  let lines = 0;
  const waiting = new Set<() => void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const [word, key = "", version = ""] = line.split(" ");
    if (word !== "acknowledged") return;
    acknowledged.set(key, version);
    lines += 1;
    for (const look of waiting) look();
  });
  return {
    acknowledged,
    /** Acknowledged from now on. */
    untilMore: async (count: number): Promise<void> => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const wanted = lines + count;
      const look = (): void => {
        if (lines >= wanted) resolve();
      };
      waiting.add(look);
      look();
      await promise;
      waiting.delete(look);
    },
    kill: async (): Promise<void> => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function indexOf(version: string): number {
  return Number(version.split("-").at(-1));
}

function pathOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "roma-shared-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "metadata.sqlite");
}
