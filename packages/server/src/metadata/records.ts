/**
 * Records of the port to rows and back, in one place. Every record is asserted before it is
 * written and after it is read: a row that could not have been written by this code fails loudly
 * instead of being served.
 */
import { strict as assert } from "node:assert";
import type { PlacementJson, PolicyStatementJson } from "@roma/contract";
import type {
  AccessKeyRecord,
  BlobRecord,
  BucketRecord,
  CorsRule,
  NewObject,
  ObjectAttributes,
  ObjectRecord,
  ObjectWithBlob,
  StorageRecord,
  StorageState,
} from "../core/ports/metadata-store.ts";
import { columnsToPieces, piecesToColumns } from "./piece-records.ts";
import type {
  AccessKeyRow,
  BlobRow,
  BlockColumns,
  BucketRow,
  ObjectRow,
  PieceColumns,
  StorageRow,
} from "./schema.ts";
import {
  assertBlocks,
  assertCount,
  assertInstant,
  assertRecordDigests,
  assertText,
  columnsToDigests,
  digestsToColumns,
  parseJson,
  parseTextRecord,
  parseTexts,
} from "./values.ts";

type HoldColumns = Pick<ObjectRow, "retain_until" | "legal_hold">;

const storageStates: readonly StorageState[] = ["active", "draining", "read-only", "retired"];

export function bucketToRow(bucket: BucketRecord): BucketRow {
  assertBucket(bucket);
  return {
    name: bucket.name,
    visibility: bucket.visibility,
    max_object_bytes: bucket.maxObjectBytes,
    content_types: bucket.contentTypes === null ? null : JSON.stringify(bucket.contentTypes),
    upload_expiry_ms: bucket.uploadExpiryMs,
    quota_bytes: bucket.quotaBytes,
    placement: JSON.stringify(bucket.placement),
    created_at: bucket.createdAt.getTime(),
    cors: bucket.cors === null ? null : JSON.stringify(bucket.cors),
    trash_ms: bucket.trashMs,
    environment: bucket.environment,
    deletes_per_hour: bucket.deletesPerHour,
    retention_ms: bucket.retentionMs,
    bulk_delete_approvals: bucket.bulkDeleteApprovals,
  };
}

export function rowToBucket(row: BucketRow): BucketRecord {
  const bucket: BucketRecord = {
    name: row.name,
    visibility: row.visibility === "public-read" ? "public-read" : "private",
    maxObjectBytes: row.max_object_bytes,
    contentTypes: row.content_types === null ? null : parseTexts(row.content_types),
    uploadExpiryMs: row.upload_expiry_ms,
    quotaBytes: row.quota_bytes,
    placement: parseJson<PlacementJson>(row.placement),
    cors: row.cors === null ? null : parseJson<readonly CorsRule[]>(row.cors),
    trashMs: row.trash_ms,
    environment: row.environment,
    deletesPerHour: row.deletes_per_hour,
    retentionMs: row.retention_ms,
    bulkDeleteApprovals: row.bulk_delete_approvals === 2 ? 2 : 1,
    createdAt: new Date(row.created_at),
  };
  assert(row.visibility === bucket.visibility, `visibility "${row.visibility}"`);
  assertBucket(bucket);
  return bucket;
}

/** The row of a blob that has `referenceCount` references, at least one. */
export function blobToRow(blob: BlobRecord, referenceCount: number): BlobRow {
  assert(referenceCount > 0, "a new blob is referenced");
  if (blob.blocks !== undefined) assertBlocks(blob.blocks, blob.length);
  return {
    ...blobColumns(blob),
    block_bytes: blob.blocks?.blockBytes ?? null,
    block_sums: blob.blocks?.sums ?? null,
    ...piecesToColumns(blob),
    reference_count: referenceCount,
    garbage_due_at: null,
  };
}

/** The row of a blob that has no reference. */
export function garbageToRow(
  blob: Omit<BlobRecord, "blocks" | "pieces">,
  garbageDueAt: Date,
): BlobRow {
  assertInstant(garbageDueAt);
  return {
    ...blobColumns(blob),
    block_bytes: null,
    block_sums: null,
    pieces_of: null,
    piece_runs: null,
    reference_count: 0,
    garbage_due_at: garbageDueAt.getTime(),
  };
}

