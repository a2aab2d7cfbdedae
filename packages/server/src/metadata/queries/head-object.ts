/** One object's row. */
import type { ObjectRecord } from "../../core/ports/metadata-store.ts";
import { rowToObject } from "../records.ts";
import type { Database, ObjectRow } from "../schema.ts";
import { prepared } from "./prepared.ts";

interface ObjectAddress {
  readonly bucket: string;
  readonly key: string;
}

const selectObject = prepared<ObjectAddress, ObjectRow>((db, { bucket, key }) =>
  db.selectFrom("objects").selectAll().where("bucket", "=", bucket).where("key", "=", key),
);

export async function headObject(
  db: Database,
  bucket: string,
  key: string,
): Promise<ObjectRecord | undefined> {
  const [row] = await selectObject(db, { bucket, key });
  return row && rowToObject(row);
}
