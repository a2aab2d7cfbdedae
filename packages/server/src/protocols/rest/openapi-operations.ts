/** What the OpenAPI document says of each operation: a row each, in the words of the protocol. */
import type { ErrorCode } from "@roma/contract";
import { auditRows } from "./openapi-audit-operations.ts";
import {
  type Answer,
  bytes,
  creationErrors,
  creationParameters,
  gone,
  json,
  jsonBody,
  type OperationRow,
  ok,
  stateFields,
  withStateFields,
  writeErrors,
  written,
} from "./openapi-rows.ts";
import { type JsonObject, ref } from "./openapi-schemas.ts";
import { storageRows } from "./openapi-storage-operations.ts";
import { trashRows } from "./openapi-trash-operations.ts";
import { uploadRows } from "./openapi-upload-operations.ts";

const objectHeaders = [
  "ETag",
  "Last-Modified",
  "Accept-Ranges",
  "Repr-Digest",
  "Roma-Version",
  "Roma-Meta-NAME",
  "Roma-Context",
  "Cache-Control",
  "Content-Disposition",
  "Content-Security-Policy",
  "Cross-Origin-Resource-Policy",
];
const readErrors: readonly ErrorCode[] = [
  "invalid_key",
  "bucket_not_found",
  "object_not_found",
  "precondition_failed",
  "data_damaged",
];
const conditionParameters = [
  "If-Match",
  "If-None-Match",
  "If-Modified-Since",
  "If-Unmodified-Since",
];
const readAnswers: Readonly<Record<string, Answer>> = {
  "200": { description: "The whole object.", content: bytes, headers: objectHeaders },
  "304": {
    description: "It is what the client has.",
    headers: ["ETag", "Last-Modified", "Cache-Control"],
  },
};

const formBody: JsonObject = {
  required: true,
  content: {
    "multipart/form-data": {
      schema: {
        type: "object",
        description:
          "Any number of files under any names. Fields before a file describe it: `key` or `prefix`, " +
          "`Content-Type`, `Roma-Meta-NAME`, and the digests `md5`, `sha-256`, `crc64nvme` in hex or " +
          "base64. In a `key`, the placeholder of S3 forms stands for the file's name. `prefix` and " +
          "such a `key` hold for all files after them, the others for the next file.",
        properties: {
          key: { type: "string" },
          prefix: { type: "string" },
          "Content-Type": { type: "string" },
          md5: { type: "string" },
          "sha-256": { type: "string" },
          crc64nvme: { type: "string" },
          file: { type: "string", format: "binary" },
        },
      },
    },
    "application/json": { schema: ref("BatchDelete") },
    "*/*": { schema: { type: "string", format: "binary" } },
  },
};

