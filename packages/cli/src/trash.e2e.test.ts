/** `roma trash` and `roma hold` against the real server, in a folder of its own. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import {
  parseServerConfig,
  type RunningServer,
  Secret,
  silentLog,
  startServer,
} from "@roma/server";
import { runCommandLine } from "./program.ts";

const [id, secret] = ["cli-trash-root", "cli-trash-secret-0123456789abcdef"];

describe("roma trash", () => {
  let folder: string;
  let server: RunningServer;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "roma-cli-trash-"));
    const config = parseServerConfig({ data: join(folder, "data"), port: 0, opsPort: 0 });
    const rootKey = new Secret(`${id}:${secret}`);
    server = await startServer({ ...config, rootKey }, { log: silentLog });
  });
  after(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  async function roma(...args: readonly string[]) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const texts = Promise.all([text(stdout), text(stderr)]);
    const env = { ROMA_ENDPOINT: server.url, ROMA_KEY: `${id}.${secret}` };
    const stdin = Readable.from([Buffer.from("bytes")]);
    const { signal } = new AbortController();
    const terminal = { stdin, stdout, stderr, env, cwd: folder, signal };
    const exitCode = await runCommandLine(args, terminal);
    stdout.end();
    stderr.end();
    const [out, err] = await texts;
    return { exitCode, out, err };
  }

  const entries = async (bucket: string) => {
    const { out } = await roma("trash", "ls", bucket, "--json");
    const lines = out.split("\n").filter((line) => line !== "");
    return lines.map((line) => JSON.parse(line) as { readonly id: string; readonly key: string });
  };

  test("what was removed below a prefix is back with one command", async () => {
    await roma("bucket", "create", "photos", "--trash", "2 days");
    for (const key of ["a/1", "a/2", "c"]) await roma("upload", "-", `photos/${key}`);
    await roma("rm", "-r", "photos/", "--all", "--yes");
    const listed = await roma("trash", "ls", "photos");
    assert.match(listed.out, /deleted +5 B +until .* {2}a\/1 {2}\d+$/m);
    const since = new Date(Date.now() - 60_000).toISOString();
    const back = await roma("trash", "restore", "photos", "--prefix", "a/", "--since", since);
    assert.deepEqual([back.exitCode, back.out], [0, "2 objects restored (10 B)\n"], back.err);
    const read = await roma("download", "photos/a/2", "-");
    assert.equal(read.out, "bytes", read.err);
    await roma("upload", "-", "photos/c");
    const skipped = await roma("trash", "restore", "photos", "--all");
    assert.match(skipped.err, /1 object left: their keys are taken/);
    const [entry] = await entries("photos");
    const replaced = await roma("trash", "restore", "photos", entry?.id ?? "", "--replace");
    assert.equal(replaced.exitCode, 0, replaced.err);
    const again = await roma("trash", "restore", "photos", entry?.id ?? "");
    assert.match(again.err, /1 of the ids.*not in the trash/);
    assert.notEqual(again.exitCode, 0);
  });

  test("nothing is meant by nothing: an unset variable restores and purges nothing", async () => {
    await roma("bucket", "create", "logs");
    await roma("upload", "-", "logs/k");
    await roma("rm", "logs/k");
    for (const what of ["restore", "purge"]) {
      assert.match((await roma("trash", what, "logs")).err, /--all means everything/);
      assert.match((await roma("trash", what, "logs", "--prefix", "")).err, /--prefix is empty/);
      assert.match((await roma("trash", what, "logs", "1", "--all")).err, /not both/);
    }
    assert.match((await roma("trash", "purge", "logs", "--all")).err, /say --yes/);
    assert.equal((await entries("logs")).length, 1);
    const purged = await roma("trash", "purge", "logs", "--all", "--yes");
    assert.equal(purged.out, "1 object purged (5 B)\n", purged.err);
    assert.deepEqual(await entries("logs"), []);
  });

  test("an object is held, and freed", async () => {
    await roma("bucket", "create", "deeds");
    await roma("upload", "-", "deeds/k");
    const held = await roma("hold", "deeds/k", "--until", "2199-01-01T00:00:00Z", "--legal", "on");
    assert.match(held.out, /retained until +2199-01-01T00:00:00.000Z\nlegal hold +on/, held.err);
    const refused = await roma("rm", "deeds/k");
    assert.match(refused.err, /is under legal hold: nobody deletes/);
    const freed = await roma("hold", "deeds/k", "--legal", "off", "--json");
    assert.equal(JSON.parse(freed.out).legalHold, undefined);
    assert.match((await roma("rm", "deeds/k")).err, /is retained until 2199/);
  });
});
