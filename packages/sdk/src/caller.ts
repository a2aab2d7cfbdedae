/**
 * Requests with their credential, and the reading of refusals; one attempt each. Every answer that
 * passes through here is consumed or discarded, whatever happens.
 */
import { environmentHeader } from "@roma/contract";
import { isRomaError, RomaError, refusalError } from "./errors.ts";
import type { Parser } from "./fields.ts";
import type { RetryPolicy } from "./retry.ts";
import { Token, type TokenSource } from "./token.ts";
import {
  bytesBody,
  type Transport,
  type TransportRequest,
  type TransportResponse,
} from "./transport.ts";

// A page of 1,000 objects with full metadata and long keys stays well below.
const jsonBytesMax = 32 * 1024 * 1024;
const problemBytesMax = 64 * 1024;

export interface JsonRequest<T> extends Omit<TransportRequest, "headers" | "body"> {
  readonly value?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly parse: Parser<T>;
}

export interface JsonAnswer<T> {
  readonly status: number;
  readonly value: T;
}

export interface CallerOptions {
  /** With its path, if any, and no slash at the end. */
  readonly endpoint: string;
  readonly token?: TokenSource | undefined;
  /** Said with every request. */
  readonly environment?: string | undefined;
  readonly retry: RetryPolicy;
}

export class Caller {
  readonly endpoint: string;
  readonly retry: RetryPolicy;
  readonly #transport: Transport;
  readonly #token: Token;
  readonly #meant: Readonly<Record<string, string>>;

  constructor(transport: Transport, { endpoint, token, environment, retry }: CallerOptions) {
    this.#transport = transport;
    this.#token = new Token(token);
    this.#meant = environment === undefined ? {} : { [environmentHeader]: environment };
    this.endpoint = endpoint;
    this.retry = retry;
  }

  /**
   * One attempt, and a second one with a new token if the first was refused for its token alone.
   * Resolves with a success (2xx, 304) that the caller consumes; a refusal is thrown.
   */
  async once(request: TransportRequest): Promise<TransportResponse> {
    const used = await this.#token.get();
    try {
      return await this.#authorized(request, used);
    } catch (error) {
      const expired = isRomaError(error, "unauthenticated") || isRomaError(error, "expired");
      if (!expired || !(await this.#token.refused(used))) throw error;
      return await this.#authorized(request, await this.#token.get());
    }
  }

  /** One attempt with the headers as they are and no credential: a request that was signed. */
  async plain(request: TransportRequest): Promise<TransportResponse> {
    const response = await this.#transport.send(request);
    if ((response.status >= 200 && response.status < 300) || response.status === 304) {
      return response;
    }
    const { method, path } = request;
    const text = method === "HEAD" ? "" : await readRefusal(response);
    response.discard();
    const { status, headers } = response;
    const meant = request.headers[environmentHeader];
    throw refusalError({ method, path, text, status, headers, meant });
  }

  /** One attempt with JSON both ways. */
  async json<T>({
    value,
    parse,
    headers = {},
    ...request
  }: JsonRequest<T>): Promise<JsonAnswer<T>> {
    const fields = { accept: "application/json", ...headers };
    const sent: TransportRequest =
      value === undefined
        ? { ...request, headers: fields }
        : {
            ...request,
            headers: { "content-type": "application/json", ...fields },
            body: bytesBody(new TextEncoder().encode(JSON.stringify(value))),
          };
    const response = await this.once(sent);
    return { status: response.status, value: await readJson(response, parse) };
  }

  /** A URL relative to the server as an absolute one. */
  absolute(url: string): string {
    return url.startsWith("/") ? this.endpoint + url : url;
  }

  close(): void {
    this.#transport.close();
  }

  #authorized(request: TransportRequest, token: string | undefined): Promise<TransportResponse> {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const headers = { ...request.headers, ...this.#meant, ...authorization };
    return this.plain({ ...request, headers });
  }
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
