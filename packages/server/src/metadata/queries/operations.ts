/**
 * The queries by the names of the port's methods: those that write, each to be run in a transaction
 * of its own, and those that read, each to see one state of the database.
 */
import { sql } from "kysely";
import type { Database } from "../schema.ts";
import {
  changeAccessKey,
  createAccessKey,
  deleteAccessKey,
  getAccessKey,
  listAccessKeys,
} from "./access-keys.ts";
import { appendRefusals } from "./audit.ts";
import { pruneAudit, verifyAudit } from "./audit-chain.ts";
import { listAudit } from "./audit-list.ts";
import { forgetGarbage, knownBlobs, listGarbage } from "./blobs.ts";
import { changeBucket, createBucket, deleteBucket, getBucket, listBuckets } from "./buckets.ts";
import {
  advanceBulkDelete,
  getBulkDelete,
  listBulkDeletes,
  putBulkDelete,
} from "./bulk-deletes.ts";
import { purgeTrash, purgeTrashDue, restoreTrash } from "./change-trash.ts";
import { deleteObject, deleteObjects } from "./delete-objects.ts";
import { forgetGrantUses, getGrantUses } from "./grant-uses.ts";
import { headObject } from "./head-object.ts";
import {
  forgetIdempotencyKeys,
  recordIdempotentAnswer,
  releaseIdempotencyKey,
  renewIdempotencyKey,
  takeIdempotencyKey,
} from "./idempotency.ts";
import { listMultipart } from "./list-multipart.ts";
import { listObjects } from "./list-objects.ts";
import { getTrash, listTrash } from "./list-trash.ts";
import { listUploads, listUploadsDue, partialBlobs, uploadsOwning } from "./list-uploads.ts";
import { changeObject, commitObject, copyObject, findObjects, getObject } from "./objects.ts";
import { getSetting, putSetting } from "./settings.ts";
import { countBlobsOfStorage, deleteStorage, listStorages, putStorage } from "./storages.ts";
import {
  cancelUpload,
  completeByReference,
  completePartial,
  completeUpload,
  forgetUpload,
} from "./upload-endings.ts";
import { recordGarbage } from "./upload-garbage.ts";
import { listUploadParts, putUploadPart, releasePieces } from "./upload-parts.ts";
import {
  checkpointUpload,
  createUpload,
  getUpload,
  releaseUpload,
  renewUploads,
  takeUpload,
} from "./uploads.ts";
import { bucketUsage } from "./usage.ts";

async function probe(db: Database): Promise<void> {
  await sql`select 1`.execute(db);
}

export const writes = {
  putBulkDelete,
  advanceBulkDelete,
  createBucket,
  changeBucket,
  deleteBucket,
  changeObject,
  putUploadPart,
  commitObject,
  copyObject,
  deleteObject,
  deleteObjects,
  restoreTrash,
  purgeTrash,
  purgeTrashDue,
  recordGarbage,
  forgetGarbage,
  releasePieces,
  forgetGrantUses,
  createAccessKey,
  changeAccessKey,
  deleteAccessKey,
  putSetting,
  putStorage,
  deleteStorage,
  createUpload,
  takeUpload,
  renewUploads,
  checkpointUpload,
  releaseUpload,
  completeUpload,
  completeByReference,
  completePartial,
  cancelUpload,
  forgetUpload,
  appendRefusals,
  pruneAudit,
  takeIdempotencyKey,
  renewIdempotencyKey,
  recordIdempotentAnswer,
  releaseIdempotencyKey,
  forgetIdempotencyKeys,
  probe,
} as const;

export const reads = {
  getBulkDelete,
  listBulkDeletes,
  getBucket,
  listBuckets,
  getObject,
  headObject,
  findObjects,
  listObjects,
  listTrash,
  getTrash,
  knownBlobs,
  listGarbage,
  getAccessKey,
  listAccessKeys,
  getSetting,
  getGrantUses,
  listStorages,
  countBlobsOfStorage,
  getUpload,
  listUploadParts,
  listMultipart,
  listUploads,
  listUploadsDue,
  partialBlobs,
  uploadsOwning,
  bucketUsage,
  listAudit,
  verifyAudit,
  probe,
} as const;

/** What a query takes after the database. */
export type Arguments<Query> = Query extends (db: Database, ...args: infer Args) => unknown
  ? Args
  : never;

/** What a query answers. */
export type Answer<Query> = Query extends (...args: never[]) => Promise<infer Value>
  ? Value
  : never;
