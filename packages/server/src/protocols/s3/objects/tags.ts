/**
 * Tags of an object: at most ten names with values, kept as one text in the form of a query string, which
 * is how the header carries them.
 */
import { invalidArgument, invalidTag } from "./refusals.ts";

export type Tags = readonly (readonly [name: string, value: string])[];

export const tagsAttribute = "s3-tags";

export const tagsMax = 10;
const nameCharactersMax = 128;
const valueCharactersMax = 256;
const characters = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

/** `InvalidTag` for what is too many, too long, double, or of other characters than tags have. */
export function checkTags(tags: Tags): Tags {
  if (tags.length > tagsMax) throw invalidTag(`Object tags cannot be greater than ${tagsMax}`);
  const names = new Set<string>();
  for (const [name, value] of tags) {
    if (names.has(name)) throw invalidTag("Cannot provide multiple Tags with the same key");
    names.add(name);
    const nameLength = [...name].length;
    if (nameLength === 0 || nameLength > nameCharactersMax || name.startsWith("aws:")) {
      throw invalidTag("The TagKey you have provided is invalid");
    }
    if ([...value].length > valueCharactersMax) {
      throw invalidTag("The TagValue you have provided is invalid");
    }
    if (!characters.test(name) || !characters.test(value)) {
      throw invalidTag("A tag has characters other than letters, digits, spaces and _.:/=+-@");
    }
  }
  return tags;
}

/** Of the header `x-amz-tagging`. `InvalidArgument` if it is no query string. */
export function parseTagging(text: string): Tags {
  if (text === "") return [];
  const tags = text.split("&").map((pair) => {
    const end = pair.indexOf("=");
    const name = decoded(end === -1 ? pair : pair.slice(0, end));
    const value = decoded(end === -1 ? "" : pair.slice(end + 1));
    if (name === undefined || value === undefined) {
      throw invalidArgument(
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded",
        {
          ArgumentName: "x-amz-tagging",
          ArgumentValue: text,
        },
      );
    }
    return [name, value] as const;
  });
  return checkTags(tags);
}

export function formatTags(tags: Tags): string {
  return tags
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join("&");
}

/** As an object remembers them; nothing where there are none. */
export function tagAttributes(tags: Tags): Readonly<Record<string, string>> {
  return tags.length === 0 ? {} : { [tagsAttribute]: formatTags(tags) };
}

export function tagsOf(attributes: Readonly<Record<string, string>>): Tags {
  return parseTagging(attributes[tagsAttribute] ?? "");
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}
