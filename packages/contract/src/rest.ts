/** Shapes of the REST protocol under `/v1`. Instants are RFC 3339 in UTC; sizes are bytes. */

/** Digests in answers: lower-case hex. `crc64nvme` is always there. */
export interface ChecksumsJson {
  readonly crc64nvme: string;
  readonly md5?: string;
  readonly sha256?: string;
  readonly sha1?: string;
  readonly crc32?: string;
  readonly crc32c?: string;
}

export interface ObjectJson {
  readonly bucket: string;
  readonly key: string;
  /** Names one state of the object; a replaced object has another. */
  readonly version: string;
  readonly size: number;
  /** A strong entity tag, with its quotes, as in the `ETag` header. */
  readonly etag: string;
  readonly contentType: string;
  readonly createdAt: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly checksums: ChecksumsJson;
  /** The id of the storage that holds the bytes. */
  readonly storage: string;
  /** Where to read it, relative to the server. */
  readonly url: string;
  /** Of the grant that wrote it; shown to access keys alone. */
  readonly context?: unknown;
  /** Until then nobody deletes, moves or replaces it. */
  readonly retainUntil?: string;
  /** The same, until it is taken off. */
  readonly legalHold?: true;
}

/** `PATCH /v1/objects/{bucket}/{key}`: what is left out keeps its value. */
export interface ObjectHoldJson {
  /** Only ever later than it is. */
  readonly retainUntil?: string;
  readonly legalHold?: boolean;
}

export interface ObjectListJson {
  readonly objects: readonly ObjectJson[];
  /** Keys up to and with the delimiter, when one was given. */
  readonly prefixes: readonly string[];
  /** Ask again with it for the next page; `null` on the last. */
  readonly cursor: string | null;
}

export type BucketVisibility = "private" | "public-read";

/** Where new bytes of a bucket go: a storage id, or rules of which the first that fits decides. */
export type PlacementJson = string | readonly PlacementRuleJson[];

export interface PlacementRuleJson {
  readonly prefix?: string;
  /** A type, or a range like `image/*`. */
  readonly contentType?: string;
  readonly minBytes?: number;
  readonly maxBytes?: number;
  readonly storage: string;
  readonly fallback?: string;
  readonly mirrors?: readonly string[];
}

export interface BucketJson {
  readonly name: string;
  readonly visibility: BucketVisibility;
  /** `null` means the server's own limit. */
  readonly maxObjectBytes: number | null;
  /** Types and ranges (`image/*`) that may be stored; `null` means any. */
  readonly contentTypes: readonly string[] | null;
  /** How long an upload may stay incomplete: `"24 h"`. */
  readonly uploadExpiry: string;
  readonly quotaBytes: number | null;
  readonly placement: PlacementJson;
  /** How long deleted and replaced objects can be restored: `"7 days"`; `null` means not at all. */
  readonly trash: string | null;
  /** The label of its environment; `null` means the server's own. */
  readonly environment: string | null;
  /** Objects that may be deleted in any hour; `null` means as its environment says. */
  readonly deletesPerHour: number | null;
  /** How long a new object can be neither deleted nor replaced: `"30 days"`; `null` means not at all. */
  readonly retention: string | null;
  /** Keys that must confirm a bulk delete. */
  readonly bulkDeleteApprovals: 1 | 2;
  readonly createdAt: string;
}

/** `PUT /v1/buckets/{bucket}` and `PATCH`: what is left out keeps its default or its value. */
export interface BucketSettingsJson {
  readonly visibility?: BucketVisibility;
  /** Bytes, or with a unit: `"20 MiB"`. */
  readonly maxObjectBytes?: number | string | null;
  readonly contentTypes?: readonly string[] | null;
  readonly uploadExpiry?: string;
  readonly quotaBytes?: number | string | null;
  readonly placement?: PlacementJson;
  readonly trash?: string | null;
  readonly environment?: string | null;
  readonly deletesPerHour?: number | null;
  readonly retention?: string | null;
  readonly bulkDeleteApprovals?: 1 | 2;
}

