// Calls of a storage as steps of a request's trace. Of a body that is read, the step ends with its beginning.

import type { StorageLayer } from "../../core/ports/storage-driver.ts";
import type { Tracer } from "../../core/ports/tracer.ts";
import { forward, forwardParts } from "./forward.ts";

/** The layer: spans `storage OPERATION`, with the storage's id. */
export const traced =
  (tracer: Tracer): StorageLayer =>
  (inner) => {
    const step = <T>(operation: string, work: () => T): T =>
      tracer.span(`storage ${operation}`, { "roma.storage": inner.id }, work);
    return forward(inner, {
      put: (key, body, given) => step("put", () => inner.put(key, body, given)),
      get: (key, given) => step("get", () => inner.get(key, given)),
      head: (key, call) => step("head", () => inner.head(key, call)),
      delete: (key, call) => step("delete", () => inner.delete(key, call)),
      deleteMany: (deleteMany) => (keys, call) => step("delete_many", () => deleteMany(keys, call)),
      concat: (concat) => (from, to, given) => step("concat", () => concat(from, to, given)),
      copy: (copy) => (from, to, given) => step("copy", () => copy(from, to, given)),
      parts: (parts) => {
        const { append, copyPart } = parts;
        return forwardParts(parts, {
          create: (key, given) => step("create", () => parts.create(key, given)),
          writePart: (upload, partNumber, bytes, given) =>
            step("write_part", () => parts.writePart(upload, partNumber, bytes, given)),
          ...(copyPart && {
            copyPart: (upload, partNumber, source, given) =>
              step("copy_part", () => copyPart(upload, partNumber, source, given)),
          }),
          complete: (upload, list, given) =>
            step("complete", () => parts.complete(upload, list, given)),
          cancel: (upload, call) => step("cancel", () => parts.cancel(upload, call)),
          ...(append && {
            append: (upload, offset, body, given) =>
              step("append", () => append.call(parts, upload, offset, body, given)),
          }),
        });
      },
    });
  };
