/** A whole server and a plain client of tus, for the tests of this folder. Nothing else imports it. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { GrantScope } from "../../core/access.ts";
import { signGrant } from "../../core/grants.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import { silentLog } from "../../core/ports/log.ts";
import { startServer } from "../../server.ts";
import { parseServerConfig, type ServerConfigInput } from "../../server-config.ts";

/** Of the root key. */
export const key = { keyId: "ROOTKEY", secret: "correct-horse-battery" };

export interface Answered {
  readonly status: number;
  readonly statusMessage: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
}

export type Fields = Readonly<Record<string, string | string[]>>;

export interface CallOptions {
  /** Without: `Tus-Resumable` and the root key's `Authorization`. `null` leaves one out. */
  readonly headers?: Readonly<Record<string, string | string[] | null>> | undefined;
  readonly body?: Buffer | string;
  /** Sent after a chunked body. */
  readonly trailers?: Readonly<Record<string, string>>;
}

export interface TusServer {
  readonly url: string;
  readonly port: number;
  /** Of the listener with the metrics. */
  readonly opsUrl: string;
  /** `target` is a path, or a URL of the server. */
  readonly call: (method: string, target: string, options?: CallOptions) => Promise<Answered>;
  /** `POST` to the bucket `demo`, and the path of the new upload. */
  readonly create: (headers: Fields, body?: Buffer | string) => Promise<string>;
  /** `PATCH` with bytes at the offset. */
  readonly append: (
    target: string,
    offset: number,
    body: Buffer | string,
    headers?: CallOptions["headers"],
  ) => Promise<Answered>;
  /** What `GET /v1/objects/demo/KEY` answers. */
  readonly object: (objectKey: string) => Promise<Answered>;
  readonly grant: (scope: GrantScope, lifeMs?: number) => string;
  /** Moves the server's clocks. */
  readonly advance: (ms: number) => void;
}

export const bytesType = "application/offset+octet-stream";

/** The server has the bucket `demo`. */
export async function startTus(
  t: TestContext,
  options: Partial<ServerConfigInput> = {},
): Promise<TusServer> {
  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  const data = await mkdtemp(join(tmpdir(), "roma-tus-"));
  opened.defer(() => rm(data, { recursive: true, force: true, maxRetries: 5 }));
  let aheadMs = 0;
  const clock: Clock = {
    now: () => new Date(systemClock.now().getTime() + aheadMs),
    monotonicMs: () => systemClock.monotonicMs() + aheadMs,
  };
  const config = parseServerConfig({
    data,
    port: 0,
    opsPort: 0,
    rootKey: `${key.keyId}:${key.secret}`,
    ...options,
  });
  const server = opened.use(await startServer(config, { log: silentLog, clock }));
  const { url, opsUrl } = server;
  const call: TusServer["call"] = (method, target, given) =>
    send(method, new URL(target, url), given);
  const pathOf = (location: string | undefined): string => new URL(location ?? "").pathname;
  return {
    url,
    opsUrl,
    port: Number(new URL(url).port),
    call,
    create: async (headers, body) => {
      const type = body === undefined ? {} : { "content-type": bytesType };
      const given = { headers: { ...type, ...headers }, ...(body === undefined ? {} : { body }) };
      const answered = await call("POST", "/tus/demo", given);
      if (answered.status !== 201) throw new Error(`${answered.status} ${answered.text}`);
      return pathOf(answered.headers.location);
    },
    append: (target, offset, body, headers = {}) =>
      call("PATCH", target, {
        headers: { "upload-offset": String(offset), "content-type": bytesType, ...headers },
        body,
      }),
    object: (objectKey) => call("GET", `/v1/objects/demo/${objectKey}`),
    grant: (scope, lifeMs = 3_600_000) =>
      signGrant(scope, key, new Date(clock.now().getTime() + lifeMs)),
    advance: (ms) => {
      aheadMs += ms;
    },
  };
}

export const rootAuthorization = `Basic ${Buffer.from(`${key.keyId}:${key.secret}`).toString("base64")}`;

async function send(method: string, to: URL, options: CallOptions = {}): Promise<Answered> {
  const { body, trailers } = options;
  const headers: Record<string, string | string[]> = {};
  const given = { "tus-resumable": "1.0.0", authorization: rootAuthorization, ...options.headers };
  for (const [name, value] of Object.entries(given)) if (value !== null) headers[name] = value;
  if (body !== undefined && headers["transfer-encoding"] === undefined) {
    headers["content-length"] ??= String(Buffer.byteLength(body));
  }
  const path = `${to.pathname}${to.search}`;
  const sent = httpRequest({ host: to.hostname, port: to.port, method, path, headers });
  // A connection may break after an early answer, while the rest is still being sent.
  sent.on("error", () => undefined);
  if (body !== undefined) sent.write(body);
  if (trailers !== undefined) sent.addTrailers(trailers);
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const received = Buffer.concat(chunks);
  return {
    status: response.statusCode ?? 0,
    statusMessage: response.statusMessage ?? "",
    headers: response.headers,
    body: received,
    text: received.toString(),
  };
}

export function base64(text: string | Uint8Array): string {
  return Buffer.from(text).toString("base64");
}

/** `Upload-Metadata` of texts. */
export function metadata(pairs: Readonly<Record<string, string>>): string {
  return Object.entries(pairs)
    .map(([name, value]) => `${name} ${base64(value)}`)
    .join(",");
}