function blobColumns(blob: Omit<BlobRecord, "blocks">) {
  assertText(blob.storageId, "storageId");
  assertText(blob.blobKey, "blobKey");
  assertCount(blob.length, "length");
  assertRecordDigests(blob.digests);
  return {
    storage_id: blob.storageId,
    blob_key: blob.blobKey,
    length: blob.length,
    ...digestsToColumns(blob.digests),
  };
}

export function rowToBlob(row: BlobRow): BlobRecord {
  const { length } = row;
  const digests = columnsToDigests(row);
  assertRecordDigests(digests);
  const blob = { storageId: row.storage_id, blobKey: row.blob_key, length, digests };
  return { ...blob, ...columnsToBlocks(row, length), ...columnsToPieces(row, length) };
}

function columnsToBlocks(
  { block_bytes: blockBytes, block_sums: sums }: BlockColumns,
  length: number,
): Pick<BlobRecord, "blocks"> {
  assert((blockBytes === null) === (sums === null), "both block columns or neither");
  if (blockBytes === null || sums === null) return {};
  const blocks = { blockBytes, sums };
  assertBlocks(blocks, length);
  return { blocks };
}

/** An object is what the caller named, pointing at the blob. */
export function objectOf(object: NewObject, blob: Omit<BlobRecord, "blocks">): ObjectRecord {
  return {
    bucket: object.bucket,
    key: object.key,
    version: object.version,
    etag: object.etag,
    contentType: object.contentType,
    userMetadata: object.userMetadata,
    attributes: object.attributes ?? {},
    createdAt: object.createdAt,
    length: blob.length,
    storageId: blob.storageId,
    blobKey: blob.blobKey,
    digests: blob.digests,
  };
}

export function objectToRow(object: ObjectRecord): ObjectRow {
  assertObject(object);
  return {
    bucket: object.bucket,
    key: object.key,
    version: object.version,
    etag: object.etag,
    content_type: object.contentType,
    user_metadata: JSON.stringify(object.userMetadata),
    created_at: object.createdAt.getTime(),
    length: object.length,
    storage_id: object.storageId,
    blob_key: object.blobKey,
    attributes: attributesToJson(object.attributes),
    retain_until: object.retainUntil?.getTime() ?? null,
    legal_hold: object.legalHold === true ? 1 : null,
    restored_through: null,
    ...digestsToColumns(object.digests),
  };
}

export function attributesToJson(attributes: ObjectAttributes): string | null {
  for (const name in attributes) {
    assert(typeof attributes[name] === "string", "attributes are texts");
    return JSON.stringify(attributes);
  }
  return null;
}

export function rowToObject(row: ObjectRow): ObjectRecord {
  const object: ObjectRecord = {
    bucket: row.bucket,
    key: row.key,
    version: row.version,
    etag: row.etag,
    contentType: row.content_type,
    userMetadata: row.user_metadata === "{}" ? {} : parseTextRecord(row.user_metadata),
    attributes: row.attributes === null ? {} : parseTextRecord(row.attributes),
    createdAt: new Date(row.created_at),
    length: row.length,
    storageId: row.storage_id,
    blobKey: row.blob_key,
    digests: columnsToDigests(row),
    ...columnsToHolds(row),
  };
  assertObject(object);
  return object;
}

function columnsToHolds({ retain_until: until, legal_hold: hold }: HoldColumns) {
  if (until === null && hold === null) return {};
  return {
    ...(until === null ? {} : { retainUntil: new Date(until) }),
    ...(hold === null ? {} : { legalHold: true as const }),
  };
}

export function rowToObjectWithBlob(row: ObjectRow & BlockColumns & PieceColumns): ObjectWithBlob {
  const object = rowToObject(row);
  return {
    ...object,
    ...columnsToBlocks(row, object.length),
    ...columnsToPieces(row, object.length),
  };
}

export function accessKeyToRow(key: AccessKeyRecord): AccessKeyRow {
  assertAccessKey(key);
  return {
    id: key.id,
    name: key.name,
    sealed_secret: key.sealedSecret,
    policy: JSON.stringify(key.policy),
    created_at: key.createdAt.getTime(),
    enabled: key.enabled ? 1 : 0,
  };
}

export function rowToAccessKey(row: AccessKeyRow): AccessKeyRecord {
  assert(row.enabled === 0 || row.enabled === 1, `enabled ${row.enabled}`);
  const key: AccessKeyRecord = {
    id: row.id,
    name: row.name,
    sealedSecret: row.sealed_secret,
    policy: parseJson<readonly PolicyStatementJson[]>(row.policy),
    createdAt: new Date(row.created_at),
    enabled: row.enabled === 1,
  };
  assertAccessKey(key);
  return key;
}

