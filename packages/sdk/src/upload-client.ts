/** The part of a client that uploads, by itself: a page that does nothing else needs nothing else. */
import { environmentPattern } from "@roma/contract";
import { Caller } from "./caller.ts";
import { defaultRetryPolicy, type RetryPolicy } from "./retry.ts";
import type { TokenSource } from "./token.ts";
import type { Transport } from "./transport.ts";
import type { Connectivity } from "./upload/control.ts";
import type { UploadOptions } from "./upload/job.ts";
import type { ResumeStore } from "./upload/resume-store.ts";
import type { Source } from "./upload/source.ts";
import { Turns } from "./upload/turns.ts";
import { Upload } from "./upload/upload.ts";

/** What every platform's `Roma` is made with. */
export interface RomaOptions {
  /** `https://files.example.com`, with a path in front of `/v1` if a proxy adds one. */
  readonly endpoint: string;
  /**
   * `ID.SECRET`, a grant, or a function that fetches one. The function is called once, and again when
   * the server refuses what it gave last as expired. Left out, only what is public can be reached.
   */
  readonly token?: TokenSource | undefined;
  /**
   * The environment that is meant, like `development`: a server, or a bucket, of another one refuses every
   * request with `environment_mismatch`. Left out: whatever it is.
   */
  readonly environment?: string | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
  /** Uploads that run at once; more wait for their turn. A paused one makes room. Default 6. */
  readonly uploadsMax?: number | undefined;
}

/** What a platform brings: HTTP, its kinds of sources, and what it knows of the network. */
export interface Platform<Given> {
  readonly transport: Transport;
  /** Looks at what was given; rejects with `source_failed`. */
  readonly openSource: (given: Given, options: UploadOptions) => Source | Promise<Source>;
  readonly store?: ResumeStore | undefined;
  readonly connectivity?: Connectivity | undefined;
}

const callers = new WeakMap<object, Caller>();

/** The calls of a client, for what is built on it and lives in modules of its own. */
export function callerOf(client: object): Caller {
  const caller = callers.get(client);
  if (caller === undefined) throw new TypeError("this is no Roma client");
  return caller;
}

/** One server, one credential. `Given` is what the platform can upload. */
export class UploadClient<Given> {
  readonly #platform: Platform<Given>;
  readonly #caller: Caller;
  readonly #turns: Turns;

  /** Throws a `TypeError` when the endpoint is not an http(s) address, or the environment no label. */
  constructor(platform: Platform<Given>, options: RomaOptions) {
    this.#platform = platform;
    this.#caller = new Caller(platform.transport, {
      endpoint: parseEndpoint(options.endpoint),
      token: options.token,
      environment: parseEnvironment(options.environment),
      retry: { ...defaultRetryPolicy, ...options.retry },
    });
    this.#turns = new Turns(options.uploadsMax ?? 6);
    callers.set(this, this.#caller);
  }

  /**
   * Begins to upload. Failures are told by `done()` alone: an `Upload` nobody asks fails in silence.
   */
  upload(source: Given, options: UploadOptions): Upload {
    const { store, connectivity, openSource } = this.#platform;
    const surroundings = { caller: this.#caller, turns: this.#turns, store, connectivity };
    return new Upload(surroundings, async () => await openSource(source, options), options);
  }

  /** Ends idle connections. What is under way goes on. */
  close(): void {
    this.#caller.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }
}

function parseEnvironment(environment: string | undefined): string | undefined {
  if (environment === undefined || environmentPattern.test(environment)) return environment;
  const rule = "1 to 32 lower-case letters, digits and hyphens that begin with a letter";
  throw new TypeError(`the environment must be ${rule}, not ${environment}`);
}

function parseEndpoint(endpoint: string): string {
  let url: URL | undefined;
  try {
    url = new URL(endpoint);
  } catch {
    // Said below.
  }
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(`the endpoint must be an http or https address, not ${endpoint}`);
  }
  return url.origin + url.pathname.replace(/\/+$/, "");
}
