/** Answers about the trash, as they come in. */
import type {
  PurgeTrashResultJson,
  RestoreTrashResultJson,
  TrashEntryJson,
  TrashListJson,
} from "@roma/contract";
import { fieldsOf, list, nullable, number, oneOf, string } from "./fields.ts";
import { parseChecksums, parseMetadata } from "./parse.ts";

export function parseTrashList(value: unknown): TrashListJson {
  const fields = fieldsOf(value, "list");
  return {
    entries: list(fields, "entries", parseTrashEntry),
    cursor: nullable(fields, "cursor", string),
  };
}

function parseTrashEntry(value: unknown): TrashEntryJson {
  const fields = fieldsOf(value, "entry");
  return {
    id: string(fields, "id"),
    bucket: string(fields, "bucket"),
    key: string(fields, "key"),
    version: string(fields, "version"),
    size: number(fields, "size"),
    etag: string(fields, "etag"),
    contentType: string(fields, "contentType"),
    createdAt: string(fields, "createdAt"),
    metadata: parseMetadata(fields.metadata ?? {}),
    checksums: parseChecksums(fields.checksums),
    storage: string(fields, "storage"),
    deletedAt: string(fields, "deletedAt"),
    purgeAt: string(fields, "purgeAt"),
    reason: oneOf(fields, "reason", ["deleted", "replaced"]),
    deletedBy: fields.deletedBy ?? null,
    job: nullable(fields, "job", string),
  };
}

export function parseRestoreTrashResult(value: unknown): RestoreTrashResultJson {
  const fields = fieldsOf(value, "result");
  return {
    restored: number(fields, "restored"),
    bytes: number(fields, "bytes"),
    skipped: number(fields, "skipped"),
    missing: number(fields, "missing"),
    cursor: nullable(fields, "cursor", string),
  };
}

export function parsePurgeTrashResult(value: unknown): PurgeTrashResultJson {
  const fields = fieldsOf(value, "result");
  return {
    purged: number(fields, "purged"),
    bytes: number(fields, "bytes"),
    retained: number(fields, "retained"),
    missing: number(fields, "missing"),
    cursor: nullable(fields, "cursor", string),
  };
}
