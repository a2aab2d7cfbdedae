/** Finding objects of a bucket by what their bytes are. */
import { sql } from "kysely";
import type { Database } from "../schema.ts";

export async function knownBytes(db: Database): Promise<void> {
  // Partial: most objects have no SHA-256, and committing those does not touch it.
  await db.schema
    .createIndex("objects_by_sha256")
    .on("objects")
    .columns(["sha256", "length", "bucket"])
    .where(sql.ref("sha256"), "is not", null)
    .execute();
}
