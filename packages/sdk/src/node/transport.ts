/**
 * HTTP exchanges over node:http(s), never `fetch`, which holds a copy of a streamed body. A body is
 * written chunk by chunk as the socket takes them; the answer is heard while sending; every wait for the
 * network has a limit, and no limit runs while this side is the slow one.
 */
import http from "node:http";
import https from "node:https";
import { setImmediate } from "node:timers/promises";
import { RomaError } from "../errors.ts";
import type { Body, Transport, TransportRequest, TransportResponse } from "../transport.ts";
import { Watch } from "./watch.ts";

export interface TransportLimits {
  /** To a connection, its TLS included. */
  readonly connectMsMax: number;
  /** Between two signs of life while bytes are under way in either direction. */
  readonly idleMsMax: number;
  /** From the last byte sent to the answer: the server may be syncing a large object. */
  readonly answerMsMax: number;
}

const defaultLimits: TransportLimits = {
  connectMsMax: 10_000,
  idleMsMax: 60_000,
  answerMsMax: 120_000,
};

const agentOptions = { keepAlive: true, maxFreeSockets: 64 };

// Bodies from this size on ask before sending, so that a refusal costs one round trip and no bytes.
const expectBytesMin = 1024 * 1024;
// RFC 9110 §10.1.1: a client does not wait for the 100 indefinitely.
const continueMsMax = 2_000;
// An unread answer up to this size is drained for its connection's sake; a larger one is cut.
const drainBytesMax = 64 * 1024;

export class NodeTransport implements Transport {
  readonly #endpoint: string;
  readonly #plain = new http.Agent(agentOptions);
  readonly #secure = new https.Agent(agentOptions);
  readonly #limits: TransportLimits;

  constructor(endpoint: string, limits: Partial<TransportLimits> = {}) {
    this.#endpoint = endpoint.replace(/\/+$/, "");
    this.#limits = { ...defaultLimits, ...limits };
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    const { signal } = request;
    if (signal?.aborted === true) throw abortedError(signal);
    const target = request.path.startsWith("/") ? this.#endpoint + request.path : request.path;
    const secure = target.startsWith("https:");
    const outgoing = this.#open(request, target, secure);
    const exchange: Exchange = {
      request,
      outgoing,
      limits: this.#limits,
      secure,
      watch: new Watch(),
      state: { written: 0, answered: false },
    };
    const abort = () => outgoing.destroy(abortedError(signal));
    signal?.addEventListener("abort", abort, { once: true });
    outgoing.once("close", () => {
      signal?.removeEventListener("abort", abort);
      exchange.watch.end();
    });
    return await exchangeOnce(exchange);
  }

  close(): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }

  #open(request: TransportRequest, target: string, secure: boolean): http.ClientRequest {
    const { method, headers, body, freshConnection } = request;
    const fields: Record<string, string> = { "user-agent": "roma-sdk", ...headers };
    if (body !== undefined) {
      fields["content-length"] = String(body.length);
      if (body.length >= expectBytesMin) fields.expect = "100-continue";
    }
    try {
      // The path goes as it is: a URL would resolve encoded dot segments, and a signature is of bytes.
      const [, origin = "", path = ""] = target.match(/^(https?:\/\/[^/?#]+)([^#]*)/i) ?? [];
      const url = new URL(origin);
      return (secure ? https : http).request({
        method,
        // A URL keeps the brackets of an IPv6 address, a socket does not want them.
        hostname: url.hostname.replace(/^\[|\]$/g, ""),
        port: url.port,
        path: path.startsWith("/") ? path : `/${path}`,
        headers: fields,
        agent: freshConnection === true ? false : secure ? this.#secure : this.#plain,
      });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new RomaError("invalid_request", `the request cannot be sent: ${reason}`, { cause });
    }
  }
}

interface Exchange {
  readonly request: TransportRequest;
  readonly outgoing: http.ClientRequest;
  readonly limits: TransportLimits;
  readonly secure: boolean;
  readonly watch: Watch;
  readonly state: { written: number; answered: boolean };
}

/** Sends, and settles at the answer's header or the first failure. */
function exchangeOnce(exchange: Exchange): Promise<TransportResponse> {
  const { request, outgoing, limits, secure, watch } = exchange;
  const source = new AbortController();
  return new Promise((resolve, reject) => {
    let connected = false;
    const onConnected = () => {
      connected = true;
      watch.stop();
      if (request.body === undefined) expectAnswer(exchange);
    };
    outgoing.once("socket", (socket) => {
      if (!socket.connecting) return onConnected();
      watch.start(limits.connectMsMax, () => outgoing.destroy(connectTimeout(limits)));
      socket.once(secure ? "secureConnect" : "connect", onConnected);
    });
    // More than one error can come; the first settles, the others find it settled.
    outgoing.on("error", (error) => {
      source.abort();
      reject(translate(error, { connected }));
    });
    outgoing.once("close", () => {
      source.abort();
      reject(translate(new Error("the connection was closed without an answer"), { connected }));
    });
    outgoing.once("response", (incoming) => {
      watch.stop();
      exchange.state.answered = true;
      // With a known length the server can answer at the last byte, before the source has said that
      // there are no more.
      if (exchange.state.written === request.body?.length) outgoing.end();
      const complete = outgoing.writableEnded;
      if (!complete) source.abort();
      if (!complete && (incoming.statusCode ?? 0) < 300) {
        incoming.destroy();
        outgoing.destroy();
        reject(new RomaError("bad_answer", "success was answered before the body was sent"));
        return;
      }
      resolve(toResponse(exchange, incoming));
    });
    if (request.body === undefined) {
      outgoing.end();
      return;
    }
    sendBody(exchange, request.body, source.signal).catch((error: unknown) => {
      outgoing.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  });
}

function expectAnswer({ outgoing, watch, limits }: Exchange): void {
  watch.start(limits.answerMsMax, () => {
    outgoing.destroy(timeoutError(`no answer within ${limits.answerMsMax} ms`));
  });
}

/** Writes the body until it ends or `stopped` says that nobody wants the rest. */
async function sendBody(exchange: Exchange, body: Body, stopped: AbortSignal): Promise<void> {
  const { outgoing, watch, limits, state } = exchange;
  if (outgoing.getHeader("expect") !== undefined) {
    outgoing.flushHeaders();
    await continued(outgoing);
  }
  // One listener for the whole body: a race per chunk would pile up callbacks.
  let wake: (() => void) | undefined;
  const onWake = () => wake?.();
  stopped.addEventListener("abort", onWake);
  const idle = () => outgoing.destroy(timeoutError(`no byte was taken in ${limits.idleMsMax} ms`));
  try {
    if (stopped.aborted) return;
    for await (const chunk of body.open(stopped)) {
      if (stopped.aborted) return;
      state.written += chunk.length;
      if (state.written > body.length) throw lengthError(body);
      // Until it is with the kernel: its memory may be the next one's.
      watch.start(limits.idleMsMax, idle);
      await new Promise<void>((resolve) => {
        wake = resolve;
        outgoing.write(chunk, () => resolve());
      });
      watch.stop();
      exchange.request.onSent?.(state.written);
      // Lets an answer be heard before the next write, which might meet a closed connection.
      await setImmediate();
      if (stopped.aborted) return;
    }
    if (state.written !== body.length) throw lengthError(body);
    outgoing.end();
    if (!state.answered) expectAnswer(exchange);
  } finally {
    stopped.removeEventListener("abort", onWake);
  }
}

function continued(outgoing: http.ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      for (const event of events) outgoing.off(event, done);
      resolve();
    };
    const events = ["continue", "response", "close"];
    const timer = setTimeout(done, continueMsMax);
    for (const event of events) outgoing.once(event, done);
  });
}

