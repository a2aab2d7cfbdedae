/** `roma storage` against the real server. */
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

describe("roma storage", () => {
  const [id, secret] = ["storage-e2e-root", "storage-e2e-secret-0123456789"];
  let folder: string;
  let server: RunningServer;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "roma-cli-storage-"));
    const config = parseServerConfig({
      data: join(folder, "data"),
      port: 0,
      opsPort: 0,
      blobGrace: "0 ms",
      trash: { keep: "0 s" },
      sweeper: { interval: "100 ms" },
    });
    const rootKey = new Secret(`${id}:${secret}`);
    server = await startServer({ ...config, rootKey }, { log: silentLog });
  });
  after(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  async function roma(...args: readonly string[]) {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const texts = Promise.all([text(stdout), text(stderr)]);
    const env = {
      ROMA_ENDPOINT: server.url,
      ROMA_KEY: `${id}.${secret}`,
      DISK_ROOT: join(folder, "home"),
    };
    const { signal } = new AbortController();
    const stdin = Readable.from([Buffer.from("bytes")]);
    const exitCode = await runCommandLine(args, {
      stdin,
      stdout,
      stderr,
      env,
      cwd: folder,
      signal,
    });
    stdout.end();
    stderr.end();
    const [out, err] = await texts;
    return { exitCode, out, err };
  }

  async function add(name: string): Promise<void> {
    const added = await roma(
      ...["storage", "add", name, "--driver", "posix", "--set", `root=${join(folder, name)}`],
    );
    assert.equal(added.exitCode, 0, added.err);
  }

  test("a storage is added, listed, shown and changed", async () => {
    await add("disk");
    const listed = await roma("storage", "ls");
    assert.match(listed.out, /^disk {3}posix {2}active/m);
    assert.match(listed.out, /^local {2}posix {2}active {2}default/m);
    const shown = await roma("storage", "show", "disk");
    assert.match(shown.out, new RegExp(`^root +${join(folder, "disk")}$`, "m"));
    const set = await roma("storage", "set", "disk", "--set", "syncAfterRename=true", "--json");
    assert.equal(JSON.parse(set.out).syncAfterRename, true, set.err);
    const unset = await roma("storage", "set", "disk", "--unset", "syncAfterRename", "--json");
    assert.equal(JSON.parse(unset.out).syncAfterRename, "auto", unset.err);
    const lines = (await roma("storage", "ls", "--json")).out.trim().split("\n");
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).id),
      ["disk", "local"],
    );
  });

  test("drain, read-only, activate and retire change the state; what holds objects stays", async () => {
    await add("second");
    await roma("bucket", "create", "photos", "--placement", "second");
    const up = await roma("upload", "-", "photos/k");
    assert.equal(up.exitCode, 0, up.err);
    const active = await roma("storage", "retire", "second");
    assert.equal(active.exitCode, 5);
    assert.match(active.err, /drain it first/);
    assert.equal((await roma("storage", "drain", "second", "--wait")).exitCode, 0);
    const refused = await roma("storage", "read-only", "second", "--json");
    assert.equal(JSON.parse(refused.out).state, "read-only");
    await roma("bucket", "set", "photos", "--placement", "local");
    const full = await roma("storage", "retire", "second");
    assert.equal(full.exitCode, 5);
    assert.match(full.err, /still holds 1 blobs/);
    assert.equal((await roma("storage", "activate", "second")).exitCode, 0);
    await roma("rm", "photos/k");
    await roma("storage", "drain", "second");
    let retired = await roma("storage", "retire", "second");
    // Once the sweeper has removed what was deleted.
    const until = performance.now() + 60_000;
    while (retired.exitCode !== 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      retired = await roma("storage", "retire", "second");
    }
    assert.equal(retired.exitCode, 0, retired.err);
    assert.doesNotMatch((await roma("storage", "ls")).out, /second/);
    assert.match((await roma("storage", "ls", "--all")).out, /second +posix +retired/);
    assert.equal((await roma("storage", "retire", "second", "--forget")).exitCode, 0);
    assert.doesNotMatch((await roma("storage", "ls", "--all")).out, /second/);
  });

  test("test prints what the storage can do, and exits with 1 when a check fails", async () => {
    await add("tested");
    const passed = await roma("storage", "test", "tested");
    assert.equal(passed.exitCode, 0, passed.err);
    assert.match(passed.out, /^STEP +OUTCOME/m);
    assert.match(passed.out, /^conditionalPut +yes +yes +as declared$/m);
    const markdown = await roma("storage", "test", "tested", "--markdown");
    assert.match(markdown.out, /^## Storage test: passed/);
    assert.doesNotMatch(markdown.out, new RegExp(folder), "no path is in what is pasted");
    const json = await roma("storage", "test", "tested", "--json");
    assert.equal(JSON.parse(json.out).ok, true);
    await rm(join(folder, "tested"), { recursive: true });
    const failed = await roma("storage", "test", "tested");
    assert.equal(failed.exitCode, 1, failed.out);
    assert.match(failed.out, /failed/);
  });

  test("what cannot be is refused with the exit code of its kind", async () => {
    const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
      [["storage", "show", "none"], 4, /storage_not_found/],
      [["storage", "add", "x", "--driver", "posix", "--set", "root=here"], 1, /absolute path/],
      [["storage", "add", "x", "--driver", "posix", "--set", "root"], 2, /NAME=VALUE/],
      [["storage", "add", "x", "--driver", "posix", "--set", "state=active"], 2, /not a setting/],
      [
        ["storage", "add", "x", "--driver", "posix", "--set-env", "root=NONE"],
        2,
        /NONE is not set/,
      ],
      [["storage", "add", "x"], 2, /--driver/],
      [["storage", "set", "local"], 2, /name a setting/],
      [["storage", "set", "local", "--set", "syncAfterRename=true"], 1, /unsupported/],
      [["storage", "drain", "local"], 5, /default/],
    ];
    for (const [args, exitCode, message] of cases) {
      const result = await roma(...args);
      assert.equal(result.exitCode, exitCode, `${args.join(" ")}: ${result.err}`);
      assert.match(result.err, message, args.join(" "));
    }
    const taken = ["--driver", "posix", "--set-env", "root=DISK_ROOT"];
    const home = await roma("storage", "add", "home", ...taken);
    assert.equal(home.exitCode, 0, home.err);
    const again = await roma("storage", "add", "home", ...taken);
    assert.equal(again.exitCode, 5, again.err);
    const other = await roma("storage", "add", "other", ...taken);
    assert.equal(other.exitCode, 6, other.err);
    assert.match(other.err, /is the storage home/);
    assert.doesNotMatch(other.err, /try again later/);
  });
});
