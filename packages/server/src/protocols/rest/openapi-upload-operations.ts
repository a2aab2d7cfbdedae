/** Of uploads: rows of `openapi-operations.ts`. */
import {
  bytes,
  creationErrors,
  gone,
  json,
  type OperationRow,
  ok,
  stateFields,
  withStateFields,
  writeErrors,
  written,
} from "./openapi-rows.ts";

export const uploadRows: Readonly<Record<string, OperationRow>> = {
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
    parameters: ["Upload-Draft-Interop-Version"],
    answers: {
      "200": { description: "The upload.", content: json("Upload"), headers: stateFields },
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
