// Servers on the loopback interface between a client and nothing, or between a client and an emulator,
// and the name under which clients find them: a bucket stands in the host name, so one is needed.

import { createHash } from "node:crypto";
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from "node:http";
import type { LookupFunction } from "node:net";

/** Every name is this machine. */
export const lookup: LookupFunction = (_name, options, done) => {
  if (options.all === true) done(null, [{ address: "127.0.0.1", family: 4 }]);
  else done(null, "127.0.0.1", 4);
};

/** A request as it was on the wire. */
export interface Captured {
  readonly method: string;
  /** Without the port. */
  readonly host: string;
  /** Still encoded. */
  readonly path: string;
  readonly query: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export const uploadId = "upload-1";

/** Answers every request as a storage that holds `text` under every key, and keeps what came. */
export class Recorder implements AsyncDisposable {
  readonly captured: Captured[] = [];
  readonly #text: string;
  readonly #now: Date;
  readonly #server: Server;

  constructor(text: string, now: Date) {
    this.#text = text;
    this.#now = now;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  async listen(): Promise<this> {
    await listen(this.#server);
    return this;
  }

  get endpoint(): string {
    return endpointOf(this.#server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await close(this.#server);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "" } = request;
    const body = (await readAll(request)).toString();
    const headers = plain(request.headers);
    const [host = ""] = (headers.host ?? "").split(":");
    this.captured.push({ method, host, ...addressOf(url), headers, body });
    const { status, more, text } = this.#answer(method, addressOf(url).query, { headers, body });
    response.writeHead(status, {
      date: this.#now.toUTCString(),
      ...(status !== 204 && { "content-length": String(text.length) }),
      ...more,
    });
    response.end(method === "HEAD" ? undefined : text);
  }

  #answer(
    method: string,
    query: string,
    { headers, body }: Pick<Captured, "headers" | "body">,
  ): { status: number; more: Readonly<Record<string, string>>; text: string } {
    const held = { etag: `"${md5(this.#text)}"`, "last-modified": this.#now.toUTCString() };
    const names = query.split("&").map((pair) => pair.split("=")[0]);
    if (method === "DELETE") return { status: 204, more: {}, text: "" };
    if (method === "PUT") return { status: 200, more: { etag: `"${md5(body)}"` }, text: "" };
    if (names.includes("uploads")) return xml("InitiateMultipartUploadResult", uploadElement);
    if (method === "POST") {
      const etag = createHash("md5").update(md5(this.#text), "hex").digest("hex");
      // What a HEAD tells later is another blob's: the driver takes its answer from here.
      return xml("CompleteMultipartUploadResult", `<ETag>"${etag}-1"</ETag>`);
    }
    if (names.includes("uploadId")) {
      const size = `<Size>${this.#text.length}</Size>`;
      const part = `<Part><PartNumber>1</PartNumber><ETag>${held.etag}</ETag>${size}</Part>`;
      return xml("ListPartsResult", `<IsTruncated>false</IsTruncated>${part}`);
    }
    if (names.includes("prefix")) {
      return xml("ListBucketResult", "<IsTruncated>false</IsTruncated><KeyCount>0</KeyCount>");
    }
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "");
    if (range === null) return { status: 200, more: held, text: this.#text };
    const [first, last] = [Number(range[1]), Number(range[2])];
    const more = { ...held, "content-range": `bytes ${first}-${last}/${this.#text.length}` };
    return { status: 206, more, text: this.#text.slice(first, last + 1) };
  }
}

/** Hands requests on with headers changed, and answers back. */
export class Rewriter implements AsyncDisposable {
  /** Status and code of each answer. */
  readonly answers: string[] = [];
  readonly #server: Server;

  constructor(target: string, rewrite: (headers: IncomingHttpHeaders) => IncomingHttpHeaders) {
    const { port } = new URL(target);
    this.#server = createServer((request, response) => {
      const { method, url: path, headers } = request;
      const to = { host: "127.0.0.1", port, method, path, headers: rewrite(headers), agent: false };
      const onward = httpRequest(to, async (answer) => {
        const body = await readAll(answer);
        const [, code = ""] = /<Code>(.*)<\/Code>/.exec(body.toString()) ?? [];
        this.answers.push(`${answer.statusCode} ${code}`);
        response.writeHead(answer.statusCode ?? 500, answer.headers).end(body);
      });
      onward.on("error", () => response.destroy());
      request.pipe(onward);
    });
  }

  async listen(): Promise<this> {
    await listen(this.#server);
    return this;
  }

  get endpoint(): string {
    return endpointOf(this.#server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await close(this.#server);
  }
}

/** Sends to an address exactly as it is written; rejects unless the answer is a success. */
export async function send(
  method: string,
  url: string,
  { headers, text }: { readonly headers: OutgoingHttpHeaders; readonly text?: string },
): Promise<void> {
  const { origin, hostname, port } = new URL(url);
  const path = url.slice(origin.length);
  await new Promise<void>((resolve, reject) => {
    const sent = { ...headers, connection: "keep-alive" };
    const options = { method, hostname, port, path, headers: sent, lookup, agent: false };
    const request = httpRequest(options, (answer) => {
      const { statusCode = 0 } = answer;
      answer.resume().on("end", resolve);
      if (statusCode >= 300) reject(new Error(`${method} answers ${statusCode}`));
    });
    request.on("error", reject).end(text);
  });
}

/** Path and query of an address, encoded as they stand. */
export function addressOf(url: string): Pick<Captured, "path" | "query"> {
  const at = url.indexOf("?");
  return at === -1
    ? { path: url, query: "" }
    : { path: url.slice(0, at), query: url.slice(at + 1) };
}

const uploadElement = `<UploadId>${uploadId}</UploadId>`;

function xml(root: string, inner: string) {
  const more = { "content-type": "application/xml" };
  return { status: 200, more, text: `<${root}>${inner}</${root}>` };
}

function md5(text: string): string {
  return createHash("md5").update(text).digest("hex");
}

function plain(headers: IncomingHttpHeaders): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function listen(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
}

function endpointOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening");
  return `http://storage.test:${address.port}`;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
