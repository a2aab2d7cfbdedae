/** Workers of one server within a process: what they tell each other crosses as JSON, as between processes. */
import { OperationalError } from "../../packages/server/src/core/errors.ts";
import type {
  Json,
  SiblingAnswer,
  Siblings,
} from "../../packages/server/src/core/ports/siblings.ts";

type Handler = (message: Json, from: string) => Json | Promise<Json>;

interface Member {
  readonly handlers: Map<string, Handler>;
  readonly leads: {
    readonly task: (signal: AbortSignal) => Promise<void>;
    readonly stop: AbortController;
  }[];
  state: "live" | "hung" | "dead";
}

export class SiblingHub {
  readonly #members = new Map<string, Member>();
  readonly count: number;

  constructor(count: number) {
    this.count = count;
  }

  join(name: string): Siblings {
    const member: Member = { handlers: new Map(), leads: [], state: "live" };
    this.#members.set(name, member);
    return {
      self: name,
      count: this.count,
      on: (topic, handle) => void member.handlers.set(topic, handle),
      tell: (topic, message) => {
        if (member.state !== "live") return;
        for (const [other, { state, handlers }] of this.#members) {
          if (other !== name && state === "live") void handlers.get(topic)?.(clone(message), name);
        }
      },
      ask: async (topic, question, { msMax, of }) => {
        const asked = [...this.#members].filter(
          ([other, { state }]) =>
            other !== name &&
            state !== "dead" &&
            (of === undefined ? other !== "supervisor" : of === other),
        );
        const answers = asked.map(async ([other, { state, handlers }]): Promise<SiblingAnswer> => {
          if (state === "hung") {
            await new Promise((resolve) => setTimeout(resolve, msMax));
            throw new OperationalError("unavailable", `worker ${other} does not answer`);
          }
          const answer = (await handlers.get(topic)?.(clone(question), name)) ?? null;
          return { from: other, answer: clone(answer) };
        });
        return await Promise.all(answers);
      },
      lead: (task) => {
        member.leads.push({ task, stop: new AbortController() });
        this.#elect();
      },
    };
  }

  hang(name: string): void {
    this.#of(name).state = "hung";
  }

  /** As by SIGKILL; its duties pass to another. */
  kill(name: string): void {
    this.#of(name).state = "dead";
    if (this.#leader === name) this.#leader = undefined;
    this.#elect();
  }

  #leader: string | undefined;

  #elect(): void {
    this.#leader ??= [...this.#members].find(
      ([, { state, leads }]) => state === "live" && leads.length > 0,
    )?.[0];
    if (this.#leader === undefined) return;
    const { leads } = this.#of(this.#leader);
    for (const { task, stop } of leads.splice(0)) void task(stop.signal);
  }

  #of(name: string): Member {
    const member = this.#members.get(name);
    if (member === undefined) throw new Error(`there is no worker ${name}`);
    return member;
  }
}

function clone(value: Json): Json {
  return JSON.parse(JSON.stringify(value));
}
