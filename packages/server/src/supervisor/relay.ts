/**
 * The supervisor's side of `Siblings`: passes on what workers ask and tell, and says which one leads. It
 * keeps a question only until each worker that was alive has answered or died, or its time is over.
 */
import type { Json, SiblingAnswer } from "../core/ports/siblings.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** Whom a worker asks with `of` when it means the supervisor itself. */
export const supervisorName = "supervisor";

/** The asker has its own timer; this one only forgets what nobody waits for. */
const forgetMs = 1_000;

type Send = (message: ToWorker) => void;

interface Question {
  readonly asker: string;
  readonly askId: number;
  readonly waitingFor: Set<string>;
  readonly answers: SiblingAnswer[];
  readonly forget: NodeJS.Timeout;
}

export class Relay {
  readonly #members = new Map<string, Send>();
  readonly #questions = new Map<number, Question>();
  readonly #answerSelf: (topic: string) => Json;
  /** In the order in which they offered themselves. */
  readonly #candidates = new Set<string>();
  /** Killed, and still there. */
  readonly #abandoned = new Set<string>();
  #leader: string | undefined;
  #lastId = 0;

  /** `answerSelf` is what the supervisor says when it is asked itself. */
  constructor(answerSelf: (topic: string) => Json) {
    this.#answerSelf = answerSelf;
  }

  get leader(): string | undefined {
    return this.#leader;
  }

  join(name: string, send: Send): void {
    this.#members.set(name, send);
  }

  /** Of a worker that is dead: nobody waits for it any more, and another may lead. */
  leave(name: string): void {
    this.#members.delete(name);
    this.#resign(name);
    for (const [id, question] of this.#questions) {
      if (question.asker === name) this.#forget(id);
      else if (question.waitingFor.delete(name)) this.#settle(id);
    }
  }

  /**
   * Of a worker that was killed and cannot go, as with a thread in a call that hangs: it answers nothing, and what it
   * began may still end, until `gone` settles. Who asks for it by name is not told that it is dead.
   */
  abandon(name: string, gone: Promise<unknown>): void {
    this.leave(name);
    this.#abandoned.add(name);
    void gone.then(() => this.#abandoned.delete(name));
  }

  receive(from: string, message: FromWorker): void {
    switch (message.kind) {
      case "ask":
        this.#ask(from, message);
        return;
      case "answer":
        this.#take(from, message.id, message.answer);
        return;
      case "failed":
        this.#fail(message.id, message.reason);
        return;
      case "tell":
        for (const [name, send] of this.#members) {
          if (name === from) continue;
          send({ kind: "told", topic: message.topic, message: message.message, from });
        }
        return;
      case "candidate":
        this.#candidates.add(from);
        this.#appoint();
        return;
      case "led":
        this.#resign(from);
        return;
      default:
    }
  }

  #ask(from: string, asked: FromWorker & { readonly kind: "ask" }): void {
    const { topic, question, of } = asked;
    const send = this.#members.get(from);
    if (of === supervisorName) {
      const answers = [{ from: supervisorName, answer: this.#answerSelf(topic) }];
      send?.({ kind: "answers", id: asked.id, answers });
      return;
    }
    if (of !== undefined && this.#abandoned.has(of)) {
      const reason = `worker ${of} was killed and cannot end`;
      send?.({ kind: "unanswered", id: asked.id, reason });
      return;
    }
    const id = ++this.#lastId;
    const others = [...this.#members.keys()].filter((name) => name !== from);
    const waitingFor = new Set(of === undefined ? others : others.filter((name) => name === of));
    const forget = setTimeout(() => this.#forget(id), asked.msMax + forgetMs).unref();
    this.#questions.set(id, { asker: from, askId: asked.id, waitingFor, answers: [], forget });
    for (const name of waitingFor) {
      this.#members.get(name)?.({ kind: "question", id, topic, question, from });
    }
    this.#settle(id);
  }

  #take(from: string, id: number, answer: Json): void {
    const question = this.#questions.get(id);
    if (question?.waitingFor.delete(from) !== true) return;
    question.answers.push({ from, answer });
    this.#settle(id);
  }

  #fail(id: number, reason: string): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    this.#members.get(question.asker)?.({ kind: "unanswered", id: question.askId, reason });
    this.#forget(id);
  }

  #settle(id: number): void {
    const question = this.#questions.get(id);
    if (question === undefined || question.waitingFor.size > 0) return;
    const { asker, askId, answers } = question;
    this.#members.get(asker)?.({ kind: "answers", id: askId, answers });
    this.#forget(id);
  }

  #forget(id: number): void {
    clearTimeout(this.#questions.get(id)?.forget);
    this.#questions.delete(id);
  }

  #resign(name: string): void {
    this.#candidates.delete(name);
    if (this.#leader === name) this.#leader = undefined;
    this.#appoint();
  }

  #appoint(): void {
    if (this.#leader !== undefined) return;
    const [next] = this.#candidates;
    if (next === undefined) return;
    this.#leader = next;
    this.#members.get(next)?.({ kind: "lead" });
  }
}