function toResponse(exchange: Exchange, incoming: http.IncomingMessage): TransportResponse {
  const headers = Object.fromEntries(
    Object.entries(incoming.headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]],
    ),
  );
  // An error after the header reaches whoever reads; if nobody does, it must not end the process.
  incoming.on("error", () => {});
  return {
    status: incoming.statusCode ?? 0,
    headers,
    body: readBody(exchange, incoming),
    discard: () => discard(exchange, incoming),
  };
}

async function* readBody(
  { outgoing, watch, limits, request }: Exchange,
  incoming: http.IncomingMessage,
): AsyncGenerator<Uint8Array, void, undefined> {
  const idle = () => incoming.destroy(timeoutError(`no byte came in ${limits.idleMsMax} ms`));
  const chunks = incoming[Symbol.asyncIterator]();
  try {
    for (;;) {
      watch.start(limits.idleMsMax, idle);
      const next: IteratorResult<Uint8Array> = await chunks.next();
      watch.stop();
      if (next.done === true) return;
      yield next.value;
    }
  } catch (error) {
    if (request.signal?.aborted === true) throw abortedError(request.signal);
    throw translate(error, { connected: true });
  } finally {
    watch.stop();
    // Cut short, or answered before all was sent: the connection cannot serve another request.
    if (!incoming.complete || !outgoing.writableEnded) outgoing.destroy();
  }
}

function discard({ request, outgoing }: Exchange, incoming: http.IncomingMessage): void {
  const empty = request.method === "HEAD" || [204, 304].includes(incoming.statusCode ?? 0);
  const bytes = Number(incoming.headers["content-length"] ?? Number.POSITIVE_INFINITY);
  if (outgoing.writableEnded && (empty || bytes <= drainBytesMax)) incoming.resume();
  else if (!incoming.complete) outgoing.destroy();
}

const finalCodes: ReadonlySet<string> = new Set(["ENOTFOUND", "EPROTO", "ERR_INVALID_CHAR"]);

function translate(error: unknown, { connected }: { readonly connected: boolean }): RomaError {
  if (error instanceof RomaError) return error;
  const cause = firstCause(error);
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const certificate = /CERT|SELF_SIGNED|ALTNAME|TLS/.test(code);
  const text = cause instanceof Error && cause.message !== "" ? cause.message : code;
  return new RomaError("connection_failed", text, {
    retryable: !certificate && !finalCodes.has(code),
    mayHaveHappened: connected,
    cause: error,
  });
}

// An AggregateError holds one error per address that was tried.
function firstCause(error: unknown): unknown {
  return error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
}

function abortedError(signal: AbortSignal | undefined): RomaError {
  return new RomaError("aborted", "the call was ended", {
    mayHaveHappened: true,
    cause: signal?.reason,
  });
}

function connectTimeout({ connectMsMax }: TransportLimits): RomaError {
  return new RomaError("timeout", `no connection within ${connectMsMax} ms`, { retryable: true });
}

function lengthError({ length }: Body): RomaError {
  return new RomaError("source_failed", `the source does not have the announced ${length} bytes`);
}

function timeoutError(message: string): RomaError {
  return new RomaError("timeout", message, { retryable: true, mayHaveHappened: true });
}
