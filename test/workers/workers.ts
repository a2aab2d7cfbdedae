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
import { cleanUp } from "../harness/cleanup.ts";
import { rootKey, temporaryFolder } from "../harness/server-process.ts";
import type { Answer, ToChild, ToParent } from "./messages.ts";

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

interface Question {
  readonly asker: string;
  readonly askId: number;
  readonly waitingFor: Set<string>;
  readonly answers: Answer[];
}

export type Refused = { readonly code: string; readonly message: string };

export class Workers {
  readonly data: string;
  readonly #t: TestContext;
  readonly #config: ServerConfigInput;
  readonly #server: string;
  readonly #children = new Map<string, ChildProcess>();
  readonly #candidates = new Set<string>();
  readonly #questions = new Map<number, Question>();
  #lastId = 0;
  #lastName = 0;
  leader: string | undefined;

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

  /** So many, all ready. */
  async start(count: number): Promise<readonly Worker[]> {
    return await Promise.all(Array.from({ length: count }, () => this.startOne()));
  }

  async startOne(): Promise<Worker> {
    const started = await this.tryOne();
    assert("url" in started, `refused: ${JSON.stringify(started)}`);
    return started;
  }

  async tryOne(): Promise<Worker | Refused> {
    this.#lastName += 1;
    const name = `worker-${this.#lastName}-${randomUUID().slice(0, 8)}`;
    const config = JSON.stringify({
      ...{ data: this.data, port: 0, opsPort: 0, rootKey },
      ...this.#config,
    });
    const child = fork(childFile, [name, this.#server, config], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const exited = once(child, "exit");
    const begun = Promise.withResolvers<{ readonly url: string } | Refused>();
    child.on("message", (message: ToParent) => {
      if (message.kind === "ready") begun.resolve({ url: message.url });
      else if (message.kind === "refused") begun.resolve(message);
      else this.#receive(name, child, message);
    });
    child.once("exit", () => {
      begun.reject(new Error(`${name} ended before it was ready`));
      this.#leave(name);
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
        child.send({ kind: "stop" } satisfies ToChild);
        await exited;
      },
      pause: () => void child.kill("SIGSTOP"),
      resume: () => void child.kill("SIGCONT"),
    };
  }

  #receive(name: string, child: ChildProcess, message: ToParent): void {
    if (message.kind === "hello") this.#children.set(name, child);
    else if (message.kind === "ask") this.#ask(name, message);
    else if (message.kind === "answer") this.#answered(name, message.id, message.answer);
    else if (message.kind === "failed") this.#failed(message.id);
    else if (message.kind === "tell") {
      const told = { kind: "told", topic: message.topic, message: message.message } as const;
      for (const other of this.#children.keys())
        if (other !== name) this.#send(other, { ...told, from: name });
    } else if (message.kind === "candidate") {
      this.#candidates.add(name);
      this.#appoint();
    } else if (message.kind === "led") this.#resign(name);
  }

  #ask(asker: string, { id: askId, topic, question, of }: ToParent & { kind: "ask" }): void {
    const others = [...this.#children.keys()].filter((name) => name !== asker);
    const waitingFor = new Set(of === undefined ? others : others.filter((name) => name === of));
    const id = ++this.#lastId;
    this.#questions.set(id, { asker, askId, waitingFor, answers: [] });
    for (const name of waitingFor)
      this.#send(name, { kind: "question", id, topic, question, from: asker });
    this.#settle(id);
  }

  #answered(from: string, id: number, answer: Answer["answer"]): void {
    const question = this.#questions.get(id);
    if (question?.waitingFor.delete(from) !== true) return;
    question.answers.push({ from, answer });
    this.#settle(id);
  }

  #failed(id: number): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    this.#questions.delete(id);
    this.#send(question.asker, { kind: "unanswered", id: question.askId });
  }

  #settle(id: number): void {
    const question = this.#questions.get(id);
    if (question === undefined || question.waitingFor.size > 0) return;
    this.#questions.delete(id);
    const { asker, askId, answers } = question;
    this.#send(asker, { kind: "answers", id: askId, answers });
  }

  #leave(name: string): void {
    this.#children.delete(name);
    this.#resign(name);
    for (const [id, question] of this.#questions) {
      if (question.waitingFor.delete(name)) this.#settle(id);
    }
  }

  #resign(name: string): void {
    this.#candidates.delete(name);
    if (this.leader === name) this.leader = undefined;
    this.#appoint();
  }

  #appoint(): void {
    if (this.leader !== undefined) return;
    const [next] = this.#candidates;
    this.leader = next;
    if (next !== undefined) this.#send(next, { kind: "lead" });
  }

  #send(name: string, message: ToChild): void {
    const child = this.#children.get(name);
    if (child?.connected === true) child.send(message, () => {});
  }
}
