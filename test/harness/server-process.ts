/**
 * A real server in a process of its own, with its own data folder and ports. A test that uses one
 * fails when the server warned of piled-up listeners, left a rejection unhandled, or ended without
 * being told to.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { cleanUp } from "./cleanup.ts";

/** The command line: as one program where `scripts/test.ts` made it, which starts in half the time. */
export const mainFile =
  process.env.TEST_RUN_SERVER ?? resolve(import.meta.dirname, "../../packages/cli/src/main.ts");
/** For what hangs: with twenty processes for two cores a start was seen to take more than a minute. */
const startMsMax = 180_000;
const stopMsMax = 60_000;
const linesKeptMax = 20_000;

/** The credential of every test server's root key. */
export const rootKey = "test-root:a-secret-for-tests-only";

/** Shared by all servers of a machine: a start costs half as much. Wrong entries are never used. */
const compileCache = join(tmpdir(), "roma-test-compile-cache");

export interface ServerOptions {
  /** Left out: a new temporary folder, removed after the test. */
  readonly data?: string;
  /** After `serve`, beside the folder and the ports. */
  readonly flags?: readonly string[];
  /** Of the server's process, beside the test's own. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Of Node, before the program. */
  readonly nodeFlags?: readonly string[];
  /** A command that runs Node, like `unshare`. */
  readonly prefix?: readonly string[];
}

export interface LogLine {
  readonly level: number;
  readonly message: string;
  /** The whole line, to be searched. */
  readonly text: string;
}

/** A new temporary folder, removed after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "roma-test-"));
  cleanUp(t, () => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** Starts a server and waits until it listens. Ended, and judged, after the test. */
export async function startServer(
  t: TestContext,
  options: ServerOptions = {},
): Promise<ServerProcess> {
  const data = options.data ?? (await temporaryFolder(t));
  const server = new ServerProcess(data, options);
  cleanUp(t, () => server.end());
  await server.start();
  return server;
}

/** What the command's first line gives to Node, as when a shell starts it: `env -S node FLAG …`. */
function commandFlags(): readonly string[] {
  const [first = ""] = readFileSync(mainFile, "utf8").split("\n", 1);
  return (
    first
      .split(/ node ?/)[1]
      ?.split(" ")
      .filter(Boolean) ?? []
  );
}

export class ServerProcess {
  readonly data: string;
  readonly #options: ServerOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #told = false;
  #faults: string[] = [];
  #log: LogLine[] = [];
  #stderr = "";
  url = "";
  opsUrl = "";
  /** Of the listener for S3 alone, if it was asked for. */
  s3Url = "";

  constructor(data: string, options: ServerOptions) {
    this.data = data;
    this.#options = options;
  }

  get objectsFolder(): string {
    return join(this.data, "objects");
  }

  get pid(): number {
    const pid = this.#child?.pid;
    assert(pid !== undefined, "the server runs");
    return pid;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** Lines since the last start. */
  get log(): readonly LogLine[] {
    return this.#log;
  }

  /** What the process printed there since its last start. */
  get stderr(): string {
    return this.#stderr;
  }

  /** On the same folder as before, with other ports. */
  async start(): Promise<void> {
    assert(this.#child === undefined, "the server does not run");
    const { flags = [], environment = {}, nodeFlags = [], prefix = [] } = this.#options;
    const [command = "", ...before] = [...prefix, process.execPath, ...commandFlags()];
    this.#told = false;
    this.#log = [];
    this.#stderr = "";
    const serve = ["serve", "--data", this.data, "--port", "0", "--ops-port", "0"];
    // Most tests look at, trace or kill the one process that serves; those of the supervisor say so.
    if (!flags.includes("--workers")) serve.push("--workers", "0");
    const child = spawn(
      command,
      [...before, ...nodeFlags, mainFile, ...serve, "--log-format", "json", ...flags],
      { stdio: ["ignore", "pipe", "pipe"], env: { ...inherited(), ...environment } },
    );
    this.#child = child;
    const listening = Promise.withResolvers<void>();
    listening.promise.catch(() => {});
    const timer = setTimeout(() => {
      listening.reject(new Error(`the server did not listen\n${this.#stderr}`));
    }, startMsMax);
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#onStderr(text));
    const lines = createInterface({ input: child.stdout ?? process.stdin });
    lines.on("line", (text) => {
      const line = this.#onLine(text);
      if (line?.message.startsWith("roma listening on ") === true) listening.resolve();
    });
    this.#exited = new Promise((done) => {
      // Not "exit": what was printed last comes after it.
      child.once("close", (code, signal) => {
        this.#child = undefined;
        const how = signal === null ? `with code ${code}` : `by ${signal}`;
        if (!this.#told) this.#faults.push(`the server ended by itself ${how}\n${this.#stderr}`);
        listening.reject(new Error(`the server ended ${how}\n${this.#stderr}${this.#lastLines()}`));
        done();
      });
    });
    try {
      await listening.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the process is gone. For a kill that comes from elsewhere. */
  expectEnd(): void {
    this.#told = true;
  }

  get exited(): Promise<void> {
    return this.#exited;
  }

  /** SIGKILL: nothing is closed in order. */
  async kill(): Promise<void> {
    this.#told = true;
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  /** SIGTERM; a server that does not end in time is a fault. */
  async stop(): Promise<void> {
    this.#told = true;
    const child = this.#child;
    if (child === undefined) return;
    child.kill("SIGTERM");
    const timer = setTimeout(() => {
      this.#faults.push(`the server did not stop within ${stopMsMax} ms`);
      child.kill("SIGKILL");
    }, stopMsMax);
    await this.#exited;
    clearTimeout(timer);
  }

  /** Ends it and throws what must never happen in a server. */
  async end(): Promise<void> {
    await this.kill();
    this.assertSound();
  }

  assertSound(): void {
    assert.deepEqual(this.#faults, []);
  }

  #onStderr(text: string): void {
    this.#stderr = (this.#stderr + text).slice(-64 * 1024);
    if (/MaxListenersExceededWarning|unhandled ?rejection|uncaught/i.test(text)) {
      this.#faults.push(text);
    }
  }

  #onLine(text: string): LogLine | undefined {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return undefined;
    }
    if (typeof value !== "object" || value === null) return undefined;
    const message = textOf(value, "msg") ?? "";
    const level = Number(Reflect.get(value, "level"));
    const line = { level, message, text };
    if (this.#log.length < linesKeptMax) this.#log.push(line);
    this.url = textOf(value, "url") ?? this.url;
    this.opsUrl = textOf(value, "opsUrl") ?? this.opsUrl;
    this.s3Url = textOf(value, "s3Url") ?? this.s3Url;
    return line;
  }

  #lastLines(): string {
    return this.#log
      .slice(-10)
      .map(({ text }) => `\n${text}`)
      .join("");
  }
}

function textOf(value: object, name: string): string | undefined {
  const field: unknown = Reflect.get(value, name);
  return typeof field === "string" ? field : undefined;
}

/** The test's environment without other people's options for a server. */
function inherited(): Record<string, string | undefined> {
  const names = Object.keys(process.env).filter((name) => !name.startsWith("ROMA_"));
  const kept = Object.fromEntries(names.map((name) => [name, process.env[name]]));
  // 64 MiB for each server that a test starts, and its files are counted: those that are about it ask for it.
  const ballast = { ROMA_DISK_BALLAST_BYTES: "0" };
  return { ...kept, ...ballast, ROMA_ROOT_KEY: rootKey, NODE_COMPILE_CACHE: compileCache };
}
