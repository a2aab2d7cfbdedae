/**
 * What an upload's metadata says of the object to be made: its key, its content type, its user
 * metadata. What cannot be one of these stays in the raw field alone.
 */
import { userMetadataBytesMax } from "@roma/contract";
import type { Actor } from "../../core/access.ts";
import { OperationalError } from "../../core/errors.ts";
import { keyForUpload } from "../../core/grant-writes.ts";
import { type ObjectKey, parseKey } from "../../core/object-key.ts";
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

/** As core asks for them (`assertUserMetadata`), once in lower case. */
const userMetadataName = /^[!#$%&'*+\-.^_`|~0-9a-z]{1,128}$/;

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

/** In the order given, as far as the limit goes; of names that differ in case alone the first. */
function userMetadataOf(metadata: TusMetadata): Readonly<Record<string, string>> {
  const kept: Record<string, string> = Object.create(null);
  let bytes = 0;
  for (const given of metadata.keys()) {
    const name = given.toLowerCase();
    const value = text(metadata, given);
    if (value === undefined || value.includes("\0")) continue;
    if (spentNames.has(name) || !userMetadataName.test(name) || name in kept) continue;
    // Uppy says the file's name twice.
    if (name === "name" && value === text(metadata, "filename")) continue;
    const more = name.length + Buffer.byteLength(value);
    if (bytes + more > userMetadataBytesMax) continue;
    kept[name] = value;
    bytes += more;
  }
  return kept;
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