export interface BucketListJson {
  readonly buckets: readonly BucketJson[];
}

/** `POST /v1/objects/{bucket}?delete`. */
export interface BatchDeleteJson {
  readonly keys: readonly string[];
}

export interface BatchDeleteResultJson {
  readonly deleted: readonly string[];
  readonly failed: readonly {
    readonly key: string;
    readonly code: string;
    readonly detail: string;
  }[];
}

/** `POST /v1/copy` and `POST /v1/move`. */
export interface CopyJson {
  readonly from: { readonly bucket: string; readonly key: string; readonly version?: string };
  readonly to: { readonly bucket: string; readonly key: string };
  /** Replaces the content type and metadata of the source when given. */
  readonly contentType?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Refuse if `to` exists. */
  readonly createOnly?: boolean;
}

/** The answer to a form upload: one entry per file, in the order of the form. */
export interface FormResultJson {
  readonly objects: readonly ObjectJson[];
  /** Absolute, of the one object, as uploaders in browsers expect it; `null` if there are several. */
  readonly url: string | null;
}

export type ActionJson =
  | "object:read"
  | "object:write"
  | "object:delete"
  | "object:list"
  | "object:hold"
  | "trash:read"
  | "trash:restore"
  | "trash:purge"
  /** Not implied by `*`. */
  | "bulk:delete"
  | "bucket:read"
  | "bucket:write"
  | "bucket:delete"
  | "upload:read"
  | "upload:cancel"
  | "key:read"
  | "key:write"
  | "storage:read"
  | "storage:write"
  | "audit:read"
  | "*";

/** One record of the audit log, its members in this order. What does not apply is left out (`docs/audit.md`). */
export interface AuditRecordJson {
  /** Of this layout. */
  readonly v: number;
  /** From 1, without gaps. */
  readonly sequence: number;
  readonly at: string;
  /** A past fact: `object.deleted`; `request.refused`. */
  readonly action: string;
  /** `done`, or the code of the refusal. */
  readonly result: string;
  readonly actor: {
    /** `server`: it did it by itself; `id` says what of it. */
    readonly kind: "key" | "grant" | "anonymous" | "server";
    /** The access key's; of a grant that of the key that signed it. */
    readonly id?: string;
    /** The grant's own, its claim `jti`. */
    readonly grant?: string;
  };
  /** The client's, as far as it is known. */
  readonly address?: string;
  /** The trusted proxy that named the address. */
  readonly via?: string;
  readonly protocol?: string;
  readonly requestId?: string;
  /** Of a refusal: what a policy would have had to permit. */
  readonly permission?: string;
  readonly bucket?: string;
  readonly key?: string;
  readonly version?: string;
  readonly size?: number;
  /** What was there before. */
  readonly replaced?: { readonly version: string; readonly size: number };
  /** Of a copy or move. */
  readonly from?: { readonly bucket: string; readonly key: string; readonly version: string };
  /** The upload that became the object. */
  readonly upload?: string;
  /** The access key that began it, where another finished it. */
  readonly owner?: string;
  /** Any JSON: of the grant under which it was written. */
  readonly context?: unknown;
  /** So many more of the same refusal since the last record of it. */
  readonly repeated?: number;
  readonly details?: Readonly<Record<string, unknown>>;
  /** Of the record before, in hex. */
  readonly previous: string;
  /** SHA-256 of the bytes of `previous` and the record's text without these two members, in hex. */
  readonly hash: string;
}

export interface AuditPageJson {
  readonly records: readonly AuditRecordJson[];
  /** Ask again with it for what follows, now or later. */
  readonly cursor: string;
  /** Whether there is more to look at now. */
  readonly hasMore: boolean;
}

/** A place in the chain; `hash` in hex. */
export interface AuditPointJson {
  readonly sequence: number;
  readonly hash: string;
}

