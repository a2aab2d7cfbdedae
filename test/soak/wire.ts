/** Requests of a client of the soak: each is counted, bounded in time, and never answered 500. */
import { Agent } from "node:http";
import { type Answer, begin } from "../harness/http-client.ts";
import type { Random } from "../harness/random.ts";
import type { Ledger } from "./ledger.ts";

export const answerMsMax = 90_000;
const slowMs = 10_000;

export interface WireOptions {
  readonly url: string;
  readonly ledger: Ledger;
  readonly random: Random;
  /** Counts each thing that was done, and each status that was answered. */
  readonly count: (what: string) => void;
}

export interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export class Wire {
  readonly #it: WireOptions;
  #agent = new Agent({ keepAlive: true, maxSockets: 2 });

  constructor(options: WireOptions) {
    this.#it = options;
  }

  /** Those that are open; the next request opens another. */
  closeConnections(): void {
    this.#agent.destroy();
    this.#agent = new Agent({ keepAlive: true, maxSockets: 2 });
  }

  /** `undefined`: the connection broke or nothing came in time. */
  async send(method: string, target: string, options: SendOptions): Promise<Answer | undefined> {
    const { headers = {}, body } = options;
    const length: Record<string, string> =
      body === undefined ? {} : { "content-length": `${body.length}` };
    const sent = begin(this.#it, method, target, {
      agent: this.#agent,
      headers: { ...length, ...headers },
    });
    const since = performance.now();
    const timer = setTimeout(() => {
      this.#it.ledger.violate(`${method} ${target} had no answer within ${answerMsMax} ms`);
      sent.request.destroy();
    }, answerMsMax);
    try {
      sent.request.end(body);
      const answer = await sent.answer;
      this.#it.count(`${answer.status}`);
      if (answer.status === 500) {
        this.#it.ledger.violate(`${method} ${target} was answered 500: ${answer.body}`);
      }
      return answer;
    } catch {
      this.#it.count("connection broke");
      return undefined;
    } finally {
      clearTimeout(timer);
      countSlow(this.#it.count, method, since);
    }
  }

  /** The connection breaks after so many bytes of the body, before its end. */
  async sendCut(
    method: string,
    target: string,
    { headers, body, cut }: Required<SendOptions> & { readonly cut: number },
  ): Promise<void> {
    const length = { "content-length": `${body.length}` };
    const sent = begin(this.#it, method, target, { headers: { ...length, ...headers } });
    sent.answer.catch(() => {});
    await new Promise<void>((resolve) => {
      sent.request.once("close", resolve);
      sent.request.once("error", () => {});
      if (cut === 0) sent.request.flushHeaders();
      else sent.request.write(body.subarray(0, cut));
      setTimeout(() => sent.request.destroy(), this.#it.random.below(100));
    });
  }

  /** The client leaves before it has read the answer. */
  async getCut(target: string): Promise<void> {
    const sent = begin(this.#it, "GET", target);
    sent.request.end();
    sent.answer.catch(() => {});
    await wait(this.#it.random.below(20));
    sent.request.destroy();
  }
}

/** A figure, not a judgement: the machine may be as slow. */
export function countSlow(count: (what: string) => void, what: string, since: number): void {
  if (performance.now() - since > slowMs) count(`over ${slowMs / 1_000} s: ${what}`);
}

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
