/** Blobs that are the parts of an upload, which then outlive it. */
import { sql } from "kysely";
import type { Database } from "../schema.ts";
import { clustered, type Engine } from "./engine.ts";

export async function pieces(db: Database, engine: Engine): Promise<void> {
  await db.schema.alterTable("blobs").addColumn("pieces_of", engine.orderedText).execute();
  await db.schema.alterTable("blobs").addColumn("piece_runs", "text").execute();
  await freeUploadParts(db, engine);
}

/** The same table without its reference to uploads: an engine may not drop that from one that is there. */
async function freeUploadParts(db: Database, engine: Engine): Promise<void> {
  await db.schema.alterTable("upload_parts").renameTo("upload_parts_before").execute();
  const table = db.schema
    .createTable("upload_parts")
    .addColumn("upload_id", engine.orderedText, (column) => column.notNull())
    .addColumn("number", engine.integer, (column) => column.notNull())
    .addColumn("length", engine.integer, (column) => column.notNull())
    .addColumn("storage_id", engine.orderedText, (column) => column.notNull())
    .addColumn("blob_key", engine.orderedText, (column) => column.notNull())
    .addColumn("digests", "text", (column) => column.notNull())
    .addColumn("block_bytes", engine.integer)
    .addColumn("block_sums", engine.bytes)
    .addColumn("created_at", engine.integer, (column) => column.notNull())
    .addPrimaryKeyConstraint("upload_parts_of_any_pk", ["upload_id", "number"]);
  await clustered(table, engine).execute();
  await sql`insert into upload_parts select * from upload_parts_before`.execute(db);
  await sql`drop table upload_parts_before`.execute(db);
  await db.schema
    .createIndex("upload_parts_by_blob")
    .on("upload_parts")
    .columns(["storage_id", "blob_key"])
    .execute();
}
