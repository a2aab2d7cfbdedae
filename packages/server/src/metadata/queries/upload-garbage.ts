/** What uploads leave in a storage when they end: tails, and blobs that no object ever pointed at. */
import { strict as assert } from "node:assert";
import type { BlobAddress } from "../../core/ports/metadata-store.ts";
import type { UploadRecord } from "../../core/ports/upload-store.ts";
import type { Database } from "../schema.ts";
import { rowToSegment } from "../upload-records.ts";
import { addGarbage, removeReference } from "./blobs.ts";
import { partsToGarbage } from "./upload-parts.ts";
import { statements } from "./upload-rows.ts";

/** Of bytes that nobody will read again. */
const unknownDigests = { crc64nvme: new Uint8Array(8) };

export async function tailsToGarbage(db: Database, id: string, garbageDueAt: Date): Promise<void> {
  for (const row of await statements.deleteTails(db, { id })) {
    const tail = rowToSegment(row);
    assert(tail.kind === "tail" && row.storage_id !== null, "a tail has a storage");
    const { length, digests, blobKey } = tail;
    await addGarbage(db, { storageId: row.storage_id, blobKey, length, digests }, garbageDueAt);
  }
}

/** What hangs on the row beside parts that are blobs, but not the row. */
export async function deleteProgress(db: Database, id: string, garbageDueAt: Date): Promise<void> {
  await tailsToGarbage(db, id, garbageDueAt);
  await statements.deleteSegments(db, { id });
  await statements.deleteChecks(db, { id });
}

/** What may be at an upload's place, though no object will point at it. */
export async function addUnread(
  db: Database,
  { storageId, blobKey, length }: BlobAddress & { readonly length: number },
  garbageDueAt: Date,
): Promise<void> {
  await addGarbage(db, { storageId, blobKey, length, digests: unknownDigests }, garbageDueAt);
}

/** Garbage from the beginning, and due no earlier than this. */
export async function recordGarbage(
  db: Database,
  blob: BlobAddress & { readonly length: number },
  { garbageDueAt }: { readonly garbageDueAt: Date },
): Promise<void> {
  await addUnread(db, blob, garbageDueAt);
  await db
    .updateTable("blobs")
    .set({ garbage_due_at: garbageDueAt.getTime() })
    .where("storage_id", "=", blob.storageId)
    .where("blob_key", "=", blob.blobKey)
    .where("garbage_due_at", "<", garbageDueAt.getTime())
    .execute();
}

/** Everything of an upload that has ended. An object's blob is its object's. */
export async function deleteUpload(
  db: Database,
  upload: Pick<UploadRecord, "id" | "kind" | "phase" | "place" | "offset">,
  garbageDueAt: Date,
): Promise<void> {
  const { id, kind, phase, place, offset } = upload;
  assert(phase === "complete" || phase === "cancelling", `an upload that is ${phase} goes on`);
  if (phase === "cancelling" && place !== null) {
    // A crash may have come between its publication and the commit.
    await addUnread(db, { ...place, length: offset }, garbageDueAt);
  }
  if (phase === "complete" && kind === "partial") {
    assert(place !== null, "a complete partial has a blob");
    await removeReference(db, place, garbageDueAt);
  }
  // Those of a complete one are pieces of its object's blob, if there are any.
  if (phase === "cancelling") await partsToGarbage(db, id, garbageDueAt);
  await deleteProgress(db, id, garbageDueAt);
  await statements.deleteRow(db, { id });
}
