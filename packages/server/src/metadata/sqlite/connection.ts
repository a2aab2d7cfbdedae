/** Opens a connection with the settings that durability and side-by-side reading rest on. */
import { DatabaseSync } from "node:sqlite";
import { Kysely } from "kysely";
import type { Database, Schema } from "../schema.ts";
import { sqliteDialect } from "./dialect.ts";

/** How long a statement waits for another process's lock: another worker's, or a backup's. */
export const busyMsMax = 5000;

/**
 * Pages in the write-ahead log before a commit moves them to the database: 16 MiB of 4 KiB pages.
 * More makes moving rarer and cheaper a commit (a page changed often is moved once), and each move
 * and each restart longer.
 */
const walPagesMax = 4096;

export interface Connection {
  readonly raw: DatabaseSync;
  readonly db: Database;
}

/** The writer's. Creates the file. */
export function openWriter(path: string): Connection {
  const raw = new DatabaseSync(path, { timeout: busyMsMax, enableForeignKeyConstraints: true });
  raw.exec("pragma journal_mode = wal");
  // Each commit is synced before it returns; `normal` would sync only when pages are moved.
  raw.exec("pragma synchronous = full");
  raw.exec(`pragma wal_autocheckpoint = ${walPagesMax}`);
  // After a move the log's file shrinks to this, so that one long moment does not keep the disk.
  raw.exec(`pragma journal_size_limit = ${64 * 1024 * 1024}`);
  raw.exec("pragma cache_size = -16384");
  return connection(raw);
}

/** The reader's: sees what is committed when its transaction begins; cannot write. */
export function openReader(path: string): Connection {
  const raw = new DatabaseSync(path, { timeout: busyMsMax, readOnly: true });
  raw.exec("pragma query_only = on");
  raw.exec("pragma cache_size = -8192");
  return connection(raw);
}

function connection(raw: DatabaseSync): Connection {
  return { raw, db: new Kysely<Schema>({ dialect: sqliteDialect(raw) }) };
}
