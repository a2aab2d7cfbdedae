/** The client: objects at hand, the rest one name further. No platform code. */
import { Buckets, Grants, Keys, Storages, Uploads } from "./administration.ts";
import { Caller, type Credential } from "./caller.ts";
import { Objects } from "./objects.ts";
import { defaultRetryPolicy, type RetryPolicy } from "./retry.ts";
import type { Body, Transport } from "./transport.ts";

export interface ClientCoreOptions {
  /** Left out, only what is public can be reached. */
  readonly credential?: Credential | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
}

/** What a platform brings: HTTP, and how its sources become bodies. */
export interface Platform<Source> {
  readonly transport: Transport;
  readonly toBody: (source: Source, length: number | undefined) => Body;
}

/** One server, one credential. Close it to end its idle connections. */
export class Client<Source> {
  readonly put: Objects<Source>["put"];
  readonly get: Objects<Source>["get"];
  readonly head: Objects<Source>["head"];
  readonly list: Objects<Source>["list"];
  readonly delete: Objects<Source>["delete"];
  readonly deleteMany: Objects<Source>["deleteMany"];
  readonly copy: Objects<Source>["copy"];
  readonly move: Objects<Source>["move"];
  readonly buckets: Buckets;
  readonly keys: Keys;
  readonly grants: Grants;
  readonly storages: Storages;
  readonly uploads: Uploads;
  readonly #caller: Caller;

  constructor(platform: Platform<Source>, options: ClientCoreOptions = {}) {
    const caller = new Caller(platform.transport, {
      credential: options.credential,
      retry: { ...defaultRetryPolicy, ...options.retry },
    });
    const objects = new Objects(caller, platform.toBody);
    this.put = objects.put.bind(objects);
    this.get = objects.get.bind(objects);
    this.head = objects.head.bind(objects);
    this.list = objects.list.bind(objects);
    this.delete = objects.delete.bind(objects);
    this.deleteMany = objects.deleteMany.bind(objects);
    this.copy = objects.copy.bind(objects);
    this.move = objects.move.bind(objects);
    this.buckets = new Buckets(caller);
    this.keys = new Keys(caller);
    this.grants = new Grants(caller);
    this.storages = new Storages(caller);
    this.uploads = new Uploads(caller);
    this.#caller = caller;
  }

  close(): void {
    this.#caller.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }
}
