/**
 * What a server's data folder holds, seen from outside: files of the local storage, and rows of the
 * metadata store, read without a lock. At rest the two tell the same story.
 */
import assert from "node:assert/strict";
import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";

export interface BlobRow {
  readonly key: string;
  readonly length: number;
  readonly references: number;
}

/** Every file below the folder, relative to it, in order; none of the metadata store's. */
export async function listFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  const folders = [folder];
  for (const path of folders) {
    for (const entry of await entriesOf(path, { mayBeGone: path !== folder })) {
      if (entry.isDirectory()) folders.push(join(path, entry.name));
      else if (entry.isFile() && !entry.name.startsWith("metadata.sqlite")) {
        files.push(relative(folder, join(path, entry.name)));
      }
    }
  }
  return files.sort();
}

/** A server removes folders that have become empty: not all that were just seen are there still. */
async function entriesOf(
  path: string,
  { mayBeGone }: { readonly mayBeGone: boolean },
): Promise<readonly Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (mayBeGone && Reflect.get(Object(error), "code") === "ENOENT") return [];
    throw error;
  }
}

/** The files of blobs, as blob keys: a folder's name ends in a mark that the key lacks. */
export async function listBlobFiles(data: string): Promise<string[]> {
  const files = await listFiles(join(data, "objects"));
  return files.filter((file) => file.startsWith("b%/")).map((file) => file.replaceAll("%/", "/"));
}

/** Temporary files and records of running uploads. */
export async function listLeftOvers(data: string): Promise<string[]> {
  const files = await listFiles(join(data, "objects", ".roma"));
  return files.filter((file) => file !== "storage.json");
}

export function readBlobRows(data: string): BlobRow[] {
  return query(data, "select blob_key, length, reference_count from blobs order by blob_key").map(
    (row) => ({
      key: String(row.blob_key),
      length: Number(row.length),
      references: Number(row.reference_count),
    }),
  );
}

/** Of parts of uploads that run, and of pieces of blobs. */
function readPartKeys(data: string): string[] {
  return query(data, "select blob_key from upload_parts").map((row) => String(row.blob_key));
}

/** Of blobs that are files of their own. */
function readWholeKeys(data: string): string[] {
  const rows = query(data, "select blob_key from blobs where pieces_of is null");
  return rows.map((row) => String(row.blob_key));
}

/** Under which keys a storage must have bytes: of whole blobs, and of pieces and parts. In order. */
export function readStoredKeys(data: string): string[] {
  return [...readPartKeys(data), ...readWholeKeys(data)].sort();
}

/** How many there are, whatever their bucket. */
export function countRows(data: string, table: "objects" | "trash"): number {
  const [row] = query(data, `select count(*) as rows from ${table}`);
  return Number(row?.rows);
}

/** Keys of all objects, whatever their bucket. */
export function readObjectKeys(data: string): string[] {
  return query(data, "select key from objects order by key").map((row) => String(row.key));
}

/** The file that holds an object's bytes. */
export function blobFileOf(data: string, key: string): string {
  const rows = query(data, "select blob_key from objects where key = ?", key);
  assert.equal(rows.length, 1, `one object ${key}`);
  return join(data, "objects", String(rows[0]?.blob_key).replaceAll("/", "%/"));
}

/**
 * Whether the sweeper looks for orphans in the storage: of those made before its first sweep it knows
 * nothing.
 */
export function isSwept(data: string, storageId: string): boolean {
  const name = `sweeper.place.${storageId}`;
  return query(data, "select 1 from settings where name = ?", name).length > 0;
}

export interface UploadRow {
  readonly id: string;
  readonly phase: string;
  readonly offset: number;
  readonly reservedBytes: number;
  /** Of the storage's own upload. */
  readonly token: string | undefined;
  /** Whether a request has its lease, or a process that was killed had it. */
  readonly isHeld: boolean;
}

/** Resumable uploads, those that are complete too until they are forgotten. */
export function readUploadRows(data: string): UploadRow[] {
  const columns = 'id, phase, "offset", reserved_bytes, token, holder';
  return query(data, `select ${columns} from uploads order by id`).map((row) => ({
    id: String(row.id),
    phase: String(row.phase),
    offset: Number(row.offset),
    reservedBytes: Number(row.reserved_bytes),
    token: row.token === null ? undefined : String(row.token),
    isHeld: row.holder !== null,
  }));
}

