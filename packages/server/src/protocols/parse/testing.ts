/** A whole server and a client that hides nothing, for the tests of this folder. Nothing else imports it. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { listFiles } from "../../../../../test/harness/data-folder.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import { silentLog } from "../../core/ports/log.ts";
import { startServer } from "../../server.ts";
import { parseServerConfig, type ServerConfigInput } from "../../server-config.ts";

export const key = { id: "ROOTKEY", secret: "correct-horse-battery" };
export const asRoot = { authorization: `Bearer ${key.id}.${key.secret}` };

/** What curl and the mobile SDKs send with the master key. */
export const master = {
  "x-parse-application-id": key.id,
  "x-parse-master-key": key.secret,
} as const;

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  readonly json: ParseJson;
}

/** What the answers hold, each some of it. */
export interface ParseJson {
  readonly url: string;
  readonly name: string;
  readonly code: number;
  readonly error: string;
  readonly detail: string;
  readonly metadata: unknown;
  readonly tags: unknown;
  readonly objects: readonly { readonly key: string; readonly contentType: string }[];
}

export interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  /** A list is written piece by piece, without a length. */
  readonly body?: string | Uint8Array | readonly Uint8Array[];
}

export interface ParseTestServer {
  readonly url: string;
  /** The target goes out exactly as given; an absolute URL is asked for at its own host. */
  readonly call: (method: string, target: string, sent?: Sent) => Promise<Answered>;
  /** Keys of a bucket. */
  readonly keys: (bucket?: string) => Promise<readonly string[]>;
  /** Files of blobs and temporaries in the storage whose folder it is; left out: of the server's own. */
  readonly blobs: (folder?: string) => Promise<number>;
  /** Its folder. */
  readonly data: string;
  readonly advance: (ms: number) => void;
}

export async function startParse(
  t: TestContext,
  options: Partial<ServerConfigInput> = {},
): Promise<ParseTestServer> {
  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  const data = await mkdtemp(join(tmpdir(), "roma-parse-"));
  opened.defer(() => rm(data, { recursive: true, force: true, maxRetries: 5 }));
  let aheadMs = 0;
  const clock: Clock = {
    now: () => new Date(systemClock.now().getTime() + aheadMs),
    monotonicMs: () => systemClock.monotonicMs() + aheadMs,
  };
  const rootKey = `${key.id}:${key.secret}`;
  const config = parseServerConfig({ data, port: 0, opsPort: 0, rootKey, ...options });
  const { url } = opened.use(await startServer(config, { log: silentLog, clock }));
  const call: ParseTestServer["call"] = (method, target, sent = {}) =>
    send(target.startsWith("http") ? new URL(target) : new URL(url), { method, target, ...sent });
  return {
    url,
    call,
    keys: async (bucket = "parse") => {
      const { json } = await call("GET", `/v1/objects/${bucket}`, { headers: asRoot });
      return json.objects.map(({ key: name }) => name);
    },
    data,
    blobs: async (folder = "objects") => {
      const files = await listFiles(join(data, folder));
      return files.filter((file) => file !== join(".roma", "storage.json")).length;
    },
    advance: (ms) => {
      aheadMs += ms;
    },
  };
}

/** The JSON that SDKs send as text/plain, members in their order. */
export function jsonUpload(bytes: Uint8Array, members: object = {}): string {
  return JSON.stringify({
    base64: Buffer.from(bytes).toString("base64"),
    fileData: { metadata: {}, tags: {} },
    _ApplicationId: key.id,
    _ClientVersion: "js8.6.0",
    _MasterKey: key.secret,
    _InstallationId: "0f7c6f5e-0000-4000-8000-000000000000",
    ...members,
  });
}

async function send(
  to: URL,
  { method, target, headers = {}, body }: Sent & { method: string; target: string },
): Promise<Answered> {
  const path = target.startsWith("http") ? `${to.pathname}${to.search}` : target;
  const isWhole = typeof body === "string" || body instanceof Uint8Array;
  const length = isWhole ? { "content-length": String(Buffer.byteLength(body)) } : {};
  const sent = httpRequest({
    host: to.hostname,
    port: to.port,
    method,
    path,
    headers: { ...length, ...headers },
    agent: false,
  });
  // A connection may break after an early answer, while the rest is still being sent.
  sent.on("error", () => undefined);
  // As bytes: a text would make Node write the headers in its encoding.
  if (isWhole || body === undefined) sent.end(body === undefined ? body : Buffer.from(body));
  else {
    for (const piece of body) sent.write(piece);
    sent.end();
  }
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const text = bytes.toString("utf8");
  const isJson = (response.headers["content-type"] ?? "").includes("json") && text !== "";
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: bytes,
    text,
    json: isJson ? JSON.parse(text) : undefined,
  };
}
