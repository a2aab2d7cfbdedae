/** What the command line says and heeds of environments, against the real server and its data. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { parseServerConfig, type RunningServer, silentLog, startServer } from "@roma/server";
import { runCommandLine } from "./program.ts";

describe("environments", () => {
  let folder: string;
  let server: RunningServer;
  const key = { id: "env-e2e-root", secret: "env-e2e-secret-0123456789" };
  const opened = new AsyncDisposableStack();

  async function startOn(environment: string): Promise<RunningServer> {
    const rootKey = `${key.id}:${key.secret}`;
    const data = join(folder, "data");
    const config = parseServerConfig({ data, port: 0, opsPort: 0, rootKey, environment });
    return await startServer(config, { log: silentLog });
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "roma-cli-environment-"));
    opened.defer(() => rm(folder, { recursive: true }));
    server = await startOn("production");
    opened.defer(() => server.close());
  });
  after(() => opened.disposeAsync());

  interface RunOptions {
    readonly env?: Readonly<Record<string, string>>;
    readonly isTTY?: boolean;
    readonly typed?: string;
  }

  async function roma(args: readonly string[], { env, isTTY = false, typed }: RunOptions = {}) {
    const stdout = new PassThrough();
    const stderr = Object.assign(new PassThrough(), { isTTY });
    const stdin = Object.assign(new PassThrough(), { isTTY });
    stdin.end(typed === undefined ? "bytes" : `${typed}\n`);
    const texts = Promise.all([text(stdout), text(stderr)]);
    const exitCode = await runCommandLine(args, {
      ...{ stdin, stdout, stderr, cwd: folder, signal: new AbortController().signal },
      env: { ROMA_ENDPOINT: server.url, ROMA_KEY: `${key.id}.${key.secret}`, ...env },
    });
    stdout.end();
    stderr.end();
    const [out, err] = await texts;
    return { exitCode, out, err };
  }

  test("a command that changes something tells what, in red on a terminal; one that reads does not", async () => {
    const plain = await roma(["upload", "-", "demo/k"]);
    assert.equal(plain.exitCode, 0, plain.err);
    assert.match(plain.err, /^environment: production$/m);
    const red = await roma(["upload", "-", "demo/k"], { isTTY: true });
    assert.ok(red.err.includes("environment: \u001b[1;31mproduction\u001b[0m"), red.err);
    const colourless = await roma(["rm", "demo/k"], { isTTY: true, env: { NO_COLOR: "1" } });
    assert.match(colourless.err, /^environment: production\r?$/m);
    const listed = await roma(["ls", "demo"]);
    assert.deepEqual(listed, { exitCode: 0, out: "", err: "" });
  });

  test("what is meant for another environment is refused, whichever command it is", async () => {
    await roma(["upload", "-", "demo/kept"]);
    for (const args of [
      ["rm", "demo/kept"],
      ["ls", "demo"],
      ["stat", "demo/kept"],
    ]) {
      for (const given of [
        { args: [...args, "--env", "development"] },
        { args, env: { ROMA_ENV: "development" } },
      ]) {
        const { exitCode, err } = await roma(given.args, given);
        assert.equal(exitCode, 5, err);
        assert.match(err, /\(environment_mismatch/);
      }
      const right = await roma([...args, "--env", "production"], { env: { ROMA_ENV: "test" } });
      assert.equal(right.exitCode, 0, right.err);
      await roma(["upload", "-", "demo/kept"]);
    }
    const wrong = await roma(["ls", "--env", "No label"]);
    assert.equal(wrong.exitCode, 2);
    assert.match(wrong.err, /--env No label: a label is 1 to 32/);
    const empty = await roma(["ls"], { env: { ROMA_ENV: "" } });
    assert.equal(empty.exitCode, 0, empty.err);
  });

  test("show tells the server's, and of a folder whose server does not run; set asks for the old label", async () => {
    assert.equal((await roma(["environment", "show"])).out, "production\n");
    const data = join(folder, "data");
    const busy = await roma(["environment", "set", "development", "--data", data, "--yes"]);
    assert.equal(busy.exitCode, 1, busy.err);
    assert.match(busy.err, /another Roma uses the folder/);
    await server.close();
    const shown = await roma(["environment", "show", "--data", data, "--json"]);
    assert.deepEqual(JSON.parse(shown.out), { environment: "production", readOnly: null });
    const set = ["environment", "set", "development", "--data", data];
    const silent = await roma(set);
    assert.equal(silent.exitCode, 2);
    assert.match(
      silent.err,
      /of the environment production, and will be of development; so will its storages: local \(posix\)/,
    );
    const wrong = await roma(set, { isTTY: true, typed: "development" });
    assert.equal(wrong.exitCode, 2, "the old label is what has to be typed");
    const right = await roma(set, { isTTY: true, typed: "production" });
    assert.equal(right.exitCode, 0, right.err);
    assert.equal(right.out, `${data}: development\n`);
    server = await startOn("production");
    const readOnly = await roma(["environment", "show"]);
    assert.equal(readOnly.out, "development\n");
    assert.match(readOnly.err, /^read-only: the server's data is of the environment development/);
    const refused = await roma(["rm", "demo/kept"]);
    assert.equal(refused.exitCode, 6, refused.err);
    assert.match(refused.err, /roma environment set LABEL/);
    assert.equal((await roma(["download", "demo/kept", "-"])).out, "bytes");
  });
});
