/** What the tests beside a real parse-server share: the installed programs, their processes, a database of its own. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { globSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { cleanUp } from "../harness/cleanup.ts";
import { rootKey, temporaryFolder } from "../harness/server-process.ts";
import type { Service } from "../storages/service.ts";

const execute = promisify(execFile);

export const adapterModule = join(
  import.meta.dirname,
  "../../packages/parse-files-adapter/src/index.ts",
);

/** Keys of the application that every test uses. */
export const application = {
  appId: "shop",
  masterKey: "master-key-of-tests",
  javascriptKey: "javascript-key-of-tests",
} as const;

let folder: string | undefined;

/** Where `environment.sh build` has put everything. */
export function environmentFolder(): string {
  folder ??= execFileSync(join(import.meta.dirname, "environment.sh"), ["path"], {
    encoding: "utf8",
  }).trim();
  return folder;
}

/** A Node of that major version; `undefined` where this machine's kind has no such package. */
export function nodeProgram(major: 10 | 24): string | undefined {
  return globSync(`node_modules/node-${major}-*/bin/node`, { cwd: environmentFolder() })
    .map((path) => join(environmentFolder(), path))
    .at(0);
}

/** The Node that parse-server and the newest SDK ask for. */
export function currentNode(): string {
  const program = nodeProgram(24);
  assert.ok(program !== undefined, "the environment has Node 24");
  return program;
}

/** The Node of the old SDK's time, where there is a package for this machine; else the current one. */
export function oldNode(): { readonly program: string; readonly name: string } {
  try {
    const program = nodeProgram(10);
    return program === undefined
      ? { program: currentNode(), name: "Node 24" }
      : { program, name: "Node 10" };
  } catch {
    // Without the environment the tests are left out, and say so.
    return { program: "", name: "Node 10" };
  }
}

/** As parse-server is told which files adapter to use. */
export type AdapterWay =
  /** As JSON: a module with options, or a name. */
  | { readonly way: "value"; readonly value: unknown }
  | { readonly way: "instance"; readonly module: string; readonly options: unknown };

export interface ParseServerOptions {
  readonly adapter: AdapterWay;
  /** Options of parse-server, as JSON. */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string>>;
  /** Where it runs, and keeps logs and its own files. Left out: a temporary folder. */
  readonly folder?: string;
}

export interface ParseServerProcess {
  /** With its mount path. */
  readonly url: string;
  readonly pid: number;
  /** Triggers of files that have fired, with the file's name. */
  readonly triggers: readonly string[];
  /** SIGTERM, as a process manager stops it. Fails unless it ends well. */
  stop(): Promise<void>;
}

/** A real parse-server on a database of its own. Ended after the test. */
export async function startParseServer(
  t: TestContext,
  postgres: Service,
  { adapter, options = {}, environment = {}, folder: own }: ParseServerOptions,
): Promise<ParseServerProcess> {
  const all = {
    ...application,
    databaseURI: options.databaseURI ?? (await makeDatabase(postgres)),
    fileUpload: { enableForPublic: true, enableForAnonymousUser: true },
    maxUploadSize: "400mb",
    adapter,
    ...options,
  };
  const child = spawn(currentNode(), [join(import.meta.dirname, "parse-server.cjs")], {
    cwd: own ?? (await temporaryFolder(t)),
    env: {
      PATH: process.env.PATH,
      PARSE_ENVIRONMENT: environmentFolder(),
      PARSE_OPTIONS: JSON.stringify(all),
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-20_000);
  });
  cleanUp(t, () => endChild(child));
  const triggers: string[] = [];
  const listening = Promise.withResolvers<string>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const [, url] = /^parse-server listening on (\S+)$/.exec(line) ?? [];
    if (url !== undefined) listening.resolve(url);
    else if (line.startsWith("trigger ")) triggers.push(line.slice("trigger ".length));
    else said += `${line}\n`;
  });
  child.once("close", () => {
    listening.reject(new Error(`parse-server ended before it listened:\n${said}`));
  });
  const url = await listening.promise;
  return {
    ...{ url, triggers, pid: child.pid ?? 0 },
    async stop() {
      child.kill("SIGTERM");
      if (child.exitCode === null) await once(child, "exit");
      assert.equal(child.exitCode, 0, `parse-server ended badly:\n${said}`);
    },
  };
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

/** An empty database of its own, as a URL. */
export async function makeDatabase(postgres: Service): Promise<string> {
  const url = new URL(postgres.value("PG_URL"));
  const name = `parse_${randomUUID().replaceAll("-", "")}`;
  await execute("psql", [url.href, "-XAtq", "-c", `create database ${name}`]);
  url.pathname = `/${name}`;
  return url.href;
}

/** Options of our adapter for a server of the tests. */
export function adapterOptions(romaUrl: string, bucket: string): Record<string, unknown> {
  return { endpoint: romaUrl, key: rootKey, bucket };
}

/** What a client program has told about itself, a value for each of its lines of JSON. */
export async function runProgram(
  node: string,
  program: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<readonly Record<string, unknown>[]> {
  const { stdout } = await execute(node, [join(import.meta.dirname, program)], {
    env: {
      PATH: process.env.PATH,
      PARSE_ENVIRONMENT: environmentFolder(),
      SETTINGS: JSON.stringify({ ...application, ...settings }),
    },
    maxBuffer: 64 * 1024 * 1024,
    timeout: 540_000,
  });
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line): Record<string, unknown> => JSON.parse(line));
}
