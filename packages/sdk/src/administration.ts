/** Buckets, access keys, grants, storages, unfinished uploads, the trash, holds on objects, and the audit log. */
import type {
  AccessKeyJson,
  BucketJson,
  BucketSettingsJson,
  EnvironmentJson,
  GrantJson,
  GrantRequestJson,
  NewAccessKeyJson,
  PolicyStatementJson,
  StorageCorsJson,
  StorageJson,
  StorageSettingsJson,
  StorageTestJson,
  UploadJson,
  UploadListJson,
} from "@roma/contract";
import { namedPath, query } from "./address.ts";
import { AuditLog } from "./audit.ts";
import { BulkDeletes } from "./bulk-deletes.ts";
import type { Caller } from "./caller.ts";
import { callJson, callNone } from "./calls.ts";
import type { Client } from "./client.ts";
import { RomaError } from "./errors.ts";
import { Holds } from "./holds.ts";
import {
  parseAccessKey,
  parseAccessKeyList,
  parseBucket,
  parseBucketList,
  parseEnvironment,
  parseGrant,
  parseNewAccessKey,
  parseStorage,
  parseStorageCors,
  parseStorageList,
  parseStorageTest,
  parseUpload,
  parseUploadList,
} from "./parse.ts";
import { Trash } from "./trash.ts";
import { callerOf } from "./upload-client.ts";

/** For who keeps a server: buckets, keys, grants, storages, uploads of every protocol, trash and holds. */
export class Administration {
  readonly buckets: Buckets;
  readonly keys: Keys;
  readonly grants: Grants;
  readonly storages: Storages;
  readonly uploads: Uploads;
  readonly trash: Trash;
  readonly holds: Holds;
  readonly audit: AuditLog;
  readonly bulkDeletes: BulkDeletes;
  readonly #caller: Caller;

  /** With the connections and the credential of `client`. */
  constructor(client: Client<never>) {
    const caller = callerOf(client);
    this.#caller = caller;
    this.bulkDeletes = new BulkDeletes(caller);
    this.buckets = new Buckets(caller);
    this.keys = new Keys(caller);
    this.grants = new Grants(caller);
    this.storages = new Storages(caller);
    this.uploads = new Uploads(caller);
    this.trash = new Trash(caller);
    this.holds = new Holds(caller);
    this.audit = new AuditLog(caller);
  }

  /** Which environment the server's data is of, or the bucket, and whether the server takes changes. */
  environment({
    bucket,
    signal,
  }: CallSignal & { readonly bucket?: string | undefined } = {}): Promise<EnvironmentJson> {
    const path = `/v1/environment${query({ bucket })}`;
    return callJson(this.#caller, { method: "GET", path, parse: parseEnvironment, signal });
  }
}

export interface CallSignal {
  readonly signal?: AbortSignal;
}

export class Buckets {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Every bucket that the credential may see. */
  async list({ signal }: CallSignal = {}): Promise<readonly BucketJson[]> {
    const request = { method: "GET", path: "/v1/buckets", parse: parseBucketList, signal };
    return (await callJson(this.#caller, request)).buckets;
  }

  /** Creates the bucket; refused when there is one of that name. */
  create(
    name: string,
    settings: BucketSettingsJson = {},
    { signal }: CallSignal = {},
  ): Promise<BucketJson> {
    return callJson(this.#caller, {
      method: "PUT",
      path: namedPath("/v1/buckets", name),
      headers: { "if-none-match": "*" },
      value: settings,
      parse: parseBucket,
      signal,
      // Repeated after a lost answer, it would be refused because of its own success.
      idempotent: false,
    });
  }

  get(name: string, { signal }: CallSignal = {}): Promise<BucketJson> {
    const path = namedPath("/v1/buckets", name);
    return callJson(this.#caller, { method: "GET", path, parse: parseBucket, signal });
  }

  /** Changes what `settings` names, and leaves the rest. */
  change(
    name: string,
    settings: BucketSettingsJson,
    { signal }: CallSignal = {},
  ): Promise<BucketJson> {
    const path = namedPath("/v1/buckets", name);
    const request = { method: "PATCH", path, value: settings, parse: parseBucket, signal };
    return callJson(this.#caller, request);
  }

  /** Deletes an empty bucket; `not_empty` otherwise. */
  delete(name: string, { signal }: CallSignal = {}): Promise<void> {
    return callNone(this.#caller, {
      method: "DELETE",
      path: namedPath("/v1/buckets", name),
      signal,
    });
  }
}

export class Keys {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  list({ signal }: CallSignal = {}): Promise<readonly AccessKeyJson[]> {
    return callJson(this.#caller, {
      method: "GET",
      path: "/v1/keys",
      parse: parseAccessKeyList,
      signal,
    });
  }

  /** Makes a key. Its secret is in this answer and nowhere else. */
  create(
    key: { readonly name: string; readonly policy: readonly PolicyStatementJson[] },
    { signal }: CallSignal = {},
  ): Promise<NewAccessKeyJson> {
    return callJson(this.#caller, {
      method: "POST",
      path: "/v1/keys",
      value: key,
      parse: parseNewAccessKey,
      signal,
      idempotent: false,
    });
  }

