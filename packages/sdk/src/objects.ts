/** What can be done with objects beside moving their bytes: list, stat, copy, move, delete, sign. */
import {
  type BatchDeleteResultJson,
  batchDeleteKeysMax,
  type CopyJson,
  type GrantRequestJson,
  type ObjectJson,
  type ObjectListJson,
} from "@roma/contract";
import { bucketObjectsPath, objectPath, query } from "./address.ts";
import type { Caller } from "./caller.ts";
import { call, callJson } from "./calls.ts";
import { isRomaError, RomaError } from "./errors.ts";
import { type ObjectHead, parseObjectHead } from "./object-head.ts";
import { parseBatchDeleteResult, parseGrant, parseObject, parseObjectList } from "./parse.ts";
import { withRetry } from "./retry.ts";

/** Where an object is. */
export interface Address {
  readonly bucket: string;
  readonly key: string;
}

export interface SignalOption {
  readonly signal?: AbortSignal;
}

export interface ListOptions extends SignalOption {
  readonly prefix?: string;
  /** Groups keys up to it: `/` lists like folders. The groups are in `pages()` alone. */
  readonly delimiter?: string;
  /** Objects and prefixes per page, 1,000 at most. */
  readonly limit?: number;
  /** Starts at the page this cursor names. */
  readonly cursor?: string;
}

/** Objects in the order of their keys, fetched page by page as they are read. */
export interface ObjectList extends AsyncIterable<ObjectJson> {
  /** Whole pages, with the prefixes of `delimiter` and the cursor. */
  pages(): AsyncGenerator<ObjectListJson, void, undefined>;
}

export interface CopyOptions extends SignalOption {
  readonly contentType?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Refuse if the target exists. */
  readonly createOnly?: boolean;
}

export interface SignUrlOptions extends SignalOption {
  /** Default `GET`. */
  readonly method?: "GET" | "PUT" | "DELETE";
  /** `"15 min"`, which is the default; at most 7 days. */
  readonly expiresIn?: string;
  /** Of what is put. */
  readonly minBytes?: number;
  readonly maxBytes?: number;
  readonly contentTypes?: readonly string[];
}

export function listObjects(caller: Caller, bucket: string, options: ListOptions): ObjectList {
  return {
    pages: () => listPages(caller, bucket, options),
    async *[Symbol.asyncIterator]() {
      for await (const page of listPages(caller, bucket, options)) yield* page.objects;
    },
  };
}

async function* listPages(
  caller: Caller,
  bucket: string,
  { signal, cursor, ...filter }: ListOptions,
): AsyncGenerator<ObjectListJson, void, undefined> {
  let next: string | undefined = cursor;
  for (;;) {
    const page: ObjectListJson = await callJson(caller, {
      method: "GET",
      path: bucketObjectsPath(bucket) + query({ ...filter, cursor: next }),
      parse: parseObjectList,
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

export async function statObject(
  caller: Caller,
  { bucket, key }: Address,
  { signal }: SignalOption,
): Promise<ObjectHead> {
  const response = await call(caller, {
    method: "HEAD",
    path: objectPath(bucket, key),
    headers: { "want-repr-digest": "crc64nvme=10" },
    signal,
  });
  response.discard();
  return parseObjectHead(response.headers);
}

export async function deleteObject(
  caller: Caller,
  { bucket, key }: Address,
  { signal, ifMatch }: SignalOption & { readonly ifMatch?: string },
): Promise<void> {
  let answerLost = false;
  await withRetry({ policy: caller.retry, signal }, async () => {
    try {
      const response = await caller.once({
        method: "DELETE",
        path: objectPath(bucket, key),
        headers: ifMatch === undefined ? {} : { "if-match": ifMatch },
        signal,
      });
      response.discard();
    } catch (error) {
      // The attempt whose answer was lost has deleted it.
      if (answerLost && isRomaError(error, "object_not_found")) return;
      answerLost ||= isRomaError(error) && error.mayHaveHappened;
      throw error;
    }
  });
}

export async function deleteObjects(
  caller: Caller,
  bucket: string,
  keys: readonly string[],
  { signal }: SignalOption,
): Promise<BatchDeleteResultJson> {
  const deleted: string[] = [];
  const failed: BatchDeleteResultJson["failed"][number][] = [];
  for (let at = 0; at < keys.length; at += batchDeleteKeysMax) {
    const result = await callJson(caller, {
      method: "POST",
      path: `${bucketObjectsPath(bucket)}?delete`,
      value: { keys: keys.slice(at, at + batchDeleteKeysMax) },
      parse: parseBatchDeleteResult,
      signal,
    });
    deleted.push(...result.deleted);
    failed.push(...result.failed);
  }
  return { deleted, failed };
}

export interface Transfer {
  readonly kind: "copy" | "move";
  readonly from: Address;
  readonly to: Address;
  readonly options: CopyOptions;
}

export function transferObject(caller: Caller, transfer: Transfer): Promise<ObjectJson> {
  const { kind, from, to } = transfer;
  const { signal, ...rest } = transfer.options;
  const value: CopyJson = { from, to, ...rest };
  return callJson(caller, {
    method: "POST",
    path: `/v1/${kind}`,
    value,
    parse: parseObject,
    signal,
    // Repeated after a lost answer, "only if absent" would refuse its own success, and a move would
    // not find its source.
    idempotent: kind === "copy" && rest.createOnly !== true,
  });
}

const signedActions = {
  GET: "object:read",
  PUT: "object:write",
  DELETE: "object:delete",
} as const;

export async function signObjectUrl(
  caller: Caller,
  { bucket, key }: Address,
  { signal, method = "GET", ...limits }: SignUrlOptions,
): Promise<string> {
  const value: GrantRequestJson = {
    ...{ bucket, key, actions: [signedActions[method]], methods: [method] },
    ...limits,
  };
  const request = { method: "POST", path: "/v1/grants", value, parse: parseGrant, signal };
  const { url } = await callJson(caller, request);
  if (url === null) throw new RomaError("bad_answer", "the grant came without a URL");
  return caller.absolute(url);
}
