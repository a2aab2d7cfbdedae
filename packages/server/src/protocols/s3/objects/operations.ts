/** The operations on objects, as rows of the one table of the protocol. */
import type { OperationRow, S3Services } from "../services.ts";
import { getAttributes } from "./attributes.ts";
import { copyObject } from "./copy.ts";
import { deleteObject } from "./delete.ts";
import { deleteObjects } from "./delete-objects.ts";
import { getObject } from "./get.ts";
import { postObject } from "./post-form.ts";
import { putObject } from "./put.ts";
import { deleteTagging, getTagging, putTagging } from "./tagging.ts";

export function objectOperations(services: S3Services): readonly OperationRow[] {
  const read = getObject(services);
  return [
    { method: "GET", on: "object", operation: "GetObject", handler: read },
    { method: "HEAD", on: "object", operation: "HeadObject", handler: read },
    {
      method: "GET",
      on: "object",
      when: "attributes",
      operation: "GetObjectAttributes",
      handler: getAttributes(services),
    },
    { method: "PUT", on: "object", operation: "PutObject", handler: putObject(services) },
    {
      method: "PUT",
      on: "object",
      when: { header: "x-amz-copy-source" },
      operation: "CopyObject",
      handler: copyObject(services),
    },
    { method: "DELETE", on: "object", operation: "DeleteObject", handler: deleteObject(services) },
    {
      method: "POST",
      on: "bucket",
      operation: "PostObject",
      isForm: true,
      handler: postObject(services),
    },
    {
      method: "POST",
      on: "bucket",
      when: "delete",
      operation: "DeleteObjects",
      handler: deleteObjects(services),
    },
    {
      method: "GET",
      on: "object",
      when: "tagging",
      operation: "GetObjectTagging",
      handler: getTagging(services),
    },
    {
      method: "PUT",
      on: "object",
      when: "tagging",
      operation: "PutObjectTagging",
      handler: putTagging(services),
    },
    {
      method: "DELETE",
      on: "object",
      when: "tagging",
      operation: "DeleteObjectTagging",
      handler: deleteTagging(services),
    },
  ];
}
