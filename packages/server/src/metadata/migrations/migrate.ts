/**
 * Brings a database to the schema that this code knows: each migration once, in order, in a
 * transaction of its own that also records it. A database that is ahead of the code is refused.
 */
import { OperationalError } from "../../core/errors.ts";
import type { Database } from "../schema.ts";
import { first } from "./0001-first.ts";
import { storages } from "./0002-storages.ts";
import { uploads } from "./0003-uploads.ts";
import { multipart } from "./0004-multipart.ts";
import { pieces } from "./0005-pieces.ts";
import { grants } from "./0006-grants.ts";
import { knownBytes } from "./0007-known-bytes.ts";
import { safety } from "./0008-safety.ts";
import { audit } from "./0009-audit.ts";
import { bulkDeletes } from "./0010-bulk-deletes.ts";
import { idempotency } from "./0011-idempotency.ts";
import type { Engine } from "./engine.ts";

export interface Migration {
  /** From 1, without gaps; never changes once released. */
  readonly number: number;
  readonly name: string;
  readonly apply: (db: Database, engine: Engine) => Promise<void>;
}

/** To change the schema, add a file and a line here; released migrations are never edited. */
export const migrations: readonly Migration[] = [
  { number: 1, name: "first", apply: first },
  { number: 2, name: "storages", apply: storages },
  { number: 3, name: "uploads", apply: uploads },
  { number: 4, name: "multipart", apply: multipart },
  { number: 5, name: "pieces", apply: pieces },
  { number: 6, name: "grants", apply: grants },
  { number: 7, name: "known-bytes", apply: knownBytes },
  { number: 8, name: "safety", apply: safety },
  { number: 9, name: "audit", apply: audit },
  { number: 10, name: "bulk-deletes", apply: bulkDeletes },
  { number: 11, name: "idempotency", apply: idempotency },
];

export interface MigrateOptions {
  readonly engine: Engine;
  readonly now: () => Date;
  readonly known?: readonly Migration[];
}

/** Answers the numbers that were applied now. `unsupported` if the schema is newer than known. */
export async function migrate(
  db: Database,
  { engine, now, known = migrations }: MigrateOptions,
): Promise<readonly number[]> {
  await db.schema
    .createTable("schema_migrations")
    .ifNotExists()
    .addColumn("number", "integer", (column) => column.primaryKey())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("applied_at", engine.integer, (column) => column.notNull())
    .execute();
  const applied: number[] = [];
  for (const migration of known) {
    const isNew = await db.transaction().execute(async (trx) => {
      // Asked inside the transaction: of two processes that start at once, one applies it.
      const version = await schemaVersion(trx);
      refuseNewer(version, known.length);
      if (version >= migration.number) return false;
      await migration.apply(trx, engine);
      await trx
        .insertInto("schema_migrations")
        .values({ number: migration.number, name: migration.name, applied_at: now().getTime() })
        .execute();
      return true;
    });
    if (isNew) applied.push(migration.number);
  }
  return applied;
}

/** For who shares the database with others: `unsupported` unless it has exactly the schema that is known. */
export async function assertMigrated(db: Database, known = migrations): Promise<void> {
  const version = await schemaVersion(db);
  refuseNewer(version, known.length);
  if (version === known.length) return;
  throw new OperationalError(
    "unsupported",
    `the metadata has schema version ${version}, and this Roma needs ${known.length}: workers of the ` +
      "older Roma use it, so stop the server and start it again",
    { context: { schemaVersion: version, schemaVersionKnown: known.length } },
  );
}

/** The number of the last migration that was applied; 0 for none. */
export async function schemaVersion(db: Database): Promise<number> {
  const row = await db
    .selectFrom("schema_migrations")
    .select((eb) => eb.fn.max("number").as("version"))
    .executeTakeFirst();
  return row?.version ?? 0;
}

function refuseNewer(version: number, versionKnown: number): void {
  if (version <= versionKnown) return;
  throw new OperationalError(
    "unsupported",
    `the metadata has schema version ${version}, and this Roma knows up to ${versionKnown}: ` +
      "start it with the newer Roma that wrote it",
    { context: { schemaVersion: version, schemaVersionKnown: versionKnown } },
  );
}
