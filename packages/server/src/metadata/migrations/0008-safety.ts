/** Trash, retention, legal hold, and how many deletes a bucket has seen: what a mistake can be undone with. */
import { sql } from "kysely";
import type { Database } from "../schema.ts";
import { clustered, type Engine } from "./engine.ts";

const weekMs = 7 * 24 * 60 * 60 * 1000;

export async function safety(db: Database, engine: Engine): Promise<void> {
  await changeBuckets(db, engine);
  await changeObjects(db, engine);
  await createTrash(db, engine);
  await createTrashIndexes(db);
  await createDeleteCounts(db, engine);
}

async function changeBuckets(db: Database, engine: Engine): Promise<void> {
  const add = (name: string) => db.schema.alterTable("buckets").addColumn(name, engine.integer);
  await add("trash_ms").execute();
  await db.schema.alterTable("buckets").addColumn("environment", "text").execute();
  await add("deletes_per_hour").execute();
  await add("retention_ms").execute();
  await db.schema
    .alterTable("buckets")
    .addColumn("bulk_delete_approvals", engine.integer, (column) => column.notNull().defaultTo(1))
    .execute();
  // The default for new ones, too.
  await sql`update buckets set trash_ms = ${sql.lit(weekMs)}`.execute(db);
  for (const name of ["trash_bytes", "trash_objects"]) {
    await db.schema
      .alterTable("bucket_usage")
      .addColumn(name, engine.integer, (column) =>
        column
          .notNull()
          .defaultTo(0)
          .check(sql`${sql.ref(name)} >= 0`),
      )
      .execute();
  }
}

/** Null for none, so that no row has to be rewritten. */
async function changeObjects(db: Database, engine: Engine): Promise<void> {
  for (const name of ["retain_until", "legal_hold", "restored_through"]) {
    await db.schema.alterTable("objects").addColumn(name, engine.integer).execute();
  }
}

/** An object's row as it was, and why and until when it is here. Its bucket may be gone. */
async function createTrash(db: Database, engine: Engine): Promise<void> {
  await db.schema
    .createTable("trash")
    .addColumn("id", engine.integer, (column) => engine.sequence(column))
    .addColumn("bucket", engine.orderedText, (column) => column.notNull())
    .addColumn("key", engine.orderedText, (column) => column.notNull())
    .addColumn("deleted_at", engine.integer, (column) => column.notNull())
    .addColumn("purge_due_at", engine.integer, (column) => column.notNull())
    .addColumn("reason", "text", (column) => column.notNull())
    .addColumn("deleted_by", "text")
    .addColumn("job_id", engine.orderedText)
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
    .addColumn("retain_until", engine.integer)
    .addColumn("user_metadata", "text", (column) => column.notNull())
    .addColumn("attributes", "text")
    .addForeignKeyConstraint("trash_blob", ["storage_id", "blob_key"], "blobs", [
      "storage_id",
      "blob_key",
    ])
    .execute();
}

async function createTrashIndexes(db: Database): Promise<void> {
  // Times and jobs are judged within the indexes, before a row is read.
  const indexes = {
    trash_by_key: ["bucket", "key", "id", "deleted_at"],
    trash_by_time: ["bucket", "deleted_at", "id"],
    trash_due: ["purge_due_at", "id"],
    // Lets the database itself refuse to forget a blob that is in the trash, without a scan.
    trash_by_blob: ["storage_id", "blob_key"],
  };
  for (const [name, columns] of Object.entries(indexes)) {
    await db.schema.createIndex(name).on("trash").columns(columns).execute();
  }
  await db.schema
    .createIndex("trash_by_job")
    .on("trash")
    .columns(["job_id", "id"])
    .where(sql.ref("job_id"), "is not", null)
    .execute();
}

async function createDeleteCounts(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("delete_counts")
    .addColumn("bucket", engine.orderedText, (column) => column.notNull())
    .addColumn("minute", engine.integer, (column) => column.notNull())
    .addColumn("deletes", engine.integer, (column) => column.notNull())
    .addPrimaryKeyConstraint("delete_counts_pk", ["bucket", "minute"]);
  await clustered(table, engine).execute();
}
