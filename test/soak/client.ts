/**
 * One client of the soak: changes and reads keys of its own by every front end, breaks connections
 * on purpose, and notes in the ledger what it was told.
 */
import { createHash } from "node:crypto";
import { Agent } from "node:http";
import {
  type Answer,
  basicAuthorization,
  begin,
  formBody,
  listKeys,
  send,
} from "../harness/http-client.ts";
import type { Random } from "../harness/random.ts";
import { bytesFields, keyMetadata, tusFields } from "../uploads/tus-wire.ts";
import { absent, type Ledger, type State, stateOf } from "./ledger.ts";

const keysOfOne = 40;
const sizes = [0, 1, 1_000, 16_384, 70_000, 300_000, 2_000_000];
const answerMsMax = 90_000;

const weights = {
  put: 30,
  get: 30,
  getRange: 8,
  remove: 10,
  form: 4,
  tus: 10,
  list: 3,
  putCut: 6,
  putWrong: 3,
  getCut: 3,
  tusAbandoned: 2,
};

/** `undefined`: the connection broke or nothing came in time. */
type Outcome = Answer | undefined;

export interface SoakClientOptions {
  readonly name: string;
  readonly url: string;
  readonly ledger: Ledger;
  readonly random: Random;
  /** Counts each thing that was done, and each status that was answered. */
  readonly count: (what: string) => void;
}

export class SoakClient {
  readonly #it: SoakClientOptions;
  #agent = new Agent({ keepAlive: true, maxSockets: 2 });

  constructor(options: SoakClientOptions) {
    this.#it = options;
  }

