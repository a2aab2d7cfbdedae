/** What became of requests with an `Idempotency-Key`. */
import type { Database } from "../schema.ts";
import { clustered, type Engine } from "./engine.ts";

export async function idempotency(db: Database, engine: Engine): Promise<void> {
  const table = db.schema
    .createTable("idempotency_keys")
    .addColumn("id", engine.orderedText, (column) => column.primaryKey().notNull())
    .addColumn("actor", engine.orderedText, (column) => column.notNull())
    .addColumn("owner", "text", (column) => column.notNull())
    .addColumn("fingerprint", "text", (column) => column.notNull())
    .addColumn("lease_until", engine.integer, (column) => column.notNull())
    .addColumn("expires_at", engine.integer, (column) => column.notNull())
    .addColumn("method", "text")
    .addColumn("effect", engine.bytes)
    .addColumn("answer", "text");
  await clustered(table, engine).execute();
  await db.schema
    .createIndex("idempotency_keys_by_actor")
    .on("idempotency_keys")
    .columns(["actor", "expires_at"])
    .execute();
  await db.schema
    .createIndex("idempotency_keys_by_expiry")
    .on("idempotency_keys")
    .columns(["expires_at", "id"])
    .execute();
}
