/**
 * Several workers of one server, each a process with a port of its own, so that a test says which one it talks to.
 * What they ask each other goes through this process, which alone knows who lives.
 */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { ServerConfigInput } from "../../packages/server/src/index.ts";
import { Relay } from "../../packages/server/src/supervisor/relay.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { rootKey, temporaryFolder } from "../harness/server-process.ts";
import type { ToChild, ToParent } from "./messages.ts";

const childFile = join(import.meta.dirname, "worker.child.ts");

export interface Worker {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** In order; resolves when it is gone. */
  stop(): Promise<void>;
  /** SIGSTOP: alive, and silent. */
  pause(): void;
  resume(): void;
}

export type Refused = { readonly code: string; readonly message: string };

export class Workers {
  readonly data: string;
  readonly #t: TestContext;
  readonly #config: ServerConfigInput;
  readonly #server: string;
  readonly #relay = new Relay(() => null);
  #lastSlot = 0;

  private constructor(
    t: TestContext,
    given: { readonly data: string; readonly config: ServerConfigInput; readonly server: string },
  ) {
    this.#t = t;
    this.data = given.data;
    this.#config = given.config;
    this.#server = given.server;
  }

  /** A server without a worker. `server` "": a process that is all of its server. */
  static async open(
    t: TestContext,
    config: ServerConfigInput = {},
    { data, server = randomUUID() }: { readonly data?: string; readonly server?: string } = {},
  ): Promise<Workers> {
    return new Workers(t, { data: data ?? (await temporaryFolder(t)), config, server });
  }

  /** The name of the one that does the background work. */
  get leader(): string | undefined {
    return this.#relay.leader;
  }

  /** So many, all ready. */
  async start(count: number): Promise<readonly Worker[]> {
    return await Promise.all(Array.from({ length: count }, () => this.startOne()));
  }

  /** `clockAheadMs`: what it takes for the time. */
  async startOne(options: { readonly clockAheadMs?: number } = {}): Promise<Worker> {
    const started = await this.tryOne(options);
    assert("url" in started, `refused: ${JSON.stringify(started)}`);
    return started;
  }

  async tryOne({
    clockAheadMs = 0,
  }: {
    readonly clockAheadMs?: number;
  } = {}): Promise<Worker | Refused> {
    this.#lastSlot += 1;
    const config = JSON.stringify({
      ...{ data: this.data, port: 0, opsPort: 0, rootKey },
      // What a test has begun to send waits for what it does meanwhile, however long that takes.
      http: { bodyIdleMsMax: "10 min", bodyRateWindowMs: "10 min" },
      ...this.#config,
    });
    const args = [`${this.#lastSlot}`, this.#server, config, `${clockAheadMs}`];
    const child = fork(childFile, args, {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const exited = once(child, "exit");
    const begun = Promise.withResolvers<{ readonly url: string } | Refused>();
    let name = "";
    child.on("message", (message: ToParent) => {
      switch (message.kind) {
        case "hello":
          name = message.name;
          this.#relay.join(name, (reply) => send(child, reply));
          return;
        case "ready":
          begun.resolve({ url: message.url });
          return;
        case "refused":
          begun.resolve(message);
          return;
        default:
          this.#relay.receive(name, message);
      }
    });
    child.once("exit", () => {
      begun.reject(new Error(`worker ${name} ended before it was ready`));
      this.#relay.leave(name);
    });
    const kill = async (): Promise<void> => {
      child.kill("SIGKILL");
      await exited;
    };
    cleanUp(this.#t, kill);
    const result = await begun.promise;
    if ("code" in result) {
      await kill();
      return { code: result.code, message: result.message };
    }
    return {
      ...{ name, url: result.url, pid: child.pid ?? -1, kill },
      stop: async () => {
        send(child, { kind: "retire", reason: "stopping" });
        await exited;
      },
      pause: () => void child.kill("SIGSTOP"),
      resume: () => void child.kill("SIGCONT"),
    };
  }
}

function send(child: ChildProcess, message: ToChild): void {
  if (child.connected) child.send(message, () => {});
}
