/** JSON bodies as they come in: strict, with sizes and times in units turned into numbers. */
import type { BatchDeleteJson } from "@roma/contract";
import { z } from "zod";
import { parseBytes, parseDuration } from "../../config/index.ts";
import { grantCountMax } from "../../core/grants.ts";
import { pageOriginsMax } from "../../core/storage-cors.ts";
import { emptyMetadata } from "./user-metadata.ts";

export const text = z.string().max(4096);
export const bytes = z.union([z.number(), z.string()]).transform((given, context) => {
  const amount = parseBytes(given);
  if (amount !== undefined) return amount;
  context.addIssue({ code: "custom", message: 'is not a number of bytes, nor one like "20 MiB"' });
  return z.NEVER;
});
// A bare number has no unit to tell seconds from milliseconds.
const duration = z.string().transform((given, context) => {
  const amount = /[a-z]/i.test(given) ? parseDuration(given) : undefined;
  if (amount !== undefined) return amount;
  context.addIssue({ code: "custom", message: 'is not a time like "24 h" or "15 min"' });
  return z.NEVER;
});

export const instant = z.iso
  .datetime({ offset: true, error: "is not an RFC 3339 time like 2026-03-01T14:00:00Z" })
  .transform((text) => new Date(text));

/** `z.record` would pass over a name like `__proto__` without a word. */
export const metadata = z
  .custom<object>((value) => typeof value === "object" && value !== null && !Array.isArray(value), {
    message: "is not an object of texts",
  })
  .transform((given, context) => {
    const fields = emptyMetadata();
    for (const [name, value] of Object.entries(given)) {
      if (typeof value !== "string") {
        context.addIssue({ code: "custom", message: "is not an object of texts" });
        return z.NEVER;
      }
      fields[name.toLowerCase()] = value;
    }
    return fields;
  });

const placementRule = z.strictObject({
  prefix: text.optional(),
  contentType: text.optional(),
  minBytes: z.int().min(0).optional(),
  maxBytes: z.int().min(0).optional(),
  storage: text,
  fallback: text.optional(),
  mirrors: z.array(text).max(16).optional(),
});

/** `PUT` and `PATCH /v1/buckets/{bucket}`. */
export const bucketSettings = z.strictObject({
  visibility: z.enum(["private", "public-read"]).optional(),
  maxObjectBytes: bytes.nullable().optional(),
  contentTypes: z.array(text).nullable().optional(),
  uploadExpiry: duration.optional(),
  quotaBytes: bytes.nullable().optional(),
  placement: z.union([text, z.array(placementRule)]).optional(),
  trash: duration.nullable().optional(),
  environment: text.nullable().optional(),
  deletesPerHour: z.int().nullable().optional(),
  retention: duration.nullable().optional(),
  bulkDeleteApprovals: z.union([z.literal(1), z.literal(2)]).optional(),
});

/** `PATCH /v1/objects/{bucket}/{key}`. */
export const objectHold = z.strictObject({
  retainUntil: instant.optional(),
  legalHold: z.boolean().optional(),
});

export const batchDelete = z.strictObject({
  keys: z.array(z.string()),
}) satisfies z.ZodType<BatchDeleteJson>;

export const copyRequest = z.strictObject({
  from: z.strictObject({ bucket: text, key: z.string(), version: text.optional() }),
  to: z.strictObject({ bucket: text, key: z.string() }),
  contentType: z.string().max(255).optional(),
  metadata: metadata.optional(),
  createOnly: z.boolean().optional(),
});

const statement = z.strictObject({
  buckets: z.array(z.string().min(1).max(64)).min(1).max(1000),
  prefixes: z.array(z.string().max(1024)).max(1000).optional(),
  actions: z
    .array(
      z.enum([
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
      ]),
    )
    .min(1),
});

const name = z.string().min(1).max(200);
const policy = z.array(statement).max(100);

/** `POST /v1/keys`. */
export const newKey = z.strictObject({ name, policy });

/** `PATCH /v1/keys/{id}`. */
export const keyChanges = z.strictObject({
  name: name.optional(),
  policy: policy.optional(),
  enabled: z.boolean().optional(),
});

export const grantRequest = z.strictObject({
  bucket: text,
  key: z.string().optional(),
  prefix: z.string().optional(),
  template: z.string().optional(),
  actions: z
    .array(z.enum(["object:read", "object:write", "object:delete", "object:list"]))
    .min(1)
    .max(4),
  methods: z
    .array(z.string().regex(/^[A-Za-z]{1,20}$/, "is not a method"))
    .min(1)
    .max(10)
    .optional(),
  minBytes: z.int().min(0).optional(),
  maxBytes: z.int().min(0).optional(),
  contentTypes: z.array(text).min(1).max(100).optional(),
  count: z.int().min(1).max(grantCountMax).optional(),
  context: z.unknown().optional(),
  expiresIn: duration.optional(),
});

/** `PUT /v1/storages/{id}/cors`. */
export const storageCors = z.strictObject({
  origins: z.array(z.string()).max(pageOriginsMax),
});

/** `PUT` and `PATCH /v1/storages/{id}`: what is not named here is a setting of the driver. */
export const storageSettings = z.looseObject({
  id: text.optional(),
  driver: text.optional(),
  state: z.enum(["active", "draining", "read-only"]).optional(),
  default: z.boolean().optional(),
  revision: z.int().optional(),
  status: z.unknown().optional(),
  createdAt: z.unknown().optional(),
  changedAt: z.unknown().optional(),
});
