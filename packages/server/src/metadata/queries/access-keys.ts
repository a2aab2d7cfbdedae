/** Access keys. Their secrets arrive sealed and are kept as they are. */
import { OperationalError } from "../../core/errors.ts";
import type { AccessKeyRecord } from "../../core/ports/metadata-store.ts";
import { accessKeyToRow, rowToAccessKey } from "../records.ts";
import type { AccessKeyRow, Database } from "../schema.ts";
import { appendAudit, type Recorded } from "./audit.ts";
import { prepared } from "./prepared.ts";

const selectAccessKey = prepared<{ id: string }, AccessKeyRow>((db, { id }) =>
  db.selectFrom("access_keys").selectAll().where("id", "=", id),
);

export async function createAccessKey(
  db: Database,
  key: AccessKeyRecord,
  options: Recorded,
): Promise<void> {
  const inserted = await db
    .insertInto("access_keys")
    .values(accessKeyToRow(key))
    .onConflict((conflict) => conflict.column("id").doNothing())
    .returning("id")
    .execute();
  if (inserted.length === 0) {
    throw new OperationalError("already_exists", `access key "${key.id}" exists`, {
      context: { accessKey: key.id },
    });
  }
  const { id, name, policy } = key;
  const details = { accessKey: id, name, policy };
  await appendAudit(db, [{ ...options, action: "key.created", details }]);
}

export async function getAccessKey(db: Database, id: string): Promise<AccessKeyRecord | undefined> {
  const [row] = await selectAccessKey(db, { id });
  return row && rowToAccessKey(row);
}

/** In order of ids. */
export async function listAccessKeys(db: Database): Promise<readonly AccessKeyRecord[]> {
  const rows = await db.selectFrom("access_keys").selectAll().orderBy("id").execute();
  return rows.map(rowToAccessKey);
}

export async function changeAccessKey(
  db: Database,
  id: string,
  changes: Partial<Pick<AccessKeyRecord, "name" | "policy" | "enabled" | "sealedSecret">>,
  options: Recorded,
): Promise<AccessKeyRecord> {
  const before = await getAccessKey(db, id);
  if (before === undefined) throw keyNotFound(id);
  const after = { ...before, ...changes, id, createdAt: before.createdAt };
  const { id: _, ...columns } = accessKeyToRow(after);
  await db.updateTable("access_keys").set(columns).where("id", "=", id).execute();
  const { sealedSecret, ...shown } = changes;
  const details = { accessKey: id, ...shown, ...(sealedSecret && { secret: "changed" }) };
  await appendAudit(db, [{ ...options, action: "key.changed", details }]);
  return after;
}

export async function deleteAccessKey(db: Database, id: string, options: Recorded): Promise<void> {
  const deleted = await db.deleteFrom("access_keys").where("id", "=", id).returning("id").execute();
  if (deleted.length === 0) throw keyNotFound(id);
  await appendAudit(db, [{ ...options, action: "key.deleted", details: { accessKey: id } }]);
}

function keyNotFound(id: string): OperationalError {
  return new OperationalError("key_not_found", `access key "${id}" does not exist`, {
    context: { accessKey: id },
  });
}
