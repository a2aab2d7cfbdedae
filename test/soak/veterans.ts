/**
 * Connections of the soak that live long and that no client breaks: what piles up on a connection with
 * each request can only be seen there. Each asks for something by every front end in turn.
 */
import { Agent } from "node:http";
import { presigned } from "../../packages/server/src/protocols/s3/testing-signature.ts";
import { begin, formBody, objectPath } from "../harness/http-client.ts";
import { rootKey } from "../harness/server-process.ts";
import { bytesFields, keyMetadata } from "../uploads/tus-wire.ts";
import { type SendOptions, wait } from "./wire.ts";

const pauseMs = 100;
const bytes = Buffer.alloc(20_000, "veteran ");

type Asked = readonly [method: string, target: string, options?: SendOptions];

interface Veteran {
  readonly agent: Agent;
  running: Promise<void>;
}

export class Veterans implements Disposable {
  readonly #server: { readonly url: string };
  readonly #all: Veteran[] = [];
  #stop = new AbortController();
  /** Requests. */
  asked = 0;

  constructor(server: { readonly url: string }) {
    this.#server = server;
  }

  /** How many there are. */
  get count(): number {
    return this.#all.length;
  }

  /** Opens so many more, each with one request. */
  async add(count: number): Promise<void> {
    const more = Array.from({ length: count }, () => ({
      agent: new Agent({ keepAlive: true, maxSockets: 1 }),
      running: Promise.resolve(),
    }));
    this.#all.push(...more);
    await Promise.all(more.map(({ agent }) => this.#ask(agent, ["GET", "/v1/objects/demo"])));
  }

  start(): void {
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    for (const [index, veteran] of this.#all.entries()) {
      veteran.running = this.#run(veteran.agent, `veteran/${index}`, signal);
    }
  }

  /** All are idle after that, and stay open. */
  async pause(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#all.map(({ running }) => running));
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    for (const { agent } of this.#all) agent.destroy();
  }

  async #run(agent: Agent, key: string, signal: AbortSignal): Promise<void> {
    for (let turn = 0; !signal.aborted; turn += 1) {
      const asked = this.#requests(key);
      const next = asked[turn % asked.length];
      if (next !== undefined) await this.#ask(agent, next);
      await wait(pauseMs);
    }
  }

  #requests(key: string): readonly Asked[] {
    const at = objectPath(key);
    const form = formBody([{ name: "a file", bytes }], { key });
    const metadata = { "upload-metadata": keyMetadata(key), "upload-length": `${bytes.length}` };
    return [
      ["PUT", at, { body: bytes }],
      ["GET", at],
      ["GET", at, { headers: { range: "bytes=5-" } }],
      ["PUT", this.#signed("PUT", key), { body: bytes }],
      ["GET", this.#signed("GET", key)],
      ["POST", "/tus/demo", { headers: { ...bytesFields, ...metadata }, body: bytes }],
      ["POST", "/v1/objects/demo", form],
      ["GET", `${at}-none`],
      ["DELETE", at],
    ];
  }

  #signed(method: string, key: string): string {
    const [keyId = "", secret = ""] = rootKey.split(":");
    const headers = { host: new URL(this.#server.url).host };
    return presigned({ method, target: `/s3/demo/${key}`, headers }, { keyId, secret });
  }

  /** Whatever is answered: others judge that. */
  async #ask(agent: Agent, [method, target, { headers = {}, body } = {}]: Asked): Promise<void> {
    this.asked += 1;
    const length: Record<string, string> =
      body === undefined ? {} : { "content-length": `${body.length}` };
    const sent = begin(this.#server, method, target, {
      agent,
      headers: { ...length, ...headers },
      ...(target.startsWith("/s3/") ? { authorization: null } : {}),
    });
    sent.request.end(body);
    await sent.answer.catch(() => {});
  }
}
