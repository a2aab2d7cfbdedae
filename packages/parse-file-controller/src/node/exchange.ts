/**
 * One request by `http.request`, which holds nothing of a body but the chunk on its way; `fetch` keeps a copy of a
 * streamed one (undici issue 4058). Every wait for the network has a limit; waiting for the source has none.
 */
import * as http from "node:http";
import * as https from "node:https";
import type { Fields } from "../requests.ts";
import type { OpenBody } from "./bodies.ts";

/** Milliseconds without a byte taken or sent before a connection is given up. */
const idleMsMax = 60_000;
/** Milliseconds from the last byte to the answer: the server may be syncing a large file. */
const answerMsMax = 120_000;

export interface Request {
  readonly method: string;
  readonly url: string;
  readonly fields: Fields;
  readonly body?: OpenBody;
  /** Bytes of the body; `null` where nobody knows. */
  readonly length?: number | null;
  readonly onSent?: ((bytes: number) => void) | undefined;
  readonly task?: Task | undefined;
}

/** What `Parse.File.cancel` ends: the request that is under way, and all that would follow. */
export class Task {
  #end = () => {};
  aborted = false;

  abort(): void {
    this.aborted = true;
    this.#end();
  }

  /** Throws if it was ended already. */
  follow(end: () => void): void {
    if (this.aborted) throw new Aborted();
    this.#end = end;
  }
}

/** Resolves at the head of the answer, whatever its status; its body is the caller's to read or destroy. */
export function exchange(request: Request): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { method, url, fields, body, task } = request;
    const send = /^https:/i.test(url) ? https.request : http.request;
    // A connection of its own: one that was used before may be closing, and a stream cannot be sent twice.
    const outgoing = send(url, { method, headers: fields, agent: false });
    const limit = new Limit((ms) => {
      outgoing.destroy(new Error(`nothing moved for ${ms} ms`));
    });
    const state: Sending = { limit, sent: 0, isEnded: body === undefined, isOver: false };
    const fail = (error: Error) => {
      state.isOver = true;
      limit.stop();
      body?.close();
      reject(error);
    };
    outgoing.on("error", fail);
    outgoing.on("close", () => fail(new Error("the connection was closed without an answer")));
    outgoing.on("response", (incoming) => {
      state.isOver = true;
      limit.stop();
      body?.close();
      // Also where the answer came before the body was sent: nobody else uses this connection.
      incoming.on("end", () => outgoing.destroy());
      const isSent = state.isEnded || state.sent === request.length;
      if (isSent || (incoming.statusCode || 0) >= 300) resolve(incoming);
      else outgoing.destroy(new Error("success was answered before the body was sent"));
    });
    task?.follow(() => {
      fail(new Aborted());
      outgoing.destroy();
    });
    limit.start(idleMsMax);
    if (body === undefined) {
      outgoing.end();
      return;
    }
    sendBody(outgoing, { body, state, onSent: request.onSent }).catch((error: Error) => {
      // A source that was closed because the answer is there fails too.
      if (state.isOver) return;
      fail(error);
      outgoing.destroy();
    });
  });
}

/** `Parse.File.cancel` was called. */
export class Aborted extends Error {
  constructor() {
    super("the request was cancelled");
  }
}

interface Sending {
  readonly limit: Limit;
  sent: number;
  /** All has been sent. */
  isEnded: boolean;
  /** Nobody wants the rest. */
  isOver: boolean;
}

async function sendBody(
  outgoing: http.ClientRequest,
  {
    body,
    state,
    onSent,
  }: {
    readonly body: OpenBody;
    readonly state: Sending;
    readonly onSent: ((bytes: number) => void) | undefined;
  },
): Promise<void> {
  for (;;) {
    state.limit.stop();
    const chunk = await body.next();
    if (state.isOver) return;
    if (chunk === null) break;
    state.limit.start(idleMsMax);
    state.sent += chunk.length;
    // Called once the bytes are with the kernel, and for a request that has failed.
    await new Promise<void>((resolve) => outgoing.write(chunk, () => resolve()));
    if (state.isOver) return;
    onSent?.(state.sent);
  }
  state.limit.start(answerMsMax);
  state.isEnded = true;
  outgoing.end();
}

/** One timer, for whatever is waited for. */
class Limit {
  readonly #expire: (ms: number) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(expire: (ms: number) => void) {
    this.#expire = expire;
  }

  start(ms: number): void {
    this.stop();
    this.#timer = setTimeout(this.#expire, ms, ms);
  }

  stop(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Reads an answer to its end. Rejects when it breaks off, stands still, or has more than `bytesMax`. */
export function readAll(
  incoming: http.IncomingMessage,
  { bytesMax, onChunk }: { readonly bytesMax: number; readonly onChunk?: (bytes: number) => void },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const limit = new Limit((ms) => incoming.destroy(new Error(`nothing came for ${ms} ms`)));
    limit.start(idleMsMax);
    incoming.on("data", (chunk: Buffer) => {
      limit.start(idleMsMax);
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > bytesMax) incoming.destroy(new Error(`more than ${bytesMax} bytes came`));
      else onChunk?.(chunk.length);
    });
    const fail = (error?: Error) => {
      limit.stop();
      reject(error || new Error(`the answer broke off after ${bytes} bytes`));
    };
    incoming.on("error", fail);
    incoming.on("aborted", () => fail());
    incoming.on("close", () => fail());
    incoming.on("end", () => {
      limit.stop();
      if (incoming.complete) resolve(Buffer.concat(chunks, bytes));
      else fail();
    });
  });
}
