// One signed request and its answer. Every answer ends here: it is read within a bound, or its
// connection is closed. What a repetition can cure is repeated once, where the body can be sent again:
// a clock that differs, another region, credentials that ran out.

import { createHash } from "node:crypto";
import type { LookupFunction } from "node:net";
import type { Readable } from "node:stream";
import { KiB, MiB } from "@roma/contract";
import { Agent, type Dispatcher } from "undici";
import { OperationalError } from "../../core/errors.ts";
import type { Clock } from "../../core/ports/clock.ts";
import {
  type AddressOptions,
  type BucketAddress,
  bucketAddress,
  type PublicAddressOptions,
  publicAddress,
} from "./address.ts";
import type { CachedCredentials, Credentials } from "./credentials/credentials.ts";
import { classifyAnswer, classifyConnection, type Operation } from "./errors.ts";
import { freeingConnector } from "./freeing-connector.ts";
import type { Dialect } from "./providers.ts";
import { type QueryPair, queryText } from "./signatures/encode.ts";
import { obs } from "./signatures/obs.ts";
import { ossV4 } from "./signatures/oss-v4.ts";
import {
  type RequestToSign,
  type Signature,
  type SigningScope,
  unsignedPayload,
} from "./signatures/signature.ts";
import { sigV4 } from "./signatures/sigv4.ts";
import { type ErrorDocument, parseErrorDocument } from "./wire.ts";

const signatures: Readonly<Record<Dialect["signature"], Signature>> = {
  sigv4: sigV4,
  "oss-v4": ossV4,
  obs,
};

/** A page of 1,000 keys of 1,024 bytes, each percent-encoded, and what stands around them. */
const textBytesMax = 8 * MiB;
const errorBytesMax = 64 * KiB;
/** The hash of no more costs little. */
const hashedBytesMax = 64 * KiB;
const connectMsMax = 10_000;
/** Shorter than any storage's own: a request must not meet a connection that is just being closed. */
const idleMsMax = 4_000;
const closeMsMax = 10_000;
/** Storages refuse a clock that is 15 minutes off. */
const skewMsMin = 4 * 60_000;
const attemptsMax = 3;

export interface ClientOptions extends AddressOptions, PublicAddressOptions {
  readonly dialect: Dialect;
  readonly credentials: CachedCredentials;
  readonly clock: Clock;
  readonly connectionsMax: number;
  readonly lookup?: LookupFunction | undefined;
  /** Of W3C's trace context, for requests that are traced. */
  readonly traceparent?: (() => string | undefined) | undefined;
}

export interface StorageRequest {
  readonly operation: Operation;
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** As stored, with the prefix; absent for a request on the bucket. */
  readonly key?: string;
  readonly query?: readonly QueryPair[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Bytes can be sent again; a stream cannot, and its length is known. */
  readonly body?:
    | Uint8Array
    | { readonly length: number; readonly chunks: AsyncIterable<Uint8Array> };
  /** What 412 means. */
  readonly createOnly?: boolean;
}

/** As a browser sends it for a page of another origin. */
export interface PageRequest {
  readonly method: "OPTIONS" | "PUT";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  readonly signal: AbortSignal;
}

export interface OpenAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Must be read to its end or destroyed. */
  readonly body: Dispatcher.ResponseData["body"];
}

export interface ReadAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