  /** One thing after the other, until told to stop. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) await this.#act(this.#it.random.weighted(weights));
    this.#agent.destroy();
    this.#agent = new Agent({ keepAlive: true, maxSockets: 2 });
  }

  async #act(name: keyof typeof weights): Promise<void> {
    const { random, count } = this.#it;
    count(name);
    const key = `${this.#it.name}/${random.below(keysOfOne)}`;
    const isRead = name === "get" || name === "getRange" || name === "getCut" || name === "list";
    if (!isRead && !this.#it.ledger.isSettled(key)) return;
    switch (name) {
      case "put":
        return await this.#put(key);
      case "putCut":
        return await this.#putCut(key);
      case "putWrong":
        return await this.#putWrong(key);
      case "form":
        return await this.#form(key);
      case "tus":
        return await this.#tus(key, { abandon: false });
      case "tusAbandoned":
        return await this.#tus(key, { abandon: true });
      case "remove":
        return await this.#remove(key);
      case "get":
        return await this.#get(key);
      case "getRange":
        return await this.#getRange(key);
      case "getCut":
        return await this.#getCut(key);
      case "list":
        return await this.#list();
    }
  }

  #bytes(): Buffer {
    const { random } = this.#it;
    const bytes = Buffer.alloc(random.pick(sizes), `${random.next()} `);
    // Somewhere in it something that no other body has.
    if (bytes.length > 8) bytes.writeDoubleLE(random.next(), random.below(bytes.length - 8));
    return bytes;
  }

  async #put(key: string): Promise<void> {
    const bytes = this.#bytes();
    const headers: Record<string, string> = {};
    if (this.#it.random.next() < 0.3) {
      const digest = createHash("sha256").update(bytes).digest("base64");
      headers["repr-digest"] = `sha-256=:${digest}:`;
    }
    this.#settle(key, stateOf(bytes), await this.#send("PUT", path(key), { body: bytes, headers }));
  }

  async #putWrong(key: string): Promise<void> {
    const bytes = this.#bytes();
    const headers = { "content-md5": createHash("md5").update(bytes).update("!").digest("base64") };
    const answer = await this.#send("PUT", path(key), { body: bytes, headers });
    if (answer !== undefined && answer.status < 300) {
      this.#it.ledger.violate(`PUT ${key} with a wrong digest was answered ${answer.status}`);
    }
    await this.#get(key);
  }

  /** The connection breaks before the last byte has left: the change must not happen. */
  async #putCut(key: string): Promise<void> {
    const bytes = this.#bytes();
    if (bytes.length === 0) return;
    const sent = begin(this.#it, "PUT", path(key), {
      headers: { "content-length": `${bytes.length}` },
    });
    sent.answer.catch(() => {});
    const part = bytes.subarray(0, this.#it.random.below(bytes.length));
    await new Promise<void>((resolve) => {
      sent.request.once("close", resolve);
      sent.request.once("error", () => {});
      if (part.length === 0) sent.request.flushHeaders();
      else sent.request.write(part);
      setTimeout(() => sent.request.destroy(), this.#it.random.below(100));
    });
    await this.#get(key);
  }

  async #form(key: string): Promise<void> {
    const bytes = this.#bytes();
    const { headers, body } = formBody([{ name: "a file", bytes }], { key });
    const answer = await this.#send("POST", "/v1/objects/demo", { headers, body });
    this.#settle(key, stateOf(bytes), answer);
  }

  /** Created, sent with breaks, resumed from the offset that is told, until it is there. */
  async #tus(key: string, { abandon }: { readonly abandon: boolean }): Promise<void> {
    const { random, ledger } = this.#it;
    const bytes = this.#bytes();
    const created = await this.#send("POST", "/tus/demo", {
      headers: {
        ...tusFields,
        "upload-length": `${bytes.length}`,
        "upload-metadata": keyMetadata(key),
      },
    });
    if (created === undefined || created.status !== 201) {
      // An empty upload is complete at once.
      if (bytes.length === 0) this.#settle(key, stateOf(bytes), created);
      return;
    }
    if (bytes.length === 0) return ledger.acknowledge(key, stateOf(bytes));
    const upload = new URL(created.headers.location ?? "").pathname;
    let offset = 0;
    for (let attempt = 0; attempt < 40; attempt += 1) {
      const rest = bytes.subarray(offset);
      if (abandon && attempt > 0) return;
      const cut = abandon || random.next() < 0.3 ? random.below(rest.length) : rest.length;
      const answer =
        cut === rest.length
          ? await this.#patch(upload, offset, rest)
          : await this.#patchCut(upload, offset, rest, cut);
      if (answer?.status === 204 && Number(answer.headers["upload-offset"]) === bytes.length) {
        return ledger.acknowledge(key, stateOf(bytes));
      }
      const head = await this.#send("HEAD", upload, { headers: tusFields });
      const told = head?.status === 200 ? Number(head.headers["upload-offset"]) : Number.NaN;
      if (told > bytes.length) ledger.violate(`HEAD ${upload} told offset ${told}`);
      if (told === bytes.length) {
        // The answer to its last bytes was lost. It is an object, or becomes one.
        const answer = await this.#send("GET", path(key), {});
        if (answer?.status === 200 && stateOf(answer.body) === stateOf(bytes)) {
          return ledger.acknowledge(key, stateOf(bytes));
        }
      } else if (told >= 0) {
        if (told < offset) ledger.violate(`HEAD ${upload} went back from ${offset} to ${told}`);
        offset = told;
      }
      await wait(50 + random.below(100) * Math.min(attempt, 10));
    }
    ledger.doubt(key, stateOf(bytes));
  }

  async #patch(upload: string, offset: number, body: Uint8Array): Promise<Outcome> {
    const headers = { ...bytesFields, "upload-offset": `${offset}` };
    return await this.#send("PATCH", upload, { headers, body });
  }

  async #patchCut(
    upload: string,
    offset: number,
    rest: Uint8Array,
    cut: number,
  ): Promise<undefined> {
    const headers = {
      ...bytesFields,
      "upload-offset": `${offset}`,
      "content-length": `${rest.length}`,
    };
    const sent = begin(this.#it, "PATCH", upload, { headers });
    sent.answer.catch(() => {});
    await new Promise<void>((resolve) => {
      sent.request.once("close", resolve);
      sent.request.once("error", () => {});
      sent.request.write(cut === 0 ? Buffer.alloc(0) : rest.subarray(0, cut));
      setTimeout(() => sent.request.destroy(), this.#it.random.below(100));
    });
  }

  async #remove(key: string): Promise<void> {
    const answer = await this.#send("DELETE", path(key), {});
    if (answer?.status === 404) return this.#it.ledger.see(key, absent, "DELETE");
    this.#settle(key, absent, answer);
  }

  async #get(key: string): Promise<void> {
    const answer = await this.#send("GET", path(key), {});
    if (answer?.status === 200) this.#it.ledger.see(key, stateOf(answer.body), "GET");
    if (answer?.status === 404) this.#it.ledger.see(key, absent, "GET");
  }

  /** A range of the object that the ETag of the answer before names. */
  async #getRange(key: string): Promise<void> {
    const whole = await this.#send("GET", path(key), {});
    if (whole?.status !== 200 || whole.body.length < 2) return;
    const first = this.#it.random.below(whole.body.length - 1);
    const answer = await this.#send("GET", path(key), {
      headers: { range: `bytes=${first}-`, "if-range": whole.headers.etag ?? "" },
    });
    if (answer?.status === 206 && !answer.body.equals(whole.body.subarray(first))) {
      this.#it.ledger.violate(`GET ${key} from byte ${first} showed other bytes than the whole`);
    }
  }

  async #getCut(key: string): Promise<void> {
    const sent = begin(this.#it, "GET", path(key), { agent: this.#agent });
    sent.request.end();
    sent.answer.catch(() => {});
    await wait(this.#it.random.below(20));
    sent.request.destroy();
  }

  async #list(): Promise<void> {
    const { name, ledger } = this.#it;
    let listed: ReadonlySet<string>;
    try {
      listed = new Set(await listKeys(this.#it, `${name}/`));
    } catch {
      return;
    }
    for (let index = 0; index < keysOfOne; index += 1) {
      const key = `${name}/${index}`;
      const possible = ledger.possible(key);
      const isWrong = listed.has(key)
        ? possible.size === 1 && possible.has(absent)
        : !possible.has(absent);
      if (isWrong) ledger.violate(`a list ${listed.has(key) ? "has" : "lacks"} ${key}`);
    }
  }

  #settle(key: string, state: State, answer: Outcome): void {
    const { ledger } = this.#it;
    if (answer === undefined) ledger.doubt(key, state);
    else if (answer.status < 300) ledger.acknowledge(key, state);
    else ledger.refuse();
  }

  async #send(
    method: string,
    target: string,
    options: { readonly headers?: Readonly<Record<string, string>>; readonly body?: Uint8Array },
  ): Promise<Outcome> {
    const { headers = {}, body } = options;
    const length: Record<string, string> =
      body === undefined ? {} : { "content-length": `${body.length}` };
    const sent = begin(this.#it, method, target, {
      agent: this.#agent,
      headers: { ...length, ...headers },
    });
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
    }
  }
}

/** Reads every key of the ledger once, when nothing changes any more. */
export async function readEverything(
  server: { readonly url: string },
  ledger: Ledger,
): Promise<void> {
  for (const key of ledger.keys) {
    const { status, body } = await send(server, "GET", path(key), {
      authorization: basicAuthorization,
    });
    if (status === 200) ledger.see(key, stateOf(body), "the last GET of");
    else if (status === 404) ledger.see(key, absent, "the last GET of");
    else ledger.violate(`the last GET of ${key} was answered ${status}: ${body}`);
  }
}

function path(key: string): string {
  return `/v1/objects/demo/${key}`;
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
