/**
 * The tables as Kysely sees them: the one description of rows that queries, migrations and record
 * conversion agree on. Instants are integers of milliseconds since 1970, so that both engines
 * store and compare them alike; JSON is text, so that both give back what they were given.
 */
import type { Generated, Kysely } from "kysely";

export interface Schema {
  readonly buckets: BucketRow;
  readonly blobs: BlobRow;
  readonly objects: ObjectRow;
  readonly trash: Omit<TrashRow, "id"> & { readonly id: Generated<number> };
  readonly delete_counts: DeleteCountRow;
  readonly access_keys: AccessKeyRow;
  readonly settings: SettingRow;
  readonly grant_uses: GrantUseRow;
  readonly storages: StorageRow;
  readonly bucket_usage: BucketUsageRow;
  readonly uploads: UploadRow;
  readonly upload_checks: UploadChecksRow;
  readonly upload_segments: UploadSegmentRow;
  readonly upload_parts: UploadPartRow;
  readonly audit: AuditRow;
  readonly audit_points: AuditPointRow;
  readonly schema_migrations: SchemaMigrationRow;
  readonly bulk_deletes: BulkDeleteRow;
  readonly idempotency_keys: IdempotencyKeyRow;
}

export interface IdempotencyKeyRow {
  readonly id: string;
  readonly actor: string;
  readonly owner: string;
  readonly fingerprint: string;
  readonly lease_until: number;
  readonly expires_at: number;
  /** Of the store's call that took effect. */
  readonly method: string | null;
  /** What that call resolved to. */
  readonly effect: Uint8Array | null;
  /** JSON. */
  readonly answer: string | null;
}

export interface BulkDeleteRow {
  readonly id: string;
  readonly state: string;
  readonly revision: number;
  /** JSON. */
  readonly record: string;
}

/** A connection or a transaction: `Transaction<Schema>` is one too. */
export type Database = Kysely<Schema>;

export interface BucketRow {
  readonly name: string;
  readonly visibility: string;
  readonly max_object_bytes: number | null;
  /** JSON, an array of texts. */
  readonly content_types: string | null;
  readonly upload_expiry_ms: number;
  readonly quota_bytes: number | null;
  /** JSON. */
  readonly placement: string;
  readonly created_at: number;
  /** JSON, an array of rules; `null`: the server's own. */
  readonly cors: string | null;
  /** `null`: what is deleted is not kept. */
  readonly trash_ms: number | null;
  /** `null`: the server's own. */
  readonly environment: string | null;
  /** `null`: as its environment says. */
  readonly deletes_per_hour: number | null;
  readonly retention_ms: number | null;
  /** 1 or 2. */
  readonly bulk_delete_approvals: number;
}

/** One column for each digest that core knows; `null` where it was not computed. */
export interface DigestColumns {
  readonly crc64nvme: Uint8Array;
  readonly md5: Uint8Array | null;
  readonly crc32: Uint8Array | null;
  readonly crc32c: Uint8Array | null;
  readonly sha1: Uint8Array | null;
  readonly sha256: Uint8Array | null;
}

/** Both or neither. */
export interface BlockColumns {
  readonly block_bytes: number | null;
  readonly block_sums: Uint8Array | null;
}

export interface BlobRow extends DigestColumns, BlockColumns, PieceColumns {
  readonly storage_id: string;
  readonly blob_key: string;
  readonly length: number;
  /** How many rows of `objects` and `trash` point here; one more for a complete partial, whose blob it is. */
  readonly reference_count: number;
  /** Set exactly while `reference_count` is 0. */
  readonly garbage_due_at: number | null;
}

/** Both or neither: of a blob that is several of `upload_parts`. */
export interface PieceColumns {
  /** The `upload_id` of its pieces, whose upload may be forgotten. */
  readonly pieces_of: string | null;
  /** Numbers and lengths of its pieces in the order of bytes: `1*9999:8388608,10001:77`. */
  readonly piece_runs: string | null;
}

export interface ObjectRow extends ObjectColumns {
  /** 1: nobody deletes or replaces it; `null` otherwise. */
  readonly legal_hold: number | null;
  /** The last id in `trash` when the object was restored: what has this one or a lower one is older. */
  readonly restored_through: number | null;
}

/** An object that was deleted or replaced. */
export interface TrashRow extends ObjectColumns {
  readonly id: number;
  /** Of the system's clock. */
  readonly deleted_at: number;
  /** Of the steady clock. */
  readonly purge_due_at: number;
  /** `deleted` or `replaced`. */
  readonly reason: string;
  /** JSON. */
  readonly deleted_by: string | null;
  /** Of the bulk delete that deleted it. */
  readonly job_id: string | null;
}

