/**
 * Several processes, as the workers of a server, change the same things of one store at the same time, while a backup
 * holds it now and then: exactly one wins, what is counted is exact, and nobody is told that the database was busy.
 */
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { silentLog } from "../../core/ports/log.ts";
import { at, author, blob, bucket, garbageDueAt, object, upload } from "../conformance-samples.ts";
import { limits, type Outcome } from "./contend-limits.ts";
import { openSqliteStore } from "./store.ts";

const server = "one-server";
const names = ["one", "two", "three"];

test("three processes change the same things at the same time: exactly one wins, and counts are exact", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "roma-contend-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "metadata.sqlite");
  {
    await using store = await openSqliteStore({ path, log: silentLog, server });
    for (const name of ["b", "capped"]) await store.createBucket(bucket(name), { author });
    await store.createBucket(bucket("quota", { quotaBytes: limits.quotaBytes }), { author });
    const first = object("chain", { version: "first" });
    await store.commitObject(first, blob("first"), { author, garbageDueAt });
    await store.createUpload(upload("shared"), { openMax: 1_000 });
    await store.createUpload(upload("parts", { protocol: "s3" }), { openMax: 1_000 });
  }
  const children = names.map((name) => startChild(t, path, name));
  await Promise.all(children.map(({ opened }) => opened));
  for (const { begin } of children) begin();
  const holding = holdNowAndThen(path);
  t.after(() => holding.stop());
  const outcomes = await Promise.all(children.map(({ outcome }) => outcome));
  holding.stop();

  const done = outcomes.flatMap((outcome) => outcome.done);
  const count = (what: string) => done.filter((one) => one.split(" ")[0] === what).length;
  const { rounds, swaps, uploadBytes, grantUses, quotaBytes, deletesPerHour } = limits;
  for (const what of ["create", "key", "append"]) {
    const won = done.filter((one) => one.startsWith(`${what} `));
    const expected = what === "append" ? uploadBytes / 10 : rounds;
    assert.equal(won.length, expected, `${what}: one wins each`);
    assert.equal(new Set(won).size, expected, `${what}: each once`);
  }
  assert.equal(count("stale"), 0);
  assert.equal(count("grant"), grantUses);
  assert.equal(count("quota"), quotaBytes / 5);
  assert.equal(count("delete"), deletesPerHour);
  assert.equal(count("open"), limits.uploadsOpenMax);
  assert.equal(count("part"), rounds * names.length);
  assert.equal(count("swap"), swaps * names.length);
  // Whatever was refused was refused for what it is about.
  const codes = new Set(outcomes.flatMap(({ refused }) => Object.keys(refused)));
  const expected: ReadonlySet<string> = new Set([
    ...["create precondition_failed", "swap precondition_failed", "stale locked"],
    ...["grant access_denied", "quota quota_exceeded", "delete delete_cap_reached"],
    "open rate_limited",
  ]);
  const others = [...codes].filter((code) => !expected.has(code) && !code.startsWith("key "));
  assert.deepEqual(others, []);

  await using store = await openSqliteStore({ path, log: silentLog, server });
  const next = new Map(outcomes.flatMap(({ replaced }) => replaced));
  assert.equal(next.size, swaps * names.length, "no version was replaced twice");
  let version = "first";
  for (let after = next.get(version); after !== undefined; after = next.get(version)) {
    version = after;
  }
  assert.equal((await store.headObject("b", "chain"))?.version, version);
  assert.equal((await store.getUpload("shared"))?.offset, uploadBytes);
  assert.equal(await store.getGrantUses("K/g"), grantUses);
  assert.equal((await store.bucketUsage("quota")).bytes, quotaBytes);
  const left = (names.length - 1) * deletesPerHour;
  assert.equal((await store.bucketUsage("capped")).objects, left);
  const parts = await store.listUploadParts("parts", { after: 0, limit: 100 });
  assert.equal(parts.length, 10, "the last of each number");
  assert.equal((await store.getUpload("parts"))?.offset, 100);
  const garbage = await store.listGarbage({ dueBefore: at(4e9), limit: 10_000 });
  const replacedParts = garbage.filter(({ blobKey }) => blobKey.startsWith("part "));
  assert.equal(replacedParts.length, rounds * names.length - 10, "and no other is kept");
  for (let after = 0; ; ) {
    const { problems, next: more } = await store.verifyAudit({ after, limit: 10_000 });
    assert.deepEqual(problems, []);
    if (more === undefined) break;
    after = more;
  }
});

/**
 * As a backup does: for a twentieth of a second nobody can write, and again a while later. Not for longer than one
 * turn of the loop: the others wait for five seconds, which a busy machine may let this process stand still.
 */
function holdNowAndThen(path: string): { readonly stop: () => void } {
  const database = new DatabaseSync(path, { timeout: 0 });
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  const timer = setInterval(() => {
    try {
      database.exec("begin immediate");
    } catch {
      // One of the others writes: at another look.
      return;
    }
    Atomics.wait(sleeper, 0, 0, 50);
    database.exec("rollback");
  }, 100);
  return {
    stop: () => {
      clearInterval(timer);
      if (database.isOpen) database.close();
    },
  };
}

function startChild(t: TestContext, path: string, name: string) {
  const script = join(import.meta.dirname, "contend.child.ts");
  const child = spawn(process.execPath, [script, path, server, name], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const opened = Promise.withResolvers<void>();
  const outcome = Promise.withResolvers<Outcome>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line === "open") opened.resolve();
    else outcome.resolve(JSON.parse(line));
  });
  void once(child, "close").then(([code, signal]) => {
    const error = new Error(`${name} ended with ${code ?? signal}`);
    opened.reject(error);
    outcome.reject(error);
  });
  outcome.promise.catch(() => {});
  return {
    opened: opened.promise,
    outcome: outcome.promise,
    begin: () => void child.stdin.end("go\n"),
  };
}
