/**
 * What a server's data folder holds, seen from outside: files of the local storage, and rows of the
 * metadata store, read without a lock. At rest the two tell the same story.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { DatabaseSync } from "node:sqlite";

export interface BlobRow {
  readonly key: string;
  readonly length: number;
  readonly references: number;
}

/** Every file below the folder, relative to it, in order; none of the metadata store's. */
export async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith("metadata.sqlite"))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
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

/** No temporary file, no file without a row, no row without a file, no row without an object. */
export async function assertNothingLeftOver(data: string, what = ""): Promise<void> {
  const rows = readBlobRows(data);
  const garbage = rows.filter(({ references }) => references === 0);
  assert.deepEqual(await listLeftOvers(data), [], `no temporary file is left ${what}`);
  assert.deepEqual(garbage, [], `no garbage is left ${what}`);
  const files = await listBlobFiles(data);
  const keys = rows.map(({ key }) => key);
  assert.deepEqual(files, keys, `the files are those of the rows ${what}`);
}

/** `pragma integrity_check` of the metadata store. */
export function assertMetadataSound(data: string): void {
  assert.deepEqual(
    query(data, "pragma integrity_check").map((row) => row.integrity_check),
    ["ok"],
  );
  assert.deepEqual(query(data, "pragma foreign_key_check"), []);
}

function query(data: string, sql: string, ...parameters: string[]): Record<string, unknown>[] {
  const database = new DatabaseSync(join(data, "metadata.sqlite"), { readOnly: true });
  try {
    return database.prepare(sql).all(...parameters);
  } finally {
    database.close();
  }
}
