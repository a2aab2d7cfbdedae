/** Core's records as the contract's JSON. */
import type {
  AccessKeyJson,
  BucketJson,
  ChecksumsJson,
  CorsRuleJson,
  ObjectJson,
  StorageCorsJson,
  StorageJson,
  StorageTestJson,
  UploadJson,
} from "@roma/contract";
import { formatDuration } from "../../config/index.ts";
import type { Actor } from "../../core/access.ts";
import { contextAttribute } from "../../core/grant-writes.ts";
import type {
  AccessKeyRecord,
  BucketRecord,
  CorsRule,
  ObjectRecord,
} from "../../core/ports/metadata-store.ts";
import type { UploadView } from "../../core/resumable/index.ts";
import { offsetOf } from "../../core/upload.ts";
import type { RunningUpload } from "../../core/uploads.ts";
import { etagField } from "../../http/index.ts";
import { objectPath } from "./address.ts";
import type { StorageCors, StorageTest, StorageView } from "./storage-administration.ts";

/** The context of a grant is for who keeps keys: neither for readers nor for who holds another grant. */
export function shownContext(
  actor: Actor,
  json: string | undefined,
): { readonly context?: unknown } {
  return actor.kind !== "key" || json === undefined ? {} : { context: JSON.parse(json) };
}

export function objectJson(object: ObjectRecord, actor: Actor): ObjectJson {
  return {
    bucket: object.bucket,
    key: object.key,
    version: object.version,
    size: object.length,
    etag: etagField(object),
    contentType: object.contentType,
    createdAt: object.createdAt.toISOString(),
    metadata: object.userMetadata,
    checksums: checksumsJson(object.digests),
    storage: object.storageId,
    url: objectPath(object.bucket, object.key),
    ...shownContext(actor, object.attributes[contextAttribute]),
    ...(object.retainUntil && { retainUntil: object.retainUntil.toISOString() }),
    ...(object.legalHold && { legalHold: true }),
  };
}

export function bucketJson(bucket: BucketRecord): BucketJson {
  return {
    name: bucket.name,
    visibility: bucket.visibility,
    maxObjectBytes: bucket.maxObjectBytes,
    contentTypes: bucket.contentTypes,
    uploadExpiry: formatDuration(bucket.uploadExpiryMs),
    quotaBytes: bucket.quotaBytes,
    placement: bucket.placement,
    trash: bucket.trashMs === null ? null : formatDuration(bucket.trashMs),
    environment: bucket.environment,
    deletesPerHour: bucket.deletesPerHour,
    retention: bucket.retentionMs === null ? null : formatDuration(bucket.retentionMs),
    bulkDeleteApprovals: bucket.bulkDeleteApprovals,
    createdAt: bucket.createdAt.toISOString(),
  };
}

/** Never the secret, sealed or not. */
export function accessKeyJson(key: AccessKeyRecord): AccessKeyJson {
  return {
    id: key.id,
    name: key.name,
    policy: key.policy,
    createdAt: key.createdAt.toISOString(),
    enabled: key.enabled,
  };
}

/** An upload that outlives its requests. */
export function uploadJson(upload: UploadView, actor: Actor): UploadJson {
  return {
    id: upload.id,
    bucket: upload.bucket,
    key: upload.key,
    kind: upload.kind,
    protocol: upload.protocol,
    phase: upload.phase,
    offset: upload.offset,
    length: upload.length,
    contentType: upload.contentType,
    metadata: upload.userMetadata,
    createdAt: upload.createdAt.toISOString(),
    expiresAt: upload.expiresAt.toISOString(),
    version: upload.version,
    ...shownContext(actor, upload.context),
  };
}

/** One that ends with its request: of a plain PUT, or of a file in a form. */
export function runningUploadJson(upload: RunningUpload): UploadJson {
  const { state } = upload;
  const length = state.phase === "cancelled" ? "unknown" : state.length;
  return {
    id: upload.id,
    bucket: upload.bucket,
    key: upload.key,
    kind: "object",
    protocol: "rest",
    phase: state.phase,
    offset: offsetOf(state),
    length: length === "unknown" ? null : length,
    contentType: null,
    metadata: null,
    createdAt: upload.createdAt.toISOString(),
    expiresAt: null,
    version: state.phase === "complete" ? state.version : null,
  };
}

/** The settings come first: what is known of a storage is never hidden by one of the same name. */
export function storageJson(storage: StorageView): StorageJson {
  return {
    ...storage.settings,
    id: storage.id,
    driver: storage.driver,
    state: storage.state,
    default: storage.isDefault,
    status: {
      builtIn: storage.isBuiltIn,
      open: storage.isOpen,
      problem: storage.problem ?? null,
      breaker: storage.breaker ?? null,
      uploadsRunning: storage.uploadsRunning,
      othersRunning: storage.othersRunning,
    },
    revision: storage.revision,
    createdAt: storage.createdAt.toISOString(),
    changedAt: storage.changedAt.toISOString(),
  };
}

export function storageCorsJson(storage: string, found: StorageCors): StorageCorsJson {
  return {
    storage,
    rules: found.rules?.map(corsRuleJson) ?? null,
    note: found.note ?? null,
    origins: found.origins.map(({ origin, problem }) => ({
      origin,
      ok: problem === undefined,
      problem: problem ?? null,
    })),
  };
}

function corsRuleJson({ id, maxAgeSeconds, ...rule }: CorsRule): CorsRuleJson {
  return { id: id ?? null, ...rule, maxAgeSeconds: maxAgeSeconds ?? null };
}

export function storageTestJson(found: StorageTest): StorageTestJson {
  const { storageId, startedAt, ms, ok, refusal = null, markdown } = found;
  return {
    storage: storageId,
    startedAt: startedAt.toISOString(),
    ms: Math.round(ms),
    ok,
    refusal,
    steps: found.steps.map(({ detail = null, ...step }) => ({ ...step, detail })),
    capabilities: found.capabilities.map(({ seen = null, ...rest }) => ({ ...rest, seen })),
    markdown,
  };
}

export function checksumsJson(digests: ObjectRecord["digests"]): ChecksumsJson {
  const { crc64nvme, ...others } = digests;
  const known = Object.entries(others).map(([name, bytes]) => [name, hex(bytes)] as const);
  return { crc64nvme: hex(crc64nvme), ...Object.fromEntries(known) };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
