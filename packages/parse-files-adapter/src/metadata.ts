/**
 * Metadata and tags of a Parse.File as user metadata of the object. Parse allows any JSON and names with capitals,
 * which header fields do not keep: so each of the two is one value of JSON.
 */
import { userMetadataBytesMax } from "@roma/contract";

/** What parse-server hands to `createFile` and expects of `getMetadata`. */
export interface FileFacts {
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly tags?: Readonly<Record<string, unknown>> | undefined;
}

const fields = { metadata: "parse-metadata", tags: "parse-tags" } as const;

/** As user metadata; empty where there is nothing to keep. Throws when it is more than an object can have. */
export function userMetadataOf(facts: FileFacts): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of ["metadata", "tags"] as const) {
    const value = facts[name];
    if (value === undefined || value === null || Object.keys(value).length === 0) continue;
    kept[fields[name]] = JSON.stringify(value);
  }
  const bytes = Object.entries(kept).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
  if (bytes > userMetadataBytesMax) {
    throw new Error(
      `metadata and tags have ${bytes} bytes as JSON, more than ${userMetadataBytesMax}`,
    );
  }
  return kept;
}

/** The way back. What other ways in have stored comes as the object has it. */
export function fileFactsOf(userMetadata: Readonly<Record<string, string>>): FileFacts {
  const { [fields.metadata]: metadata, [fields.tags]: tags, ...others } = userMetadata;
  const known = parseJson(metadata);
  const facts = { metadata: { ...others, ...known } };
  return tags === undefined ? facts : { ...facts, tags: parseJson(tags) };
}

function parseJson(text: string | undefined): Record<string, unknown> {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}