/** `GET /v1/audit/verify`: what was found in a stretch of the chain. */
export interface AuditVerificationJson {
  readonly checked: number;
  /** The first few. */
  readonly problems: readonly { readonly sequence: number; readonly problem: string }[];
  /** The last record that was forgotten by age: the chain begins after it. */
  readonly anchor: AuditPointJson;
  /** The newest record. */
  readonly head: AuditPointJson;
  /** Ask again with it for the next stretch; `null` at the end. */
  readonly cursor: string | null;
}

/** One statement of a key's policy. What no statement allows is refused. */
export interface PolicyStatementJson {
  /** Bucket names; `*` for any, a trailing `*` for a prefix. */
  readonly buckets: readonly string[];
  /** Key prefixes; left out means every key. */
  readonly prefixes?: readonly string[];
  readonly actions: readonly ActionJson[];
}

export interface AccessKeyJson {
  readonly id: string;
  readonly name: string;
  readonly policy: readonly PolicyStatementJson[];
  readonly createdAt: string;
  readonly enabled: boolean;
}

/** Answered once, when the key is made. */
export interface NewAccessKeyJson extends AccessKeyJson {
  readonly secret: string;
}

/** `POST /v1/grants`: a signed, scoped, expiring permission for one bucket and key, prefix or template. */
export interface GrantRequestJson {
  readonly bucket: string;
  readonly key?: string;
  readonly prefix?: string;
  /** The server makes the keys: `photos/{date}/{uuid}{ext}`. Placeholders: `docs/protocols/grants.md`. */
  readonly template?: string;
  readonly actions: readonly ("object:read" | "object:write" | "object:delete" | "object:list")[];
  /** Methods that may use it; left out means those of the actions. */
  readonly methods?: readonly string[];
  readonly minBytes?: number;
  readonly maxBytes?: number;
  readonly contentTypes?: readonly string[];
  /** How many objects may be written with it; left out: any number. */
  readonly count?: number;
  /** Any JSON of at most 1 KiB: kept with each object and upload, and shown to access keys. */
  readonly context?: unknown;
  /** `"15 min"`; at most 7 days. */
  readonly expiresIn?: string;
}

export interface GrantJson {
  readonly grant: string;
  /** `/v1/objects/{bucket}/{key}?grant=…`, when the grant names one key. */
  readonly url: string | null;
  readonly expiresAt: string;
}

/** An upload of any protocol that is not complete, or whose address still answers. */
export interface UploadJson {
  readonly id: string;
  readonly bucket: string;
  /** `null` for a partial. */
  readonly key: string | null;
  /** A `partial` becomes a piece of objects, never one itself. */
  readonly kind: "object" | "partial";
  /** By which it came: `rest` lives as long as its request; `ietf` and `tus` can be resumed. */
  readonly protocol: string;
  readonly phase: "receiving" | "completing" | "complete" | "cancelling" | "cancelled";
  /** Durable bytes; of `rest` those received. */
  readonly offset: number;
  /** `null` while the client has not said. */
  readonly length: number | null;
  /** As declared; `null` if it was not, and for `rest`. */
  readonly contentType: string | null;
  /** `null` for `rest`. */
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly createdAt: string;
  /** When it is given up unless bytes come, or, once complete, its address goes; `null` for `rest`. */
  readonly expiresAt: string | null;
  /** Of the object, once complete. */
  readonly version: string | null;
  /** Of the grant that made it; shown to access keys alone. */
  readonly context?: unknown;
}

export interface UploadListJson {
  /** In order of ids. */
  readonly uploads: readonly UploadJson[];
  /** Ask again with it for the next page; `null` on the last. */
  readonly cursor: string | null;
}

/**
 * `active` takes new uploads; `draining` only finishes those that run; `read-only` reads and deletes;
 * `retired` holds no object and is kept so that its id is not given to another storage.
 */
export type StorageStateJson = "active" | "draining" | "read-only" | "retired";

