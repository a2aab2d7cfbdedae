/** What `Roma` is on every platform: objects at hand. No platform code. */
import type { BatchDeleteResultJson, ObjectJson } from "@roma/contract";
import { objectPath } from "./address.ts";
import { Caller } from "./caller.ts";
import { type Download, type DownloadOptions, openDownload } from "./download.ts";
import type { ObjectHead } from "./object-head.ts";
import {
  type Address,
  type CopyOptions,
  deleteObject,
  deleteObjects,
  type ListOptions,
  listObjects,
  type ObjectList,
  type SignalOption,
  type SignUrlOptions,
  signObjectUrl,
  statObject,
  transferObject,
} from "./objects.ts";
import { defaultRetryPolicy, type RetryPolicy } from "./retry.ts";
import type { TokenSource } from "./token.ts";
import type { Transport } from "./transport.ts";
import type { Connectivity } from "./upload/control.ts";
import type { UploadOptions } from "./upload/job.ts";
import type { ResumeStore } from "./upload/resume-store.ts";
import type { Source } from "./upload/source.ts";
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
  readonly retry?: Partial<RetryPolicy> | undefined;
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
export class Client<Given> {
  readonly #platform: Platform<Given>;
  readonly #caller: Caller;

  /** Throws a `TypeError` when the endpoint is not an http(s) address. */
  constructor(platform: Platform<Given>, options: RomaOptions) {
    this.#platform = platform;
    this.#caller = new Caller(platform.transport, {
      endpoint: parseEndpoint(options.endpoint),
      token: options.token,
      retry: { ...defaultRetryPolicy, ...options.retry },
    });
    callers.set(this, this.#caller);
  }

  /**
   * Begins to upload. Failures are told by `done()` alone: an `Upload` nobody asks fails in silence.
   */
  upload(source: Given, options: UploadOptions): Upload {
    const { store, connectivity, openSource } = this.#platform;
    const surroundings = { caller: this.#caller, store, connectivity };
    return new Upload(surroundings, async () => await openSource(source, options), options);
  }

  /**
   * Opens an object for reading. The body resumes where a connection broke, and ends with
   * `checksum_mismatch` instead of its end when the bytes are not those that were stored.
   */
  download({ bucket, key }: Address, options: DownloadOptions = {}): Promise<Download> {
    return openDownload(this.#caller, objectPath(bucket, key), options);
  }

  /** The facts about an object, without its bytes. */
  stat(address: Address, options: SignalOption = {}): Promise<ObjectHead> {
    return statObject(this.#caller, address, options);
  }

  /** The objects of a bucket, in the order of their keys. */
  list(bucket: string, options: ListOptions = {}): ObjectList {
    return listObjects(this.#caller, bucket, options);
  }

  /** Deletes an object; `object_not_found` if there is none. */
  delete(
    address: Address,
    options: SignalOption & { readonly ifMatch?: string } = {},
  ): Promise<void> {
    return deleteObject(this.#caller, address, options);
  }

  /** Deletes any number of objects, in batches. Failures of single keys are in the result. */
  deleteMany(
    bucket: string,
    keys: readonly string[],
    options: SignalOption = {},
  ): Promise<BatchDeleteResultJson> {
    return deleteObjects(this.#caller, bucket, keys, options);
  }

  /** Copies within the server; the bytes do not pass through here. */
  copy(from: Address, to: Address, options: CopyOptions = {}): Promise<ObjectJson> {
    return transferObject(this.#caller, { kind: "copy", from, to, options });
  }

  /** Moves within the server. A lost answer is not retried: the source may be gone already. */
  move(from: Address, to: Address, options: CopyOptions = {}): Promise<ObjectJson> {
    return transferObject(this.#caller, { kind: "move", from, to, options });
  }

  /** An absolute URL that reads, puts or deletes one object without a credential, for some time. */
  signUrl(address: Address, options: SignUrlOptions = {}): Promise<string> {
    return signObjectUrl(this.#caller, address, options);
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
