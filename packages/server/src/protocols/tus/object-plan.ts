/**
 * What an upload's metadata says of the object to be made: its key, its content type, its user
 * metadata. What cannot be one of these stays in the raw field alone.
 */
import type { Actor } from "../../core/access.ts";
import { OperationalError } from "../../core/errors.ts";
import { keyForUpload } from "../../core/grant-writes.ts";
import { type ObjectKey, parseKey } from "../../core/object-key.ts";
import { fittingUserMetadata } from "../../core/write-limits.ts";
import { isContentType } from "../../http/index.ts";
import type { TusMetadata } from "./metadata.ts";

export interface ObjectPlan {
  readonly key: ObjectKey;
  readonly contentType?: string;
  readonly userMetadata: Readonly<Record<string, string>>;
}

export interface ObjectPlanOptions {
  /** A grant may say where the object goes. */
  readonly actor: Actor;
  readonly now: Date;
}

/** Spent on the key and the content type. */
const spentNames: ReadonlySet<string> = new Set(["key", "filetype", "type"]);

/** `invalid_key` if the metadata's `key` is not one. */
export function objectPlan(metadata: TusMetadata, options: ObjectPlanOptions): ObjectPlan {
  const contentType = text(metadata, "filetype") || text(metadata, "type");
  return {
    key: keyOf(metadata, options),
    // Clients send what the browser told them, which may be nothing; the bytes decide then.
    ...(contentType !== undefined && isContentType(contentType) ? { contentType } : {}),
    userMetadata: userMetadataOf(metadata),
  };
}

/** `key` if the client names one. */
function keyOf(metadata: TusMetadata, { actor, now }: ObjectPlanOptions): ObjectKey {
  if (metadata.has("key")) {
    const named = text(metadata, "key");
    if (named === undefined) throw new OperationalError("invalid_key", "key is not UTF-8");
    return parseKey(named);
  }
  const filename = text(metadata, "filename") || text(metadata, "name");
  return keyForUpload(actor, { filename, now });
}

function userMetadataOf(metadata: TusMetadata): Readonly<Record<string, string>> {
  const told = [...metadata.keys()].flatMap((name) => {
    const value = text(metadata, name);
    // Uppy says the file's name twice.
    const isTwice = name.toLowerCase() === "name" && value === text(metadata, "filename");
    const isSpent = spentNames.has(name.toLowerCase()) || isTwice;
    return value === undefined || isSpent ? [] : [[name, value] as const];
  });
  return fittingUserMetadata(told);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Undefined if there is no such key, or its value is not UTF-8. */
function text(metadata: TusMetadata, key: string): string | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  try {
    return utf8.decode(value);
  } catch {
    return undefined;
  }
}
