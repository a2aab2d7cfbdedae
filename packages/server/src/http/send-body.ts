/**
 * Streams a stored body to the client. One chunk is in flight at a time: the producer may use its
 * buffer again as soon as the next one is pulled, so the next one is pulled when the kernel has
 * taken the last. Whatever goes wrong after the headers destroys the connection, so that a response
 * never ends as if it were whole. The body is disposed in every ending.
 */
import type { ServerResponse } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import { formatDuration } from "../config/units.ts";
import { isOperationalError, OperationalError } from "../core/errors.ts";
import type { ObjectBody } from "../core/ports/storage-driver.ts";
import { type RequestScope, requestScope } from "./deadline.ts";
import { drain, unreadRest } from "./lingering-close.ts";
import { sendQueueBytes } from "./send-queue.ts";
import type { Watched } from "./watch.ts";

export interface SendOptions {
  readonly status: number;
  /** Beside those already set on the reply. ASCII values only. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** Bytes of the whole response body; sent as `Content-Length`. */
  readonly length: number;
  /** The chunks this producer leaves alone after a pull, one by default. */
  readonly chunksInFlight?: 1 | 2;
}

export interface SendResult {
  readonly sentBytes: number;
  /** Why the response was cut; absent when it went out whole. */
  readonly error?: unknown;
}

/**
 * Sends the response and resolves when it has gone out or was cut. Throws only what the first chunk
 * throws, before any header is sent, so that it is answered like any other error.
 */
export async function sendBody(
  request: FastifyRequest,
  reply: FastifyReply,
  body: ObjectBody,
  options: SendOptions,
): Promise<SendResult> {
  await using _owned = body;
  const scope = requestScope(request);
  if (request.method === "HEAD" || options.length === 0) {
    begin(request, reply, scope, options);
    await ended(reply.raw, scope, undefined);
    return { sentBytes: 0 };
  }
  const chunks = body[Symbol.asyncIterator]();
  const first = await chunks.next();
  scope.signal.throwIfAborted();
  if (first.done) throw wrongLength(0, options.length);
  begin(request, reply, scope, options);
  const sender = new Sender(reply.raw, scope, options);
  scope.beginTransfer();
  try {
    await sender.sendAll(first.value, chunks);
    if (unreadRest(request, scope) === "drain-and-close") await drain(request);
    return { sentBytes: sender.sentBytes };
  } catch (error) {
    const fields = { requestId: request.id, sentBytes: sender.sentBytes, err: error };
    // That a client leaves is its own affair; anything else is ours.
    if (isOperationalError(error, "incomplete_body")) {
      scope.runtime.log.debug(fields, "the client left in the middle of a response");
    } else {
      scope.runtime.log.error(fields, "a response was cut");
    }
    reply.raw.destroy();
    return { sentBytes: sender.sentBytes, error };
  } finally {
    sender.stop();
    scope.endTransfer();
    // Reached early, the producer is told that nobody pulls any more.
    await chunks.return?.().catch(() => undefined);
  }
}

function begin(
  request: FastifyRequest,
  reply: FastifyReply,
  scope: RequestScope,
  options: SendOptions,
): void {
  for (const [name, value] of Object.entries(options.headers)) reply.header(name, value);
  reply.header("content-length", options.length);
  const stopping = scope.runtime.phase !== "accepting";
  const rest = unreadRest(request, scope);
  if (stopping || rest === "close" || rest === "drain-and-close")
    reply.header("connection", "close");
  const headers = reply.getHeaders();
  reply.raw.writeHead(options.status, headers as Record<string, string>);
  reply.hijack();
}

function wrongLength(storedBytes: number, length: number): OperationalError {
  const message = `the storage gave ${storedBytes} of ${length} bytes`;
  return new OperationalError("data_damaged", message, { context: { storedBytes, length } });
}

/**
 * The end of the body is held back until the producer has said that it is done: what it finds wrong
 * at the very end still cuts the response. A small body leaves with its headers in one write.
 */
const lastBytesMax = 64 * 1024;

/** Ends the response, and waits until the kernel has taken all of it. */
function ended(
  raw: ServerResponse,
  scope: RequestScope,
  last: Uint8Array | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(scope.signal.reason);
    if (scope.signal.aborted) {
      onAbort();
      return;
    }
    scope.signal.addEventListener("abort", onAbort, { once: true });
    raw.end(last, () => {
      scope.signal.removeEventListener("abort", onAbort);
      resolve();
    });
  });
}

/** So often in the time that a client may take nothing it is looked at. */
const looksPerLimit = 8;

