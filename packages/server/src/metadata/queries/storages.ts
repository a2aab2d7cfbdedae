/** Storages: their records, and how many blobs each holds. */
import { OperationalError } from "../../core/errors.ts";
import type { StorageBlobCount, StorageRecord } from "../../core/ports/metadata-store.ts";
import { rowToStorage, storageToRow } from "../records.ts";
import type { Database } from "../schema.ts";
import { appendAudit, type Recorded } from "./audit.ts";
import { countUnfinished } from "./list-uploads.ts";

export async function listStorages(db: Database): Promise<readonly StorageRecord[]> {
  const rows = await db.selectFrom("storages").selectAll().orderBy("id").execute();
  return rows.map(rowToStorage);
}

export async function putStorage(
  db: Database,
  storage: StorageRecord,
  options: Recorded,
): Promise<void> {
  const { id, ...columns } = storageToRow(storage);
  // In the transaction that retires it: no row can be added in between.
  if (storage.state === "retired") await refuseHolding(db, id);
  const written =
    storage.revision === 1
      ? await db
          .insertInto("storages")
          .values({ id, ...columns })
          .onConflict((conflict) => conflict.column("id").doNothing())
          .returning("id")
          .execute()
      : await db
          .updateTable("storages")
          .set(columns)
          .where("id", "=", id)
          .where("revision", "=", storage.revision - 1)
          .returning("id")
          .execute();
  if (written.length === 0) {
    const message = `storage "${id}" was changed by somebody else`;
    throw new OperationalError("precondition_failed", message, { context: { storageId: id } });
  }
  const { driver, state, revision } = storage;
  // Not the settings, some of which name places and accounts.
  const details = { storage: id, driver, state, revision };
  const action = revision === 1 ? "storage.created" : "storage.changed";
  await appendAudit(db, [{ ...options, action, details }]);
}

export async function deleteStorage(db: Database, id: string, options: Recorded): Promise<void> {
  await refuseHolding(db, id);
  const deleted = await db.deleteFrom("storages").where("id", "=", id).returning("id").execute();
  if (deleted.length === 0) {
    throw new OperationalError("storage_not_found", `storage "${id}" does not exist`, {
      context: { storageId: id },
    });
  }
  await appendAudit(db, [{ ...options, action: "storage.deleted", details: { storage: id } }]);
}

export async function countBlobsOfStorage(
  db: Database,
  storageId: string,
): Promise<StorageBlobCount> {
  const row = await db
    .selectFrom("blobs")
    .select((eb) => [eb.fn.countAll<number>().as("all"), eb.fn.count("garbage_due_at").as("due")])
    .where("storage_id", "=", storageId)
    .executeTakeFirstOrThrow();
  // PostgreSQL counts in 64 bits, which may come as a text.
  const garbage = Number(row.due);
  return { referenced: Number(row.all) - garbage, garbage };
}

/** Tails and parts are in the storage only while their upload is unfinished. */
async function refuseHolding(db: Database, id: string): Promise<void> {
  const { referenced, garbage } = await countBlobsOfStorage(db, id);
  const uploads = await countUnfinished(db, { storageId: id });
  const blobs = referenced + garbage;
  if (blobs + uploads === 0) return;
  const waiting = garbage === 0 ? "" : `, ${garbage} of them waiting to be removed`;
  const held = [
    ...(blobs === 0 ? [] : [`${blobs} blobs${waiting}`]),
    ...(uploads === 0 ? [] : [`${uploads} uploads that are not complete`]),
  ];
  const message = `storage "${id}" still holds ${held.join(", and ")}`;
  const context = { storageId: id, blobs, referenced, garbage, uploads };
  throw new OperationalError("not_empty", message, { context });
}