export class S3Client {
  readonly dialect: Dialect;
  readonly bucket: string;
  readonly #options: ClientOptions;
  readonly #agent: Agent;
  readonly #signature: Signature;
  #region: string;
  #address: BucketAddress;
  /** Of what is signed for others. */
  #publicAddress: Omit<BucketAddress, "style">;
  #skewMs = 0;
  #closing: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    this.dialect = options.dialect;
    this.bucket = options.bucket;
    this.#options = options;
    this.#signature = signatures[options.dialect.signature];
    this.#region = options.region;
    this.#address = bucketAddress(options.dialect, options);
    this.#publicAddress = publicAddress(options.dialect, options);
    this.#agent = new Agent({
      connections: options.connectionsMax,
      pipelining: 1,
      allowH2: false,
      // Deadlines are the callers' signals; undici's own would not see progress.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: idleMsMax,
      keepAliveMaxTimeout: idleMsMax,
      connect: freeingConnector({
        allowH2: false,
        timeout: connectMsMax,
        ...(options.lookup !== undefined && { lookup: options.lookup }),
      }),
    });
  }

  /** The region that the storage was found to be in. */
  get region(): string {
    return this.#region;
  }

  get address(): BucketAddress {
    return this.#address;
  }

  /** By the storage's clock, as far as it was heard. */
  now(): Date {
    return new Date(this.#options.clock.now().getTime() + this.#skewMs);
  }

  /** Sends and reads the answer to its end; any status but 2xx is classified and thrown. */
  async read(request: StorageRequest): Promise<ReadAnswer> {
    const answer = await this.open(request);
    const { status, headers } = answer;
    try {
      const text = await readText(answer, textBytesMax);
      if (text === undefined) throw new SyntaxError("an answer longer than 8 MiB");
      return { status, headers, text };
    } catch (error) {
      throw this.#connectionError(error, request);
    }
  }

  /** Sends; the body of a success is the caller's to read or destroy. */
  async open(request: StorageRequest): Promise<OpenAnswer> {
    for (let attempt = 1; ; attempt += 1) {
      request.signal.throwIfAborted();
      const { answer, credentials } = await this.#send(request);
      if (answer.status >= 200 && answer.status < 300) return answer;
      const failure = await this.#readFailure(answer, request);
      const learned = this.#learn(answer, failure, credentials);
      if (learned && isStream(request.body)) {
        const message = "the storage was found elsewhere or at another time; the next try may pass";
        throw new OperationalError("unavailable", message);
      }
      if (learned && attempt < attemptsMax) continue;
      throw classifyAnswer({
        operation: request.operation,
        status: answer.status,
        document: failure,
        dialect: this.dialect,
        createOnly: request.createOnly ?? false,
      });
    }
  }

  /** Signs an address for somebody else to use. */
  async presign(
    request: Pick<RequestToSign, "method" | "query" | "headers"> & { readonly key: string },
    { signal, expiresSeconds }: { readonly signal: AbortSignal; readonly expiresSeconds: number },
  ): Promise<string> {
    const scope = await this.#scope(signal);
    const { origin, host } = this.#publicAddress;
    const path = this.#publicAddress.pathOf(request.key);
    const toSign = { ...request, host, path, bucket: this.bucket, payloadHash: unsignedPayload };
    const query = this.#signature.query(toSign, { ...scope, expiresSeconds });
    return `${origin}${path}?${queryText(query)}`;
  }

  /** The address of a form and its signed fields. */
  async presignForm(
    policy: Parameters<Signature["post"]>[0],
    signal: AbortSignal,
  ): Promise<{ readonly url: string; readonly fields: Readonly<Record<string, string>> }> {
    const fields = this.#signature.post(policy, await this.#scope(signal));
    const { origin, pathOf } = this.#publicAddress;
    return { url: `${origin}${pathOf(undefined)}`, fields };
  }

  /** Without a credential, as somebody else would; the answer's body is not read. */
  async sendAsPage({
    url,
    ...request
  }: PageRequest): Promise<Pick<OpenAnswer, "status" | "headers">> {
    const { origin, pathname, search } = new URL(url);
    try {
      const path = `${pathname}${search}`;
      const answer = await this.#agent.request({ origin, path, ...request });
      await answer.body.dump();
      return { status: answer.statusCode, headers: plainHeaders(answer.headers) };
    } catch (error) {
      throw this.#connectionError(error, { signal: request.signal, operation: "cors" });
    }
  }

  /** Ends idle connections at once and busy ones after a while. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, closeMsMax);
    });
    await Promise.race([this.#agent.close(), late]);
    clearTimeout(timer);
    await this.#agent.destroy();
  }

  async #scope(signal: AbortSignal): Promise<SigningScope> {
    try {
      const credentials = await this.#options.credentials.get(signal);
      return { credentials, region: this.#region, at: this.now() };
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      const message = "there are no credentials for the storage";
      throw new OperationalError("unavailable", message, { cause });
    }
  }

  async #send(
    request: StorageRequest,
  ): Promise<{ readonly answer: OpenAnswer; readonly credentials: Credentials }> {
    const scope = await this.#scope(request.signal);
    const { body, key, query = [], method, signal } = request;
    const path = this.#address.pathOf(key);
    const headers = this.#signature.headers(
      {
        method,
        host: this.#address.host,
        path,
        query,
        headers: {
          ...request.headers,
          ...(body !== undefined && { "content-length": String(body.length) }),
        },
        bucket: this.bucket,
        ...(key !== undefined && { key }),
        payloadHash: this.#payloadHash(request),
      },
      scope,
    );
    // Beside the signature, which says nothing of it: a proxy on the way may change it.
    const traceparent = this.#options.traceparent?.();
    try {
      const answer = await this.#agent.request({
        origin: this.#address.origin,
        path: query.length === 0 ? path : `${path}?${queryText(query)}`,
        method,
        headers: traceparent === undefined ? headers : { ...headers, traceparent },
        signal,
        ...(body !== undefined && { body: isStream(body) ? iterableBody(body.chunks) : body }),
      });
      // An abort destroys a body that nobody may be reading at that time.
      answer.body.on("error", ignore);
      const open = {
        status: answer.statusCode,
        headers: plainHeaders(answer.headers),
        body: answer.body,
      };
      return { answer: open, credentials: scope.credentials };
    } catch (error) {
      throw this.#connectionError(error, request);
    }
  }

  /**
   * The real hash where nothing else binds the bytes to the signature. A Content-MD5 is signed and
   * compared by the storage, and a second digest of each part would cost as much again; a stream's
   * hash is not known before it is sent.
   */
  #payloadHash({ body, headers = {} }: StorageRequest): string {
    if (isStream(body)) return unsignedPayload;
    const large = body !== undefined && body.length > hashedBytesMax;
    const bound = headers["content-md5"] !== undefined || this.#address.origin.startsWith("https:");
    if (large && bound) return unsignedPayload;
    return createHash("sha256")
      .update(body ?? "")
      .digest("hex");
  }

  async #readFailure(answer: OpenAnswer, request: StorageRequest): Promise<ErrorDocument> {
    try {
      return parseErrorDocument((await readText(answer, errorBytesMax)) ?? "");
    } catch (error) {
      // The status is told all the same, unless the caller has gone.
      if (request.signal.aborted) throw request.signal.reason;
      void error;
      return parseErrorDocument("");
    }
  }

  /** Whether the failure taught something that makes the same request succeed. */
  #learn(answer: OpenAnswer, failure: ErrorDocument, credentials: Credentials): boolean {
    return (
      this.#learnRegion(answer, failure) ||
      this.#learnTime(answer, failure) ||
      this.#learnExpiry(failure, credentials)
    );
  }

  #learnRegion({ status, headers }: OpenAnswer, { code, region }: ErrorDocument): boolean {
    const redirected = status === 301 || status === 307 || status === 400;
    if (!redirected) return false;
    const told = headers["x-amz-bucket-region"] ?? region;
    const wrongScope = code === "AuthorizationHeaderMalformed" || code === undefined;
    if (status === 400 && !wrongScope) return false;
    if (told === undefined || told === this.#region || !/^[a-z0-9-]{1,40}$/.test(told))
      return false;
    this.#region = told;
    // An endpoint of the settings stays; one of the row's pattern is that of the other region.
    const options = { ...this.#options, region: told };
    this.#address = bucketAddress(this.dialect, options);
    this.#publicAddress = publicAddress(this.dialect, options);
    return true;
  }

  #learnTime({ status, headers }: OpenAnswer, { code }: ErrorDocument): boolean {
    if (status !== 403 && status !== 400) return false;
    const skewed = code === undefined || code === "RequestTimeTooSkewed" || code === "AccessDenied";
    const told = Date.parse(headers.date ?? "");
    if (!skewed || Number.isNaN(told)) return false;
    if (Math.abs(told - this.now().getTime()) < skewMsMin) return false;
    this.#skewMs = told - this.#options.clock.now().getTime();
    return true;
  }

  #learnExpiry({ code }: ErrorDocument, credentials: Credentials): boolean {
    const expired = code === "ExpiredToken" || code === "SecurityTokenExpired";
    if (!expired || credentials.expiresAt === undefined) return false;
    this.#options.credentials.refuse(credentials);
    return true;
  }

  #connectionError(
    error: unknown,
    { signal, operation }: Pick<StorageRequest, "signal" | "operation">,
  ): unknown {
    return signal.aborted ? signal.reason : classifyConnection(error, operation);
  }
}

export function isStream(
  body: StorageRequest["body"],
): body is { readonly length: number; readonly chunks: AsyncIterable<Uint8Array> } {
  return body !== undefined && !(body instanceof Uint8Array);
}

/** undici sends any async iterable as it is pulled; its types know only Node's streams. */
function iterableBody(chunks: AsyncIterable<Uint8Array>): Readable {
  return chunks as unknown as Readable;
}

/** Undefined, with the connection closed, where the body is longer than that. */
async function readText({ body }: OpenAnswer, bytesMax: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  // Leaving the loop early destroys the body.
  for await (const chunk of body) {
    if (!Buffer.isBuffer(chunk)) continue;
    length += chunk.length;
    if (length > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function plainHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Readonly<Record<string, string>> {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) plain[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return plain;
}

function ignore(): void {}
