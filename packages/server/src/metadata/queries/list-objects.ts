/**
 * Listing: walks the primary key from the page's start, and seeks past each group, so that its
 * cost depends on the page and neither on the bucket nor on what the groups hold.
 *
 * Keys are compared by the database or by their bytes, never by JavaScript's order.
 */
import { strict as assert } from "node:assert";
import type { ListPage, ListQuery, ObjectRecord } from "../../core/ports/metadata-store.ts";
import { compareKeys, groupOf, prefixSuccessor } from "../key-range.ts";
import { rowToObject } from "../records.ts";
import type { Database, ObjectRow } from "../schema.ts";
import { prepared } from "./prepared.ts";

/** Rows that one read brings; between them it grows and shrinks with what was of use. */
const rowsPerReadMin = 2;
const rowsPerReadMax = 1001;

/** Where a read begins. */
interface Position {
  readonly key: string;
  /** Whether the key itself is wanted. */
  readonly inclusive: boolean;
}

interface Range {
  readonly bucket: string;
  readonly from: string;
  readonly limit: number;
}

const select = (db: Database, { bucket, limit }: Range) =>
  db
    .selectFrom("objects")
    .selectAll()
    .where("bucket", "=", bucket)
    .orderBy("bucket")
    .orderBy("key")
    .limit(limit);

// Four shapes of one query: so that each has constant text and the engine sees plain bounds.
const reads = {
  from: prepared<Range, ObjectRow>((db, range) => select(db, range).where("key", ">=", range.from)),
  after: prepared<Range, ObjectRow>((db, range) => select(db, range).where("key", ">", range.from)),
  fromBelow: prepared<Range & { end: string }, ObjectRow>((db, range) =>
    select(db, range).where("key", ">=", range.from).where("key", "<", range.end),
  ),
  afterBelow: prepared<Range & { end: string }, ObjectRow>((db, range) =>
    select(db, range).where("key", ">", range.from).where("key", "<", range.end),
  ),
};

export async function listObjects(db: Database, query: ListQuery): Promise<ListPage> {
  const { bucket, prefix, limit } = query;
  assert(Number.isSafeInteger(limit) && limit >= 0, `limit ${limit}`);
  if (limit === 0) return { objects: [], prefixes: [] };
  const end = prefixSuccessor(prefix);
  const page = new Page(limit);
  let position = start(query);
  let rowsWanted = query.delimiter === "" ? limit + 1 : Math.min(limit + 1, 32);
  while (position !== undefined) {
    const range = { bucket, from: position.key, limit: Math.min(rowsWanted, rowsPerReadMax) };
    const rows = await read(db, range, { inclusive: position.inclusive, end });
    let group: string | undefined;
    for (const row of rows) {
      if (group !== undefined && row.key.startsWith(group)) continue;
      group = groupOf(row.key, query);
      if (page.isFull) return page.finish({ more: true });
      if (group === undefined) page.addObject(rowToObject(row));
      else page.addPrefix(group);
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < range.limit) return page.finish({ more: false });
    // Many rows of one group were read for nothing: the next group may be as large.
    if (group === undefined) rowsWanted = Math.min(range.limit * 2, page.remaining + 1);
    else rowsWanted = range.limit >> 2;
    rowsWanted = Math.max(rowsWanted, rowsPerReadMin);
    position = group === undefined ? { key: last.key, inclusive: false } : past(group);
  }
  return page.finish({ more: false });
}

/** The first key that may be on the page; `undefined` when there can be none. */
function start(query: ListQuery): Position | undefined {
  const { prefix, after } = query;
  if (after === undefined || compareKeys(after, prefix) < 0) {
    return { key: prefix, inclusive: true };
  }
  // Within a group, or at it: the group is not greater than `after`, so it is not on the page.
  const group = groupOf(after, query);
  return group === undefined ? { key: after, inclusive: false } : past(group);
}

function past(group: string): Position | undefined {
  const key = prefixSuccessor(group);
  return key === undefined ? undefined : { key, inclusive: true };
}

async function read(
  db: Database,
  range: Range,
  { inclusive, end }: { readonly inclusive: boolean; readonly end: string | undefined },
): Promise<readonly ObjectRow[]> {
  if (end === undefined) return await (inclusive ? reads.from : reads.after)(db, range);
  return await (inclusive ? reads.fromBelow : reads.afterBelow)(db, { ...range, end });
}

/** What was found so far, and the last of it. */
class Page {
  readonly #limit: number;
  readonly #objects: ObjectRecord[] = [];
  readonly #prefixes: string[] = [];
  #last = "";

  constructor(limit: number) {
    this.#limit = limit;
  }

  get remaining(): number {
    return this.#limit - this.#objects.length - this.#prefixes.length;
  }

  get isFull(): boolean {
    return this.remaining === 0;
  }

  addObject(object: ObjectRecord): void {
    this.#objects.push(object);
    this.#last = object.key;
  }

  addPrefix(prefix: string): void {
    this.#prefixes.push(prefix);
    this.#last = prefix;
  }

  finish({ more }: { readonly more: boolean }): ListPage {
    const page = { objects: this.#objects, prefixes: this.#prefixes };
    return more ? { ...page, next: this.#last } : page;
  }
}
