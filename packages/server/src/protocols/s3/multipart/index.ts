/** Uploads in parts, as rows of the one table of the protocol. */
import type { OperationRow, S3Services } from "../services.ts";
import { abortMultipart } from "./abort.ts";
import { completeMultipart } from "./complete.ts";
import { copyPart } from "./copy-part.ts";
import { createMultipart } from "./create.ts";
import { listParts, listUploads } from "./list.ts";
import { putPart } from "./put-part.ts";

export function multipartOperations(services: S3Services): readonly OperationRow[] {
  return [
    {
      method: "POST",
      on: "object",
      when: "uploads",
      operation: "CreateMultipartUpload",
      handler: createMultipart(services),
    },
    {
      method: "PUT",
      on: "object",
      when: "uploadId",
      operation: "UploadPart",
      handler: putPart(services),
    },
    {
      method: "PUT",
      on: "object",
      when: { query: "uploadId", header: "x-amz-copy-source" },
      operation: "UploadPartCopy",
      handler: copyPart(services),
    },
    {
      method: "POST",
      on: "object",
      when: "uploadId",
      operation: "CompleteMultipartUpload",
      handler: completeMultipart(services),
    },
    {
      method: "DELETE",
      on: "object",
      when: "uploadId",
      operation: "AbortMultipartUpload",
      handler: abortMultipart(services),
    },
    {
      method: "GET",
      on: "object",
      when: "uploadId",
      operation: "ListParts",
      handler: listParts(services),
    },
    {
      method: "GET",
      on: "bucket",
      when: "uploads",
      operation: "ListMultipartUploads",
      handler: listUploads(services),
    },
  ];
}
