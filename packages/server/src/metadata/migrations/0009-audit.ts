/** The audit log, and where its chain begins and ends. */
import type { Database } from "../schema.ts";
import { clustered, type Engine } from "./engine.ts";

export async function audit(db: Database, engine: Engine): Promise<void> {
  await db.schema
    .createTable("audit")
    .addColumn("sequence", engine.integer, (column) => column.primaryKey().notNull())
    .addColumn("at", engine.integer, (column) => column.notNull())
    .addColumn("record", "text", (column) => column.notNull())
    .addColumn("hash", engine.bytes, (column) => column.notNull())
    .execute();
  await db.schema.createIndex("audit_by_time").on("audit").columns(["at", "sequence"]).execute();
  const points = db.schema
    .createTable("audit_points")
    .addColumn("name", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("sequence", engine.integer, (column) => column.notNull())
    .addColumn("hash", engine.bytes, (column) => column.notNull())
    .addColumn("recorded_in", engine.integer);
  await clustered(points, engine).execute();
  const beginning = { sequence: 0, hash: new Uint8Array(32), recorded_in: null };
  await db
    .insertInto("audit_points")
    .values([
      { name: "anchor", ...beginning },
      { name: "head", ...beginning },
    ])
    .execute();
}
