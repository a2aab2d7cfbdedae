/**
 * The body of a request as an async iterable: pulled from the socket with backpressure, watched for
 * clients that stall or trickle, and never longer or shorter than declared. What the iterator holds
 * is freed in every ending. Time in which nobody pulls is not held against the client.
 */
import type { IncomingMessage } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import { formatBytes, formatDuration } from "../config/units.ts";
import { OperationalError } from "../core/errors.ts";
import { giveChunk } from "../core/ports/given-chunks.ts";
import { type RequestScope, requestScope } from "./deadline.ts";
import type { Watched } from "./watch.ts";

export interface ReceiveOptions {
  /** More is refused with `too_large`: at once if declared, else at the byte that crosses it. */
  readonly bytesMax?: number;
  /** What the limit is called in the refusal. */
  readonly bytesMaxName?: string;
  /** Declared elsewhere than in `Content-Length`; a body of another length is `incomplete_body`. */
  readonly length?: number;
  /** Codings that the protocol itself decodes or stores; others are `unsupported`. */
  readonly contentEncodings?: readonly string[] | "any";
}

export interface ReceivedBody {
  /** Pull it once. Chunks are the socket's own buffers, given away to whoever pulls them. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Absent when the client did not declare it. */
  readonly length?: number;
}

/** Bytes taken from the socket ahead of the puller. */
const aheadBytesMax = 128 * 1024;

/**
 * Checks what the headers declare (throws `too_large`, `unsupported`, `incomplete_body`) and gives
 * the body. `Expect: 100-continue` is answered when the first chunk is pulled, so checks that need
 * no body come before that.
 */
export function receiveBody(
  request: FastifyRequest,
  reply: FastifyReply,
  options: ReceiveOptions = {},
): ReceivedBody {
  const { raw } = request;
  refuseCodings(raw.headers["content-encoding"], options.contentEncodings ?? []);
  const declared = declaredLength(raw);
  const length = options.length ?? declared;
  if (declared !== undefined && length !== declared) {
    throw new OperationalError(
      "incomplete_body",
      `Content-Length ${declared} differs from the declared length ${length}`,
      { context: { declaredBytes: length ?? null, contentLength: declared } },
    );
  }
  const bytesMax = options.bytesMax ?? Number.MAX_SAFE_INTEGER;
  const bytesMaxName = options.bytesMaxName ?? "bytesMax";
  if (length !== undefined && length > bytesMax) throw tooLarge(bytesMax, bytesMaxName);
  const body = new BodyReader(request, reply, { length, bytesMax, bytesMaxName });
  return length === undefined ? { body } : { body, length };
}