/** Deletes of one minute, of buckets that have a cap. */
export interface DeleteCountRow {
  readonly bucket: string;
  /** Minutes since 1970. */
  readonly minute: number;
  readonly deletes: number;
}

/** Repeats the blob's length and digests, so that head and list need no join. */
export interface ObjectColumns extends DigestColumns {
  readonly bucket: string;
  readonly key: string;
  readonly version: string;
  readonly etag: string;
  readonly content_type: string;
  /** JSON, an object of texts. */
  readonly user_metadata: string;
  readonly created_at: number;
  readonly length: number;
  readonly storage_id: string;
  readonly blob_key: string;
  /** JSON, an object of texts; `null` for none. */
  readonly attributes: string | null;
  readonly retain_until: number | null;
}

export interface AccessKeyRow {
  readonly id: string;
  readonly name: string;
  readonly sealed_secret: Uint8Array;
  /** JSON. */
  readonly policy: string;
  readonly created_at: number;
  /** 0 or 1. */
  readonly enabled: number;
}

export interface SettingRow {
  readonly name: string;
  readonly value: string;
}

export interface GrantUseRow {
  readonly id: string;
  readonly uses: number;
  readonly expires_at: number;
}

export interface StorageRow {
  readonly id: string;
  readonly driver: string;
  /** JSON, an object. */
  readonly settings: string;
  readonly sealed_secrets: Uint8Array | null;
  readonly state: string;
  readonly marker_uuid: string;
  readonly revision: number;
  readonly created_at: number;
  readonly changed_at: number;
}

/** One for each bucket, changed in the transactions that change what it sums up. */
export interface BucketUsageRow {
  readonly bucket: string;
  /** Lengths of its objects. */
  readonly bytes: number;
  readonly objects: number;
  /** Of its uploads that run. */
  readonly reserved_bytes: number;
  /** Lengths of what of it is in the trash. */
  readonly trash_bytes: number;
  readonly trash_objects: number;
}

export interface UploadRow {
  readonly id: string;
  readonly bucket: string;
  readonly key: string | null;
  readonly kind: string;
  readonly phase: string;
  readonly protocol: string;
  readonly owner: string;
  readonly offset: number;
  readonly length: number | null;
  readonly reserved_bytes: number;
  readonly fence: number;
  readonly holder: string | null;
  readonly lease_until: number | null;
  /** 0 or 1: another wants the lease that is held now. */
  readonly yield_requested: number;
  /** The place: with it `blob_key` is set too; without it none of the four is. */
  readonly storage_id: string | null;
  readonly blob_key: string | null;
  readonly token: string | null;
  readonly part_bytes: number | null;
  readonly version: string | null;
  readonly created_at: number;
  readonly expires_at: number;
  readonly content_type: string | null;
  /** JSON; `null` for none. */
  readonly conditions: string | null;
  /** JSON, hex by name; `null` for none. */
  readonly digests: string | null;
  /** JSON, an object of texts. */
  readonly user_metadata: string;
  /** JSON, an object of texts. */
  readonly attributes: string;
  /** JSON; `null` of what no grant made. */
  readonly grant_terms: string | null;
}

/** Apart from the upload's row, which changes with every renewal of a lease: these may be long. */
export interface UploadChecksRow {
  readonly upload_id: string;
  readonly block_bytes: number;
  readonly blocks_max: number;
  readonly length: number;
  readonly sums: Uint8Array;
}

export interface UploadSegmentRow {
  readonly upload_id: string;
  readonly kind: string;
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  /** Of a part. */
  readonly etag: string | null;
  /** Of a tail, which is a blob; both or neither. */
  readonly storage_id: string | null;
  readonly blob_key: string | null;
  /** JSON, hex by name; `null` for none. */
  readonly digests: string | null;
}

/**
 * A part that is a blob of its own: of an upload that runs, or a piece of a blob (`pieces_of`), which it
 * is for longer than the upload is remembered.
 */
export interface UploadPartRow extends BlockColumns {
  readonly upload_id: string;
  readonly number: number;
  readonly length: number;
  readonly storage_id: string;
  readonly blob_key: string;
  /** JSON, hex by name. */
  readonly digests: string;
  readonly created_at: number;
}

/** Appended, never changed. */
export interface AuditRow {
  /** From 1, without gaps. */
  readonly sequence: number;
  readonly at: number;
  /** JSON, exactly as it was hashed. */
  readonly record: string;
  readonly hash: Uint8Array;
}

/** `head`: the newest record. `anchor`: the last that was forgotten, 0 for none. */
export interface AuditPointRow {
  readonly name: string;
  readonly sequence: number;
  readonly hash: Uint8Array;
  /** Of the anchor: the record that says so. */
  readonly recorded_in: number | null;
}

export interface SchemaMigrationRow {
  readonly number: number;
  readonly name: string;
  readonly applied_at: number;
}
