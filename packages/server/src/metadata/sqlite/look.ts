/** A look at a database that changes nothing: no migration, no lock of the folder. */
import { DatabaseSync } from "node:sqlite";
import { migrations } from "../migrations/migrate.ts";

export interface SchemaSeen {
  /** Number of the last migration that was applied; 0: none. */
  readonly version: number;
  /** The last one that this code knows. */
  readonly versionKnown: number;
}

/** Throws what SQLite says of a file that is none of its own, or cannot be read. */
export function lookAtSchema(path: string): SchemaSeen {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 1_000 });
  try {
    const table = database
      .prepare("select name from sqlite_master where name = 'schema_migrations'")
      .get();
    const row =
      table === undefined
        ? undefined
        : database.prepare("select max(number) as version from schema_migrations").get();
    return { version: Number(row?.version ?? 0), versionKnown: migrations.length };
  } finally {
    database.close();
  }
}
