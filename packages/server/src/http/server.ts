/**
 * Makes the Fastify instance under every protocol: Node's limits, one scope per request, no body
 * ever buffered or parsed by the framework, errors as problem documents, and an ordered stop.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { environmentHeader } from "@roma/contract";
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from "fastify";
import { isOperationalError, OperationalError } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { withBudget } from "./ambient.ts";
import { clientAddress } from "./client-address.ts";
import { clientErrorListener } from "./client-error.ts";
import type { HttpConfig } from "./config.ts";
import { Cors } from "./cors.ts";
import type { HttpRuntime, RequestScope } from "./deadline.ts";
import { openScope, requestScope } from "./deadline.ts";
import { lingerOnSend } from "./lingering-close.ts";
import { Overload } from "./overload/index.ts";
import { errorHandler, type RenderError } from "./problem.ts";
import { isTrusted, trustedProxies } from "./trusted-proxies.ts";
import { type MonotonicClock, Watch } from "./watch.ts";

export interface HttpOptions {
  readonly log: Log;
  readonly config: HttpConfig;
  /** How errors outside of any protocol are said: unknown routes, malformed paths. */
  readonly renderError: RenderError;
  /** Answers what no route matches; without it, that is refused as `unsupported`. */
  readonly notFound?: (request: FastifyRequest, reply: FastifyReply) => void | Promise<void>;
  /** Told of each operational error that a request is refused for. Must not throw. */
  readonly onRefusal?: (error: OperationalError, request: FastifyRequest) => void;
  /** Of this server's data: every answer carries it. */
  readonly environment?: string | undefined;
  readonly clock?: MonotonicClock;
  /** Shared by the listeners of a server; its owner disposes it. Left out: one of its own. */
  readonly overload?: Overload;
  /** How often requests are looked after; every limit in time is met within about one tick. */
  readonly tickMs?: number;
}

const methodsWithBody = ["POST", "PUT", "PATCH", "OPTIONS", "DELETE", "QUERY"] as const;

/**
 * An instance that listens to nothing yet. Protocols are registered on it as plugins and set their
 * own error handlers. `closeHttp` stops it.
 */
export function createHttp(options: HttpOptions): FastifyInstance {
  const { config, log, renderError } = options;
  const clock = options.clock ?? { monotonicMs: () => performance.now() };
  const runtime: HttpRuntime = {
    config,
    log,
    watch: new Watch({ clock, tickMs: options.tickMs ?? 500 }),
    scopes: new Set(),
    newest: new WeakMap(),
    trustedProxies: trustedProxies(config.trustedProxies),
    cors: new Cors(config),
    overload: options.overload ?? new Overload({ config: config.overload, log }),
    onRefusal: options.onRefusal,
    phase: "accepting",
  };
  const handleError = errorHandler(renderError);
  const onClientError = clientErrorListener(runtime);
  const nameAnswer = (request: FastifyRequest, reply: FastifyReply): void => {
    reply.header("roma-request-id", request.id);
    if (options.environment !== undefined) reply.header(environmentHeader, options.environment);
  };

  const app = fastify({
    serverFactory: (handle) => nodeServer(config, runtime, handle),
    clientErrorHandler: onClientError,
    genReqId: requestIds(),
    return503OnClosing: false,
    exposeHeadRoutes: false,
    keepAliveTimeout: config.keepAliveMs,
    requestTimeout: 0,
    routerOptions: { maxParamLength: 16 * 1024, caseSensitive: true },
    frameworkErrors: (error, request, reply) => {
      ensureScope(runtime, request, reply);
      nameAnswer(request, reply);
      refuseEarly(runtime, handleError, { error, request, reply });
    },
  });
  app.decorate("httpRuntime", runtime);
  // Fastify reads the body of no method: the handler pulls it with receiveBody, or nobody does.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null, undefined));
  for (const method of methodsWithBody) {
    app.addHttpMethod(method, { hasBody: false, overrideExisting: true });
  }
  app.addHook("onRequest", (request, reply, done) => {
    const scope = ensureScope(runtime, request, reply);
    scope.onOverdue = (reason) => {
      if (reply.raw.headersSent || reply.sent) reply.raw.destroy();
      else reply.send(reason);
    };
    nameAnswer(request, reply);
    const refusal = framingRefusal(request.raw, reply) ?? timeRefusal(scope);
    unlessAnswered(runtime.cors.apply(request, reply), (failure) => {
      const refused = failure ?? refusal;
      if (refused !== undefined) done(refused);
      else admit(scope, request, done);
    });
  });
  app.addHook("onSend", (request, reply, payload, done) => {
    done(null, lingerOnSend(request, reply, payload));
  });
  app.addHook("onClose", (_instance, done) => {
    runtime.watch[Symbol.dispose]();
    if (options.overload === undefined) runtime.overload[Symbol.dispose]();
    done();
  });
  app.setErrorHandler(handleError);
  app.setNotFoundHandler((request, reply) => {
    if (options.notFound !== undefined) return options.notFound(request, reply);
    throw new OperationalError("unsupported", "there is nothing at this path for this method");
  });
  return app;
}

