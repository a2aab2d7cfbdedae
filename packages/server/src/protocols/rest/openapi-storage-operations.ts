/** Of storages: rows of `openapi-operations.ts`. */
import type { ErrorCode } from "@roma/contract";
import { gone, json, jsonBody, type OperationRow, ok } from "./openapi-rows.ts";

const storageErrors: readonly ErrorCode[] = [
  "storage_not_found",
  "already_exists",
  "precondition_failed",
  "locked",
  "unsupported",
  "unavailable",
  "too_large",
];

export const storageRows: Readonly<Record<string, OperationRow>> = {
  "GET /storages": {
    id: "listStorages",
    tag: "storages",
    summary: "List the storages",
    answers: ok("All of them, retired ones too, without secrets.", "StorageList"),
  },
  "GET /storages/{id}": {
    id: "getStorage",
    tag: "storages",
    summary: "Get a storage's settings and state",
    answers: ok("The storage, without its secrets.", "Storage"),
    errors: ["storage_not_found"],
  },
  "PUT /storages/{id}": {
    id: "putStorage",
    tag: "storages",
    summary: "Add a storage, or change the one that is there",
    description:
      "It is opened and tried first, and refused by name and reason when its settings are wrong. " +
      "What is left out keeps its value, secrets too; `null` gives a setting its default. With " +
      "`If-None-Match: *` only a new one. A `revision` must be the storage's own.",
    parameters: ["If-None-Match-Any"],
    body: jsonBody("StorageSettings"),
    answers: {
      "200": { description: "The storage as changed.", content: json("Storage") },
      "201": { description: "It is new.", content: json("Storage"), headers: ["Location"] },
    },
    errors: storageErrors,
  },
  "PATCH /storages/{id}": {
    id: "changeStorage",
    tag: "storages",
    summary: "Change a storage's settings or state",
    description:
      "`draining` refuses new uploads and finishes those that run; `read-only` reads and deletes. " +
      "What runs on the old settings goes on with them.",
    body: jsonBody("StorageSettings"),
    answers: ok("The storage as changed.", "Storage"),
    errors: storageErrors,
  },
  "DELETE /storages/{id}": {
    id: "retireStorage",
    tag: "storages",
    summary: "Retire a storage that holds nothing",
    description:
      "It must have been drained, and no bucket's placement may name it. While it holds blobs the " +
      "problem says how many (`blobs`). Its id stays taken, unless `?forget` gives it free.",
    parameters: ["forget"],
    answers: gone,
    errors: ["storage_not_found", "not_empty", "precondition_failed", "locked"],
  },
  "GET /storages/{id}/cors": {
    id: "getStorageCors",
    tag: "storages",
    summary: "See what a storage's own bucket allows pages",
    description:
      "For pages that send direct uploads straight to the storage. With `origin` the storage is asked " +
      "as a browser of such a page would ask it; nothing is stored.",
    parameters: ["origin"],
    answers: ok("The rules, and whether the origin may send.", "StorageCors"),
    errors: ["storage_not_found", "unsupported", "unavailable"],
  },
  "PUT /storages/{id}/cors": {
    id: "putStorageCors",
    tag: "storages",
    summary: "Let pages send to a storage's own bucket",
    description:
      "Sets the origins of one rule, which is put before those of others, and tries each. Without " +
      "origins the rule is taken away.",
    body: jsonBody("StorageCorsSettings"),
    answers: ok("The rules as set, and whether the origins may send.", "StorageCors"),
    errors: ["storage_not_found", "unsupported", "unavailable", "too_large"],
  },
  "POST /storages/{id}/test": {
    id: "testStorage",
    tag: "storages",
    summary: "Try everything that a storage can do",
    description:
      "Writes, reads, lists and deletes blobs of its own, and compares what the storage is declared " +
      "to do with what it does. That it fails is an answer too: `ok` is false.",
    answers: {
      "200": {
        description: "What was found; as text with `Accept: text/markdown`.",
        content: {
          ...json("StorageTest"),
          "text/markdown": { schema: { type: "string" } },
        },
      },
    },
    errors: ["storage_not_found", "unavailable"],
  },
};
