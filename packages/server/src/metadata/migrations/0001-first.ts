/** The first tables: buckets, blobs, objects, access keys, settings. */
import { sql } from "kysely";
import type { Database } from "../schema.ts";
import { clustered, type Engine } from "./engine.ts";

/** Garbage is what has no references, and nothing else is. */
const referenceCountRule = sql<boolean>`reference_count >= 0
  and (reference_count = 0) = (garbage_due_at is not null)`;

export async function first(db: Database, engine: Engine): Promise<void> {
  await createBuckets(db, engine);
  await createBlobs(db, engine);
  await createObjects(db, engine);
  await createAccessKeys(db, engine);
  await createSettings(db, engine);
}

async function createBuckets(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("buckets")
    .addColumn("name", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("visibility", "text", (column) => column.notNull())
    .addColumn("max_object_bytes", engine.integer)
    .addColumn("content_types", "text")
    .addColumn("upload_expiry_ms", engine.integer, (column) => column.notNull())
    .addColumn("quota_bytes", engine.integer)
    .addColumn("placement", "text", (column) => column.notNull())
    .addColumn("created_at", engine.integer, (column) => column.notNull());
  await clustered(table, engine).execute();
}

async function createBlobs(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("blobs")
    .addColumn("storage_id", engine.orderedText, (column) => column.notNull())
    .addColumn("blob_key", engine.orderedText, (column) => column.notNull())
    .addColumn("length", engine.integer, (column) => column.notNull())
    .addColumn("reference_count", engine.integer, (column) => column.notNull())
    .addColumn("garbage_due_at", engine.integer)
    .addColumn("crc64nvme", engine.bytes, (column) => column.notNull())
    .addColumn("md5", engine.bytes)
    .addColumn("crc32", engine.bytes)
    .addColumn("crc32c", engine.bytes)
    .addColumn("sha1", engine.bytes)
    .addColumn("sha256", engine.bytes)
    .addColumn("block_bytes", engine.integer)
    // Last: it may be long, and SQLite reads a row only up to the last column asked for.
    .addColumn("block_sums", engine.bytes)
    .addPrimaryKeyConstraint("blobs_pk", ["storage_id", "blob_key"])
    .addCheckConstraint("blobs_reference_count", referenceCountRule);
  await clustered(table, engine).execute();
  // Partial: only garbage is in it, so that committing an object does not touch it.
  await db.schema
    .createIndex("blobs_garbage")
    .on("blobs")
    .columns(["garbage_due_at", "storage_id", "blob_key"])
    .where("garbage_due_at", "is not", null)
    .execute();
}

async function createObjects(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("objects")
    .addColumn("bucket", engine.orderedText, (column) => column.notNull())
    .addColumn("key", engine.orderedText, (column) => column.notNull())
    .addColumn("version", "text", (column) => column.notNull())
    .addColumn("etag", "text", (column) => column.notNull())
    .addColumn("content_type", "text", (column) => column.notNull())
    .addColumn("created_at", engine.integer, (column) => column.notNull())
    .addColumn("length", engine.integer, (column) => column.notNull())
    .addColumn("storage_id", engine.orderedText, (column) => column.notNull())
    .addColumn("blob_key", engine.orderedText, (column) => column.notNull())
    .addColumn("crc64nvme", engine.bytes, (column) => column.notNull())
    .addColumn("md5", engine.bytes)
    .addColumn("crc32", engine.bytes)
    .addColumn("crc32c", engine.bytes)
    .addColumn("sha1", engine.bytes)
    .addColumn("sha256", engine.bytes)
    .addColumn("user_metadata", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("objects_pk", ["bucket", "key"])
    .addForeignKeyConstraint("objects_bucket", ["bucket"], "buckets", ["name"])
    .addForeignKeyConstraint("objects_blob", ["storage_id", "blob_key"], "blobs", [
      "storage_id",
      "blob_key",
    ]);
  await clustered(table, engine).execute();
  // Lets the database itself refuse to forget a blob that an object points at, without a scan.
  await db.schema
    .createIndex("objects_by_blob")
    .on("objects")
    .columns(["storage_id", "blob_key"])
    .execute();
}

async function createAccessKeys(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("access_keys")
    .addColumn("id", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("sealed_secret", engine.bytes, (column) => column.notNull())
    .addColumn("policy", "text", (column) => column.notNull())
    .addColumn("created_at", engine.integer, (column) => column.notNull())
    .addColumn("enabled", engine.integer, (column) => column.notNull());
  await clustered(table, engine).execute();
}

async function createSettings(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("settings")
    .addColumn("name", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("value", "text", (column) => column.notNull());
  await clustered(table, engine).execute();
}
