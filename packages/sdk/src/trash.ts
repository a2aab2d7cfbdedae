/** The trash of buckets: what was deleted or replaced, to be listed, restored and purged. */
import type {
  PurgeTrashJson,
  PurgeTrashResultJson,
  RestoreTrashJson,
  RestoreTrashResultJson,
  TrashListJson,
} from "@roma/contract";
import { namedPath, query } from "./address.ts";
import type { Caller } from "./caller.ts";
import { callJson } from "./calls.ts";
import { RomaError } from "./errors.ts";
import type { SignalOption } from "./objects.ts";
import { parsePurgeTrashResult, parseRestoreTrashResult, parseTrashList } from "./parse-trash.ts";

/** Which entries: by their ids, at most 1,000; or those for which all that is given holds. */
export interface TrashFilter {
  readonly prefix?: string;
  /** At this moment or later. */
  readonly deletedAfter?: Date;
  /** Earlier than this. */
  readonly deletedBefore?: Date;
}

export class Trash {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /**
   * Pages of what is in the bucket's trash: with a prefix in order of keys, otherwise those deleted last come
   * first; ends after the last. The bucket itself may be gone.
   */
  async *list(
    bucket: string,
    {
      signal,
      cursor,
      limit,
      ...filter
    }: TrashFilter &
      SignalOption & {
        /** Entries on a page. */
        readonly limit?: number;
        readonly cursor?: string;
      } = {},
  ): AsyncGenerator<TrashListJson, void, undefined> {
    let next = cursor;
    for (;;) {
      const path = `${namedPath("/v1/trash", bucket)}${query({ ...filterJson(filter), limit, cursor: next })}`;
      const request = { method: "GET", path, parse: parseTrashList, signal };
      const page: TrashListJson = await callJson(this.#caller, request);
      yield page;
      next = advanced(next, page.cursor);
      if (next === undefined) return;
    }
  }

  /**
   * Makes objects again, as they were. Without ids and filter all that is there; of several entries of one key
   * the one deleted last. Where the key has an object, `skip` (default) leaves it, `replace` puts it into the
   * trash. Asks until all is done; broken off and asked again, it does what is left.
   */
  restore(
    bucket: string,
    wish: (TrashFilter | { readonly ids: readonly string[] }) & {
      readonly ifExists?: "skip" | "replace";
    } = {},
    { signal }: SignalOption = {},
  ): Promise<Omit<RestoreTrashResultJson, "cursor">> {
    const { ifExists } = wish;
    const body = { ...selectionJson(wish), ...(ifExists === undefined ? {} : { ifExists }) };
    const total = { restored: 0, bytes: 0, skipped: 0, missing: 0 };
    return this.#finish<typeof total>("restore", bucket, { body, total, signal }, (value) =>
      parseRestoreTrashResult(value),
    );
  }

  /** Gives entries up for good, before their time; those that are retained stay. */
  purge(
    bucket: string,
    wish: TrashFilter | { readonly ids: readonly string[] } | { readonly all: true },
    { signal }: SignalOption = {},
  ): Promise<Omit<PurgeTrashResultJson, "cursor">> {
    const body: PurgeTrashJson = "all" in wish ? wish : selectionJson(wish);
    const total = { purged: 0, bytes: 0, retained: 0, missing: 0 };
    return this.#finish<typeof total>("purge", bucket, { body, total, signal }, (value) =>
      parsePurgeTrashResult(value),
    );
  }

  async #finish<Total extends Readonly<Record<string, number>>>(
    what: "restore" | "purge",
    bucket: string,
    work: {
      readonly body: RestoreTrashJson | PurgeTrashJson;
      readonly total: Total;
      readonly signal: AbortSignal | undefined;
    },
    parse: (value: unknown) => Total & { readonly cursor: string | null },
  ): Promise<Total> {
    const path = `${namedPath("/v1/trash", bucket)}/${what}`;
    let total = work.total;
    let next: string | undefined;
    for (;;) {
      const value = next === undefined ? work.body : { ...work.body, cursor: next };
      const request = { method: "POST", path, value, parse, signal: work.signal };
      const { cursor, ...done } = await callJson(this.#caller, request);
      total = sumOf(total, done);
      next = advanced(next, cursor);
      if (next === undefined) return total;
    }
  }
}

function sumOf<Total extends Readonly<Record<string, number>>>(
  total: Total,
  done: Readonly<Record<string, number>>,
): Total {
  const sums = Object.entries(total).map(([name, count]) => [name, count + (done[name] ?? 0)]);
  return Object.fromEntries(sums);
}

/** The next page's cursor; `undefined` after the last. */
function advanced(before: string | undefined, cursor: string | null): string | undefined {
  if (cursor === null) return undefined;
  if (cursor !== before) return cursor;
  throw new RomaError("bad_answer", "the list does not advance: its cursor came twice");
}

function selectionJson(wish: TrashFilter | { readonly ids: readonly string[] }): RestoreTrashJson {
  return "ids" in wish ? { ids: wish.ids } : filterJson(wish);
}

function filterJson({ prefix, deletedAfter, deletedBefore }: TrashFilter) {
  return {
    ...(prefix === undefined ? {} : { prefix }),
    ...(deletedAfter === undefined ? {} : { deletedAfter: deletedAfter.toISOString() }),
    ...(deletedBefore === undefined ? {} : { deletedBefore: deletedBefore.toISOString() }),
  };
}
