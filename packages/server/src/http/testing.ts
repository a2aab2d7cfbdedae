/** Servers and raw clients for the tests of this folder. Nothing else imports it. */
import { type AddressInfo, connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import type { FastifyInstance } from "fastify";
import { httpConfig } from "./config.ts";
import { type RenderError, renderProblem } from "./problem.ts";
import { closeHttp, createHttp, type HttpOptions } from "./server.ts";

/** Only for what hangs: a machine that is busy may stand still for seconds. */
const hangMsMax = 60_000;

const statuses: Readonly<Record<string, number>> = {
  invalid_request: 400,
  access_denied: 403,
  unsupported: 404,
  request_timeout: 408,
  precondition_failed: 412,
  too_large: 413,
  rate_limited: 429,
  overloaded: 503,
  internal: 500,
  unavailable: 503,
  storage_full: 507,
};

export const renderForTests: RenderError = (error, request) => {
  const status = statuses[error.code] ?? 400;
  return renderProblem(error, { status, title: error.code, requestId: request.id });
};

export interface LogLine {
  readonly level: string;
  readonly fields: object;
  readonly message: string;
}

export interface TestServer {
  readonly app: FastifyInstance;
  readonly port: number;
  readonly lines: readonly LogLine[];
  readonly close: (drainMs?: number) => Promise<void>;
}

/** Starts a server on a free port with the routes; it is closed when the test ends. */
export async function startServer(
  t: TestContext,
  routes: (app: FastifyInstance) => void,
  options: { readonly config?: object; readonly clock?: HttpOptions["clock"] } = {},
): Promise<TestServer> {
  const lines: LogLine[] = [];
  const level = (name: string) => (fields: object, message: string) => {
    lines.push({ level: name, fields, message });
  };
  const app = createHttp({
    log: { debug: level("debug"), info: level("info"), warn: level("warn"), error: level("error") },
    config: httpConfig.parse(options.config ?? {}),
    renderError: renderForTests,
    tickMs: 20,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  });
  routes(app);
  await app.listen({ port: 0, host: "127.0.0.1" });
  let closing: Promise<void> | undefined;
  const close = (drainMs = 0): Promise<void> => {
    closing ??= closeHttp(app, { drainMs });
    return closing;
  };
  t.after(() => close());
  const { port } = app.server.address() as AddressInfo;
  return { app, port, lines, close };
}

/** A client that writes what it is told and keeps what it gets. */
export class RawClient {
  readonly socket: Socket;
  #received: Buffer[] = [];
  #bytes = 0;
  #wake: (() => void) | undefined;
  closed = false;
  error: NodeJS.ErrnoException | undefined;

  constructor(t: TestContext, port: number) {
    this.socket = connect({ port, host: "127.0.0.1" });
    this.socket.on("data", (chunk: Buffer) => {
      this.#received.push(chunk);
      this.#bytes += chunk.length;
      this.#wake?.();
    });
    this.socket.on("error", (error) => {
      this.error = error;
    });
    this.socket.on("close", () => {
      this.closed = true;
      this.#wake?.();
    });
    t.after(() => this.socket.destroy());
  }

  get text(): string {
    return Buffer.concat(this.#received).toString("latin1");
  }

  /** Bytes received since the last `forget`. */
  get bytes(): number {
    return this.#bytes;
  }

  forget(): void {
    this.#received = [];
    this.#bytes = 0;
  }

  /** Resolves when all was handed to the kernel. */
  write(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(data, () => resolve());
    });
  }

  /** What was received, once the pattern is in it; fails if the connection closes before. */
  async until(pattern: RegExp): Promise<string> {
    const deadline = Date.now() + hangMsMax;
    while (!pattern.test(this.text)) {
      if (this.closed || Date.now() > deadline) {
        throw new Error(`${this.closed} ${JSON.stringify(this.text.slice(0, 400))}`);
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, 1000);
      this.#wake = resolve;
      await promise;
      clearTimeout(timer);
    }
    return this.text;
  }

  /** What was received, once it is a head and as many bytes of a body. */
  async untilBody(length: number): Promise<string> {
    const head = (await this.until(/\r\n\r\n/)).indexOf("\r\n\r\n") + 4;
    await eventually(() => this.bytes >= head + length, `${length} bytes of the body came`);
    return this.text;
  }

  async untilClosed(): Promise<string> {
    await eventually(() => this.closed, "the connection closes");
    return this.text;
  }
}

/** Polls a condition that something else brings about. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const until = Date.now() + hangMsMax;
  while (!(await condition())) {
    if (Date.now() > until) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Connections that the server has, which may be fewer than clients have opened, and more than they have kept. */
export function connectionsOf(app: FastifyInstance): Promise<number> {
  return new Promise((resolve, reject) => {
    app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}