  get(id: string, { signal }: CallSignal = {}): Promise<AccessKeyJson> {
    const path = namedPath("/v1/keys", id);
    return callJson(this.#caller, { method: "GET", path, parse: parseAccessKey, signal });
  }

  /** Changes what is named: a disabled key is refused everywhere until it is enabled again. */
  change(
    id: string,
    changes: {
      readonly name?: string;
      readonly enabled?: boolean;
      readonly policy?: readonly PolicyStatementJson[];
    },
    { signal }: CallSignal = {},
  ): Promise<AccessKeyJson> {
    const path = namedPath("/v1/keys", id);
    const request = { method: "PATCH", path, value: changes, parse: parseAccessKey, signal };
    return callJson(this.#caller, request);
  }

  delete(id: string, { signal }: CallSignal = {}): Promise<void> {
    return callNone(this.#caller, { method: "DELETE", path: namedPath("/v1/keys", id), signal });
  }
}

export class Grants {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Makes a signed, scoped, expiring permission. Its `url` is relative to the server. */
  create(request: GrantRequestJson, { signal }: CallSignal = {}): Promise<GrantJson> {
    return callJson(this.#caller, {
      method: "POST",
      path: "/v1/grants",
      value: request,
      parse: parseGrant,
      signal,
    });
  }
}

export class Storages {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** All of them, retired ones too. */
  list({ signal }: CallSignal = {}): Promise<readonly StorageJson[]> {
    const request = { method: "GET", path: "/v1/storages", parse: parseStorageList, signal };
    return callJson(this.#caller, request);
  }

  get(id: string, { signal }: CallSignal = {}): Promise<StorageJson> {
    const path = namedPath("/v1/storages", id);
    return callJson(this.#caller, { method: "GET", path, parse: parseStorage, signal });
  }

  /** Adds a storage, once the server has opened and tried it; refused when there is one of that id. */
  add(
    id: string,
    settings: StorageSettingsJson & { readonly driver: string },
    { signal }: CallSignal = {},
  ): Promise<StorageJson> {
    return callJson(this.#caller, {
      method: "PUT",
      path: namedPath("/v1/storages", id),
      headers: { "if-none-match": "*" },
      value: settings,
      parse: parseStorage,
      signal,
      idempotent: false,
    });
  }

  /** Changes what `settings` names, and leaves the rest; `null` gives a setting its default. */
  change(
    id: string,
    settings: StorageSettingsJson,
    { signal }: CallSignal = {},
  ): Promise<StorageJson> {
    const path = namedPath("/v1/storages", id);
    const request = { method: "PATCH", path, value: settings, parse: parseStorage, signal };
    return callJson(this.#caller, request);
  }

  /** Takes a drained, empty storage out for good; `not_empty` says how much it holds. */
  retire(
    id: string,
    { forget = false, signal }: CallSignal & { readonly forget?: boolean } = {},
  ): Promise<void> {
    const path = `${namedPath("/v1/storages", id)}${forget ? "?forget" : ""}`;
    // With `forget`, done twice it would not find what it has forgotten.
    return callNone(this.#caller, { method: "DELETE", path, signal, idempotent: !forget });
  }

  /**
   * What the storage's own bucket allows pages of other origins; with `origin` it is tried as a browser of
   * such a page would. `unsupported` where pages send nothing to the storage itself.
   */
  cors(
    id: string,
    { origin, signal }: CallSignal & { readonly origin?: string } = {},
  ): Promise<StorageCorsJson> {
    const path = `${namedPath("/v1/storages", id)}/cors${query({ origin })}`;
    return callJson(this.#caller, { method: "GET", path, parse: parseStorageCors, signal });
  }

  /**
   * Lets pages of these origins, and of no others, send direct uploads to the storage's own bucket; rules
   * of others stay. Without origins, our rule goes.
   */
  setCors(
    id: string,
    origins: readonly string[],
    { signal }: CallSignal = {},
  ): Promise<StorageCorsJson> {
    const path = `${namedPath("/v1/storages", id)}/cors`;
    const value = { origins };
    return callJson(this.#caller, { method: "PUT", path, value, parse: parseStorageCors, signal });
  }

  /** Tries everything that the storage can do. That it fails is an answer: `ok` is false. */
  test(id: string, { signal }: CallSignal = {}): Promise<StorageTestJson> {
    const path = `${namedPath("/v1/storages", id)}/test`;
    return callJson(this.#caller, { method: "POST", path, parse: parseStorageTest, signal });
  }
}

export class Uploads {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Pages of uploads of every protocol, in order of ids; ends after the last. */
  async *list({
    signal,
    cursor,
    ...filter
  }: CallSignal & {
    readonly bucket?: string;
    /** Uploads on a page. */
    readonly limit?: number;
    readonly cursor?: string;
  } = {}): AsyncGenerator<UploadListJson, void, undefined> {
    let next: string | undefined = cursor;
    for (;;) {
      const path = `/v1/uploads${query({ ...filter, cursor: next })}`;
      const page: UploadListJson = await callJson(this.#caller, {
        method: "GET",
        path,
        parse: parseUploadList,
        signal,
      });
      yield page;
      if (page.cursor === null) return;
      if (page.cursor === next) {
        throw new RomaError("bad_answer", "the list does not advance: its cursor came twice");
      }
      next = page.cursor;
    }
  }

  get(id: string, { signal }: CallSignal = {}): Promise<UploadJson> {
    const path = namedPath("/v1/uploads", id);
    return callJson(this.#caller, { method: "GET", path, parse: parseUpload, signal });
  }

  /** Cancels an upload and frees what it held; of a complete one the object stays. */
  cancel(id: string, { signal }: CallSignal = {}): Promise<void> {
    return callNone(this.#caller, { method: "DELETE", path: namedPath("/v1/uploads", id), signal });
  }
}