/**
 * A storage: what is known of it, and beside that its driver's own settings (`root` of `posix`,
 * `vendor`, `bucket` … of `s3`) with their defaults. Secrets read `[redacted]`.
 */
export interface StorageJson {
  readonly id: string;
  readonly driver: string;
  readonly state: StorageStateJson;
  /** Where bytes go when a bucket's placement does not say. */
  readonly default: boolean;
  readonly status: StorageStatusJson;
  readonly revision: number;
  readonly createdAt: string;
  readonly changedAt: string;
  readonly [setting: string]: unknown;
}

export interface StorageStatusJson {
  /** Described by the server's own configuration: its settings cannot be changed here. */
  readonly builtIn: boolean;
  readonly open: boolean;
  /** Why it, or its newest settings, could not be opened. */
  readonly problem: string | null;
  /** `open`: it failed too often, and is left alone for a while. */
  readonly breaker: "closed" | "open" | "half-open" | null;
  readonly uploadsRunning: number;
  /** Reads and deletes. */
  readonly othersRunning: number;
}

/**
 * `PUT /v1/storages/{id}` and `PATCH`: the driver and its settings beside these. What is left out keeps
 * its value, secrets too; `null` gives a setting its default.
 */
export interface StorageSettingsJson {
  /** Needed for a new storage; that of an existing one never changes. */
  readonly driver?: string;
  readonly state?: Exclude<StorageStateJson, "retired">;
  /** `true` makes it the default; the default stays so until another is made it. */
  readonly default?: boolean;
  readonly [setting: string]: unknown;
}

export interface StorageListJson {
  readonly storages: readonly StorageJson[];
}

/**
 * `GET /v1/storages/{id}/cors?origin=…` and `PUT`: what the storage's own bucket allows pages of other origins, which
 * matters where they send direct uploads straight to it.
 */
export interface StorageCorsJson {
  readonly storage: string;
  /** In the order in which the storage tries them; `null` where it does not show them. */
  readonly rules: readonly CorsRuleJson[] | null;
  /** Why there are none, or what else decides about pages. */
  readonly note: string | null;
  /** Those that were tried, as a browser would. */
  readonly origins: readonly TriedOriginJson[];
}

export interface CorsRuleJson {
  /** `null` where the storage keeps no names of rules. */
  readonly id: string | null;
  readonly allowedOrigins: readonly string[];
  readonly allowedMethods: readonly string[];
  readonly allowedHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly maxAgeSeconds: number | null;
}

export interface TriedOriginJson {
  readonly origin: string;
  /** A page of this origin can send parts to the storage, and read their `ETag`. */
  readonly ok: boolean;
  /** The first thing that stops it. */
  readonly problem: string | null;
}

/** `PUT /v1/storages/{id}/cors`: the origins of our rule there, and no others; none takes the rule away. */
export interface StorageCorsSettingsJson {
  readonly origins: readonly string[];
}

/** What the long canary found: `POST /v1/storages/{id}/test`. */
export interface StorageTestJson {
  readonly storage: string;
  readonly startedAt: string;
  readonly ms: number;
  /** No step failed, and nothing is less than declared. */
  readonly ok: boolean;
  /** The setting or the step, and the reason. */
  readonly refusal: string | null;
  readonly steps: readonly StorageTestStepJson[];
  readonly capabilities: readonly StorageTestCapabilityJson[];
  /** The same as a text that can be pasted: no secret, address or key is in it. */
  readonly markdown: string;
}

export interface StorageTestStepJson {
  readonly name: string;
  /** `absent`: the storage does not offer it, and does not say so. */
  readonly outcome: "passed" | "failed" | "absent" | "skipped";
  readonly ms: number;
  readonly detail: string | null;
}

export interface StorageTestCapabilityJson {
  readonly name: string;
  readonly declared: string;
  readonly seen: string | null;
  readonly verdict: "as declared" | "more than declared" | "less than declared" | "not tried";
}
