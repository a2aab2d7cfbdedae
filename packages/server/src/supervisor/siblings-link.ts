/**
 * `Siblings` of a worker: what it asks and tells goes through the supervisor, which knows who lives.
 * A question ends in its time whatever the supervisor does.
 */
import { randomBytes } from "node:crypto";
import { OperationalError } from "../core/errors.ts";
import type { Json, SiblingAnswer, Siblings } from "../core/ports/siblings.ts";
import type { ToWorker, WorkerChannel } from "./messages.ts";

type Handler = (message: Json, from: string) => Json | Promise<Json>;

interface Asked {
  resolve(answers: readonly SiblingAnswer[]): void;
  reject(error: unknown): void;
}

export class SiblingsLink implements Siblings {
  readonly self: string;
  readonly count: number;
  readonly #channel: WorkerChannel;
  readonly #handlers = new Map<string, Handler>();
  readonly #asked = new Map<number, Asked>();
  readonly #stopping = new AbortController();
  #lastId = 0;
  #waitingTasks: ((signal: AbortSignal) => Promise<void>)[] = [];
  #tasksRunning = 0;
  #leads = false;

  constructor(channel: WorkerChannel, { slot, count }: { slot: number; count: number }) {
    this.#channel = channel;
    this.count = count;
    this.self = `${slot}-${randomBytes(8).toString("hex")}`;
    channel.onMessage((message) => this.#receive(message));
    channel.send({ kind: "hello", name: this.self });
  }

  ask(
    topic: string,
    question: Json,
    { msMax, of }: { readonly msMax: number; readonly of?: string },
  ): Promise<readonly SiblingAnswer[]> {
    if (of === this.self) return Promise.resolve([]);
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<readonly SiblingAnswer[]>();
    const late = setTimeout(() => {
      this.#asked.delete(id);
      reject(new OperationalError("unavailable", `a worker has not answered within ${msMax} ms`));
    }, msMax);
    this.#asked.set(id, { resolve, reject });
    const to = of === undefined ? {} : { of };
    this.#channel.send({ kind: "ask", id, topic, question, msMax, ...to });
    return promise.finally(() => clearTimeout(late));
  }

  tell(topic: string, message: Json): void {
    this.#channel.send({ kind: "tell", topic, message });
  }

  on(topic: string, handle: Handler): void {
    this.#handlers.set(topic, handle);
  }

  lead(task: (signal: AbortSignal) => Promise<void>): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#leads) {
      this.#run(task);
      return;
    }
    this.#waitingTasks.push(task);
    this.#channel.send({ kind: "candidate" });
  }

  /** Ends this worker's lead, if it has it; it does not get it again. */
  beginStop(): void {
    if (this.#stopping.signal.aborted) return;
    this.#waitingTasks = [];
    this.#stopping.abort();
    if (!this.#leads) this.#channel.send({ kind: "led" });
  }

  #run(task: (signal: AbortSignal) => Promise<void>): void {
    this.#tasksRunning += 1;
    const settled = (): void => {
      this.#tasksRunning -= 1;
      if (this.#tasksRunning > 0) return;
      this.#leads = false;
      this.#channel.send({ kind: "led" });
    };
    void task(this.#stopping.signal).then(settled, settled);
  }

  #receive(message: ToWorker): void {
    switch (message.kind) {
      case "question":
        void this.#answer(message);
        return;
      case "told":
        // As with a question's: whoever tells does not learn how it went.
        void this.#handle(message.topic, message.message, message.from).catch(() => {});
        return;
      case "answers":
        this.#asked.get(message.id)?.resolve(message.answers);
        this.#asked.delete(message.id);
        return;
      case "unanswered":
        this.#asked.get(message.id)?.reject(new OperationalError("unavailable", message.reason));
        this.#asked.delete(message.id);
        return;
      case "lead":
        this.#beginLead();
        return;
      default:
    }
  }

  #beginLead(): void {
    // Crossed with this worker's withdrawal: the supervisor has it by now.
    if (this.#stopping.signal.aborted) return;
    const tasks = this.#waitingTasks;
    this.#waitingTasks = [];
    this.#leads = true;
    for (const task of tasks) this.#run(task);
  }

  async #answer(asked: ToWorker & { readonly kind: "question" }): Promise<void> {
    const { id, topic, question, from } = asked;
    try {
      const answer = await this.#handle(topic, question, from);
      this.#channel.send({ kind: "answer", id, answer });
    } catch (error) {
      const reason = `worker ${this.self} could not answer ${topic}: ${String(error)}`;
      this.#channel.send({ kind: "failed", id, reason });
    }
  }

  async #handle(topic: string, message: Json, from: string): Promise<Json> {
    const handler = this.#handlers.get(topic);
    return handler === undefined ? null : await handler(message, from);
  }
}
