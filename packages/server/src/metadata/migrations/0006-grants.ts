/** How often grants were used, and the terms of the grants that made uploads. */
import type { Database } from "../schema.ts";
import { clustered, type Engine } from "./engine.ts";

export async function grants(db: Database, engine: Engine): Promise<void> {
  // Null for none, so that no row has to be rewritten.
  await db.schema.alterTable("uploads").addColumn("grant_terms", "text").execute();
  const table = db.schema
    .createTable("grant_uses")
    .addColumn("id", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("uses", engine.integer, (column) => column.notNull())
    .addColumn("expires_at", engine.integer, (column) => column.notNull());
  await clustered(table, engine).execute();
  await db.schema
    .createIndex("grant_uses_by_expiry")
    .on("grant_uses")
    .columns(["expires_at", "id"])
    .execute();
}
