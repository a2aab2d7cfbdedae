/** Bulk deletes: what was planned, who confirmed it, and how far it has come. */
import type { Database } from "../schema.ts";
import { clustered, type Engine } from "./engine.ts";

export async function bulkDeletes(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("bulk_deletes")
    .addColumn("id", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("revision", engine.integer, (column) => column.notNull())
    .addColumn("record", "text", (column) => column.notNull());
  await clustered(table, engine).execute();
}