/** By method and path, as in the route table; HEAD follows from GET. */
export const operationRows: Readonly<Record<string, OperationRow>> = {
  "POST /bulk-deletes": {
    id: "planBulkDelete",
    tag: "bulk deletes",
    summary: "Plan to delete every object with a prefix",
    description:
      "Counts, and changes nothing. An empty prefix, or one that looks like a mistake, is refused.",
    body: jsonBody("BulkDeletePlan"),
    answers: {
      "201": { description: "The plan.", content: json("BulkDelete"), headers: ["Location"] },
    },
    errors: ["bucket_not_found"],
  },
  "GET /bulk-deletes": {
    id: "listBulkDeletes",
    tag: "bulk deletes",
    summary: "List bulk deletes, the latest first",
    answers: ok("Those of buckets in which the caller may make some.", "BulkDeleteList"),
  },
  "GET /bulk-deletes/{id}": {
    id: "getBulkDelete",
    tag: "bulk deletes",
    summary: "Get a bulk delete, and how far it is",
    answers: ok("The bulk delete.", "BulkDelete"),
    errors: ["object_not_found"],
  },
  "POST /bulk-deletes/{id}/confirm": {
    id: "confirmBulkDelete",
    tag: "bulk deletes",
    summary: "Confirm a plan, so that it runs",
    description:
      "With the bucket, its environment and the plan's digest. A bucket whose `bulkDeleteApprovals` is 2 " +
      "needs two different keys. If other objects are there than were planned, `plan_changed`.",
    body: jsonBody("BulkDeleteConfirmation"),
    answers: ok("It runs, or waits for the second key.", "BulkDelete"),
    errors: ["object_not_found", "plan_changed", "precondition_failed"],
  },
  "POST /bulk-deletes/{id}/stop": {
    id: "stopBulkDelete",
    tag: "bulk deletes",
    summary: "Stop a bulk delete",
    answers: ok("As it is now.", "BulkDelete"),
    errors: ["object_not_found"],
  },
  "POST /bulk-deletes/{id}/undo": {
    id: "undoBulkDelete",
    tag: "bulk deletes",
    summary: "Bring back what a bulk delete deleted",
    answers: ok("It is being undone.", "BulkDelete"),
    errors: ["object_not_found", "precondition_failed"],
  },
  "GET /environment": {
    id: "getEnvironment",
    tag: "environment",
    summary: "Get the environment of the server's data, or of a bucket",
    parameters: ["environment-bucket"],
    answers: ok("Its label, and whether the server takes changes.", "Environment"),
  },
  "GET /buckets": {
    id: "listBuckets",
    tag: "buckets",
    summary: "List the buckets that the caller may read",
    answers: ok("All of them.", "BucketList"),
  },
  "GET /buckets/{bucket}": {
    id: "getBucket",
    tag: "buckets",
    summary: "Get a bucket's settings",
    answers: ok("The bucket.", "Bucket"),
    errors: ["bucket_not_found"],
  },
  "PUT /buckets/{bucket}": {
    id: "createBucket",
    tag: "buckets",
    summary: "Create a bucket",
    body: { required: false, content: json("BucketSettings") },
    answers: {
      "201": { description: "The bucket.", content: json("Bucket"), headers: ["Location"] },
    },
    errors: ["already_exists", "storage_not_found", "unsupported", "too_large"],
  },
  "PATCH /buckets/{bucket}": {
    id: "changeBucket",
    tag: "buckets",
    summary: "Change a bucket's settings",
    description: "What is left out keeps its value.",
    body: jsonBody("BucketSettings"),
    answers: ok("The bucket as changed.", "Bucket"),
    errors: ["bucket_not_found", "storage_not_found", "unsupported", "too_large"],
  },
  "DELETE /buckets/{bucket}": {
    id: "deleteBucket",
    tag: "buckets",
    summary: "Delete an empty bucket",
    answers: gone,
    errors: ["bucket_not_found", "not_empty"],
  },
  "GET /objects/{bucket}": {
    id: "listObjects",
    tag: "objects",
    summary: "List objects",
    description: "In order of the keys' UTF-8 bytes, a page at a time.",
    parameters: ["prefix", "delimiter", "cursor", "limit"],
    answers: ok("A page.", "ObjectList"),
    errors: ["bucket_not_found", "invalid_key"],
  },
  "POST /objects/{bucket}": {
    id: "postObjects",
    tag: "objects",
    summary: "Upload a form, or delete many objects",
    description:
      "A form (`multipart/form-data`): every file becomes an object of its own, committed as soon as " +
      "it is complete. When a later one fails, the problem lists under `stored` the keys that stay. " +
      "With the query `?delete`: a JSON list of at most 1,000 keys, each judged by itself. Other content " +
      "with `Upload-Complete` is a resumable upload, as with PUT.",
    parameters: ["delete", "posted-key", "posted-filename", ...creationParameters],
    body: formBody,
    answers: {
      "200": {
        description: "With `?delete`: what became of each key.",
        content: json("BatchDeleteResult"),
      },
      "201": {
        description:
          "The files as objects, in the order of the form. Of other content the object, or nothing but " +
          "the upload's address when more follows.",
        content: { "application/json": { schema: { anyOf: [ref("FormResult"), ref("Object")] } } },
        headers: ["Location", ...stateFields],
      },
    },
    errors: [...writeErrors, ...creationErrors, "unsupported"],
  },
  "GET /objects/{bucket}/{key}": {
    id: "getObject",
    tag: "objects",
    summary: "Read an object",
    description:
      "Bytes are verified as they are sent: a response never ends as if whole when what is stored is " +
      "damaged. Several ranges come as `multipart/byteranges`.",
    parameters: [...conditionParameters, "Range", "If-Range", "Want-Repr-Digest", "download"],
    answers: {
      ...readAnswers,
      "206": {
        description: "The ranges asked for.",
        content: bytes,
        headers: [...objectHeaders, "Content-Range"],
      },
    },
    errors: [...readErrors, "range_unsatisfiable", "unavailable"],
    anonymous: true,
  },
  "HEAD /objects/{bucket}/{key}": {
    id: "headObject",
    tag: "objects",
    summary: "Read an object's headers",
    parameters: [...conditionParameters, "Want-Repr-Digest", "download"],
    answers: {
      "200": { description: "The headers of a GET.", headers: objectHeaders },
      "304": { description: "It is what the client has.", headers: ["ETag", "Last-Modified"] },
    },
    errors: readErrors,
    anonymous: true,
  },
  "PUT /objects/{bucket}/{key}": {
    id: "putObject",
    tag: "objects",
    summary: "Store an object",
    description:
      "With or without `Content-Length`. The answer means: durable. With `Upload-Complete` it can be " +
      "resumed: `?0` makes an upload and answers with its address, which takes the rest.",
    parameters: [
      "Content-Type",
      "Content-MD5",
      "Content-Digest",
      "Repr-Digest",
      "Want-Repr-Digest",
      "If-Match",
      "If-None-Match-Any",
      "Roma-Meta-NAME",
      ...creationParameters,
    ],
    body: { required: true, content: bytes },
    answers: withStateFields(written),
    errors: [...writeErrors, ...creationErrors, "precondition_failed", "unsupported"],
  },
  "DELETE /objects/{bucket}/{key}": {
    id: "deleteObject",
    tag: "objects",
    summary: "Delete an object",
    description: "Whether or not it was there. It goes into the bucket's trash, if that has one.",
    parameters: ["If-Match"],
    answers: gone,
    errors: [
      "invalid_key",
      "bucket_not_found",
      "precondition_failed",
      "object_retained",
      "delete_cap_reached",
    ],
  },
  "PATCH /objects/{bucket}/{key}": {
    id: "holdObject",
    tag: "objects",
    summary: "Retain an object, or put it under legal hold",
    description:
      "Nobody deletes, moves or replaces it then, the root key neither. A retention is only ever moved " +
      "later; a legal hold holds until it is taken off. Action `object:hold`.",
    body: jsonBody("ObjectHold"),
    answers: ok("The object as changed.", "Object"),
    errors: ["invalid_key", "bucket_not_found", "object_not_found", "object_retained"],
  },
  "POST /copy": {
    id: "copyObject",
    tag: "objects",
    summary: "Copy an object",
    description: "Copies no bytes.",
    body: jsonBody("Copy"),
    answers: written,
    errors: [
      "object_not_found",
      "bucket_not_found",
      "precondition_failed",
      "invalid_key",
      "too_large",
      "content_type_refused",
      "object_retained",
    ],
  },
  "POST /move": {
    id: "moveObject",
    tag: "objects",
    summary: "Move an object",
    description: "In one transaction: every reader finds one of the two, never none or both.",
    body: jsonBody("Copy"),
    answers: written,
    errors: [
      "object_not_found",
      "bucket_not_found",
      "precondition_failed",
      "invalid_key",
      "too_large",
      "content_type_refused",
      "object_retained",
    ],
  },
  "GET /keys": {
    id: "listKeys",
    tag: "access",
    summary: "List access keys",
    answers: ok("All of them, without secrets.", "AccessKeyList"),
  },
  "POST /keys": {
    id: "createKey",
    tag: "access",
    summary: "Make an access key",
    body: jsonBody("NewKeyRequest"),
    answers: {
      "201": {
        description: "The key with its secret.",
        content: json("NewAccessKey"),
        headers: ["Location"],
      },
    },
  },
  "GET /keys/{id}": {
    id: "getKey",
    tag: "access",
    summary: "Get an access key",
    answers: ok("The key, without its secret.", "AccessKey"),
    errors: ["key_not_found"],
  },
  "PATCH /keys/{id}": {
    id: "changeKey",
    tag: "access",
    summary: "Rename, re-policy, enable or disable an access key",
    body: jsonBody("KeyChanges"),
    answers: ok("The key as changed.", "AccessKey"),
    errors: ["key_not_found"],
  },
  "DELETE /keys/{id}": {
    id: "deleteKey",
    tag: "access",
    summary: "Delete an access key",
    answers: gone,
    errors: ["key_not_found"],
  },
  "POST /grants": {
    id: "createGrant",
    tag: "access",
    summary: "Sign a grant with the caller's own key",
    description: "A grant is never more than its signer may do, and lives 7 days at most.",
    body: jsonBody("GrantRequest"),
    answers: { "201": { description: "The grant.", content: json("Grant") } },
    errors: ["invalid_key"],
  },
  ...trashRows,
  ...storageRows,
  ...auditRows,
  ...uploadRows,
  "GET /openapi.json": {
    id: "getDescription",
    tag: "description",
    summary: "This document",
    answers: {
      "200": {
        description: "OpenAPI 3.1.",
        content: { "application/json": { schema: { type: "object" } } },
      },
    },
    anonymous: true,
  },
  "GET /docs": {
    id: "getDocs",
    tag: "description",
    summary: "This document as a page",
    answers: {
      "200": { description: "HTML.", content: { "text/html": { schema: { type: "string" } } } },
    },
    anonymous: true,
  },
};
