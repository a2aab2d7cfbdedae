/** What clients tell about a file beside its name and type: metadata, tags and a directory. */
import type { ObjectAttributes, ObjectRecord } from "../../core/ports/metadata-store.ts";
import { fittingUserMetadata } from "../../core/write-limits.ts";
import { parseCodes, refusal } from "./errors.ts";

/** Attributes of an object that was saved here: JSON, as the client sent it. */
const metadataAttribute = "parse-metadata";
const tagsAttribute = "parse-tags";

export type Described = Readonly<Record<string, unknown>>;

export interface FileData {
  readonly metadata: Described;
  readonly tags: Described;
  readonly directory?: string;
}

/** Code 107 names the field. */
export function describedObject(value: unknown, field: string): Described {
  if (value === undefined || value === null) return {};
  if (typeof value === "object" && !Array.isArray(value)) return { ...value };
  throw invalidJson(`${field} is not a JSON object.`);
}

export function invalidJson(message: string) {
  return refusal("invalid_request", parseCodes.invalidJson, message);
}

/**
 * Kept whole beside the object; texts of names that every front end can carry are its user metadata too, as far
 * as that goes.
 */
export function describedBy({ metadata, tags }: FileData): {
  readonly userMetadata: Readonly<Record<string, string>>;
  readonly attributes: ObjectAttributes;
} {
  const texts = Object.entries(metadata).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return {
    userMetadata: fittingUserMetadata(texts),
    attributes: {
      ...(isEmpty(metadata) ? {} : { [metadataAttribute]: JSON.stringify(metadata) }),
      ...(isEmpty(tags) ? {} : { [tagsAttribute]: JSON.stringify(tags) }),
    },
  };
}

/**
 * The answer to the metadata of an object; of one that came another way its user metadata, in which our adapter for
 * parse-server keeps the same two as JSON.
 */
export function metadataOf({ attributes, userMetadata }: ObjectRecord): object {
  const { [metadataAttribute]: metadata, [tagsAttribute]: tags } = attributes;
  if (metadata === undefined && tags === undefined) return adaptedMetadata(userMetadata);
  return {
    metadata: metadata === undefined ? userMetadata : JSON.parse(metadata),
    ...(tags === undefined ? {} : { tags: JSON.parse(tags) }),
  };
}

function adaptedMetadata(userMetadata: Readonly<Record<string, string>>): object {
  const { [metadataAttribute]: metadata, [tagsAttribute]: tags, ...others } = userMetadata;
  try {
    return {
      metadata: { ...others, ...(metadata === undefined ? {} : JSON.parse(metadata)) },
      ...(tags === undefined ? {} : { tags: JSON.parse(tags) }),
    };
  } catch {
    // Somebody else's, by those names.
    return { metadata: userMetadata };
  }
}

function isEmpty(value: Described): boolean {
  return Object.keys(value).length === 0;
}
