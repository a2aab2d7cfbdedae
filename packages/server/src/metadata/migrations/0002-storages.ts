/** The storages that an operator added, with their states. */
import type { Database } from "../schema.ts";
import { clustered, type Engine } from "./engine.ts";

export async function storages(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("storages")
    .addColumn("id", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("driver", "text", (column) => column.notNull())
    .addColumn("settings", "text", (column) => column.notNull())
    .addColumn("sealed_secrets", engine.bytes)
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("marker_uuid", "text", (column) => column.notNull())
    .addColumn("revision", engine.integer, (column) => column.notNull())
    .addColumn("created_at", engine.integer, (column) => column.notNull())
    .addColumn("changed_at", engine.integer, (column) => column.notNull());
  await clustered(table, engine).execute();
}