class Sender implements Watched {
  readonly #raw: ServerResponse;
  readonly #scope: RequestScope;
  readonly #length: number;
  readonly #inFlightMax: number;
  #inFlight = 0;
  /** When the client last took something, as far as is known; or when it was given the first of what is in flight. */
  #tookMs: number;
  /** What the kernel held of it at the last look. */
  #queueBytes: number | undefined;
  #lookedMs = 0;
  #isOver = false;
  #failed: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  sentBytes = 0;

  constructor(raw: ServerResponse, scope: RequestScope, options: SendOptions) {
    this.#raw = raw;
    this.#scope = scope;
    this.#length = options.length;
    this.#inFlightMax = options.chunksInFlight ?? 1;
    scope.signal.addEventListener("abort", this.#onAbort, { once: true });
    if (scope.signal.aborted) this.#onAbort();
    this.#tookMs = scope.runtime.watch.clock.monotonicMs();
    scope.runtime.watch.add(this);
  }

  async sendAll(first: Uint8Array, rest: AsyncIterator<Uint8Array>): Promise<void> {
    let chunk = first;
    let last: Uint8Array | undefined;
    for (;;) {
      const total = this.sentBytes + chunk.length;
      if (total > this.#length) throw wrongLength(total, this.#length);
      if (total === this.#length) {
        last = Uint8Array.prototype.slice.call(chunk, -lastBytesMax);
        chunk = chunk.subarray(0, chunk.length - last.length);
      }
      await this.#scope.runtime.overload.sent?.pass(chunk.length + (last?.length ?? 0), {
        signal: this.#scope.signal,
        bodyBytes: this.#length,
      });
      if (chunk.length > 0) {
        this.#write(chunk);
        while (this.#inFlight >= this.#inFlightMax) await this.#settled();
        this.sentBytes += chunk.length;
      }
      this.#throwIfFailed();
      const next = await rest.next();
      this.#throwIfFailed();
      if (next.done) break;
      if (last !== undefined) throw wrongLength(this.#length + next.value.length, this.#length);
      chunk = next.value;
    }
    if (last === undefined) throw wrongLength(this.sentBytes, this.#length);
    this.#give();
    await ended(this.#raw, this.#scope, last);
    this.sentBytes += last.length;
  }

  stop(): void {
    this.#isOver = true;
    this.#scope.signal.removeEventListener("abort", this.#onAbort);
    this.#scope.runtime.watch.delete(this);
  }

  check(nowMs: number): void {
    // Nothing in flight: it is the storage that is slow, and that has its own watchdog.
    if (this.#inFlight === 0) return;
    const stepMs = this.#scope.runtime.config.readerIdleMsMax / looksPerLimit;
    if (nowMs - this.#tookMs < stepMs || nowMs - this.#lookedMs < stepMs) return;
    this.#lookedMs = nowMs;
    void this.#look(nowMs);
  }

  /** A chunk may take long in parts that only the kernel knows of. */
  async #look(nowMs: number): Promise<void> {
    const socket = this.#raw.socket;
    const bytes = socket === null ? undefined : await sendQueueBytes(socket);
    // The connection may be another request's by now.
    if (this.#isOver) return;
    const before = this.#queueBytes;
    this.#queueBytes = bytes;
    // Less: it took some. More: it made room for them.
    if (bytes !== undefined && before !== undefined && bytes !== before) {
      this.#tookMs = Math.max(this.#tookMs, nowMs);
    }
    const limitMs = this.#scope.runtime.config.readerIdleMsMax;
    if (this.#inFlight === 0 || nowMs - this.#tookMs < limitMs) return;
    const message = `the client took no byte for ${formatDuration(limitMs)}`;
    const context = { limit: "readerIdleMsMax", limitMs };
    this.#fail(new OperationalError("request_timeout", message, { context }));
  }

  #took(): void {
    this.#tookMs = this.#scope.runtime.watch.clock.monotonicMs();
    this.#queueBytes = undefined;
  }

  /** What the client has to take from now on. */
  #give(): void {
    if (this.#inFlight === 0) this.#took();
    this.#inFlight++;
  }

  #write(chunk: Uint8Array): void {
    this.#give();
    this.#raw.write(chunk, this.#onWritten);
  }

  #throwIfFailed(): void {
    if (this.#failed !== undefined) throw this.#failed.error;
  }

  readonly #onWritten = (error?: Error | null): void => {
    this.#inFlight--;
    this.#took();
    if (error) this.#failed ??= { error };
    this.#wake?.();
  };

  #settled(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failed !== undefined) {
        reject(this.#failed.error);
        return;
      }
      this.#wake = () => {
        this.#wake = undefined;
        if (this.#failed === undefined) resolve();
        else reject(this.#failed.error);
      };
    });
  }

  readonly #onAbort = (): void => this.#fail(this.#scope.signal.reason);

  #fail(error: unknown): void {
    this.#failed ??= { error };
    this.#raw.destroy();
    this.#wake?.();
  }
}
