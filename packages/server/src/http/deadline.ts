/**
 * One abort signal per request. It is aborted once, with an `OperationalError` as its reason, by
 * whichever comes first: the client leaves, the time for work is used up, the whole request takes
 * too long, or the server stops. The clock of the work stands still while a body flows in or out.
 * When the response has ended nothing of the request is left here: no listener, timer or entry.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { BlockList, Socket } from "node:net";
import type { FastifyRequest } from "fastify";
import { formatDuration } from "../config/units.ts";
import { OperationalError } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { HttpConfig } from "./config.ts";
import type { Cors } from "./cors.ts";
import type { Watch, Watched } from "./watch.ts";

/** What all requests of one server share. Reached from any Fastify instance of it. */
export interface HttpRuntime {
  readonly config: HttpConfig;
  readonly log: Log;
  readonly watch: Watch;
  /** Requests that have not ended. */
  readonly scopes: Set<RequestScope>;
  /** The newest request on each connection. */
  readonly newest: WeakMap<Socket, RequestScope>;
  /** Peers whose forwarded headers are believed. */
  readonly trustedProxies: BlockList;
  /** Told of each operational error that a request is refused for. */
  readonly onRefusal: ((error: OperationalError, request: FastifyRequest) => void) | undefined;
  /** What pages of other origins may do, path by path. */
  readonly cors: Cors;
  /** Goes one way: accepting → draining (answers close their connections) → cutting. */
  phase: "accepting" | "draining" | "cutting";
}

declare module "fastify" {
  interface FastifyInstance {
    readonly httpRuntime: HttpRuntime;
  }
}

/** How long a handler may take to answer after its signal was aborted. */
const overdueMs = 1000;

export class RequestScope implements Watched {
  readonly runtime: HttpRuntime;
  readonly #raw: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #controller = new AbortController();
  readonly #startedMs: number;
  #workMs = 0;
  /** Since when work counts; meaningless while a body flows. */
  #workSinceMs: number;
  #transfers = 0;
  #abortedMs: number | undefined;
  #ended = false;
  /** Called once when an aborted request has still no answer. */
  onOverdue: ((reason: unknown) => void) | undefined;
  /** Stops whoever reads the request's body. */
  closeBody: (() => void) | undefined;
  /** `100 Continue` was sent, or not asked for: the client sends its body. */
  bodyComes: boolean;
  /** The client closed its side: nothing more will come. */
  inputEnded = false;

  constructor(runtime: HttpRuntime, raw: IncomingMessage, response: ServerResponse) {
    this.runtime = runtime;
    this.#raw = raw;
    this.#response = response;
    this.#startedMs = runtime.watch.clock.monotonicMs();
    this.#workSinceMs = this.#startedMs;
    this.bodyComes = !expectsContinue(raw);
    runtime.scopes.add(this);
    runtime.watch.add(this);
    if (raw.socket) runtime.newest.set(raw.socket, this);
    // Both are events of this one response; nothing is attached to the connection.
    response.once("finish", () => this.#end());
    response.once("close", () => {
      if (!response.writableFinished) this.abort(clientLeft());
      this.#end();
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The whole request, its body included, has arrived. */
  get received(): boolean {
    return this.#raw.complete;
  }

  /** Bytes read from this request's connection so far. */
  get bytesRead(): number {
    return this.#raw.socket.bytesRead;
  }

  /** Bytes of the response that the kernel has not taken. */
  get bytesBuffered(): number {
    return this.#response.writableLength;
  }

  /** The connection carries nothing after this response. */
  closeAfter(): void {
    this.#response.shouldKeepAlive = false;
    const { socket } = this.#raw;
    this.#response.once("finish", () => socket.destroySoon());
  }

  /** While a body flows; each call is paired with one of `endTransfer`. */
  beginTransfer(): void {
    if (this.#transfers++ === 0) this.#workMs += this.#nowMs() - this.#workSinceMs;
  }

  endTransfer(): void {
    if (--this.#transfers === 0) this.#workSinceMs = this.#nowMs();
  }

  /** The first reason stays. */
  abort(reason: OperationalError): void {
    if (this.#ended || this.#controller.signal.aborted) return;
    this.#abortedMs = this.#nowMs();
    this.#controller.abort(reason);
  }

  check(nowMs: number): void {
    const { config } = this.runtime;
    if (this.#abortedMs !== undefined) {
      if (nowMs - this.#abortedMs >= overdueMs) this.#answerOverdue();
    } else if (nowMs - this.#startedMs >= config.transferMsMax) {
      const limit = formatDuration(config.transferMsMax);
      this.abort(
        new OperationalError("request_timeout", `the request took longer than ${limit}`, {
          context: { limit: "transferMsMax", limitMs: config.transferMsMax },
        }),
      );
    } else if (
      this.#transfers === 0 &&
      this.#workMs + nowMs - this.#workSinceMs >= config.workMsMax
    ) {
      const limit = formatDuration(config.workMsMax);
      this.abort(
        new OperationalError("unavailable", `the server did not finish within ${limit}`, {
          context: { limit: "workMsMax", limitMs: config.workMsMax },
        }),
      );
    }
  }

  #nowMs(): number {
    return this.runtime.watch.clock.monotonicMs();
  }

  #answerOverdue(): void {
    const { onOverdue } = this;
    if (onOverdue === undefined) return;
    this.onOverdue = undefined;
    onOverdue(this.#controller.signal.reason);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.onOverdue = undefined;
    this.closeBody?.();
    this.closeBody = undefined;
    this.runtime.scopes.delete(this);
    this.runtime.watch.delete(this);
  }
}

/** What a request ends with when its client is gone. */
export function clientLeft(): OperationalError {
  const cause = Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" });
  return new OperationalError("incomplete_body", "the client closed the connection", { cause });
}

/** `Expect: 100-continue`: the client waits for a sign before it sends the body. */
function expectsContinue(raw: IncomingMessage): boolean {
  return raw.httpVersion === "1.1" && raw.headers.expect?.toLowerCase() === "100-continue";
}

const scopes = new WeakMap<IncomingMessage, RequestScope>();

/** Called once per request, before anything else. */
export function openScope(
  runtime: HttpRuntime,
  raw: IncomingMessage,
  response: ServerResponse,
): RequestScope {
  const scope = new RequestScope(runtime, raw, response);
  scopes.set(raw, scope);
  return scope;
}

/** The request's scope, which exists from its first hook on. */
export function requestScope(request: FastifyRequest): RequestScope {
  const scope = scopes.get(request.raw);
  if (scope === undefined) throw new Error("the request did not come through this HTTP server");
  return scope;
}

/** The one signal that every call made for this request takes. Its reason is operational. */
export function requestSignal(request: FastifyRequest): AbortSignal {
  return requestScope(request).signal;
}