/** Grants with a count whose uses are remembered. */
export function countGrants(data: string): number {
  return query(data, "select id from grant_uses").length;
}

export interface UsageRow {
  readonly bucket: string;
  readonly bytes: number;
  readonly objects: number;
  readonly reservedBytes: number;
  readonly trashBytes: number;
  readonly trashObjects: number;
}

/** What quotas are judged on. Throws if it is not the sum of what the buckets hold and have reserved. */
export function readUsage(data: string): UsageRow[] {
  const toUsage = (rows: readonly Record<string, unknown>[]): UsageRow[] =>
    rows.map((row) => ({
      bucket: String(row.bucket),
      bytes: Number(row.bytes),
      objects: Number(row.objects),
      reservedBytes: Number(row.reserved_bytes),
      trashBytes: Number(row.trash_bytes),
      trashObjects: Number(row.trash_objects),
    }));
  const kept = "select * from bucket_usage order by bucket";
  const summed = `
    select name as bucket,
      (select coalesce(sum(length), 0) from objects where bucket = name) as bytes,
      (select count(*) from objects where bucket = name) as objects,
      (select coalesce(sum(reserved_bytes), 0) from uploads where bucket = name) as reserved_bytes,
      (select coalesce(sum(length), 0) from trash where bucket = name) as trash_bytes,
      (select count(*) from trash where bucket = name) as trash_objects
    from buckets order by name`;
  // Of one moment: an upload that ends between the two would be a difference.
  const [found = [], right = []] = reading(data, (database) => {
    database.exec("begin");
    return [kept, summed].map((sql) => toUsage(database.prepare(sql).all()));
  });
  assert.deepEqual(found, right, "the sums that quotas are judged on are right");
  return found;
}

/** No temporary file, no file without a row, no row without a file, no row without an object. */
export async function assertNothingLeftOver(data: string, what = ""): Promise<void> {
  const rows = readBlobRows(data);
  const garbage = rows.filter(({ references }) => references === 0);
  assert.deepEqual(await listLeftOvers(data), [], `no temporary file is left ${what}`);
  assert.deepEqual(garbage, [], `no garbage is left ${what}`);
  const files = await listBlobFiles(data);
  assert.deepEqual(files, readStoredKeys(data), `the files are those of the rows ${what}`);
}

/**
 * The same once the server has come to rest: an answer, and the end of a connection all the more, may come
 * before what was begun for it is removed. What is still there after a minute is left over.
 */
export async function eventuallyNothingLeftOver(data: string, what = ""): Promise<void> {
  const until = performance.now() + restMsMax;
  for (;;) {
    try {
      return await assertNothingLeftOver(data, what);
    } catch (error) {
      if (performance.now() > until) throw error;
    }
    await delay(25);
  }
}

const restMsMax = 60_000;

/** `pragma integrity_check` of the metadata store, and every blob has as many references as rows that point at it. */
export function assertMetadataSound(data: string): void {
  assert.deepEqual(
    query(data, "pragma integrity_check").map((row) => row.integrity_check),
    ["ok"],
  );
  assert.deepEqual(query(data, "pragma foreign_key_check"), []);
  const pointing = (table: string, which = "") =>
    `(select count(*) from ${table} as t where t.storage_id = blobs.storage_id
      and t.blob_key = blobs.blob_key ${which})`;
  const partials = "and t.kind = 'partial' and t.phase = 'complete'";
  const sum = [pointing("objects"), pointing("trash"), pointing("uploads", partials)].join(" + ");
  const miscounted = query(data, `select blob_key from blobs where reference_count <> ${sum}`);
  assert.deepEqual(miscounted, [], "references are exact");
}

function query(data: string, sql: string, ...parameters: string[]): Record<string, unknown>[] {
  return reading(data, (database) => database.prepare(sql).all(...parameters));
}

function reading<Found>(data: string, read: (database: DatabaseSync) => Found): Found {
  const path = join(data, "metadata.sqlite");
  // Beside a server that starts or ends it is locked for a moment.
  const database = new DatabaseSync(path, { readOnly: true, timeout: 30_000 });
  try {
    return read(database);
  } finally {
    database.close();
  }
}
