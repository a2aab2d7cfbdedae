/**
 * User metadata in header fields. Fields carry ASCII safely, so other characters of a value, and `%`
 * itself, are percent-encoded UTF-8; what comes back is decoded the same way.
 */

const prefix = "roma-meta-";

/** One `roma-meta-NAME` field for each entry. */
export function metadataFields(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [
      prefix + name.toLowerCase(),
      value.toWellFormed().replace(/[^\x20-\x24\x26-\x7e]+|^ | $/gu, encodeURIComponent),
    ]),
  );
}

/** The metadata among the fields of an answer. */
export function parseMetadataFields(
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), decode(value)]] : [],
    ),
  );
}

function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
