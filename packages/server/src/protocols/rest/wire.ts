/** Core's records as the contract's JSON. */
import type {
  AccessKeyJson,
  BucketJson,
  ChecksumsJson,
  ObjectJson,
  StorageJson,
  StorageTestJson,
  UploadJson,
} from "@roma/contract";
import { formatDuration } from "../../config/index.ts";
import type {
  AccessKeyRecord,
  BucketRecord,
  ObjectRecord,
} from "../../core/ports/metadata-store.ts";
import { offsetOf } from "../../core/upload.ts";
import type { RunningUpload } from "../../core/uploads.ts";
import { objectPath } from "./address.ts";
import type { StorageTest, StorageView } from "./storage-administration.ts";

export function objectJson(object: ObjectRecord): ObjectJson {
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
  };
}

/** The strong entity tag as it stands in `ETag`. */
export function etagField(object: Pick<ObjectRecord, "etag">): string {
  return `"${object.etag}"`;
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

export function uploadJson(upload: RunningUpload): UploadJson {
  const { state } = upload;
  const length = state.phase === "cancelled" ? "unknown" : state.length;
  return {
    id: upload.id,
    bucket: upload.bucket,
    key: upload.key,
    phase: state.phase,
    offset: offsetOf(state),
    length: length === "unknown" ? null : length,
    createdAt: upload.createdAt.toISOString(),
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

function checksumsJson(digests: ObjectRecord["digests"]): ChecksumsJson {
  const { crc64nvme, ...others } = digests;
  const known = Object.entries(others).map(([name, bytes]) => [name, hex(bytes)] as const);
  return { crc64nvme: hex(crc64nvme), ...Object.fromEntries(known) };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
