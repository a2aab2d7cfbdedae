/** What the audit log says of changes to objects. */
import type { NewObject, ObjectChanges, ObjectRecord } from "../../core/ports/metadata-store.ts";
import type { UploadRecord } from "../../core/ports/upload-store.ts";
import type { AuditEntry, ObjectState } from "../audit-records.ts";
import type { Recorded } from "./audit.ts";

interface ObjectAddress {
  readonly bucket: string;
  readonly key: string;
}

/** Of the upload that becomes the object. */
export type WritingUpload = Pick<UploadRecord, "id" | "owner" | "grant">;

/** A new object, or a new state of one. */
export function writtenEntry(
  { author, at, upload }: Recorded & { readonly upload?: WritingUpload },
  {
    object,
    replaced,
  }: { readonly object: ObjectRecord; readonly replaced?: ObjectRecord | undefined },
): AuditEntry {
  const context = upload?.grant?.context;
  return {
    author,
    at,
    action: replaced === undefined ? "object.created" : "object.replaced",
    ...addressOf(object),
    ...stateOf(object),
    ...(replaced === undefined ? {} : { replaced: stateOf(replaced) }),
    ...(upload === undefined ? {} : { upload: upload.id }),
    ...(upload === undefined || upload.owner === author.id ? {} : { owner: upload.owner }),
    ...(context === undefined ? {} : { context }),
  };
}

/** As `writtenEntry`, of bytes that another object has, or had. */
export function copiedEntry(
  options: Recorded & { readonly upload?: WritingUpload; readonly deleteSource?: boolean },
  written: {
    readonly object: ObjectRecord;
    readonly replaced?: ObjectRecord | undefined;
    readonly source: ObjectAddress & { readonly version: string };
  },
): AuditEntry {
  const { bucket, key, version } = written.source;
  const entry = { ...writtenEntry(options, written), from: { bucket, key, version } };
  if (options.upload !== undefined) return entry;
  return { ...entry, action: options.deleteSource === true ? "object.moved" : "object.copied" };
}

export function deletedEntry({ author, at }: Recorded, object: ObjectRecord): AuditEntry {
  return { author, at, action: "object.deleted", ...addressOf(object), ...stateOf(object) };
}

/** Back from the trash, at the version that it had. */
export function restoredEntry(
  { author, at }: Recorded,
  {
    object,
    replaced,
  }: { readonly object: ObjectRecord; readonly replaced: ObjectRecord | undefined },
): AuditEntry {
  return {
    author,
    at,
    action: "object.restored",
    ...addressOf(object),
    ...stateOf(object),
    ...(replaced === undefined ? {} : { replaced: stateOf(replaced) }),
  };
}

/** Out of the trash: from then on it cannot be brought back. */
export function purgedEntry({ author, at }: Recorded, object: ObjectRecord): AuditEntry {
  return { author, at, action: "object.purged", ...addressOf(object), ...stateOf(object) };
}

/** Of attributes the names alone: values may be anything. */
export function changedEntry(
  { author, at }: Recorded,
  object: Pick<NewObject, "bucket" | "key" | "version">,
  { attributes = {}, retainUntil, legalHold }: ObjectChanges,
): AuditEntry {
  const { version } = object;
  const details = {
    attributes: Object.keys(attributes),
    ...(retainUntil === undefined ? {} : { retainUntil: retainUntil.toISOString() }),
    ...(legalHold === undefined ? {} : { legalHold }),
  };
  return { author, at, action: "object.changed", ...addressOf(object), version, details };
}

function addressOf({ bucket, key }: ObjectAddress): ObjectAddress {
  return { bucket, key };
}

function stateOf({ version, length }: ObjectRecord): ObjectState {
  return { version, size: length };
}
