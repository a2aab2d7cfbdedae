/** Answers of the server, checked field by field: what is not as the contract says is `bad_answer`. */
import type {
  AccessKeyJson,
  ActionJson,
  BatchDeleteResultJson,
  BucketJson,
  BucketListJson,
  ChecksumsJson,
  CorsRuleJson,
  EnvironmentJson,
  GrantJson,
  NewAccessKeyJson,
  ObjectJson,
  ObjectListJson,
  PlacementJson,
  PlacementRuleJson,
  PolicyStatementJson,
  StorageCorsJson,
  StorageJson,
  StorageTestJson,
  UploadJson,
  UploadListJson,
} from "@roma/contract";
import {
  boolean,
  type Fields,
  fieldsOf,
  list,
  nullable,
  number,
  oneOf,
  optional,
  string,
  strings,
  text,
} from "./fields.ts";

const digestNames = ["md5", "sha256", "sha1", "crc32", "crc32c"] as const;

export function parseChecksums(value: unknown): ChecksumsJson {
  const fields = fieldsOf(value, "checksums");
  const others = digestNames.map((name) => optional(fields, name, string));
  return Object.assign({ crc64nvme: string(fields, "crc64nvme") }, ...others);
}

/** User metadata: names to values. */
export function parseMetadata(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(fieldsOf(value, "metadata")).map(([name, item]) => [name, text(item)]),
  );
}

export function parseObject(value: unknown): ObjectJson {
  const fields = fieldsOf(value, "object");
  return {
    bucket: string(fields, "bucket"),
    key: string(fields, "key"),
    version: string(fields, "version"),
    size: number(fields, "size"),
    etag: string(fields, "etag"),
    contentType: string(fields, "contentType"),
    createdAt: string(fields, "createdAt"),
    metadata: parseMetadata(fields.metadata ?? {}),
    checksums: parseChecksums(fields.checksums),
    storage: string(fields, "storage"),
    url: string(fields, "url"),
    ...optional(fields, "retainUntil", string),
    ...(fields.legalHold === true ? { legalHold: true as const } : {}),
  };
}

export function parseObjectList(value: unknown): ObjectListJson {
  const fields = fieldsOf(value, "list");
  return {
    objects: list(fields, "objects", parseObject),
    prefixes: strings(fields, "prefixes"),
    cursor: nullable(fields, "cursor", string),
  };
}

function parsePlacementRule(value: unknown): PlacementRuleJson {
  const fields = fieldsOf(value, "placement");
  return {
    ...optional(fields, "prefix", string),
    ...optional(fields, "contentType", string),
    ...optional(fields, "minBytes", number),
    ...optional(fields, "maxBytes", number),
    storage: string(fields, "storage"),
    ...optional(fields, "fallback", string),
    ...optional(fields, "mirrors", strings),
  };
}

function parsePlacement(fields: Fields, name: string): PlacementJson {
  const value = fields[name];
  return typeof value === "string" ? value : list(fields, name, parsePlacementRule);
}

export function parseBucket(value: unknown): BucketJson {
  const fields = fieldsOf(value, "bucket");
  return {
    name: string(fields, "name"),
    visibility: oneOf(fields, "visibility", ["private", "public-read"]),
    maxObjectBytes: nullable(fields, "maxObjectBytes", number),
    contentTypes: nullable(fields, "contentTypes", strings),
    uploadExpiry: string(fields, "uploadExpiry"),
    quotaBytes: nullable(fields, "quotaBytes", number),
    placement: parsePlacement(fields, "placement"),
    trash: nullable(fields, "trash", string),
    environment: nullable(fields, "environment", string),
    deletesPerHour: nullable(fields, "deletesPerHour", number),
    retention: nullable(fields, "retention", string),
    bulkDeleteApprovals: number(fields, "bulkDeleteApprovals") === 2 ? 2 : 1,
    createdAt: string(fields, "createdAt"),
  };
}

export function parseBucketList(value: unknown): BucketListJson {
  return { buckets: list(fieldsOf(value, "list"), "buckets", parseBucket) };
}

export function parseBatchDeleteResult(value: unknown): BatchDeleteResultJson {
  const fields = fieldsOf(value, "result");
  return {
    deleted: strings(fields, "deleted"),
    failed: list(fields, "failed", (item) => {
      const failure = fieldsOf(item, "failure");
      return {
        key: string(failure, "key"),
        code: string(failure, "code"),
        detail: string(failure, "detail"),
      };
    }),
  };
}

/** Every action a policy can name. */
export const actions = [
  "object:read",
  "object:write",
  "object:delete",
  "object:list",
  "object:hold",
  "trash:read",
  "trash:restore",
  "trash:purge",
  "bulk:delete",
  "bucket:read",
  "bucket:write",
  "bucket:delete",
  "upload:read",
  "upload:cancel",
  "key:read",
  "key:write",
  "storage:read",
  "storage:write",
  "audit:read",
  "*",
] as const satisfies readonly ActionJson[];

/** One statement of a policy, also as people write it by hand. */
export function parsePolicyStatement(value: unknown): PolicyStatementJson {
  const fields = fieldsOf(value, "policy");
  return {
    buckets: strings(fields, "buckets"),
    ...optional(fields, "prefixes", strings),
    actions: list(fields, "actions", (action) => oneOf({ action }, "action", actions)),
  };
}

