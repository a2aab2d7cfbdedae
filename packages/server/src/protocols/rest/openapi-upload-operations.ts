/** Of uploads: rows of `openapi-operations.ts`. */
import type { ErrorCode } from "@roma/contract";
import {
  bytes,
  creationErrors,
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
import { ref } from "./openapi-schemas.ts";

/** Whoever asks for the object. */
const completionErrors: readonly ErrorCode[] = [
  ...writeErrors,
  ...creationErrors,
  "upload_not_found",
  "object_not_found",
  "invalid_part",
  "precondition_failed",
  "data_damaged",
];

const directRows: Readonly<Record<string, OperationRow>> = {
  "POST /uploads": {
    id: "beginDirectUpload",
    tag: "uploads",
    summary: "Begin an upload whose bytes go by signed requests",
    description:
      "Straight to the storage where it can check them, else to this server. It is no object until it is " +
      "completed.",
    body: jsonBody("DirectUploadRequest"),
    answers: {
      "201": {
        description: "What to send, and where.",
        content: json("DirectUpload"),
        headers: ["Location"],
      },
    },
    errors: [
      ...["invalid_key", "bucket_not_found", "too_large", "too_small"],
      ...["content_type_refused", "precondition_failed", "quota_exceeded"],
      ...["rate_limited", "unsupported", "unavailable"],
    ] as readonly ErrorCode[],
  },
  "POST /uploads/{id}/requests": {
    id: "signDirectUpload",
    tag: "uploads",
    summary: "Sign requests for parts of a direct upload",
    description: "For further parts, or again for those that have expired.",
    body: jsonBody("SignRequests"),
    answers: ok("By part number.", "SignedRequests"),
    errors: ["upload_not_found", "invalid_part", "locked", "unavailable"],
  },
  "PUT /uploads/{id}/parts/{number}": {
    id: "putDirectPart",
    tag: "uploads",
    summary: "Send a part of a direct upload",
    description: "Only as a request that `POST /uploads` or `…/requests` has signed.",
    parameters: ["expires", "signature", "Content-MD5", "Content-Digest"],
    body: { required: true, content: bytes },
    answers: { "200": { description: "It is durable.", headers: ["ETag"] } },
    errors: [
      ...["upload_not_found", "checksum_mismatch", "incomplete_body", "request_timeout"],
      ...["locked", "quota_exceeded", "storage_full", "unavailable"],
    ] as readonly ErrorCode[],
    anonymous: true,
  },
  "POST /uploads/{id}/form": {
    id: "postDirectForm",
    tag: "uploads",
    summary: "Send a direct upload as the file of a form",
    description:
      "Only as a form that `POST /uploads` with `form` or `…/requests` has signed: its fields, and after " +
      "them one file of exactly the upload's length.",
    body: {
      required: true,
      content: {
        "multipart/form-data": {
          schema: {
            type: "object",
            required: ["expires", "signature", "file"],
            properties: {
              expires: { type: "string" },
              signature: { type: "string" },
              file: { type: "string", format: "binary" },
            },
          },
        },
      },
    },
    answers: { "201": { description: "It is durable.", headers: ["ETag"] } },
    errors: [
      ...["upload_not_found", "incomplete_body", "request_timeout", "too_large"],
      ...["locked", "quota_exceeded", "storage_full", "unavailable"],
    ] as readonly ErrorCode[],
    anonymous: true,
  },
  "POST /uploads/{id}/oss-callback": {
    id: "ossCallback",
    tag: "uploads",
    summary: "Alibaba OSS says that it has the file of a form",
    description:
      "Called by OSS alone, as a form that was begun with `callback` tells it to: with its own signature in " +
      "`Authorization` and ours in `signature`. Completes the upload; again it answers the same.",
    parameters: ["signature", "x-oss-pub-key-url"],
    body: jsonBody("OssCallback"),
    answers: ok("What OSS hands on to who posted the form.", "OssCallbackAnswer"),
    errors: completionErrors,
    anonymous: true,
  },
  "POST /uploads/{id}/proof": {
    id: "proveDirectUpload",
    tag: "uploads",
    summary: "Prove to have bytes that are known, in place of sending them",
    description:
      "The answer to a challenge, which is good once and for two minutes. After a wrong one the upload goes on.",
    body: jsonBody("Proof"),
    answers: written,
    errors: [...writeErrors, ...creationErrors, "upload_not_found", "precondition_failed"],
  },
  "POST /uploads/{id}/complete": {
    id: "completeDirectUpload",
    tag: "uploads",
    summary: "Make an object of what was sent",
    description:
      "What is there is compared with what was declared. Again it answers the same. `locked` with " +
      "`Retry-After` while it takes longer than a connection should wait: it goes on, ask again.",
    body: { required: false, content: json("CompleteDirectUpload") },
    answers: written,
    errors: completionErrors,
  },
};

export const uploadRows: Readonly<Record<string, OperationRow>> = {
  ...directRows,
  "GET /uploads": {
    id: "listUploads",
    tag: "uploads",
    summary: "List uploads of every protocol",
    description:
      "In order of ids. Plain PUTs and forms as long as they run, resumable ones until they expire.",
    parameters: ["bucket-filter", "cursor", "limit"],
    answers: ok("Those that the caller may see.", "UploadList"),
  },
  "GET /uploads/{id}": {
    id: "getUpload",
    tag: "uploads",
    summary: "See how far an upload is",
    description:
      "Disturbs nobody. With `Upload-Draft-Interop-Version` it answers what HEAD does as well.",
    parameters: ["parts", "Upload-Draft-Interop-Version"],
    answers: {
      "200": {
        description: "The upload; with `parts` a `DirectUpload`.",
        content: {
          "application/json": { schema: { anyOf: [ref("Upload"), ref("DirectUpload")] } },
        },
        headers: stateFields,
      },
    },
    errors: ["upload_not_found", "locked", "unavailable"],
  },
  "HEAD /uploads/{id}": {
    id: "headUpload",
    tag: "uploads",
    summary: "Where a resumable upload is to go on",
    description: "A request that writes to it is ended first, so that the offset holds.",
    parameters: ["Upload-Draft-Interop-Version"],
    answers: {
      "200": { description: "It is not to be resumed here." },
      "204": { description: "Where it is.", headers: stateFields },
    },
    errors: ["upload_not_found", "locked", "unavailable"],
  },
  "PATCH /uploads/{id}": {
    id: "appendUpload",
    tag: "uploads",
    summary: "Go on with a resumable upload",
    description:
      "The answer to the last content is that of the PUT or POST that began it. A problem says in " +
      "`Upload-Complete` whether the upload is over (`?1`), and in `Upload-Offset` where it is.",
    parameters: [
      "Upload-Offset",
      "Upload-Complete",
      "Upload-Length",
      "Upload-Draft-Interop-Version",
      "Content-MD5",
      "Content-Digest",
      "Want-Repr-Digest",
    ],
    body: { required: false, content: { "application/partial-upload": bytes["*/*"] ?? {} } },
    answers: {
      ...withStateFields(written),
      "204": { description: "More follows.", headers: stateFields },
    },
    errors: [
      ...writeErrors,
      ...creationErrors,
      "upload_not_found",
      "offset_mismatch",
      "unsupported",
    ],
  },
  "DELETE /uploads/{id}": {
    id: "cancelUpload",
    tag: "uploads",
    summary: "Cancel an upload",
    description: "Nothing of it is stored. Of a complete one only the address goes.",
    answers: gone,
    errors: ["upload_not_found", "locked", "unavailable"],
  },
};
