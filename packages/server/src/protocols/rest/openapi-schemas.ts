/** Schemas of the OpenAPI document. Requests come from the very schemas that parse them. */
import { errorCodes } from "@roma/contract";
import { z } from "zod";
import {
  completeDirectUpload,
  directUpload,
  ossCallback,
  proof,
  signRequests,
} from "./direct-schemas.ts";
import {
  batchDelete,
  bucketSettings,
  copyRequest,
  grantRequest,
  keyChanges,
  newKey,
  objectHold,
  storageCors,
  storageSettings,
} from "./schemas.ts";
import { purgeTrash, restoreTrash } from "./trash-schemas.ts";

/** JSON as it stands in the document. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json;
}

const text = { type: "string" };
const integer = { type: "integer", minimum: 0 };
const instant = { type: "string", format: "date-time" };
const orNull = (schema: JsonObject): JsonObject => ({ anyOf: [schema, { type: "null" }] });
const listOf = (items: JsonObject): JsonObject => ({ type: "array", items });
export const ref = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` });

function object(properties: JsonObject, optional: readonly string[] = []): JsonObject {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", properties, required };
}

const policy = listOf(
  object(
    {
      buckets: {
        ...listOf(text),
        description: "Bucket names; `*` for any, a trailing `*` for a prefix.",
      },
      prefixes: { ...listOf(text), description: "Key prefixes; left out means every key." },
      actions: listOf(text),
    },
    ["prefixes"],
  ),
);

const shownContext = {
  description: "Any JSON: of the grant that wrote it. Shown to access keys alone.",
};

const checksums = {
  description: "Lower-case hex.",
  ...object({ crc64nvme: text, md5: text, sha256: text, sha1: text, crc32: text, crc32c: text }, [
    "md5",
    "sha256",
    "sha1",
    "crc32",
    "crc32c",
  ]),
};

const accessKey = {
  id: text,
  name: text,
  policy,
  createdAt: instant,
  enabled: { type: "boolean" },
};

const answers: JsonObject = {
  Problem: {
    description: "RFC 9457. Further members hold the values behind `detail`.",
    ...object({
      type: { type: "string", examples: ["urn:roma:error:too_large"] },
      title: text,
      status: integer,
      detail: text,
      code: { type: "string", enum: [...errorCodes] },
      requestId: text,
      retryable: { type: "boolean" },
    }),
  },
  Bucket: object({
    name: text,
    visibility: { type: "string", enum: ["private", "public-read"] },
    maxObjectBytes: orNull(integer),
    contentTypes: orNull(listOf(text)),
    uploadExpiry: { type: "string", examples: ["24 h"] },
    quotaBytes: orNull(integer),
    placement: { anyOf: [text, listOf({ type: "object" })] },
    trash: {
      ...orNull({ type: "string", examples: ["7 days"] }),
      description: "How long deleted and replaced objects can be restored; `null`: not at all.",
    },
    environment: { ...orNull(text), description: "`null`: the server's own." },
    deletesPerHour: {
      ...orNull(integer),
      description: "Objects that may be deleted in any hour; `null`: as its environment says.",
    },
    retention: {
      ...orNull({ type: "string", examples: ["30 days"] }),
      description: "How long a new object can be neither deleted nor replaced.",
    },
    bulkDeleteApprovals: {
      type: "integer",
      enum: [1, 2],
      description: "Keys that must confirm a bulk delete.",
    },
    createdAt: instant,
  }),
  BulkDeletePlan: object({ bucket: text, prefix: text }),
  BulkDeleteConfirmation: object({ bucket: text, environment: orNull(text), digest: text }),
  BulkDelete: object({
    ...{
      id: text,
      state: text,
      bucket: text,
      prefix: text,
      plannedAt: instant,
      expiresAt: instant,
    },
    ...{ objects: integer, bytes: integer, digest: text, samples: listOf(text), plannedBy: text },
    ...{ confirmedBy: listOf(text), deleted: integer, deletedBytes: integer, retained: integer },
    ...{ restored: integer, skipped: integer },
  }),
  BulkDeleteList: object({ bulkDeletes: listOf(ref("BulkDelete")) }),
  Environment: object({
    environment: { ...orNull(text), description: "Its label; `null` where there is none." },
    readOnly: { ...orNull(text), description: "Why every change is refused; `null`: it is not." },
  }),
  BucketList: object({ buckets: listOf(ref("Bucket")) }),
  Object: object(
    {
      bucket: text,
      key: text,
      version: text,
      size: integer,
      etag: { type: "string", description: "With its quotes, as in `ETag`." },
      contentType: text,
      createdAt: instant,
      metadata: { type: "object", additionalProperties: text },
      checksums,
      storage: text,
      url: { type: "string", description: "Relative to the server." },
      context: shownContext,
      retainUntil: { ...instant, description: "Until then nobody deletes or replaces it." },
      legalHold: { type: "boolean", description: "Nobody deletes or replaces it." },
    },
    ["context", "retainUntil", "legalHold"],
  ),
  ObjectList: object({
    objects: listOf(ref("Object")),
    prefixes: listOf(text),
    cursor: { ...orNull(text), description: "For the next page; `null` on the last." },
  }),
  FormResult: object({
    objects: listOf(ref("Object")),
    url: {
      ...orNull(text),
      description: "Absolute, of the one object; `null` if there are several.",
    },
  }),
  BatchDeleteResult: object({
    deleted: listOf(text),
    failed: listOf(object({ key: text, code: text, detail: text })),
  }),
  TrashList: object({
    entries: listOf(
      object({
        id: { type: "string", description: "For a restore or a purge." },
        bucket: text,
        key: text,
        version: text,
        size: integer,
        etag: text,
        contentType: text,
        createdAt: instant,
        metadata: { type: "object", additionalProperties: text },
        checksums,
        storage: text,
        deletedAt: instant,
        purgeAt: { ...instant, description: "When it is purged, unless it is restored." },
        reason: { type: "string", enum: ["deleted", "replaced"] },
        deletedBy: { description: "Who did it; `null` where nobody was told." },
        job: { ...orNull(text), description: "The bulk delete that did it." },
      }),
    ),
    cursor: { ...orNull(text), description: "For the next page; `null` on the last." },
  }),
  RestoreTrashResult: object({
    restored: integer,
    bytes: integer,
    skipped: { ...integer, description: "Whose key has an object that stayed." },
    missing: { ...integer, description: "Of ids that are not in the trash." },
    cursor: { ...orNull(text), description: "Ask again with it; `null`: all is done." },
  }),
  PurgeTrashResult: object({
    purged: integer,
    bytes: integer,
    retained: integer,
    missing: { ...integer, description: "Of ids that are not in the trash." },
    cursor: { ...orNull(text), description: "Ask again with it; `null`: all is done." },
  }),
  AccessKey: object(accessKey),
  NewAccessKey: object({
    ...accessKey,
    secret: { type: "string", description: "Shown this once." },
  }),
  AccessKeyList: object({ keys: listOf(ref("AccessKey")) }),
  Grant: object({ grant: text, url: orNull(text), expiresAt: instant }),
  Storage: {
    ...object({
      id: text,
      driver: text,
      state: { type: "string", enum: ["active", "draining", "read-only", "retired"] },
      default: {
        type: "boolean",
        description: "Where bytes go when a bucket's placement does not say.",
      },
      status: object({
        builtIn: { type: "boolean" },
        open: { type: "boolean" },
        problem: orNull(text),
        breaker: orNull({ type: "string", enum: ["closed", "open", "half-open"] }),
        uploadsRunning: integer,
        othersRunning: integer,
      }),
      revision: integer,
      createdAt: instant,
      changedAt: instant,
    }),
    description:
      "With the driver's own settings beside these (`root` of `posix`; `vendor`, `bucket` and others " +
      "of `s3`), with their defaults. Secrets read `[redacted]`.",
  },
  AuditRecord: {
    ...object({
      v: integer,
      sequence: integer,
      at: instant,
      action: { type: "string", examples: ["object.deleted"] },
      result: { type: "string", description: "`done`, or the code of the refusal." },
      actor: object(
        {
          kind: { type: "string", enum: ["key", "grant", "anonymous", "server"] },
          id: text,
          grant: text,
        },
        ["id", "grant"],
      ),
      previous: { type: "string", description: "Of the record before, in hex." },
      hash: { type: "string", description: "In hex." },
    }),
    description: "With what else there is to say of it: docs/audit.md.",
  },
  AuditPage: object({
    records: listOf(ref("AuditRecord")),
    cursor: { type: "string", description: "For what follows, now or later." },
    hasMore: { type: "boolean" },
  }),
  AuditPoint: object({ sequence: integer, hash: text }),
  AuditVerification: object({
    checked: integer,
    problems: listOf(object({ sequence: integer, problem: text })),
    anchor: ref("AuditPoint"),
    head: ref("AuditPoint"),
    cursor: orNull(text),
  }),
  StorageList: object({ storages: listOf(ref("Storage")) }),
  StorageCors: object({
    storage: text,
    rules: {
      ...orNull(
        listOf(
          object({
            id: orNull(text),
            allowedOrigins: listOf(text),
            allowedMethods: listOf(text),
            allowedHeaders: listOf(text),
            exposeHeaders: listOf(text),
            maxAgeSeconds: orNull(integer),
          }),
        ),
      ),
      description: "The first that fits decides; `null` where the storage does not show them.",
    },
    note: { ...orNull(text), description: "Why there are none, or what else decides." },
    origins: listOf(object({ origin: text, ok: { type: "boolean" }, problem: orNull(text) })),
  }),
  StorageTest: object({
    storage: text,
    startedAt: instant,
    ms: integer,
    ok: { type: "boolean" },
    refusal: orNull(text),
    steps: listOf(
      object({
        name: text,
        outcome: { type: "string", enum: ["passed", "failed", "absent", "skipped"] },
        ms: { type: "number" },
        detail: orNull(text),
      }),
    ),
    capabilities: listOf(object({ name: text, declared: text, seen: orNull(text), verdict: text })),
    markdown: { type: "string", description: "The same, to be pasted into an issue." },
  }),
  Upload: object(
    {
      id: text,
      bucket: text,
      key: { ...orNull(text), description: "`null` for a partial." },
      kind: { type: "string", enum: ["object", "partial"] },
      protocol: {
        type: "string",
        examples: ["rest", "ietf", "tus"],
        description: "`rest` lives as long as its request; the others can be resumed.",
      },
      phase: {
        type: "string",
        enum: ["receiving", "completing", "complete", "cancelling", "cancelled"],
      },
      offset: integer,
      length: { ...orNull(integer), description: "`null` while the client has not said." },
      contentType: orNull(text),
      metadata: orNull({ type: "object", additionalProperties: text }),
      createdAt: instant,
      expiresAt: {
        ...orNull(instant),
        description:
          "Unfinished: given up then, unless bytes come. Complete: its address goes then.",
      },
      version: { ...orNull(text), description: "Of the object, once complete." },
      context: shownContext,
    },
    ["context"],
  ),
  SignedRequest: object({
    method: { type: "string", enum: ["PUT"] },
    url: { type: "string", description: "Absolute." },
    headers: { type: "object", additionalProperties: text, description: "To be sent exactly so." },
    expiresAt: instant,
  }),
  SignedRequests: object(
    {
      requests: {
        type: "object",
        additionalProperties: ref("SignedRequest"),
        description: "By part number; `put` for the one request of a put.",
      },
      form: ref("SignedForm"),
    },
    ["form"],
  ),
  SignedForm: object({
    method: { type: "string", enum: ["POST"] },
    url: { type: "string", description: "Absolute." },
    fields: {
      type: "object",
      additionalProperties: text,
      description: "Before the file, which is named `file`.",
    },
    expiresAt: instant,
  }),
  DirectUpload: object({
    id: text,
    bucket: text,
    key: text,
    length: integer,
    via: { type: "string", enum: ["storage", "server"] },
    expiresAt: instant,
    transfer: {
      anyOf: [
        object({ kind: { type: "string", enum: ["put"] }, request: ref("SignedRequest") }),
        object({
          kind: { type: "string", enum: ["parts"] },
          partBytes: integer,
          partCount: integer,
          requests: { type: "object", additionalProperties: ref("SignedRequest") },
          parts: listOf(object({ number: integer, length: integer, etag: text })),
        }),
        object({
          kind: { type: "string", enum: ["form"] },
          form: ref("SignedForm"),
          received: orNull(object({ length: integer, etag: text })),
        }),
        object({
          kind: { type: "string", enum: ["proof"] },
          challenge: object({
            nonce: { type: "string", description: "Lower-case hex." },
            ranges: {
              ...listOf(object({ firstByte: integer, lastByte: integer })),
              description: "Both inclusive.",
            },
          }),
        }),
      ],
    },
  }),
  UploadList: object({ uploads: listOf(ref("Upload")), cursor: orNull(text) }),
  OssCallbackAnswer: object({ id: text, status: { enum: ["complete", "completing"] } }),
};

const metadataSchema: JsonObject = { type: "object", additionalProperties: text };

export function componentSchemas(): JsonObject {
  const copy = fromZod(copyRequest);
  const direct = fromZod(directUpload);
  const properties = { ...propertiesOf(copy), metadata: metadataSchema };
  return {
    ...answers,
    BucketSettings: fromZod(bucketSettings),
    BatchDelete: fromZod(batchDelete),
    ObjectHold: fromZod(objectHold),
    RestoreTrash: fromZod(restoreTrash),
    PurgeTrash: fromZod(purgeTrash),
    Copy: { ...copy, properties },
    NewKeyRequest: fromZod(newKey),
    KeyChanges: fromZod(keyChanges),
    GrantRequest: fromZod(grantRequest),
    StorageSettings: fromZod(storageSettings),
    StorageCorsSettings: fromZod(storageCors),
    DirectUploadRequest: {
      ...direct,
      properties: { ...propertiesOf(direct), metadata: metadataSchema },
    },
    OssCallback: fromZod(ossCallback),
    SignRequests: fromZod(signRequests),
    Proof: fromZod(proof),
    CompleteDirectUpload: fromZod(completeDirectUpload),
  };
}

function propertiesOf(schema: JsonObject): JsonObject {
  const { properties } = schema;
  return typeof properties === "object" && properties !== null && !Array.isArray(properties)
    ? { ...(properties as JsonObject) }
    : {};
}

/** A round trip through JSON, since that is what it will be. */
function fromZod(schema: z.ZodType): JsonObject {
  const made = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  const { $schema: _dialect, ...rest } = JSON.parse(JSON.stringify(made)) as JsonObject;
  return rest as JsonObject;
}
