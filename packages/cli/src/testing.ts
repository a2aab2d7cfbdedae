/**
 * What the command line promises, as tests that any server of the protocol can be put under: each test
 * has its own bucket and folder, and talks to the server over real sockets.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once, setMaxListeners } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runCommandLine } from "./program.ts";

export interface SuiteServer {
  readonly url: string;
  /** Of a key that may do everything. */
  readonly credential: string;
  close(): Promise<void>;
}

interface Result {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout's lines as JSON. */
  readonly json: readonly Readonly<Record<string, unknown>>[];
}

interface RunOptions {
  readonly stdin?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

interface Scene {
  readonly bucket: string;
  readonly folder: string;
  /** Runs a command in `folder` with the key in its environment. */
  roma(args: readonly string[], options?: RunOptions): Promise<Result>;
}

const mainPath = fileURLToPath(new URL("./main.ts", import.meta.url));

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Declares the tests; `start` is called once for all of them. */
export function describeCommandLine(name: string, start: () => Promise<SuiteServer>): void {
  describe(name, () => {
    let server: SuiteServer;
    before(async () => {
      server = await start();
    });
    after(() => server.close());

    async function scene(t: TestContext): Promise<Scene> {
      const folder = await mkdtemp(join(tmpdir(), "roma-cli-"));
      t.after(() => rm(folder, { recursive: true, force: true }));
      const bucket = `suite-${randomBytes(6).toString("hex")}`;
      const roma = (args: readonly string[], options?: RunOptions) => run(folder, args, options);
      const created = await roma(["bucket", "create", bucket]);
      assert.equal(created.exitCode, 0, created.stderr);
      return { bucket, folder, roma };
    }

    async function run(
      folder: string,
      args: readonly string[],
      { stdin, env, signal }: RunOptions = {},
    ): Promise<Result> {
      const stdout = new PassThrough();
      const stderr = new PassThrough();
      const texts = Promise.all([text(stdout), text(stderr)]);
      const interruption = signal ?? new AbortController().signal;
      setMaxListeners(0, interruption);
      const exitCode = await runCommandLine(args, {
        stdin: stdin === undefined ? Readable.from([]) : Readable.from([Buffer.from(stdin)]),
        stdout,
        stderr,
        env: { ROMA_ENDPOINT: server.url, ROMA_KEY: server.credential, ...env },
        cwd: folder,
        signal: interruption,
      });
      stdout.end();
      stderr.end();
      const [out, err] = await texts;
      return {
        exitCode,
        stdout: out,
        stderr: err,
        get json() {
          return out
            .split("\n")
            .filter((line) => line !== "")
            .map((line): Readonly<Record<string, unknown>> => JSON.parse(line));
        },
      };
    }

    async function keysOf({ bucket, roma }: Scene): Promise<readonly unknown[]> {
      const listed = await roma(["ls", "-r", "--json", bucket]);
      assert.equal(listed.exitCode, 0, listed.stderr);
      return listed.json.map(({ key }) => key);
    }

    test("a file goes up and comes down as it was, with its type by extension", async (t) => {
      const { bucket, folder, roma } = await scene(t);
      const bytes = randomBytes(3_000_000);
      await writeFile(join(folder, "a.bin"), bytes);
      await writeFile(join(folder, "page.md"), "# Title");
      const up = await roma(["upload", "a.bin", "page.md", bucket, "--json"]);
      assert.equal(up.exitCode, 0, up.stderr);
      const events = up.json.map(({ event }) => event);
      assert.deepEqual(events, ["uploaded", "uploaded", "summary"]);
      const down = await roma(["download", `${bucket}/a.bin`, "copy.bin"]);
      assert.equal(down.exitCode, 0, down.stderr);
      assert.equal(sha256(await readFile(join(folder, "copy.bin"))), sha256(bytes));
      const stat = await roma(["stat", `${bucket}/page.md`, "--json"]);
      assert.match(String(stat.json[0]?.contentType), /^text\/markdown/);
      const out = await roma(["download", `${bucket}/page.md`, "-"]);
      assert.equal(out.stdout, "# Title");
    });

    test("a folder keeps its name, a folder with / does not, a pattern starts at its base", async (t) => {
      const at = await scene(t);
      const { bucket, folder, roma } = at;
      await mkdir(join(folder, "photos/2024/deep"), { recursive: true });
      await writeFile(join(folder, "photos/top.txt"), "1");
      await writeFile(join(folder, "photos/2024/ü 文件 #1.txt"), "2");
      await writeFile(join(folder, "photos/2024/deep/x"), "");
      for (const args of [
        ["photos", bucket],
        ["photos/", `${bucket}/inside/`],
        ["photos/**/*.txt", `${bucket}/pattern/`],
      ]) {
        const up = await roma(["upload", ...args]);
        assert.equal(up.exitCode, 0, up.stderr);
      }
      assert.deepEqual(await keysOf(at), [
        "inside/2024/deep/x",
        "inside/2024/ü 文件 #1.txt",
        "inside/top.txt",
        "pattern/2024/ü 文件 #1.txt",
        "pattern/top.txt",
        "photos/2024/deep/x",
        "photos/2024/ü 文件 #1.txt",
        "photos/top.txt",
      ]);
      const down = await roma(["download", "-r", `${bucket}/photos/2024/`, "out"]);
      assert.equal(down.exitCode, 0, down.stderr);
      assert.deepEqual((await readdir(join(folder, "out"), { recursive: true })).sort(), [
        "deep",
        "deep/x",
        "ü 文件 #1.txt",
      ]);
    });

    test("what cannot be sent is reported, the rest is sent, and the exit code is 1", async (t) => {
      const at = await scene(t);
      const { bucket, folder, roma } = at;
      await mkdir(join(folder, "d"));
      await mkdir(join(folder, "e"));
      await writeFile(join(folder, "d/good"), "1");
      await writeFile(join(folder, "e/good"), "2");
      await symlink("nowhere", join(folder, "d/dangling"));
      const up = await roma(["upload", "d", bucket]);
      assert.equal(up.exitCode, 1);
      assert.match(up.stderr, /dangling/);
      assert.deepEqual(await keysOf(at), ["d/good"]);
      const both = await roma(["upload", "d/good", "e/good", bucket]);
      assert.equal(both.exitCode, 2);
      assert.match(both.stderr, /both become good/);
      assert.equal((await roma(["download", `${bucket}/good`, "-"])).stdout, "1");
    });

    test("stdin goes to a key, and is refused without one", async (t) => {
      const { bucket, roma } = await scene(t);
      const up = await roma(["upload", "-", `${bucket}/from-stdin.txt`], { stdin: "piped" });
      assert.equal(up.exitCode, 0, up.stderr);
      assert.equal((await roma(["download", `${bucket}/from-stdin.txt`, "-"])).stdout, "piped");
      assert.equal((await roma(["upload", "-", bucket], { stdin: "piped" })).exitCode, 2);
    });

    test("metadata and types given are kept, through a copy too", async (t) => {
      const { bucket, folder, roma } = await scene(t);
      await writeFile(join(folder, "a"), "content");
      const wanted = ["--meta", "Author=Zoë 100%", "--meta", "n=1", "--content-type", "text/x-own"];
      assert.equal((await roma(["upload", "a", `${bucket}/k`, ...wanted])).exitCode, 0);
      assert.equal((await roma(["cp", `${bucket}/k`, `${bucket}/copies/`])).exitCode, 0);
      for (const key of ["k", "copies/k"]) {
        const [stat] = (await roma(["stat", `${bucket}/${key}`, "--json"])).json;
        assert.deepEqual(stat?.metadata, { author: "Zoë 100%", n: "1" });
        assert.match(String(stat?.contentType), /^text\/x-own/);
        assert.equal(stat?.size, 7);
        assert.match(String(stat?.crc64nvme), /^[0-9a-f]{16}$/);
      }
    });

    test("mv leaves nothing behind, and --if-absent never replaces: exit code 5", async (t) => {
      const at = await scene(t);
      const { bucket, folder, roma } = at;
      await writeFile(join(folder, "a"), "one");
      await writeFile(join(folder, "b"), "two");
      await roma(["upload", "a", "b", bucket]);
      assert.equal((await roma(["upload", "b", `${bucket}/a`, "--if-absent"])).exitCode, 5);
      assert.equal((await roma(["cp", "--if-absent", `${bucket}/b`, `${bucket}/a`])).exitCode, 5);
      assert.equal((await roma(["download", `${bucket}/a`, "-"])).stdout, "one");
      assert.equal((await roma(["mv", `${bucket}/a`, `${bucket}/moved/`])).exitCode, 0);
      assert.deepEqual(await keysOf(at), ["b", "moved/a"]);
    });

    test("rm deletes what is named; -r asks, and refuses a whole bucket without --all", async (t) => {
      const at = await scene(t);
      const { bucket, folder, roma } = at;
      for (const name of ["a", "b", "c"]) await writeFile(join(folder, name), name);
      await roma(["upload", "a", "b", "c", `${bucket}/p/`]);
      await roma(["upload", "a", `${bucket}/q`]);
      assert.equal((await roma(["rm", `${bucket}/p/a`])).exitCode, 0);
      const unasked = await roma(["rm", "-r", `${bucket}/p/`]);
      assert.equal(unasked.exitCode, 2);
      assert.match(unasked.stderr, /2 objects .* were not deleted: say --yes/);
      assert.equal((await roma(["rm", "-r", "--yes", bucket])).exitCode, 2);
      assert.deepEqual(await keysOf(at), ["p/b", "p/c", "q"]);
      assert.equal((await roma(["rm", "-r", "--yes", `${bucket}/p/`])).exitCode, 0);
      assert.deepEqual(await keysOf(at), ["q"]);
      assert.equal((await roma(["bucket", "rm", bucket])).exitCode, 5);
      assert.equal((await roma(["rm", "-r", "--yes", "--all", bucket])).exitCode, 0);
      assert.equal((await roma(["bucket", "rm", bucket])).exitCode, 0);
      assert.equal((await roma(["ls", bucket])).exitCode, 4);
    });

    test("ls shows one level, all of it with -r, and no more than --limit", async (t) => {
      const { bucket, folder, roma } = await scene(t);
      for (const name of ["a", "b"]) await writeFile(join(folder, name), name);
      await roma(["upload", "a", "b", `${bucket}/p/`]);
      await roma(["upload", "a", bucket]);
      const level = await roma(["ls", bucket, "--json"]);
      assert.deepEqual(
        level.json.map(({ key, prefix }) => key ?? prefix),
        ["a", "p/"],
      );
      assert.match((await roma(["ls", `${bucket}/p/`])).stdout, /1 B {2}p\/a\n.*1 B {2}p\/b\n$/);
      assert.equal((await roma(["ls", "-r", bucket, "--limit", "2"])).stdout.split("\n").length, 3);
      assert.match((await roma(["ls"])).stdout, new RegExp(`${bucket}\n`));
    });

    test("what is missing is 4, a wrong key 3, a wrong command 2, no server 6", async (t) => {
      const { bucket, folder, roma } = await scene(t);
      const missing = await roma(["download", `${bucket}/missing`]);
      assert.equal(missing.exitCode, 4);
      assert.match(missing.stderr, /object_not_found/);
      assert.match(missing.stderr, /roma ls/);
      assert.equal((await roma(["stat", `${bucket}/missing`])).exitCode, 4);
      assert.equal((await roma(["bucket", "show", "no-such-bucket"])).exitCode, 4);
      await writeFile(join(folder, "a"), "1");
      assert.equal((await roma(["upload", "a", "no-such-bucket"])).exitCode, 4);
      const wrong = { env: { ROMA_KEY: "wrong.key" } };
      assert.equal((await roma(["ls"], wrong)).exitCode, 3);
      assert.equal((await roma(["upload", "a", bucket], wrong)).exitCode, 3);
      assert.equal((await roma(["ls"], { env: { ROMA_KEY: "without-a-dot" } })).exitCode, 2);
      assert.equal((await roma(["upload", "missing-file", bucket])).exitCode, 2);
      assert.equal((await roma(["upload", "a", "a", `${bucket}/key`])).exitCode, 2);
      assert.equal((await roma(["no-such-command"])).exitCode, 2);
      assert.equal((await roma(["ls", "--no-such-flag"])).exitCode, 2);
      assert.equal((await roma(["ls", "--help"])).exitCode, 0);
      const nowhere = { env: { ROMA_ENDPOINT: "http://127.0.0.1:1" } };
      const unreachable = await roma(["ls"], nowhere);
      assert.equal(unreachable.exitCode, 6);
      assert.match(unreachable.stderr, /roma serve/);
    });

    test("a local server's key file is found, and its key never goes to another server", async (t) => {
      const { folder, roma } = await scene(t);
      await mkdir(join(folder, "roma-data"));
      const [id, secret] = server.credential.split(".");
      const file = JSON.stringify({ id, secret, endpoint: server.url });
      await writeFile(join(folder, "roma-data/root-key.json"), file);
      const bare = { env: { ROMA_KEY: "", ROMA_ENDPOINT: "" } };
      assert.equal((await roma(["ls"], bare)).exitCode, 0);
      const shown = await roma(["config", "show"], bare);
      assert.match(shown.stdout, /root-key\.json/);
      assert.doesNotMatch(shown.stdout, new RegExp(String(secret)));
      const other = { env: { ROMA_KEY: "", ROMA_ENDPOINT: "http://files.example.com" } };
      const [elsewhere] = (await roma(["config", "show", "--json"], other)).json;
      assert.equal(elsewhere?.keyId, null);
    });

    test("keys are made for a purpose, disabled and removed; what they may not do is 3", async (t) => {
      const { bucket, folder, roma } = await scene(t);
      await writeFile(join(folder, "a"), "1");
      await roma(["upload", "a", bucket]);
      assert.equal((await roma(["key", "create", "k"])).exitCode, 2);
      const made = await roma(["key", "create", "k", "--role", "reader", "--bucket", bucket]);
      assert.equal(made.exitCode, 0, made.stderr);
      const ROMA_KEY = made.stdout.trim();
      assert.match(ROMA_KEY, /^[^.\s]+\.\S+$/);
      const id = ROMA_KEY.split(".")[0] ?? "";
      assert.match((await roma(["key", "show", id])).stdout, /object:read/);
      assert.match((await roma(["key", "ls"])).stdout, new RegExp(`${id} .*enabled`));
      assert.equal((await roma(["key", "disable", id])).exitCode, 0);
      assert.match((await roma(["key", "ls"])).stdout, new RegExp(`${id} .*disabled`));
      assert.equal(
        (await roma(["download", `${bucket}/a`, "-"], { env: { ROMA_KEY } })).exitCode,
        3,
      );
      assert.equal((await roma(["key", "rm", id])).exitCode, 0);
      assert.equal((await roma(["key", "show", id])).exitCode, 4);
    });

    test("a bucket's settings are shown and changed one at a time", async (t) => {
      const { bucket, roma } = await scene(t);
      const set = await roma(["bucket", "set", bucket, "--visibility", "public-read", "--json"]);
      assert.equal(set.exitCode, 0, set.stderr);
      assert.equal(set.json[0]?.visibility, "public-read");
      assert.match((await roma(["bucket", "show", bucket])).stdout, /public-read/);
      assert.equal((await roma(["bucket", "set", bucket])).exitCode, 2);
      assert.equal((await roma(["bucket", "create", bucket])).exitCode, 5);
    });

    test("a signed URL works without a key", async (t) => {
      const { bucket, folder, roma } = await scene(t);
      await writeFile(join(folder, "a"), "signed");
      await roma(["upload", "a", bucket]);
      const signed = await roma(["sign", "get", `${bucket}/a`, "--expires", "5 min"]);
      assert.equal(signed.exitCode, 0, signed.stderr);
      const answer = await fetch(signed.stdout.trim());
      assert.equal(await answer.text(), "signed");
      const grant = await roma(["grant", `${bucket}/p/`, "--action", "write"]);
      assert.equal(grant.exitCode, 0, grant.stderr);
      const limits = ["--template", "{uuid}{ext}", "--count", "2", "--context", '{"user":7}'];
      const templated = await roma(["grant", bucket, "--action", "write", ...limits]);
      assert.equal(templated.exitCode, 0, templated.stderr);
      const onOne = await roma(["grant", `${bucket}/k`, "--action", "write", ...limits]);
      assert.equal(onOne.exitCode, 2);
    });

    test("an interrupted download leaves no file, an interrupted upload no object: 130", async (t) => {
      const at = await scene(t);
      const { bucket, folder, roma } = at;
      await writeFile(join(folder, "big"), randomBytes(40_000_000));
      assert.equal((await roma(["upload", "big", bucket])).exitCode, 0);
      const down = new AbortController();
      let ended = false;
      const download = roma(["download", `${bucket}/big`, "out/copy"], { signal: down.signal });
      void download.then(() => {
        ended = true;
      });
      // The folder is made when the first byte is about to be written. Looked at and ended in one go: the
      // download is of this process, and goes on meanwhile.
      const isThere = () =>
        existsSync(join(folder, "out")) && readdirSync(join(folder, "out")).length > 0;
      while (!ended && !isThere()) await new Promise((resolve) => setImmediate(resolve));
      down.abort();
      assert.equal((await download).exitCode, 130);
      assert.deepEqual(await readdir(join(folder, "out")), []);
      const signal = AbortSignal.abort();
      assert.equal((await roma(["upload", "big", `${bucket}/k`], { signal })).exitCode, 130);
      assert.deepEqual(await keysOf(at), ["big"]);
    });

    test("the program itself: SIGINT while reading stdin ends it with 130 and no object", async (t) => {
      const at = await scene(t);
      const { bucket, folder } = at;
      const env = {
        ...process.env,
        ROMA_ENDPOINT: server.url,
        ROMA_KEY: server.credential,
      };
      const args = [mainPath, "upload", "-", `${bucket}/never`];
      const child = spawn(process.execPath, args, { cwd: folder, env, stdio: "pipe" });
      const errors = text(child.stderr);
      // Taken only once the program reads, which it does after the server has let it go on.
      await new Promise<void>((resolve) =>
        child.stdin.write(Buffer.alloc(4_000_000), () => resolve()),
      );
      child.kill("SIGINT");
      const [code] = await once(child, "exit");
      assert.equal(code, 130, await errors);
      assert.deepEqual(await keysOf(at), []);
    });

    test("the program itself: a reader that stops early, as head does, is no failure", async (t) => {
      const { bucket, folder, roma } = await scene(t);
      await writeFile(join(folder, "big"), randomBytes(8_000_000));
      await roma(["upload", "big", bucket]);
      const env = { ...process.env, ROMA_ENDPOINT: server.url, ROMA_KEY: server.credential };
      const args = [mainPath, "download", `${bucket}/big`, "-"];
      const child = spawn(process.execPath, args, { cwd: folder, env, stdio: "pipe" });
      child.stdout.once("data", () => child.stdout.destroy());
      const [code] = await once(child, "exit");
      assert.equal(code, 0);
    });
  });
}