/** A small body, whole: JSON of the administration, never a file. */
export async function receiveBytes(
  request: FastifyRequest,
  reply: FastifyReply,
  options: ReceiveOptions & { readonly bytesMax: number },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of receiveBody(request, reply, options).body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Whether the request carries a body at all. */
export function hasBody(raw: IncomingMessage): boolean {
  const length = raw.headers["content-length"];
  return raw.headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}

/** `Content-Length`, or 0 when there is no body; `undefined` for a chunked one. */
export function declaredLength(raw: IncomingMessage): number | undefined {
  if (raw.headers["transfer-encoding"] !== undefined) return undefined;
  return Number(raw.headers["content-length"] ?? 0);
}

function refuseCodings(header: string | undefined, allowed: readonly string[] | "any"): void {
  if (header === undefined || allowed === "any") return;
  for (const coding of header.split(",", 20).map((item) => item.trim().toLowerCase())) {
    if (coding === "" || coding === "identity" || allowed.includes(coding)) continue;
    throw new OperationalError("unsupported", "Content-Encoding of a request is not supported", {
      context: { header: "Content-Encoding" },
    });
  }
}

function tooLarge(bytesMax: number, name: string): OperationalError {
  const message = `the body is larger than the limit of ${formatBytes(bytesMax)} (${name})`;
  return new OperationalError("too_large", message, {
    context: { limit: name, limitBytes: bytesMax },
  });
}

interface Waiter {
  readonly resolve: (result: IteratorResult<Uint8Array>) => void;
  readonly reject: (error: unknown) => void;
}

const doneResult: IteratorResult<Uint8Array> = { done: true, value: undefined };

class BodyReader implements AsyncIterableIterator<Uint8Array>, Watched {
  readonly #raw: IncomingMessage;
  readonly #reply: FastifyReply;
  readonly #scope: RequestScope;
  readonly #length: number | undefined;
  readonly #bytesMax: number;
  readonly #bytesMaxName: string;
  readonly #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #receivedBytes = 0;
  #phase: "new" | "flowing" | "ended" | "failed" = "new";
  #error: unknown;
  #waiter: Waiter | undefined;
  /** Since when a pull waits for the client. */
  #waitingSinceMs = 0;
  #windowBytes = 0;
  #windowWaitedMs = 0;

  constructor(
    request: FastifyRequest,
    reply: FastifyReply,
    limits: {
      readonly length: number | undefined;
      readonly bytesMax: number;
      readonly bytesMaxName: string;
    },
  ) {
    this.#raw = request.raw;
    this.#reply = reply;
    this.#scope = requestScope(request);
    this.#length = limits.length;
    this.#bytesMax = limits.bytesMax;
    this.#bytesMaxName = limits.bytesMaxName;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#phase === "new") this.#start();
    const chunk = this.#ahead.shift();
    if (chunk !== undefined) {
      this.#aheadBytes -= chunk.length;
      const low = this.#phase === "flowing" && this.#aheadBytes < aheadBytesMax;
      if (low && this.#raw.isPaused()) this.#raw.resume();
      return this.#given(chunk);
    }
    if (this.#phase === "failed") return Promise.reject(this.#error);
    if (this.#phase === "ended") return Promise.resolve(doneResult);
    if (this.#raw.isPaused()) this.#raw.resume();
    this.#waitingSinceMs = this.#scope.runtime.watch.clock.monotonicMs();
    this.#scope.waitsForBody = true;
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  /** The puller wants no more: what still comes is for the lingering close. */
  return(): Promise<IteratorResult<Uint8Array>> {
    this.#finish("ended");
    this.#ahead.length = 0;
    return Promise.resolve(doneResult);
  }

  check(nowMs: number): void {
    if (this.#waiter === undefined) return;
    const { bodyIdleMsMax, bodyRateWindowMs, bodyBytesPerSecondMin } = this.#scope.runtime.config;
    const waitedMs = nowMs - this.#waitingSinceMs;
    if (waitedMs >= bodyIdleMsMax) {
      const limit = formatDuration(bodyIdleMsMax);
      this.#fail(
        new OperationalError("request_timeout", `no byte of the body came for ${limit}`, {
          context: { limit: "bodyIdleMsMax", limitMs: bodyIdleMsMax },
        }),
      );
      return;
    }
    const windowMs = this.#windowWaitedMs + waitedMs;
    if (windowMs < bodyRateWindowMs) return;
    if (this.#windowBytes * 1000 < bodyBytesPerSecondMin * windowMs) {
      const rate = `${formatBytes(bodyBytesPerSecondMin)}/s`;
      this.#fail(
        new OperationalError("request_timeout", `the body came slower than ${rate}`, {
          context: { limit: "bodyBytesPerSecondMin", limitBytesPerSecond: bodyBytesPerSecondMin },
        }),
      );
      return;
    }
    this.#windowBytes = 0;
    this.#windowWaitedMs = -waitedMs;
  }

  #start(): void {
    this.#phase = "flowing";
    const { signal } = this.#scope;
    if (signal.aborted) {
      this.#phase = "failed";
      this.#error = signal.reason;
      return;
    }
    if (this.#raw.readableEnded && hasBody(this.#raw)) {
      this.#phase = "failed";
      this.#error = new Error("the body of this request was already read");
      return;
    }
    this.#scope.beginTransfer();
    this.#scope.closeBody = this.#onAnswered;
    this.#scope.runtime.watch.add(this);
    this.#raw.on("data", this.#onData).on("end", this.#onEnd);
    this.#raw.on("error", this.#onBroken).on("close", this.#onBroken);
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (!this.#scope.bodyComes) {
      this.#scope.bodyComes = true;
      this.#reply.raw.writeContinue();
    }
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#receivedBytes += chunk.length;
    this.#windowBytes += chunk.length;
    if (this.#receivedBytes > this.#bytesMax) {
      this.#fail(tooLarge(this.#bytesMax, this.#bytesMaxName));
      return;
    }
    if (this.#length !== undefined && this.#receivedBytes > this.#length) {
      this.#fail(this.#wrongLength());
      return;
    }
    giveChunk(chunk);
    const waiter = this.#waiter;
    if (waiter === undefined) {
      this.#ahead.push(chunk);
      this.#aheadBytes += chunk.length;
      if (this.#aheadBytes >= aheadBytesMax) this.#raw.pause();
      return;
    }
    this.#waiter = undefined;
    this.#gotByte(this.#scope.runtime.watch.clock.monotonicMs());
    // Within the bandwidth at once; else it waits here, and what follows in the kernel.
    if (this.#scope.runtime.overload.received === undefined) {
      waiter.resolve({ done: false, value: chunk });
    } else {
      this.#given(chunk).then(waiter.resolve, waiter.reject);
    }
  };

  #given(chunk: Buffer): Promise<IteratorResult<Uint8Array>> {
    const result = { done: false, value: chunk } as const;
    const { received } = this.#scope.runtime.overload;
    if (received === undefined) return Promise.resolve(result);
    const { signal } = this.#scope;
    return received.pass(chunk.length, { signal, bodyBytes: this.#length }).then(() => result);
  }

  #gotByte(nowMs: number): void {
    this.#windowWaitedMs += nowMs - this.#waitingSinceMs;
    this.#scope.waitsForBody = false;
    this.#scope.bodyByteMs = nowMs;
  }

  readonly #onEnd = (): void => {
    if (this.#length !== undefined && this.#receivedBytes < this.#length) {
      this.#fail(this.#wrongLength());
    } else {
      this.#finish("ended");
    }
  };

  readonly #onBroken = (error?: Error): void => {
    const cause =
      error ?? Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" });
    const message = `the connection was closed after ${this.#receivedBytes} bytes of the body`;
    this.#fail(
      new OperationalError("incomplete_body", message, {
        cause,
        context: { receivedBytes: this.#receivedBytes },
      }),
      { keepAhead: true },
    );
  };

  readonly #onAbort = (): void => {
    this.#fail(this.#scope.signal.reason, { keepAhead: true });
  };

  /** The puller must never take this for the end of the body. */
  readonly #onAnswered = (): void => {
    const message = "the request was answered before its body had come whole";
    this.#fail(new OperationalError("incomplete_body", message));
  };

  #wrongLength(): OperationalError {
    const received = this.#receivedBytes;
    const length = this.#length ?? 0;
    const message =
      received > length
        ? `more than the declared ${length} bytes came`
        : `${received} of the declared ${length} bytes came`;
    return new OperationalError("incomplete_body", message, {
      context: { receivedBytes: received, declaredBytes: length },
    });
  }

  /**
   * What came before the client left, or before the server had to stop, may still be pulled: an upload
   * that is continued later keeps it. A body that breaks a limit is not to be believed any more.
   */
  #fail(error: unknown, { keepAhead = false }: { readonly keepAhead?: boolean } = {}): void {
    if (this.#phase !== "flowing") return;
    this.#error = error;
    if (!keepAhead) this.#ahead.length = 0;
    this.#finish("failed");
  }

  #finish(phase: "ended" | "failed"): void {
    const before = this.#phase;
    if (before === "ended" || before === "failed") return;
    this.#phase = phase;
    if (before === "new") return;
    this.#scope.waitsForBody = false;
    this.#scope.bodyByteMs = this.#scope.runtime.watch.clock.monotonicMs();
    this.#scope.endTransfer();
    this.#scope.closeBody = undefined;
    this.#scope.runtime.watch.delete(this);
    this.#scope.signal.removeEventListener("abort", this.#onAbort);
    this.#raw.off("data", this.#onData).off("end", this.#onEnd);
    this.#raw.off("error", this.#onBroken).off("close", this.#onBroken);
    if (!this.#raw.readableEnded) this.#raw.pause();
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (phase === "failed") waiter?.reject(this.#error);
    else waiter?.resolve(doneResult);
  }
}