export function parseAccessKey(value: unknown): AccessKeyJson {
  const fields = fieldsOf(value, "key");
  return {
    id: string(fields, "id"),
    name: string(fields, "name"),
    policy: list(fields, "policy", parsePolicyStatement),
    createdAt: string(fields, "createdAt"),
    enabled: boolean(fields, "enabled"),
  };
}

export function parseNewAccessKey(value: unknown): NewAccessKeyJson {
  return { ...parseAccessKey(value), secret: string(fieldsOf(value, "key"), "secret") };
}

export function parseAccessKeyList(value: unknown): readonly AccessKeyJson[] {
  return list(fieldsOf(value, "list"), "keys", parseAccessKey);
}

export function parseGrant(value: unknown): GrantJson {
  const fields = fieldsOf(value, "grant");
  return {
    grant: string(fields, "grant"),
    url: nullable(fields, "url", string),
    expiresAt: string(fields, "expiresAt"),
  };
}

export function parseUpload(value: unknown): UploadJson {
  const fields = fieldsOf(value, "upload");
  return {
    id: string(fields, "id"),
    bucket: string(fields, "bucket"),
    key: nullable(fields, "key", string),
    kind: oneOf(fields, "kind", ["object", "partial"]),
    protocol: string(fields, "protocol"),
    phase: oneOf(fields, "phase", uploadPhases),
    offset: number(fields, "offset"),
    length: nullable(fields, "length", number),
    contentType: nullable(fields, "contentType", string),
    metadata: nullable(fields, "metadata", () => parseMetadata(fields.metadata)),
    createdAt: string(fields, "createdAt"),
    expiresAt: nullable(fields, "expiresAt", string),
    version: nullable(fields, "version", string),
  };
}

const uploadPhases = ["receiving", "completing", "complete", "cancelling", "cancelled"] as const;

export function parseUploadList(value: unknown): UploadListJson {
  const fields = fieldsOf(value, "list");
  return {
    uploads: list(fields, "uploads", parseUpload),
    cursor: nullable(fields, "cursor", string),
  };
}

const storageStates = ["active", "draining", "read-only", "retired"] as const;
const breakerStates = ["closed", "open", "half-open"] as const;

/** The settings of the driver are kept as they came. */
export function parseStorage(value: unknown): StorageJson {
  const fields = fieldsOf(value, "storage");
  const status = fieldsOf(fields.status, "status");
  return {
    ...fields,
    id: string(fields, "id"),
    driver: string(fields, "driver"),
    state: oneOf(fields, "state", storageStates),
    default: boolean(fields, "default"),
    status: {
      builtIn: boolean(status, "builtIn"),
      open: boolean(status, "open"),
      problem: nullable(status, "problem", string),
      breaker: nullable(status, "breaker", (from, name) => oneOf(from, name, breakerStates)),
      uploadsRunning: number(status, "uploadsRunning"),
      othersRunning: number(status, "othersRunning"),
    },
    revision: number(fields, "revision"),
    createdAt: string(fields, "createdAt"),
    changedAt: string(fields, "changedAt"),
  };
}

export function parseStorageList(value: unknown): readonly StorageJson[] {
  return list(fieldsOf(value, "list"), "storages", parseStorage);
}

export function parseStorageCors(value: unknown): StorageCorsJson {
  const fields = fieldsOf(value, "cors");
  return {
    storage: string(fields, "storage"),
    rules: nullable(fields, "rules", (from, name) => list(from, name, parseCorsRule)),
    note: nullable(fields, "note", string),
    origins: list(fields, "origins", (item) => {
      const tried = fieldsOf(item, "origin");
      return {
        origin: string(tried, "origin"),
        ok: boolean(tried, "ok"),
        problem: nullable(tried, "problem", string),
      };
    }),
  };
}

function parseCorsRule(value: unknown): CorsRuleJson {
  const fields = fieldsOf(value, "rule");
  return {
    id: nullable(fields, "id", string),
    allowedOrigins: strings(fields, "allowedOrigins"),
    allowedMethods: strings(fields, "allowedMethods"),
    allowedHeaders: strings(fields, "allowedHeaders"),
    exposeHeaders: strings(fields, "exposeHeaders"),
    maxAgeSeconds: nullable(fields, "maxAgeSeconds", number),
  };
}

const outcomes = ["passed", "failed", "absent", "skipped"] as const;
const verdicts = ["as declared", "more than declared", "less than declared", "not tried"] as const;

export function parseStorageTest(value: unknown): StorageTestJson {
  const fields = fieldsOf(value, "test");
  return {
    storage: string(fields, "storage"),
    startedAt: string(fields, "startedAt"),
    ms: number(fields, "ms"),
    ok: boolean(fields, "ok"),
    refusal: nullable(fields, "refusal", string),
    steps: list(fields, "steps", (item) => {
      const step = fieldsOf(item, "step");
      return {
        name: string(step, "name"),
        outcome: oneOf(step, "outcome", outcomes),
        ms: number(step, "ms"),
        detail: nullable(step, "detail", string),
      };
    }),
    capabilities: list(fields, "capabilities", (item) => {
      const capability = fieldsOf(item, "capability");
      return {
        name: string(capability, "name"),
        declared: string(capability, "declared"),
        seen: nullable(capability, "seen", string),
        verdict: oneOf(capability, "verdict", verdicts),
      };
    }),
    markdown: string(fields, "markdown"),
  };
}

export function parseEnvironment(value: unknown): EnvironmentJson {
  const fields = fieldsOf(value, "environment");
  return {
    environment: nullable(fields, "environment", string),
    readOnly: nullable(fields, "readOnly", string),
  };
}
