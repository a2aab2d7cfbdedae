/**
 * One abort signal per request. It is aborted once, with an `OperationalError` as its reason, by
 * whichever comes first: the client leaves, the time for work is used up, the whole request takes
 * too long, whoever waits for the answer would give up, or the server stops. The clock of the work stands
 * still while a body flows in or out; that of `Roma-Timeout` and of the gateway does not. Once it is
 * aborted nothing of the request takes effect any more (`Budget`).
 * When the response has ended nothing of the request is left here: no listener, timer or entry.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { BlockList, Socket } from "node:net";
import type { FastifyRequest } from "fastify";
import { formatDuration } from "../config/units.ts";
import { OperationalError } from "../core/errors.ts";
import type { Budget, Cancellable } from "../core/ports/budget.ts";
import type { IdempotencyMark } from "../core/ports/idempotency-store.ts";
import type { Log } from "../core/ports/log.ts";
import type { HttpConfig } from "./config.ts";
import type { Cors } from "./cors.ts";
import type { Overload, Place } from "./overload/index.ts";
import { answerMarginMs, parseTimeLimit, timeoutHeader } from "./time-limit.ts";
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
  readonly overload: Overload;
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

/** Whose time runs on the wall, and what of it is kept for the answer. */
interface WallLimit {
  readonly name: "Roma-Timeout" | "gatewayMsMax";
  readonly ms: number;
  readonly marginMs: number;
}

