/**
 * Calls: a request with its credential, attempts, and the reading of refusals. Every answer that
 * passes through here is consumed or discarded, whatever happens.
 */
import { RomaError, refusalError } from "./errors.ts";
import type { Parser } from "./parse.ts";
import { type RetryPolicy, withRetry } from "./retry.ts";
import type { Transport, TransportRequest, TransportResponse } from "./transport.ts";

// A page of 1,000 objects with full metadata and long keys stays well below.
const jsonBytesMax = 32 * 1024 * 1024;
const problemBytesMax = 64 * 1024;

/** `ID.SECRET`, `ID:SECRET` or a grant; or a function that has a fresh one for each attempt. */
export type Credential = string | (() => string | Promise<string>);

export interface CallOptions extends TransportRequest {
  /** False when doing it twice differs from doing it once: then a lost answer is not retried. */
  readonly idempotent?: boolean;
}

export interface JsonCallOptions<T> {
  readonly method: string;
  readonly path: string;
  readonly value?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly parse: Parser<T>;
  readonly signal?: AbortSignal | undefined;
  readonly idempotent?: boolean;
}

export interface CallerOptions {
  readonly credential?: Credential | undefined;
  readonly retry: RetryPolicy;
}

export class Caller {
  readonly #transport: Transport;
  readonly #credential: Credential | undefined;
  readonly retry: RetryPolicy;

  constructor(transport: Transport, { credential, retry }: CallerOptions) {
    this.#transport = transport;
    this.#credential = credential;
    this.retry = retry;
  }

  /** One attempt. Resolves with a success (2xx, 304) that the caller consumes; a refusal is thrown. */
  async once(request: TransportRequest): Promise<TransportResponse> {
    const authorization = await this.#authorization();
    const headers =
      authorization === undefined ? request.headers : { ...request.headers, authorization };
    const response = await this.#transport.send({ ...request, headers });
    if ((response.status >= 200 && response.status < 300) || response.status === 304) {
      return response;
    }
    const { method, path } = request;
    const text = method === "HEAD" ? "" : await readRefusal(response);
    response.discard();
    throw refusalError({ method, path, text, status: response.status, headers: response.headers });
  }

  /** As many attempts as the policy and the request allow. */
  call({ idempotent, ...request }: CallOptions): Promise<TransportResponse> {
    const { body, signal } = request;
    let opened = false;
    const watched: TransportRequest =
      body === undefined
        ? { ...request, freshConnection: idempotent === false }
        : {
            ...request,
            freshConnection: idempotent === false,
            body: {
              ...body,
              open: (openSignal) => {
                opened = true;
                return body.open(openSignal);
              },
            },
          };
    const mayRepeat = (error: RomaError) =>
      (body === undefined || body.repeatable || !opened) &&
      (idempotent !== false || !error.mayHaveHappened);
    return withRetry({ policy: this.retry, signal, mayRepeat }, () => this.once(watched));
  }

  /** A call with JSON both ways. */
  json<T>({ value, parse, headers = {}, ...request }: JsonCallOptions<T>): Promise<T> {
    const sent: CallOptions =
      value === undefined
        ? { ...request, headers: { accept: "application/json", ...headers } }
        : {
            ...request,
            headers: { accept: "application/json", "content-type": "application/json", ...headers },
            body: bytesBody(new TextEncoder().encode(JSON.stringify(value))),
          };
    return this.call(sent).then((response) => readJson(response, parse));
  }

  /** A call whose answer's body does not matter. */
  async none(request: Omit<CallOptions, "headers">): Promise<void> {
    const response = await this.call({ ...request, headers: {} });
    response.discard();
  }

  close(): void {
    this.#transport.close();
  }

  async #authorization(): Promise<string | undefined> {
    if (this.#credential === undefined) return undefined;
    const credential =
      typeof this.#credential === "string" ? this.#credential : await this.#credential();
    return `Bearer ${credential.replace(":", ".")}`;
  }
}

/** A body of bytes in memory. */
export function bytesBody(bytes: Uint8Array): {
  readonly length: number;
  readonly repeatable: true;
  open(): AsyncIterable<Uint8Array>;
} {
  return {
    length: bytes.length,
    repeatable: true,
    async *open() {
      for (let at = 0; at < bytes.length; at += 256 * 1024) {
        yield bytes.subarray(at, at + 256 * 1024);
      }
    },
  };
}

/** Reads a JSON answer whole. */
export async function readJson<T>(response: TransportResponse, parse: Parser<T>): Promise<T> {
  const text = await readText(response, jsonBytesMax);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const message = `the answer (status ${response.status}) is not JSON: is this a Roma server?`;
    throw new RomaError("bad_answer", message, { status: response.status, cause });
  }
  return parse(value);
}

async function readText(response: TransportResponse, bytesMax: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > bytesMax) {
      throw new RomaError("bad_answer", `the answer is larger than ${bytesMax} bytes`);
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

// The status says enough if the rest of a refusal is lost with its connection.
async function readRefusal(response: TransportResponse): Promise<string> {
  try {
    return await readText(response, problemBytesMax);
  } catch {
    return "";
  }
}
