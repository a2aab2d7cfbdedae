/** Of the trash: rows of `openapi-operations.ts`. */
import { jsonBody, type OperationRow, ok } from "./openapi-rows.ts";

export const trashRows: Readonly<Record<string, OperationRow>> = {
  "GET /trash/{bucket}": {
    id: "listTrash",
    tag: "trash",
    summary: "List what was deleted or replaced",
    description:
      "With a prefix in order of keys, otherwise those deleted last come first. The bucket may be gone.",
    parameters: ["prefix", "deletedAfter", "deletedBefore", "cursor", "limit"],
    answers: ok("A page.", "TrashList"),
    errors: ["invalid_key"],
  },
  "POST /trash/{bucket}/restore": {
    id: "restoreTrash",
    tag: "trash",
    summary: "Make objects of what is in the trash again",
    description:
      "As they were, without copying bytes: those with the ids, or all that fit the filter. Of several of " +
      "one key the one deleted last. It may be asked again at any time. While the answer has a cursor " +
      "there is more to do.",
    body: jsonBody("RestoreTrash"),
    answers: ok("How many.", "RestoreTrashResult"),
    errors: ["invalid_key", "bucket_not_found", "quota_exceeded", "object_retained", "too_large"],
  },
  "POST /trash/{bucket}/purge": {
    id: "purgeTrash",
    tag: "trash",
    summary: "Give up what is in the trash, for good",
    description:
      "Without ids and filter only with `all`. What is retained stays. While the answer has a cursor " +
      "there is more to do.",
    body: jsonBody("PurgeTrash"),
    answers: ok("How many.", "PurgeTrashResult"),
    errors: ["invalid_key", "too_large"],
  },
};
