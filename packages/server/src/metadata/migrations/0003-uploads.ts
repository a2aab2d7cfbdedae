/** Uploads that can be resumed, and what each bucket holds and has reserved. */
import { sql } from "kysely";
import type { Database } from "../schema.ts";
import { clustered, type Engine } from "./engine.ts";

export async function uploads(db: Database, engine: Engine): Promise<void> {
  await createBucketUsage(db, engine);
  await createUploads(db, engine);
  await createUploadIndexes(db);
  await createUploadChecks(db, engine);
  await createUploadSegments(db, engine);
}

async function createBucketUsage(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("bucket_usage")
    .addColumn("bucket", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("bytes", engine.integer, (column) => column.notNull())
    .addColumn("objects", engine.integer, (column) => column.notNull())
    .addColumn("reserved_bytes", engine.integer, (column) => column.notNull())
    .addForeignKeyConstraint("bucket_usage_bucket", ["bucket"], "buckets", ["name"])
    .addCheckConstraint(
      "bucket_usage_counts",
      sql<boolean>`bytes >= 0 and objects >= 0 and reserved_bytes >= 0`,
    );
  await clustered(table, engine).execute();
  await sql`
    insert into bucket_usage (bucket, bytes, objects, reserved_bytes)
    select buckets.name, cast(coalesce(sum(objects.length), 0) as bigint), count(objects.key), 0
    from buckets left join objects on objects.bucket = buckets.name
    group by buckets.name`.execute(db);
}

async function createUploads(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("uploads")
    .addColumn("id", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("bucket", engine.orderedText, (column) => column.notNull())
    .addColumn("key", engine.orderedText)
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("phase", "text", (column) => column.notNull())
    .addColumn("protocol", "text", (column) => column.notNull())
    .addColumn("owner", engine.orderedText, (column) => column.notNull())
    .addColumn("offset", engine.integer, (column) => column.notNull())
    .addColumn("length", engine.integer)
    .addColumn("reserved_bytes", engine.integer, (column) => column.notNull())
    .addColumn("fence", engine.integer, (column) => column.notNull())
    .addColumn("holder", "text")
    .addColumn("lease_until", engine.integer)
    .addColumn("yield_requested", engine.integer, (column) => column.notNull())
    .addColumn("storage_id", engine.orderedText)
    .addColumn("blob_key", engine.orderedText)
    .addColumn("token", "text")
    .addColumn("part_bytes", engine.integer)
    .addColumn("version", "text")
    .addColumn("created_at", engine.integer, (column) => column.notNull())
    .addColumn("expires_at", engine.integer, (column) => column.notNull())
    // From here on what never changes, and may be long.
    .addColumn("content_type", "text")
    .addColumn("conditions", "text")
    .addColumn("digests", "text")
    .addColumn("user_metadata", "text", (column) => column.notNull())
    .addColumn("attributes", "text", (column) => column.notNull())
    .addForeignKeyConstraint("uploads_bucket", ["bucket"], "buckets", ["name"]);
  await clustered(table, engine).execute();
}

// An engine uses a partial index for a query that repeats its conditions word for word.
async function createUploadIndexes(db: Database): Promise<void> {
  await db.schema
    .createIndex("uploads_by_bucket")
    .on("uploads")
    .columns(["bucket", "id"])
    .execute();
  await db.schema
    .createIndex("uploads_running_by_owner")
    .on("uploads")
    .columns(["owner"])
    .where(sql<boolean>`phase <> 'complete'`)
    .where(sql<boolean>`phase <> 'cancelling'`)
    .execute();
  await db.schema
    .createIndex("uploads_by_expiry")
    .on("uploads")
    .columns(["expires_at", "id"])
    .where(sql<boolean>`phase <> 'cancelling'`)
    .execute();
  await db.schema
    .createIndex("uploads_ending")
    .on("uploads")
    .columns(["expires_at", "id"])
    .where(sql<boolean>`phase <> 'receiving'`)
    .where(sql<boolean>`phase <> 'complete'`)
    .execute();
  await db.schema
    .createIndex("uploads_by_place")
    .on("uploads")
    .columns(["storage_id", "blob_key"])
    .where("blob_key", "is not", null)
    .execute();
}

async function createUploadChecks(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("upload_checks")
    .addColumn("upload_id", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("block_bytes", engine.integer, (column) => column.notNull())
    .addColumn("blocks_max", engine.integer, (column) => column.notNull())
    .addColumn("length", engine.integer, (column) => column.notNull())
    .addColumn("sums", engine.bytes, (column) => column.notNull())
    .addForeignKeyConstraint("upload_checks_upload", ["upload_id"], "uploads", ["id"]);
  await clustered(table, engine).execute();
}

async function createUploadSegments(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("upload_segments")
    .addColumn("upload_id", engine.orderedText, (column) => column.notNull())
    .addColumn("kind", engine.orderedText, (column) => column.notNull())
    .addColumn("number", engine.integer, (column) => column.notNull())
    .addColumn("offset", engine.integer, (column) => column.notNull())
    .addColumn("length", engine.integer, (column) => column.notNull())
    .addColumn("etag", "text")
    .addColumn("storage_id", engine.orderedText)
    .addColumn("blob_key", engine.orderedText)
    .addColumn("digests", "text")
    .addPrimaryKeyConstraint("upload_segments_pk", ["upload_id", "kind", "number"])
    .addForeignKeyConstraint("upload_segments_upload", ["upload_id"], "uploads", ["id"]);
  await clustered(table, engine).execute();
  await db.schema
    .createIndex("upload_segments_by_blob")
    .on("upload_segments")
    .columns(["storage_id", "blob_key"])
    .where("blob_key", "is not", null)
    .execute();
}
