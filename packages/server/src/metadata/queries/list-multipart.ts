/**
 * Lists of uploads in parts, by key and then by id, with groups as in `list-objects.ts`: a read goes on
 * behind what was seen, and seeks past a group.
 */
import { strict as assert } from "node:assert";
import { sql } from "kysely";
import {
  type MultipartPage,
  type MultipartQuery,
  multipartProtocol,
  type UploadRecord,
} from "../../core/ports/upload-store.ts";
import { compareKeys, groupOf, prefixSuccessor } from "../key-range.ts";
import type { Database, UploadRow } from "../schema.ts";
import { rowToUpload } from "../upload-records.ts";

const rowsPerRead = 256;

/** Behind this key and id; without an id behind the key or, if it is `inclusive`, from it on. */
interface Position {
  readonly key: string;
  readonly id?: string;
  readonly inclusive?: boolean;
}

export async function listMultipart(db: Database, query: MultipartQuery): Promise<MultipartPage> {
  const { prefix, limit } = query;
  assert(Number.isSafeInteger(limit) && limit >= 0, `limit ${limit}`);
  const uploads: UploadRecord[] = [];
  const prefixes: string[] = [];
  if (limit === 0) return { uploads, prefixes };
  let position = start(query);
  let next: MultipartPage["next"];
  while (position !== undefined) {
    const rows = await read(db, query, position);
    let group: string | undefined;
    for (const row of rows) {
      assert(row.key !== null, "an upload in parts has a key");
      if (group !== undefined && row.key.startsWith(group)) continue;
      if (uploads.length + prefixes.length === limit) {
        return { uploads, prefixes, ...(next && { next }) };
      }
      group = groupOf(row.key, query);
      if (group === undefined) {
        uploads.push(rowToUpload(row));
        next = { key: row.key, id: row.id };
      } else {
        prefixes.push(group);
        next = { key: group };
      }
    }
    const last = rows.at(-1);
    if (last?.key == null || rows.length < rowsPerRead) break;
    position = group === undefined ? { key: last.key, id: last.id } : past(group);
  }
  return { uploads, prefixes };

  function start({ after }: MultipartQuery): Position | undefined {
    if (after === undefined || compareKeys(after.key, prefix) < 0) {
      return { key: prefix, inclusive: true };
    }
    const group = groupOf(after.key, query);
    return group === undefined ? after : past(group);
  }
}

function past(group: string): Position | undefined {
  const key = prefixSuccessor(group);
  return key === undefined ? undefined : { key, inclusive: true };
}

async function read(
  db: Database,
  { bucket, prefix }: MultipartQuery,
  { key, id, inclusive = false }: Position,
): Promise<readonly UploadRow[]> {
  const end = prefixSuccessor(prefix);
  let rows = db
    .selectFrom("uploads")
    .selectAll()
    .where("bucket", "=", bucket)
    // The conditions of the partial index, word for word.
    .where("protocol", "=", sql.lit(multipartProtocol))
    .where("phase", "=", sql.lit("receiving"))
    .orderBy("key")
    .orderBy("id")
    .limit(rowsPerRead);
  if (end !== undefined) rows = rows.where("key", "<", end);
  if (id !== undefined) {
    rows = rows.where((eb) => eb(eb.refTuple("key", "id"), ">", eb.tuple(key, id)));
  } else {
    rows = rows.where("key", inclusive ? ">=" : ">", key);
  }
  return await rows.execute();
}
