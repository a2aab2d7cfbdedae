// A supervisor of tiny workers in a process of its own, for tests: what it says, and requests to it.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, rmdirSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { cleanUp } from "../harness/cleanup.ts";

/** The supervisor lets no connection wait for a worker longer than ten seconds. */
const waitMsLeast = 9_500;

const program = join(import.meta.dirname, "tiny-supervisor.ts");

export interface TinyOptions {
  readonly count?: number;
  readonly heartbeatMs?: number;
  readonly leaveMsMax?: number;
  readonly recycleBytes?: number;
  readonly wrongConfig?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  /** Before Node: `unshare` and its like. */
  readonly prefix?: readonly string[];
}

export type Line = Readonly<Record<string, unknown>> & { readonly msg: string };

export interface WorkerFacts {
  readonly pid: number;
  readonly slot: number;
  readonly leads: boolean;
}

export class Tiny {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  stderr = "";

  constructor({ environment = {}, prefix = [], ...options }: TinyOptions) {
    const [command = "", ...args] = [...prefix, process.execPath, program, JSON.stringify(options)];
    const env = { ...process.env, ...environment };
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    createInterface({ input: this.child.stdout ?? process.stdin }).on("line", (text) => {
      this.lines.push(JSON.parse(text));
    });
    this.ended = new Promise((done) => {
      this.child.once("exit", (code, signal) => done({ code, signal }));
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get url(): string {
    return String(this.said("listening")[0]?.url ?? "");
  }

  /** Fails with what it said last. */
  async endsWith(expected: { readonly code: number | null; readonly signal: string | null }) {
    const ended = await this.ended;
    if (isDeepStrictEqual(ended, expected)) return;
    const last = this.lines.slice(-10).map((line) => JSON.stringify(line));
    assert.fail([`it ended with ${JSON.stringify(ended)}`, ...last, this.stderr].join("\n"));
  }

  said(part: string): readonly Line[] {
    return this.lines.filter(({ msg }) => msg.includes(part));
  }

  async started(count: number): Promise<void> {
    await eventually("all workers are ready", () => this.said("a worker is ready").length >= count);
  }

  /** On a connection of its own. One that waited for a worker for as long as the supervisor lets it is followed by another. */
  async ask<Answer>(path: string, body = ""): Promise<Answer> {
    for (;;) {
      const since = performance.now();
      try {
        return await this.askOnce<Answer>(path, body);
      } catch (error) {
        const isCut = Reflect.get(Object(error), "code") === "ECONNRESET";
        if (!isCut || performance.now() - since < waitMsLeast) throw error;
      }
    }
  }

  /** As `ask`, whatever comes of it. */
  async askOnce<Answer>(path: string, body = ""): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const options = { agent: false as const, method: "POST" };
    const read = async (response: IncomingMessage): Promise<Answer> => {
      let text = "";
      for await (const chunk of response) text += String(chunk);
      return JSON.parse(text) as Answer;
    };
    const sent = request(this.url + path, options, (response) => {
      read(response).then(resolve, reject);
    });
    sent.on("error", reject).end(body);
    return await promise;
  }

  /** By slot: each answers within so many requests, since they take turns. */
  async workers(count: number): Promise<readonly WorkerFacts[]> {
    const found = new Map<number, WorkerFacts>();
    await eventually("each worker answers", async () => {
      const facts = await this.ask<WorkerFacts>("/");
      found.set(facts.slot, facts);
      return found.size >= count;
    });
    return [...found.values()].sort((one, other) => one.slot - other.slot);
  }
}

export async function startTiny(t: TestContext, options: TinyOptions = {}): Promise<Tiny> {
  const tiny = new Tiny(options);
  cleanUp(t, async () => {
    tiny.child.kill("SIGKILL");
    await tiny.ended;
  });
  await tiny.started(options.count ?? 2);
  return tiny;
}

export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  msMax = 60_000,
): Promise<void> {
  const endMs = performance.now() + msMax;
  while (!(await holds())) {
    assert.ok(performance.now() < endMs, `within ${msMax} ms: ${what}`);
    await delay(20);
  }
}

/** Of its main thread, which starts all that are looked for. */
export function childrenOf(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
  return children === "" ? [] : children.split(" ").map(Number);
}

/** Zombies count as gone: they run nothing. */
export function isAlive(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

/** Of a group without processes, or an empty folder. */
export function isRemoved(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
