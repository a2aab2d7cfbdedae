/** A whole server and clients of S3, for the tests of this folder. Nothing else imports it. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import { silentLog } from "../../core/ports/log.ts";
import { startServer } from "../../server.ts";
import { parseServerConfig, type ServerConfigInput } from "../../server-config.ts";
import { type SigningKey, signedHeaders } from "./testing-signature.ts";

/** Of the root key. */
export const key: SigningKey = { keyId: "ROOTKEY", secret: "correct-horse-battery" };

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  /** Of an error. */
  readonly code: string | undefined;
}

export interface CallOptions {
  /** `nobody`: without a signature. Left out: the root key. */
  readonly as?: "nobody" | SigningKey;
  /** Signed, all of them. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
  /** Sent and not signed. */
  readonly unsignedHeaders?: Readonly<Record<string, string>>;
}

export interface S3Server {
  /** Of the main listener. */
  readonly url: string;
  /** Of the S3 interface on it, as clients are told it. */
  readonly endpoint: string;
  /** Of the listener for S3 alone; only if `s3.port` was given. */
  readonly s3Url: string | undefined;
  /** A plain request, signed; the target goes out exactly as given: `/s3/demo/key`. */
  readonly call: (method: string, target: string, options?: CallOptions) => Promise<Answered>;
  /** The AWS SDK with its defaults, path style. Closed with the test. */
  readonly client: (config?: S3ClientConfig) => S3Client;
  /** Moves the server's clocks. */
  readonly advance: (ms: number) => void;
}

/** The server has the bucket `demo`. */
export async function startS3(
  t: TestContext,
  options: Partial<ServerConfigInput> = {},
): Promise<S3Server> {
  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  const data = await mkdtemp(join(tmpdir(), "roma-s3-"));
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
    drain: "100 ms",
    rootKey: `${key.keyId}:${key.secret}`,
    ...options,
  });
  const server = opened.use(await startServer(config, { log: silentLog, clock }));
  const endpoint = `${server.url}/s3`;
  return {
    url: server.url,
    endpoint,
    s3Url: server.s3Url,
    call: (method, target, given) => call(server.url, clock.now(), method, target, given),
    client: (given = {}) => {
      const client = new S3Client({
        endpoint,
        region: "us-east-1",
        forcePathStyle: true,
        credentials: { accessKeyId: key.keyId, secretAccessKey: key.secret },
        maxAttempts: 1,
        ...given,
      });
      opened.defer(() => client.destroy());
      return client;
    },
    advance: (ms) => {
      aheadMs += ms;
    },
  };
}

async function call(
  origin: string,
  now: Date,
  method: string,
  target: string,
  { as = key, headers = {}, body = "", unsignedHeaders = {} }: CallOptions = {},
): Promise<Answered> {
  const { host, hostname, port } = new URL(origin);
  const sent =
    as === "nobody"
      ? headers
      : signedHeaders({ method, target, headers: { host, ...headers }, body }, as, now);
  return send({ hostname, port, method, path: target }, { ...sent, ...unsignedHeaders }, body);
}

/** A request exactly as given. */
export async function send(
  to: {
    readonly hostname: string;
    readonly port: string | number;
    readonly method: string;
    readonly path: string;
  },
  headers: Readonly<Record<string, string>>,
  body: Buffer | string = "",
): Promise<Answered> {
  const length = Buffer.byteLength(body);
  const sized =
    length === 0 || "transfer-encoding" in headers || "content-length" in headers
      ? headers
      : { ...headers, "content-length": String(length) };
  const request = httpRequest({ ...to, headers: sized });
  // A connection may break after an early answer, while the rest is still being sent.
  request.on("error", () => undefined);
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const received = Buffer.concat(chunks);
  const text = received.toString();
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: received,
    text,
    code: /<Error>[\s\S]*?<Code>([^<]*)<\/Code>/.exec(text)?.[1],
  };
}