export function storageToRow(storage: StorageRecord): StorageRow {
  assertStorage(storage);
  return {
    id: storage.id,
    driver: storage.driver,
    settings: JSON.stringify(storage.settings),
    sealed_secrets: storage.sealedSecrets,
    state: storage.state,
    marker_uuid: storage.markerUuid,
    revision: storage.revision,
    created_at: storage.createdAt.getTime(),
    changed_at: storage.changedAt.getTime(),
  };
}

export function rowToStorage(row: StorageRow): StorageRecord {
  const state = storageStates.find((known) => known === row.state);
  assert(state !== undefined, `state "${row.state}"`);
  const storage: StorageRecord = {
    id: row.id,
    driver: row.driver,
    settings: parseJson<Record<string, unknown>>(row.settings),
    sealedSecrets: row.sealed_secrets,
    state,
    markerUuid: row.marker_uuid,
    revision: row.revision,
    createdAt: new Date(row.created_at),
    changedAt: new Date(row.changed_at),
  };
  assertStorage(storage);
  return storage;
}

function assertBucket(bucket: BucketRecord): void {
  assertText(bucket.name, "name");
  assert(
    bucket.visibility === "private" || bucket.visibility === "public-read",
    `visibility "${bucket.visibility}"`,
  );
  if (bucket.maxObjectBytes !== null) assertCount(bucket.maxObjectBytes, "maxObjectBytes");
  if (bucket.quotaBytes !== null) assertCount(bucket.quotaBytes, "quotaBytes");
  assertCount(bucket.uploadExpiryMs, "uploadExpiryMs");
  assert(bucket.contentTypes === null || Array.isArray(bucket.contentTypes), "contentTypes");
  assert(
    typeof bucket.placement === "string" || Array.isArray(bucket.placement),
    "placement is an id or rules",
  );
  assert(bucket.cors === null || Array.isArray(bucket.cors), "cors is rules");
  if (bucket.trashMs !== null) assertCount(bucket.trashMs, "trashMs");
  if (bucket.environment !== null) assertText(bucket.environment, "environment");
  if (bucket.deletesPerHour !== null) assertCount(bucket.deletesPerHour, "deletesPerHour");
  if (bucket.retentionMs !== null) assertCount(bucket.retentionMs, "retentionMs");
  const { bulkDeleteApprovals } = bucket;
  assert(bulkDeleteApprovals === 1 || bulkDeleteApprovals === 2, "1 or 2 approvals");
  assertInstant(bucket.createdAt);
}

function assertObject(object: ObjectRecord): void {
  assertText(object.bucket, "bucket");
  assertText(object.key, "key");
  assertText(object.version, "version");
  assertText(object.etag, "etag");
  assertText(object.contentType, "contentType");
  assertText(object.storageId, "storageId");
  assertText(object.blobKey, "blobKey");
  assertCount(object.length, "length");
  assertInstant(object.createdAt);
  if (object.retainUntil !== undefined) assertInstant(object.retainUntil);
  assertRecordDigests(object.digests);
  for (const name in object.userMetadata) {
    assert(typeof object.userMetadata[name] === "string", "user metadata are texts");
  }
}

function assertAccessKey(key: AccessKeyRecord): void {
  assertText(key.id, "id");
  assert(typeof key.name === "string", "name is text");
  assert(key.sealedSecret instanceof Uint8Array, "sealedSecret is bytes");
  assert(Array.isArray(key.policy), "policy is statements");
  assertInstant(key.createdAt);
}

function assertStorage(storage: StorageRecord): void {
  assertText(storage.id, "id");
  assertText(storage.driver, "driver");
  assertText(storage.markerUuid, "markerUuid");
  assert(storageStates.includes(storage.state), `state "${storage.state}"`);
  const { settings, sealedSecrets } = storage;
  const isObject = typeof settings === "object" && settings !== null && !Array.isArray(settings);
  assert(isObject, "settings are an object");
  assert(sealedSecrets === null || sealedSecrets instanceof Uint8Array, "sealedSecrets are bytes");
  assertCount(storage.revision, "revision");
  assert(storage.revision > 0, "revisions begin at 1");
  assertInstant(storage.createdAt);
  assertInstant(storage.changedAt);
}
