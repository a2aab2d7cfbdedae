/** Uploads whose parts come in any order, attributes of objects, and rules of buckets for browsers. */
import { sql } from "kysely";
import type { Database } from "../schema.ts";
import { clustered, type Engine } from "./engine.ts";

export async function multipart(db: Database, engine: Engine): Promise<void> {
  await db.schema.alterTable("buckets").addColumn("cors", "text").execute();
  // Null for none, so that no row has to be rewritten.
  await db.schema.alterTable("objects").addColumn("attributes", "text").execute();
  await createUploadParts(db, engine);
  // An engine uses a partial index for a query that repeats its conditions word for word.
  await db.schema
    .createIndex("uploads_multipart_by_key")
    .on("uploads")
    .columns(["bucket", "key", "id"])
    .where(sql<boolean>`protocol = 's3'`)
    .where(sql<boolean>`phase = 'receiving'`)
    .execute();
}

async function createUploadParts(db: Database, engine: Engine): Promise<void> {
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
    .addPrimaryKeyConstraint("upload_parts_pk", ["upload_id", "number"])
    .addForeignKeyConstraint("upload_parts_upload", ["upload_id"], "uploads", ["id"]);
  await clustered(table, engine).execute();
  await db.schema
    .createIndex("upload_parts_by_blob")
    .on("upload_parts")
    .columns(["storage_id", "blob_key"])
    .execute();
}