function nodeServer(
  config: HttpConfig,
  runtime: HttpRuntime,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const server = createServer({
    // Never a limit on the whole request: the body is watched by its progress.
    requestTimeout: 0,
    headersTimeout: config.headersMsMax,
    connectionsCheckingInterval: Math.min(5000, Math.ceil(config.headersMsMax / 2)),
    keepAliveTimeout: config.keepAliveMs,
    maxHeaderSize: config.headerBytesMax,
    insecureHTTPParser: false,
    requireHostHeader: true,
    noDelay: true,
  });
  server.maxConnections = config.connectionsMax;
  server.on("connection", (socket) => {
    runtime.overload.watchConnection(socket, (peer) => isTrusted(runtime.trustedProxies, peer));
  });
  const onRequest = (raw: IncomingMessage, response: ServerResponse): void => {
    withBudget(openScope(runtime, raw, response), () => handle(raw, response));
  };
  server.on("request", onRequest);
  // `100 Continue` is sent by receiveBody, at the first pull.
  server.on("checkContinue", onRequest);
  // RFC 9110 §10.1.1: 417 is allowed and not asked for; some clients of S3 expect things of their own.
  server.on("checkExpectation", onRequest);
  return server;
}

/** Requests that were injected, or that the router refused, come without the server's listener. */
function ensureScope(runtime: HttpRuntime, request: FastifyRequest, reply: FastifyReply) {
  try {
    return requestScope(request);
  } catch {
    return openScope(runtime, request.raw, reply.raw);
  }
}

/** The router's own refusals pass no hooks, so what hooks do is done here. */
function refuseEarly(
  runtime: HttpRuntime,
  handleError: ReturnType<typeof errorHandler>,
  refused: {
    readonly error: unknown;
    readonly request: FastifyRequest;
    readonly reply: FastifyReply;
  },
): void {
  const { error, request, reply } = refused;
  const send = reply.send.bind(reply);
  reply.send = (payload) => send(lingerOnSend(request, reply, payload));
  unlessAnswered(runtime.cors.apply(request, reply), (failure) => {
    handleError(failure ?? error, request, reply);
  });
}

/** At once where it can be: most requests wait for nothing here. */
function unlessAnswered(
  answered: boolean | Promise<boolean>,
  goOn: (failure?: Error) => void,
): void {
  if (answered === false) goOn();
  if (typeof answered === "boolean") return;
  answered.then(
    (itWas) => {
      if (!itWas) goOn();
    },
    (failure: Error) => goOn(failure),
  );
}

/** What Node's parser lets through and must not: RFC 9112 §3.2 and §6.3. */
function framingRefusal(raw: IncomingMessage, reply: FastifyReply): OperationalError | undefined {
  let hosts = 0;
  for (let index = 0; index < raw.rawHeaders.length; index += 2) {
    const name = raw.rawHeaders[index] ?? "";
    if (name.length === 4 && name.toLowerCase() === "host") hosts++;
  }
  const refused =
    hosts > 1
      ? "there is more than one Host header"
      : Number(raw.headers["content-length"] ?? 0) > Number.MAX_SAFE_INTEGER
        ? "Content-Length is too large"
        : undefined;
  if (refused === undefined) return undefined;
  reply.header("connection", "close");
  return new OperationalError("invalid_request", refused);
}

/** Goes on when there is a place for the request; most are admitted at once. */
function admit(scope: RequestScope, request: FastifyRequest, done: (error?: Error) => void): void {
  const address = () => clientAddress(request).address ?? "";
  try {
    const { signal } = scope;
    const place = scope.runtime.overload.admit(request.raw, { address, signal });
    if (!(place instanceof Promise)) {
      scope.occupy(place);
      done();
      return;
    }
    place.then(
      (given) => {
        scope.occupy(given);
        done();
      },
      (error: Error) => done(error),
    );
  } catch (error) {
    done(error as Error);
  }
}

/** Starts the clock of whoever waits for the answer. */
function timeRefusal(scope: RequestScope): OperationalError | undefined {
  try {
    scope.limitWall();
    return undefined;
  } catch (error) {
    if (isOperationalError(error)) return error;
    throw error;
  }
}

const requestIdPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{7,63}$/;

/** A client's own id is kept when it is a plain token; it ends up in logs and headers. */
function requestIds(): (raw: { readonly headers: IncomingMessage["headers"] }) => string {
  const start = randomBytes(6).toString("hex");
  let count = 0;
  return ({ headers }) => {
    const given = headers["roma-request-id"];
    if (typeof given === "string" && requestIdPattern.test(given)) return given;
    count += 1;
    return `${start}-${count.toString(36)}`;
  };
}

/** Time that aborted requests get to say so before their connections are cut. */
const abortMs = 1000;

/**
 * Stops accepting, lets requests in flight finish for `drainMs`, aborts the rest with `unavailable`,
 * and cuts what is still open. Resolves when no connection is left and all plugins are closed.
 */
export async function closeHttp(
  app: FastifyInstance,
  { drainMs }: { readonly drainMs: number },
): Promise<void> {
  const { scopes } = app.httpRuntime;
  app.httpRuntime.phase = "draining";
  const closed = app.close();
  // Answers after this carry `Connection: close`; connections without a request go now.
  app.server.closeIdleConnections();
  await noneLeft(app, drainMs);
  app.httpRuntime.phase = "cutting";
  for (const scope of [...scopes]) {
    scope.abort(new OperationalError("unavailable", "the server is stopping"));
  }
  await noneLeft(app, abortMs);
  app.server.closeAllConnections();
  await closed;
}

/** Resolves when no request is left, or after the bound. */
async function noneLeft({ httpRuntime, server }: FastifyInstance, boundMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const bound = setTimeout(resolve, boundMs);
  const look = setInterval(() => {
    server.closeIdleConnections();
    if (httpRuntime.scopes.size === 0) resolve();
  }, 20);
  if (httpRuntime.scopes.size === 0) resolve();
  await promise;
  clearTimeout(bound);
  clearInterval(look);
}
