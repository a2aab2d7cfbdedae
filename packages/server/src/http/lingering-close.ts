/**
 * An early refusal reaches the client that is still sending. The whole answer is written first;
 * then what still comes is read and thrown away, bounded in bytes and in time; only then is the
 * connection closed. Closing at once would make the kernel answer with a reset that overtakes the
 * response (RFC 9112 §9.6).
 */
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { declaredLength, hasBody } from "./body.ts";
import { type RequestScope, requestScope } from "./deadline.ts";
import type { Watched } from "./watch.ts";

/** A rest this small is read, and the connection stays open. */
const keepAliveRestBytesMax = 64 * 1024;

/** What the answer to this request must do about the part of the body that has not come yet. */
export type Rest = "none" | "close" | "drain" | "drain-and-close";

export function unreadRest(request: FastifyRequest, scope: RequestScope): Rest {
  const { raw } = request;
  if (raw.complete || raw.readableEnded || !hasBody(raw)) return "none";
  if (!scope.bodyComes || scope.inputEnded) return "close";
  const length = declaredLength(raw);
  return length !== undefined && length <= keepAliveRestBytesMax ? "drain" : "drain-and-close";
}

/**
 * An `onSend` hook: gives the payload back as it is when the request has been read, else as a
 * stream that ends only after the rest of the request was read or given up.
 */
export function lingerOnSend(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
): unknown {
  const scope = requestScope(request);
  if (scope.runtime.phase !== "accepting") reply.header("connection", "close");
  const rest = unreadRest(request, scope);
  if (rest === "none") return payload;
  if (rest !== "drain") reply.header("connection", "close");
  if (rest === "close") return payload;
  // Whoever still pulls the body must not take the thrown-away bytes for his.
  scope.closeBody?.();
  if (payload !== null && payload !== undefined && !isWhole(payload)) return payload;
  const bytes = payload ?? "";
  reply.header("content-length", Buffer.byteLength(bytes));
  return Readable.from(linger(request, reply, { bytes, keepAlive: rest === "drain" }), {
    objectMode: false,
  });
}

const isWhole = (payload: unknown): payload is string | Uint8Array =>
  typeof payload === "string" || payload instanceof Uint8Array;

async function* linger(
  request: FastifyRequest,
  reply: FastifyReply,
  answer: { readonly bytes: string | Uint8Array; readonly keepAlive: boolean },
): AsyncGenerator<string | Uint8Array> {
  if (answer.bytes.length > 0 && request.method !== "HEAD") yield answer.bytes;
  else reply.raw.flushHeaders();
  const ended = await drain(request);
  // Kept alive, its next bytes would be taken for a request.
  if (!ended && answer.keepAlive) reply.raw.once("finish", () => request.raw.destroy());
}

/** Reads and throws away the rest of the request; false if a bound was met first. */
export function drain(request: FastifyRequest): Promise<boolean> {
  const scope = requestScope(request);
  const { raw } = request;
  if (raw.complete || raw.readableEnded) return Promise.resolve(true);
  if (raw.destroyed) return Promise.resolve(false);
  scope.beginTransfer();
  return new Promise<boolean>((resolve) => {
    new Drain(raw, scope, (ended) => {
      scope.endTransfer();
      resolve(ended);
    });
  });
}

class Drain implements Watched {
  readonly #raw: IncomingMessage;
  readonly #scope: RequestScope;
  readonly #done: (ended: boolean) => void;
  readonly #untilMs: number;
  #bytesLeft: number;

  constructor(raw: IncomingMessage, scope: RequestScope, done: (ended: boolean) => void) {
    const { config, watch } = scope.runtime;
    this.#raw = raw;
    this.#scope = scope;
    this.#done = done;
    this.#untilMs = watch.clock.monotonicMs() + config.lingerMsMax;
    this.#bytesLeft = config.lingerBytesMax;
    raw.on("data", this.#onData).on("end", this.#onEnd);
    raw.on("error", this.#onClosed).on("close", this.#onClosed);
    watch.add(this);
    raw.resume();
  }

  check(nowMs: number): void {
    if (nowMs >= this.#untilMs || this.#scope.runtime.phase === "cutting") this.#finish(false);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytesLeft -= chunk.length;
    if (this.#bytesLeft < 0) this.#finish(false);
  };

  readonly #onEnd = (): void => this.#finish(true);
  readonly #onClosed = (): void => this.#finish(false);

  #finish(ended: boolean): void {
    this.#raw.off("data", this.#onData).off("end", this.#onEnd);
    this.#raw.off("error", this.#onClosed).off("close", this.#onClosed);
    this.#scope.runtime.watch.delete(this);
    if (!ended) this.#raw.pause();
    this.#done(ended);
  }
}