export class RequestScope implements Watched, Budget {
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
  /** What waits to begin, and must not once the request has failed. */
  readonly #waiting = new Set<Cancellable>();
  #wall: WallLimit | undefined;
  #wallTimer: NodeJS.Timeout | undefined;
  idempotency: IdempotencyMark | undefined;
  /** Among those that are worked on; none before it was admitted. */
  #place: Place | undefined;
  /** The server waits for the client to send more of the body. */
  waitsForBody = false;
  /** When the newest byte of the body came. */
  bodyByteMs = 0;
  readonly #atClose: (() => void)[] = [];
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
      for (const act of this.#atClose) act();
    });
  }

  /**
   * Calls `act` once when the response has closed, however it ended. For all that wait for that: a response that
   * streams has listeners enough of its own. To be called before it has closed; must not throw.
   */
  atClose(act: () => void): void {
    this.#atClose.push(act);
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
    if (this.#transfers++ > 0) return;
    this.#workMs += this.#nowMs() - this.#workSinceMs;
    this.#place?.pause();
  }

  endTransfer(): void {
    if (--this.#transfers > 0) return;
    this.#workSinceMs = this.#nowMs();
    if (!this.#ended) this.#place?.resume();
  }

  /** The request is worked on from here to its end. */
  occupy(place: Place): void {
    if (this.#ended) place.end(undefined);
    else this.#place = place;
  }

  /**
   * Starts the clocks of those who wait for the answer. `invalid_request` for a `Roma-Timeout` that is
   * none. Without either of them this costs nothing.
   */
  limitWall(): void {
    const { gatewayMsMax, gatewayCounts } = this.runtime.config;
    const given = this.#raw.headers[timeoutHeader];
    const askedMs = given === undefined ? undefined : parseTimeLimit(String(given));
    if (askedMs === undefined && gatewayMsMax === undefined) return;
    const byClient = wallLimit("Roma-Timeout", askedMs);
    const byGateway = wallLimit("gatewayMsMax", gatewayMsMax);
    const ofSilence = gatewayCounts === "silence" ? byGateway : undefined;
    const ofAll = shorter(byClient, ofSilence === undefined ? byGateway : undefined);
    this.#wall = shorter(ofAll, ofSilence);
    const look = (): void => {
      const now = this.#nowMs();
      const leftOfAll = leftMs(ofAll, now - this.#startedMs);
      // A proxy that receives an answer does not count how long it takes.
      const counted = this.#response.headersSent ? undefined : ofSilence;
      const leftOfSilence = leftMs(counted, now - this.#silentSinceMs(now));
      const left = Math.min(leftOfAll, leftOfSilence);
      if (left === Number.POSITIVE_INFINITY) return;
      if (left > 0) {
        this.#wallTimer = setTimeout(look, Math.ceil(left));
        this.#wallTimer.unref();
        return;
      }
      const limit = leftOfAll <= 0 ? ofAll : ofSilence;
      if (limit === undefined) return;
      this.#wall = limit;
      this.abort(tooLate(limit));
    };
    look();
  }

  /** Milliseconds until whoever waits for the answer gives up, the margin for it left out. */
  get wallLeftMs(): number {
    return leftMs(this.#wall, this.#nowMs() - this.#startedMs);
  }

  /** Since when nothing moves on the connection, as a proxy counts it that waits for this server. */
  #silentSinceMs(now: number): number {
    return this.waitsForBody ? now : Math.max(this.#startedMs, this.bodyByteMs);
  }

  get failure(): OperationalError | undefined {
    return this.#controller.signal.aborted ? this.#controller.signal.reason : undefined;
  }

  addCancellable(waiting: Cancellable): void {
    this.#waiting.add(waiting);
  }

  deleteCancellable(waiting: Cancellable): void {
    this.#waiting.delete(waiting);
  }

  /** The first reason stays. */
  abort(reason: OperationalError): void {
    if (this.#ended || this.#controller.signal.aborted) return;
    this.#abortedMs = this.#nowMs();
    this.#controller.abort(reason);
    for (const waiting of this.#waiting) waiting.cancel(reason);
    this.#waiting.clear();
    clearTimeout(this.#wallTimer);
    if (this.#wall === undefined) return;
    // Whoever does not let go of the work is not waited for: the answer must still be in time.
    this.#wallTimer = setTimeout(() => this.#answerOverdue(), this.#wall.marginMs / 2);
    this.#wallTimer.unref();
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
    onOverdue(ofUnknownOutcome(this.#controller.signal.reason));
  }

  #leavePlace(): void {
    if (this.#place === undefined) return;
    const sinceMs = this.#transfers === 0 ? this.#nowMs() - this.#workSinceMs : 0;
    const succeeded = this.failure === undefined && this.#response.statusCode < 400;
    this.#place.end(succeeded ? this.#workMs + sinceMs : undefined);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#leavePlace();
    clearTimeout(this.#wallTimer);
    this.#waiting.clear();
    this.onOverdue = undefined;
    this.closeBody?.();
    this.closeBody = undefined;
    this.runtime.scopes.delete(this);
    this.runtime.watch.delete(this);
  }
}

function wallLimit(name: WallLimit["name"], ms: number | undefined): WallLimit | undefined {
  return ms === undefined ? undefined : { name, ms, marginMs: answerMarginMs(ms) };
}

function shorter(one: WallLimit | undefined, other: WallLimit | undefined): WallLimit | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.ms <= other.ms ? one : other;
}

function leftMs(limit: WallLimit | undefined, spentMs: number): number {
  return limit === undefined ? Number.POSITIVE_INFINITY : limit.ms - limit.marginMs - spentMs;
}

function tooLate({ name, ms }: WallLimit): OperationalError {
  return new OperationalError(
    "unavailable",
    `not finished within ${formatDuration(ms)} (${name})`,
    {
      context: { limit: name, limitMs: ms },
    },
  );
}

/** The answer cannot wait for what has begun, and so must not say that it did nothing. */
function ofUnknownOutcome(reason: unknown): unknown {
  if (!(reason instanceof OperationalError)) return reason;
  const { code, message, context, retryable } = reason;
  return new OperationalError(code, `${message}; whether it took effect is not known`, {
    retryable,
    context: { ...context, outcome: "unknown" },
    cause: reason,
  });
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

/**
 * What the work resolves to, unless the request ends before: for work that others wait for as well, and that
 * goes on without this request. Rejects with the signal's reason then.
 */
export async function whileRunning<T>(request: FastifyRequest, work: Promise<T>): Promise<T> {
  const signal = requestSignal(request);
  // Its failure is for those who still wait.
  work.catch(() => undefined);
  signal.throwIfAborted();
  const ended = Promise.withResolvers<never>();
  const onAbort = (): void => ended.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, ended.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
